//! Batches with fewer records or another codec than before, for compaction and for topics with a codec of their own.
//!
//! Invariants: base offset, last offset, producer, epoch and sequence stay, so that neither consumers nor the
//! producers' state notice; the records that stay keep offset, timestamp, key, value and headers.

use super::compression::{self, Compression};
use super::error::BatchError;
use super::header::{
    ATTRIBUTES_AT, COMPRESSION_MASK, CRC_AT, DELETE_HORIZON_BIT, HEADER_BYTES, LENGTH_PREFIX_BYTES,
    MAX_TIMESTAMP_AT, TimestampType, crc_of,
};
use super::record::Records;
use super::varint::{put_i64, take_i32, take_i64};
use super::{BatchHeader, RecordBatch};

const LENGTH_AT: usize = 8;
const BASE_TIMESTAMP_AT: usize = 27;
const RECORD_COUNT_AT: usize = 57;
const NO_TIMESTAMP: i64 = -1;

/// The batch with those of its `records` for which `keep` holds, one flag each, in its own codec. A `horizon`
/// becomes its base timestamp (KIP-534).
pub(crate) fn retained(
    batch: &RecordBatch<'_>,
    records: &Records<'_>,
    keep: &[bool],
    horizon: Option<i64>,
) -> Result<Vec<u8>, BatchError> {
    let header = batch.header();
    let payload = records.payload();
    let mut out = Vec::with_capacity(payload.len() + 16);
    let mut max_timestamp = NO_TIMESTAMP;
    let mut count = 0_i32;
    let mut iter = records.iter();
    let mut start = 0;
    for keep in keep {
        let Some(record) = iter.next() else { break };
        let record = record?;
        let end = payload.len() - iter.bytes_left();
        let raw = &payload[start..end];
        start = end;
        if !keep {
            continue;
        }
        count += 1;
        max_timestamp = max_timestamp.max(record.timestamp);
        match horizon {
            None => out.extend_from_slice(raw),
            Some(horizon) => put_shifted(&mut out, raw, record.timestamp.saturating_sub(horizon)),
        }
    }
    let codec = header.compression()?;
    if codec != Compression::None {
        out = compression::compress(codec, None, &out)?;
    }
    let mut head = Head::of(batch);
    head.set_record_count(count);
    if header.timestamp_type() == TimestampType::CreateTime {
        head.set_max_timestamp(max_timestamp);
    }
    if let Some(horizon) = horizon {
        head.set_horizon(header, horizon);
    }
    head.seal(codec, &out)
}

/// The batch without its records: what is left of a producer's last batch.
pub(crate) fn emptied(batch: &RecordBatch<'_>) -> Result<Vec<u8>, BatchError> {
    let mut head = Head::of(batch);
    head.set_record_count(0);
    head.set_max_timestamp(NO_TIMESTAMP);
    head.clear_horizon(batch.header());
    head.seal(Compression::None, &[])
}

/// The batch in another codec.
pub(crate) fn recompressed(
    batch: &RecordBatch<'_>,
    codec: Compression,
    level: Option<i32>,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, BatchError> {
    let records = batch.records(decompressed_bytes_max)?;
    let payload = compression::compress(codec, level, records.payload())?;
    Head::of(batch).seal(codec, &payload)
}

/// A record with another timestamp delta.
fn put_shifted(out: &mut Vec<u8>, raw: &[u8], delta: i64) {
    const WELL_FORMED: &str = "the iterator has read this record";
    let mut body = raw;
    take_i32(&mut body).expect(WELL_FORMED);
    let (attributes, mut rest) = body.split_first().expect(WELL_FORMED);
    take_i64(&mut rest).expect(WELL_FORMED);
    let mut shifted = Vec::with_capacity(raw.len() + 8);
    shifted.push(*attributes);
    put_i64(&mut shifted, delta);
    shifted.extend_from_slice(rest);
    put_i64(out, shifted.len() as i64);
    out.extend_from_slice(&shifted);
}

/// A header that is being changed.
struct Head {
    bytes: Vec<u8>,
}

impl Head {
    fn of(batch: &RecordBatch<'_>) -> Self {
        Self {
            bytes: batch.bytes()[..HEADER_BYTES].to_vec(),
        }
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.bytes[at..at + field.len()].copy_from_slice(field);
    }

    fn set_record_count(&mut self, count: i32) {
        self.put(RECORD_COUNT_AT, &count.to_be_bytes());
    }

    fn set_max_timestamp(&mut self, timestamp: i64) {
        self.put(MAX_TIMESTAMP_AT, &timestamp.to_be_bytes());
    }

    fn set_horizon(&mut self, header: &BatchHeader, horizon: i64) {
        self.put(BASE_TIMESTAMP_AT, &horizon.to_be_bytes());
        self.put(
            ATTRIBUTES_AT,
            &(header.attributes | DELETE_HORIZON_BIT).to_be_bytes(),
        );
    }

    fn clear_horizon(&mut self, header: &BatchHeader) {
        self.put(BASE_TIMESTAMP_AT, &NO_TIMESTAMP.to_be_bytes());
        self.put(
            ATTRIBUTES_AT,
            &(header.attributes & !DELETE_HORIZON_BIT).to_be_bytes(),
        );
    }

    fn seal(mut self, codec: Compression, payload: &[u8]) -> Result<Vec<u8>, BatchError> {
        let length = HEADER_BYTES - LENGTH_PREFIX_BYTES + payload.len();
        let length = i32::try_from(length).map_err(|_| BatchError::BuildTooLarge {
            limit: i32::MAX as usize,
        })?;
        self.put(LENGTH_AT, &length.to_be_bytes());
        let attributes = i16::from_be_bytes([self.bytes[ATTRIBUTES_AT], self.bytes[ATTRIBUTES_AT + 1]]);
        let attributes = attributes & !COMPRESSION_MASK | codec as i16;
        self.put(ATTRIBUTES_AT, &attributes.to_be_bytes());
        self.bytes.extend_from_slice(payload);
        let crc = crc_of(&self.bytes);
        self.put(CRC_AT, &crc.to_be_bytes());
        Ok(self.bytes)
    }
}
