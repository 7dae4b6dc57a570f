//! Records on their way to the producer, in one allocation.
use std::ops::Range;
use std::sync::Arc;

use crate::rows::EventTime;

/// Where the records of a buffer go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To a topic; the client places each by its key, as Java's default partitioner would.
    ByKey(Arc<str>),
    /// To one partition; batches with the header that marks them.
    Partition {
        topic: Arc<str>,
        partition: i32,
        batch_header: Option<[u8; 9]>,
    },
}

/// Where a key or value lies in the bytes; none is null.
type Cell = Option<Range<usize>>;

/// A record of a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputRecord<'a> {
    /// When it was made, or [`NO_TIME`](crate::rows::NO_TIME): then the client says when it is sent.
    pub(crate) time: EventTime,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Records for one destination.
#[derive(Debug, Clone)]
pub(crate) struct RecordBuffer {
    destination: Destination,
    bytes: Vec<u8>,
    records: Vec<(EventTime, Cell, Cell)>,
}

impl RecordBuffer {
    pub(crate) fn new(destination: Destination) -> Self {
        Self {
            destination,
            bytes: Vec::new(),
            records: Vec::new(),
        }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Appends a record made at `time`. `key` and `value` append their bytes and say whether there is one, or it is null.
    pub(crate) fn push(
        &mut self,
        time: EventTime,
        key: impl FnOnce(&mut Vec<u8>) -> bool,
        value: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let start = self.bytes.len();
        let has_key = key(&mut self.bytes);
        let middle = self.bytes.len();
        let has_value = value(&mut self.bytes);
        let end = self.bytes.len();
        let (key, value) = (has_key.then_some(start..middle), has_value.then_some(middle..end));
        self.records.push((time, key, value));
    }

    /// Every record.
    pub(crate) fn records(&self) -> impl Iterator<Item = OutputRecord<'_>> {
        let slice = |range: &Cell| range.clone().map(|range| &self.bytes[range]);
        self.records.iter().map(move |(time, key, value)| OutputRecord {
            time: *time,
            key: slice(key),
            value: slice(value),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}
