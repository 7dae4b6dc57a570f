//! A readable range of a log.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::traffic::Traffic;
use crate::ids::Offset;

/// Whole batches as a range of one segment file, so that they can be sent from the file itself.
#[derive(Clone, Debug, Default)]
pub struct LogSlice {
    range: Option<(Arc<File>, u64)>,
    len: usize,
    end_offset: Offset,
    traffic: Option<Arc<Traffic>>,
}

impl LogSlice {
    pub(crate) fn new(file: Arc<File>, position: u64, len: usize) -> Self {
        Self {
            range: Some((file, position)),
            len,
            end_offset: Offset(0),
            traffic: None,
        }
    }

    /// All records in it are below `end_offset`.
    pub(crate) fn ending_before(mut self, end_offset: Offset) -> Self {
        self.end_offset = end_offset;
        self
    }

    /// An offset above all of its records and not above any that follows them in the log.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Where it is counted when it is sent.
    pub(crate) fn counted_by(mut self, traffic: Arc<Traffic>) -> Self {
        self.traffic = Some(traffic);
        self
    }

    /// It is part of an answer.
    pub(crate) fn count_sent(&self) {
        if let Some(traffic) = &self.traffic {
            traffic.sent(self.len as u64);
        }
    }

    /// The file and the position in it; nothing if the slice is empty.
    #[must_use]
    pub fn range(&self) -> Option<(&Arc<File>, u64)> {
        self.range.as_ref().map(|(file, position)| (file, *position))
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes. They stay readable after the partition was deleted.
    ///
    /// # Errors
    /// The operating system's.
    pub fn read(&self) -> io::Result<Bytes> {
        let Some((file, position)) = self.range() else {
            return Ok(Bytes::new());
        };
        let mut bytes = BytesMut::zeroed(self.len);
        file.read_exact_at(&mut bytes, position)?;
        Ok(bytes.freeze())
    }
}
