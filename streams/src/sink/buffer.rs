//! Records on their way to the producer, in one allocation.
use std::ops::Range;
use std::sync::Arc;

use crate::rows::{EventTime, NO_TIME};

/// Bytes that a record takes beside its key, value and headers: an upper bound of the record format, version 2.
pub(crate) const RECORD_OVERHEAD: usize = 48;
/// Bytes that a header takes beside its name and value: two lengths of at most five bytes.
const HEADER_OVERHEAD: usize = 10;

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
    /// When it was made, or [`NO_TIME`]: then the client says when it is sent.
    pub(crate) time: EventTime,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: RecordHeaders<'a>,
}

/// The headers of a record of a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordHeaders<'a> {
    cells: &'a [HeaderCell],
    bytes: &'a [u8],
}

/// A header of the record of this number.
#[derive(Debug, Clone)]
struct HeaderCell {
    record: usize,
    name: Range<usize>,
    value: Cell,
}

/// Records for one destination.
#[derive(Debug, Clone)]
pub(crate) struct RecordBuffer {
    destination: Destination,
    bytes: Vec<u8>,
    records: Vec<(EventTime, Cell, Cell)>,
    /// In the order of their records; most buffers have none.
    headers: Vec<HeaderCell>,
}

impl RecordBuffer {
    pub(crate) fn new(destination: Destination) -> Self {
        Self {
            destination,
            bytes: Vec::new(),
            records: Vec::new(),
            headers: Vec::new(),
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

    /// Appends a record made at `time`, whose key and value are at hand.
    pub(crate) fn push_bytes(&mut self, time: EventTime, key: Option<&[u8]>, value: Option<&[u8]>) {
        let append = |out: &mut Vec<u8>, bytes: Option<&[u8]>| {
            out.extend_from_slice(bytes.unwrap_or_default());
            bytes.is_some()
        };
        self.push(time, |out| append(out, key), |out| append(out, value));
    }

    /// Gives the last record one header more.
    pub(crate) fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let record = self.records.len().saturating_sub(1);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.headers.push(HeaderCell {
            record,
            name: start..middle,
            value: value.map(|_| middle..self.bytes.len()),
        });
    }

    /// Whether no record has a time or headers.
    pub(crate) fn is_plain(&self) -> bool {
        self.headers.is_empty() && self.records.iter().all(|(time, ..)| *time == NO_TIME)
    }

    /// Every record.
    pub(crate) fn records(&self) -> impl Iterator<Item = OutputRecord<'_>> {
        // Headers are sorted by record, so that one walk over both finds them.
        let mut rest: &[HeaderCell] = &self.headers;
        (0..self.records.len()).map(move |record| {
            let own;
            (own, rest) = rest.split_at(rest.iter().take_while(|cell| cell.record == record).count());
            self.at(record, own)
        })
    }

    /// The record of this number.
    pub(crate) fn get(&self, record: usize) -> OutputRecord<'_> {
        let start = self.headers.partition_point(|cell| cell.record < record);
        let end = self.headers.partition_point(|cell| cell.record <= record);
        self.at(record, &self.headers[start..end])
    }

    fn at<'a>(&'a self, record: usize, headers: &'a [HeaderCell]) -> OutputRecord<'a> {
        let (time, key, value) = &self.records[record];
        let slice = |range: &Cell| range.clone().map(|range| &self.bytes[range]);
        OutputRecord {
            time: *time,
            key: slice(key),
            value: slice(value),
            headers: RecordHeaders {
                cells: headers,
                bytes: &self.bytes,
            },
        }
    }

    /// Takes the last record out again.
    pub(crate) fn pop(&mut self) {
        let Some((_, key, value)) = self.records.pop() else {
            return;
        };
        let start = key.or(value).map(|range| range.start);
        self.headers.retain(|cell| cell.record < self.records.len());
        self.bytes.truncate(start.unwrap_or(self.bytes.len()));
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
        self.headers.clear();
    }
}

/// What a header takes on its way, at most.
pub(crate) fn header_size(name: &str, value: Option<&[u8]>) -> usize {
    HEADER_OVERHEAD + name.len() + value.map_or(0, <[u8]>::len)
}

impl OutputRecord<'_> {
    /// What the record takes on its way, at most: the client compares it with `message.max.bytes`.
    pub(crate) fn size(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| header_size(name, value));
        RECORD_OVERHEAD + length(self.key) + length(self.value) + headers.sum::<usize>()
    }
}

impl<'a> RecordHeaders<'a> {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let (cells, bytes) = (self.cells, self.bytes);
        cells.iter().map(move |cell| {
            let name = std::str::from_utf8(&bytes[cell.name.clone()]).unwrap_or_default();
            (name, cell.value.clone().map(|range| &bytes[range]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(record: &OutputRecord<'_>) -> Vec<String> {
        let text = |value: Option<&[u8]>| value.map_or("-".to_owned(), |value| format!("{value:?}"));
        let headers = record.headers.iter();
        headers
            .map(|(name, value)| format!("{name} {}", text(value)))
            .collect()
    }

    #[test]
    fn headers_stay_with_their_records() {
        let mut records = RecordBuffer::new(Destination::ByKey("t".into()));
        records.push_bytes(1, None, Some(b"a"));
        records.push_bytes(2, Some(b"k"), None);
        records.push_header("x", Some(b"1"));
        records.push_header("x", None);
        records.push_bytes(3, Some(b""), Some(b""));
        records.push_bytes(4, None, Some(b"d"));
        records.push_header("y", Some(b""));
        let all: Vec<_> = records.records().map(|record| headers(&record)).collect();
        let expected: [&[&str]; 4] = [&[], &["x [49]", "x -"], &[], &["y []"]];
        assert_eq!(all, expected);
        let alone: Vec<_> = (0..4).map(|number| headers(&records.get(number))).collect();
        assert_eq!(alone, expected);
        assert_eq!(records.get(1).size(), 48 + 1 + (10 + 2) + (10 + 1));
        records.pop();
        assert_eq!(records.len(), 3);
        assert_eq!(records.records().last().unwrap().value, Some(b"".as_slice()));
        records.clear();
        records.push_bytes(5, None, None);
        assert!(records.get(0).headers.len() == 0 && records.bytes() == 0);
    }
}
