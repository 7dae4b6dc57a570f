//! Checks of a batch that a producer sent, before it may enter a log.
//!
//! The walk over the records streams through the decompressor and skips keys and values, so that its
//! memory does not depend on what the batch claims. A record that lies whole in the decompressor's buffer is looked at
//! there; one that does not, and one that is malformed, is taken field by field.

use std::io::{self, BufRead};

use super::RecordBatch;
use super::compression::{self, Compression};
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint::{take_i32, take_i64};

/// What the log asks of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ValidationRules {
    /// Records without a key are refused (compacted topics).
    pub keys_required: bool,
    /// Control batches and broker-set bits are allowed (the broker's own coordinators write them).
    pub from_coordinator: bool,
    /// Limit for the decompressed records in bytes.
    pub decompressed_bytes_max: usize,
}

/// What the walk found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The greatest timestamp of the records; the header's may be wrong.
    pub max_timestamp: i64,
    /// The least of them; records without one (−1) do not count.
    pub min_timestamp: Option<i64>,
    /// Size of the records without compression.
    pub payload_bytes: u64,
}

pub(super) fn validate(batch: &RecordBatch<'_>, rules: &ValidationRules) -> Result<Validated, BatchError> {
    batch.verify_crc()?;
    let header = batch.header();
    check_header(header, rules)?;
    let codec = header.compression()?;
    let payload = &batch.bytes()[HEADER_BYTES..];
    let limit = rules.decompressed_bytes_max;
    let failed = |stop: Stop| match stop {
        Stop::Io(error) if codec == Compression::None => BatchError::Compression {
            codec,
            reason: error.to_string(),
        },
        Stop::Io(error) => compression::failed(codec, limit, &error),
        Stop::Record { index, reason } => BatchError::Record { index, reason },
        Stop::MissingKey { index } => BatchError::MissingKey { index },
        Stop::Trailing => BatchError::TrailingRecordBytes {
            count: header.record_count,
        },
    };
    if codec == Compression::None {
        return walk(payload, header, rules.keys_required).map_err(failed);
    }
    let reader = compression::reader(codec, payload, limit).map_err(|e| failed(Stop::Io(e)))?;
    walk(reader, header, rules.keys_required).map_err(failed)
}

