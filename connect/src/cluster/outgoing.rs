//! Encoded records on their way to a producer.
use std::ops::Range;
use std::sync::Arc;

/// A batch of encoded records.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The bytes of all keys, values and headers.
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: Vec<OutgoingRow>,
}

/// Where the bytes of something are, unless it is null.
pub(crate) type Encoding = Option<Range<usize>>;

/// A record of a batch.
#[derive(Debug)]
pub(crate) struct OutgoingRow {
    /// Which of its producer's records it is; 0 before it is sent for the first time.
    pub(crate) number: usize,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Encoding,
    pub(crate) value: Encoding,
    /// Milliseconds since 1970; now if none.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(Arc<str>, Encoding)>,
}

impl OutgoingRow {
    pub(super) fn is_plain(&self) -> bool {
        self.timestamp.is_none() && self.headers.is_empty()
    }
}

impl Outgoing {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    pub(super) fn at(&self, place: &Encoding) -> Option<&[u8]> {
        place.as_ref().map(|range| &self.bytes[range.clone()])
    }
}
