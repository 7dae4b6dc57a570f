//! What can be wrong with a batch.

use super::compression::Compression;

/// Why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("record batch needs {needed} bytes but only {have} are there")]
    Truncated {
        /// Bytes the batch says it has.
        needed: usize,
        /// Bytes at hand.
        have: usize,
    },
    /// The length field cannot be true.
    #[error("record batch length {length} is impossible: the smallest is 49")]
    Length {
        /// The length field.
        length: i32,
    },
    /// Bytes after the only batch that is allowed here.
    #[error("{trailing} bytes follow the record batch: send exactly one batch for a partition")]
    Trailing {
        /// How many.
        trailing: usize,
    },
    /// A batch or message set of another format.
    #[error("record format {magic} is not supported: use format 2 (Kafka 0.11 and later)")]
    Magic {
        /// The magic byte.
        magic: i8,
    },
    /// The bytes are not those that the producer sent.
    #[error("record batch CRC is {computed:#010x} but its header says {stored:#010x}")]
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Compression bits 5 to 7 mean nothing.
    #[error("compression type {codec} is unknown")]
    UnknownCompression {
        /// The three attribute bits.
        codec: u8,
    },
    /// The compressed payload is not what the codec writes.
    #[error("{codec} payload cannot be decompressed: {reason}")]
    Compression {
        /// The codec.
        codec: Compression,
        /// What it said.
        reason: String,
    },
    /// The payload decompresses to more than is allowed.
    #[error("{codec} payload decompresses to more than the limit of {limit} bytes: send smaller batches")]
    TooLargeDecompressed {
        /// The codec.
        codec: Compression,
        /// The limit in bytes.
        limit: usize,
    },
    /// The header's counts contradict each other.
    #[error("record batch has {count} records and last offset delta {last_offset_delta}: they must agree")]
    Count {
        /// Records, by the header.
        count: i32,
        /// Last offset delta, by the header.
        last_offset_delta: i32,
    },
    /// A header field holds what it never may.
    #[error("record batch field {field} is {value}: {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: i64,
        /// What it should hold.
        expected: &'static str,
    },
    /// A record's own structure is broken.
    #[error("record {index} is malformed: {reason}")]
    Record {
        /// Counted from 0.
        index: i32,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes remain after the last record.
    #[error("bytes follow the last of {count} records")]
    TrailingRecordBytes {
        /// Records, by the header.
        count: i32,
    },
    /// A record without a key on a compacted topic.
    #[error("record {index} has no key, which a compacted topic requires")]
    MissingKey {
        /// Counted from 0.
        index: i32,
    },
    /// A client sent a control batch.
    #[error("control batches are written by the broker only")]
    ControlFromClient,
    /// A client set the bit for log append time.
    #[error("timestamp type LogAppendTime is set by the broker only")]
    LogAppendTimeFromClient,
    /// The batch being built would be larger than the format allows.
    #[error("record batch would exceed {limit} bytes")]
    BuildTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A batch without records was to be built.
    #[error("a record batch needs at least one record")]
    BuildEmpty,
}