fn check_header(header: &BatchHeader, rules: &ValidationRules) -> Result<(), BatchError> {
    if header.record_count <= 0 || i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(BatchError::Count {
            count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    if !rules.from_coordinator {
        if header.is_control() {
            return Err(BatchError::ControlFromClient);
        }
        if header.timestamp_type() == TimestampType::LogAppendTime {
            return Err(BatchError::LogAppendTimeFromClient);
        }
    }
    let wrong = |field, value, expected| {
        Err(BatchError::Field {
            field,
            value,
            expected,
        })
    };
    if header.has_delete_horizon() {
        return wrong(
            "attributes",
            i64::from(header.attributes),
            "no delete horizon from a producer",
        );
    }
    if header.has_producer() {
        if header.producer_epoch < 0 {
            return wrong(
                "producer epoch",
                i64::from(header.producer_epoch),
                "0 or more with a producer id",
            );
        }
        if header.base_sequence < 0 && !header.is_control() && !rules.from_coordinator {
            return wrong(
                "base sequence",
                i64::from(header.base_sequence),
                "0 or more with a producer id",
            );
        }
    } else if header.is_transactional() && !rules.from_coordinator {
        return wrong("producer id", header.producer_id, "0 or more in a transaction");
    }
    Ok(())
}

/// Why the walk ended early.
enum Stop {
    Io(io::Error),
    Record { index: i32, reason: &'static str },
    MissingKey { index: i32 },
    Trailing,
}

fn walk<R: BufRead>(reader: R, header: &BatchHeader, keys_required: bool) -> Result<Validated, Stop> {
    let mut input = Counted { reader, consumed: 0 };
    let mut max_timestamp = i64::MIN;
    let mut min_timestamp = i64::MAX;
    for index in 0..header.record_count {
        let facts = input.next().map_err(|stop| match stop {
            Bad::Io(error) => Stop::Io(error),
            Bad::Malformed(reason) => Stop::Record { index, reason },
        })?;
        let malformed = |reason| Stop::Record { index, reason };
        if facts.offset_delta != index {
            return Err(malformed("its offset delta is not its place in the batch"));
        }
        if keys_required && !facts.has_key && !header.is_control() {
            return Err(Stop::MissingKey { index });
        }
        let timestamp = header
            .base_timestamp
            .checked_add(facts.timestamp_delta)
            .ok_or_else(|| malformed("its timestamp overflows"))?;
        max_timestamp = max_timestamp.max(timestamp);
        if timestamp != -1 {
            min_timestamp = min_timestamp.min(timestamp);
        }
    }
    if !input.reader.fill_buf().map_err(Stop::Io)?.is_empty() {
        return Err(Stop::Trailing);
    }
    Ok(Validated {
        max_timestamp,
        min_timestamp: (min_timestamp != i64::MAX).then_some(min_timestamp),
        payload_bytes: input.consumed,
    })
}

struct RecordFacts {
    timestamp_delta: i64,
    offset_delta: i32,
    has_key: bool,
}

enum Bad {
    Io(io::Error),
    Malformed(&'static str),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The record at the front of `buffer` and its size, if it is all there and well-formed.
#[inline]
fn whole_record(buffer: &[u8]) -> Option<(RecordFacts, usize)> {
    let mut rest = buffer;
    let length = usize::try_from(take_i32(&mut rest)?).ok()?;
    let (mut body, after) = rest.split_at_checked(length)?;
    let body = &mut body;
    pass(body, 1)?;
    let timestamp_delta = take_i64(body)?;
    let offset_delta = take_i32(body)?;
    let has_key = pass_field(body)?;
    pass_field(body)?;
    let headers = take_i32(body)?;
    if headers < 0 {
        return None;
    }
    for _ in 0..headers {
        pass_field(body)?.then_some(())?;
        pass_field(body)?;
    }
    let facts = RecordFacts {
        timestamp_delta,
        offset_delta,
        has_key,
    };
    body.is_empty().then(|| (facts, buffer.len() - after.len()))
}

fn pass(input: &mut &[u8], bytes: usize) -> Option<()> {
    *input = input.get(bytes..)?;
    Some(())
}

/// Passes over a length and as many bytes; whether the field is there (−1 says that it is not).
fn pass_field(input: &mut &[u8]) -> Option<bool> {
    match take_i32(input)? {
        -1 => Some(false),
        length => pass(input, usize::try_from(length).ok()?).map(|()| true),
    }
}

/// A reader that knows how far it has come.
struct Counted<R> {
    reader: R,
    consumed: u64,
}

impl<R: BufRead> Counted<R> {
    fn next(&mut self) -> Result<RecordFacts, Bad> {
        let Some((facts, size)) = whole_record(self.reader.fill_buf()?) else {
            return self.record();
        };
        self.reader.consume(size);
        self.consumed += size as u64;
        Ok(facts)
    }

    fn record(&mut self) -> Result<RecordFacts, Bad> {
        let length = self.length("its length is not a number")?;
        let end = self.consumed + length.ok_or(Bad::Malformed("its length is negative"))?;
        self.skip(1, end)?;
        let timestamp_delta = self.varint(take_i64, "its timestamp is not a number")?;
        let offset_delta = self.varint(take_i32, "its offset is not a number")?;
        let key = self.length("its key length is not a number")?;
        self.skip(key.unwrap_or(0), end)?;
        let value = self.length("its value length is not a number")?;
        self.skip(value.unwrap_or(0), end)?;
        let headers = self.length("its header count is not a number")?;
        for _ in 0..headers.ok_or(Bad::Malformed("its header count is negative"))? {
            let name = self.length("a header name's length is not a number")?;
            self.skip(name.ok_or(Bad::Malformed("a header has no name"))?, end)?;
            let value = self.length("a header value's length is not a number")?;
            self.skip(value.unwrap_or(0), end)?;
        }
        if self.consumed != end {
            return Err(Bad::Malformed("its length and its fields do not agree"));
        }
        Ok(RecordFacts {
            timestamp_delta,
            offset_delta,
            has_key: key.is_some(),
        })
    }

    /// A length or count; −1 is `None`, anything below is malformed.
    fn length(&mut self, reason: &'static str) -> Result<Option<u64>, Bad> {
        match self.varint(take_i32, reason)? {
            -1 => Ok(None),
            length => u64::try_from(length)
                .map(Some)
                .map_err(|_| Bad::Malformed("a length is negative")),
        }
    }

    fn varint<T>(&mut self, take: fn(&mut &[u8]) -> Option<T>, reason: &'static str) -> Result<T, Bad> {
        let buffer = self.reader.fill_buf()?;
        let mut rest = buffer;
        if let Some(value) = take(&mut rest) {
            let used = buffer.len() - rest.len();
            self.reader.consume(used);
            self.consumed += used as u64;
            return Ok(value);
        }
        self.split_varint(take, reason)
    }

    /// A varint across the end of the buffer, byte by byte.
    fn split_varint<T>(&mut self, take: fn(&mut &[u8]) -> Option<T>, reason: &'static str) -> Result<T, Bad> {
        let mut bytes = [0_u8; 10];
        for length in 1..=bytes.len() {
            let next = self.reader.fill_buf()?.first().copied();
            bytes[length - 1] = next.ok_or(Bad::Malformed("the batch ends inside it"))?;
            self.reader.consume(1);
            self.consumed += 1;
            if bytes[length - 1] & 0x80 == 0 {
                return take(&mut &bytes[..length]).ok_or(Bad::Malformed(reason));
            }
        }
        Err(Bad::Malformed(reason))
    }

    fn skip(&mut self, mut bytes: u64, end: u64) -> Result<(), Bad> {
        if self.consumed.saturating_add(bytes) > end {
            return Err(Bad::Malformed("a field is longer than the record"));
        }
        self.consumed += bytes;
        while bytes > 0 {
            let have = self.reader.fill_buf()?.len();
            if have == 0 {
                return Err(Bad::Malformed("the batch ends inside it"));
            }
            let step = have.min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.reader.consume(step);
            bytes -= step as u64;
        }
        Ok(())
    }
}
