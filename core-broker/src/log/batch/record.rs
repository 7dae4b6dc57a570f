//! Reading the records inside a batch.

use std::borrow::Cow;

use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::varint::{take_i32, take_i64};

/// The records of one batch, decompressed if need be.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    payload: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    pub(super) fn new(header: BatchHeader, payload: Cow<'a, [u8]>) -> Self {
        Self { header, payload }
    }

    /// All records as they stand in an uncompressed batch.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Iterates in order, without copying. Stops after the first error.
    #[must_use]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter {
            header: self.header,
            rest: &self.payload,
            index: 0,
        }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

/// One record, borrowing from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// Offset in the partition.
    pub offset: i64,
    /// Offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Milliseconds since the Unix epoch: the producer's, or the batch's append time.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'r [u8]>,
    /// The headers, in order, duplicates kept.
    pub headers: Headers<'r>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'r> {
    /// Its name; Kafka asks for UTF-8 but does not check it.
    pub name: &'r [u8],
    /// Its value.
    pub value: Option<&'r [u8]>,
}

/// The headers of a record, already checked; iterate by `headers.iter()` or a `for` loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'r> {
    count: usize,
    bytes: &'r [u8],
}

impl<'r> Headers<'r> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'r>> + use<'r> {
        let (mut rest, mut left) = (self.bytes, self.count);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            take_header(&mut rest)
        })
    }
}

/// Iterator over the records of a batch.
#[derive(Clone, Debug)]
pub struct RecordIter<'r> {
    header: BatchHeader,
    rest: &'r [u8],
    index: i32,
}

impl RecordIter<'_> {
    /// Bytes of the payload that were not looked at yet.
    pub(super) fn bytes_left(&self) -> usize {
        self.rest.len()
    }
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.record_count {
            return None;
        }
        let index = self.index;
        match take_record(&mut self.rest, &self.header) {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(reason) => {
                self.index = i32::MAX;
                Some(Err(BatchError::Record { index, reason }))
            }
        }
    }
}

fn take_record<'r>(input: &mut &'r [u8], header: &BatchHeader) -> Result<Record<'r>, &'static str> {
    let length = take_i32(input).ok_or("its length is not a number")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (mut body, rest) = input
        .split_at_checked(length)
        .ok_or("it is longer than its batch")?;
    *input = rest;
    let (_attributes, after) = body.split_first().ok_or("it is empty")?;
    body = after;
    let timestamp_delta = take_i64(&mut body).ok_or("its timestamp is not a number")?;
    let offset_delta = take_i32(&mut body).ok_or("its offset is not a number")?;
    let key = take_bytes(&mut body).ok_or("its key is longer than the record")?;
    let value = take_bytes(&mut body).ok_or("its value is longer than the record")?;
    let headers = take_headers(&mut body)?;
    if !body.is_empty() {
        return Err("bytes follow its headers");
    }
    let timestamp = match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => header
            .base_timestamp
            .checked_add(timestamp_delta)
            .ok_or("its timestamp overflows")?,
    };
    Ok(Record {
        offset: header.base_offset.saturating_add(i64::from(offset_delta)),
        offset_delta,
        timestamp,
        key,
        value,
        headers,
    })
}

fn take_headers<'r>(body: &mut &'r [u8]) -> Result<Headers<'r>, &'static str> {
    let count = take_i32(body).ok_or("its header count is not a number")?;
    let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
    let start = *body;
    for _ in 0..count {
        take_header(body).ok_or("its headers are longer than the record")?;
    }
    Ok(Headers {
        count,
        bytes: &start[..start.len() - body.len()],
    })
}

fn take_header<'r>(input: &mut &'r [u8]) -> Option<Header<'r>> {
    let name = take_bytes(input)??;
    let value = take_bytes(input)?;
    Some(Header { name, value })
}

/// A length-prefixed field; −1 means none. The outer option is `None` when the input is malformed.
fn take_bytes<'r>(input: &mut &'r [u8]) -> Option<Option<&'r [u8]>> {
    let length = take_i32(input)?;
    if length == -1 {
        return Some(None);
    }
    let (field, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
    *input = rest;
    Some(Some(field))
}
