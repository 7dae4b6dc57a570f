//! One answer as a chain of small buffers and ranges of segment files.
//!
//! Why: record bytes are named here and sent from their files (`server::sink`), so that an answer of any size takes a
//! few hundred bytes of memory. Owns: the length prefix, the response header. Does not own: the layout of bodies
//! (`api`).
//!
//! Invariant: an answer refers to at most [`RANGES_MAX`] ranges, each of which may keep a file open.

use bytes::{BufMut, BytesMut};

use crate::log::LogSlice;

/// Ranges of files in one answer. A peer that reads slowly keeps as many files open, deleted ones included.
pub(crate) const RANGES_MAX: usize = 1024;

/// A piece of an answer.
pub(crate) enum Part {
    /// Bytes in memory.
    Bytes(BytesMut),
    /// A range of a segment file.
    Records(LogSlice),
}

/// A whole answer, length prefix included.
pub(crate) enum Reply {
    /// All of it in memory.
    Bytes(BytesMut),
    /// With ranges of files in between.
    Parts(Vec<Part>),
}

impl Reply {
    /// Size in bytes, length prefix included.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Bytes(bytes) => bytes.len(),
                    Part::Records(slice) => slice.len(),
                })
                .sum(),
        }
    }
}

/// Puts an answer together.
pub(crate) struct ReplyWriter {
    /// Where the body goes.
    pub bytes: BytesMut,
    parts: Vec<Part>,
    length: usize,
}

impl ReplyWriter {
    /// Starts an answer: room for the length, then the response header (version 1 if `flexible`).
    pub fn new(correlation_id: i32, flexible: bool, capacity: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + 9);
        bytes.put_u32(0);
        bytes.put_i32(correlation_id);
        if flexible {
            bytes.put_u8(0);
        }
        Self {
            bytes,
            parts: Vec::new(),
            length: 0,
        }
    }

    /// False once the answer refers to as many ranges as it may.
    pub fn takes_records(&self) -> bool {
        self.parts.len() < 2 * RANGES_MAX
    }

    /// Appends a range of a segment file. Asks for [`ReplyWriter::takes_records`] first.
    pub fn put_records(&mut self, slice: LogSlice) {
        slice.count_sent();
        self.length += self.bytes.len() + slice.len();
        let bytes = self.bytes.split();
        self.parts.push(Part::Bytes(bytes));
        self.parts.push(Part::Records(slice));
    }

    /// Writes the length and closes the answer; `None` if it is longer than a frame can be.
    pub fn finish(mut self) -> Option<Reply> {
        let length = i32::try_from(self.length + self.bytes.len() - 4).ok()?;
        if self.parts.is_empty() {
            self.bytes[..4].copy_from_slice(&length.to_be_bytes());
            return Some(Reply::Bytes(self.bytes));
        }
        if let Some(Part::Bytes(first)) = self.parts.first_mut() {
            first[..4].copy_from_slice(&length.to_be_bytes());
        }
        self.parts.push(Part::Bytes(self.bytes));
        Some(Reply::Parts(self.parts))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_answer_keeps_a_bounded_number_of_files_open() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut writer = ReplyWriter::new(7, false, 0);
        let mut taken = 0;
        while writer.takes_records() {
            writer.put_records(LogSlice::new(Arc::clone(&file), 0, 10));
            taken += 1;
        }
        assert_eq!(taken, RANGES_MAX);
        let reply = writer.finish().unwrap();
        assert_eq!(reply.len(), 8 + 10 * RANGES_MAX);
        drop(reply);
        assert_eq!(Arc::strong_count(&file), 1);
    }
}
