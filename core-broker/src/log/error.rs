//! What can go wrong with logs: one enum an operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch::BatchError;
use crate::ids::{Offset, TopicPartition};

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data directory {} is in use by another broker: stop it or choose another directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by another version.
    #[error("data directory {} has format version {found} but this broker needs {expected}: use the matching broker or an empty directory", dir.display())]
    Version {
        /// The directory.
        dir: PathBuf,
        /// In `meta.properties`.
        found: String,
        /// What this broker writes.
        expected: u32,
    },
    /// Not empty and not ours.
    #[error("{} is not a data directory of this broker ({reason}): choose an empty directory", dir.display())]
    NotADataDir {
        /// The directory.
        dir: PathBuf,
        /// What gave it away.
        reason: String,
    },
    /// Something that was safely on disk is damaged.
    #[error("{} is damaged at byte {position}: {reason}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why an operation on a log or its directory failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("input/output error on {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A small file does not hold what was written.
    #[error("file {}: {reason}; restore it from a copy", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The disk failed earlier; nothing is written any more.
    #[error("data directory failed and takes no more writes until the broker is restarted: {reason}")]
    Failed {
        /// The first failure.
        reason: Arc<str>,
    },
    /// The partition was deleted.
    #[error("partition {partition} was deleted")]
    Deleted {
        /// The partition.
        partition: TopicPartition,
    },
    /// The directory was closed.
    #[error("data directory {} is closed", dir.display())]
    Closed {
        /// The directory.
        dir: PathBuf,
    },
    /// There is one already.
    #[error("partition {partition} already exists")]
    Exists {
        /// The partition.
        partition: TopicPartition,
    },
    /// There is none.
    #[error("partition {partition} does not exist")]
    Unknown {
        /// The partition.
        partition: TopicPartition,
    },
    /// The name cannot be that of a file.
    #[error("{name:?} cannot name a file in the data directory: use 1 to 249 of a-z A-Z 0-9 . _ -")]
    Name {
        /// The name.
        name: String,
    },
}

impl LogError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            path,
            source: Arc::new(source),
        }
    }
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not an intact batch.
    #[error("corrupt batch for {partition}: {source}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// What is wrong.
        source: BatchError,
    },
    /// The batch is intact but breaks a rule.
    #[error("invalid batch for {partition}: {source}")]
    InvalidRecord {
        /// The partition.
        partition: TopicPartition,
        /// What is wrong.
        source: BatchError,
    },
    /// The producer set a timestamp type that only the broker may set.
    #[error("invalid timestamp type for {partition}: LogAppendTime is set by the broker only")]
    InvalidTimestamp {
        /// The partition.
        partition: TopicPartition,
    },
    /// Records are too old or too far ahead of the broker's clock (`message.timestamp.before.max.ms` and
    /// `message.timestamp.after.max.ms`).
    #[error("timestamps of {} records for {partition} are not within {oldest} to {newest}: set the producer's clock \
             right, or change message.timestamp.before.max.ms or message.timestamp.after.max.ms of the topic", records.len())]
    TimestampOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The first of the records, by their places in the batch.
        records: Vec<i32>,
        /// The oldest that fits.
        oldest: i64,
        /// The newest that fits.
        newest: i64,
    },
    /// Not part of the producer's transaction.
    #[error("batch of producer {producer_id} for {partition} does not fit its transaction: {reason}")]
    InvalidTransactionState {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// Why.
        reason: &'static str,
    },
    /// The marker of a transaction coordinator that was replaced.
    #[error(
        "marker of coordinator epoch {found} for producer {producer_id} in {partition}: epoch {current} has written there"
    )]
    CoordinatorFenced {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// Epoch of the marker.
        found: i32,
        /// Epoch of the last one.
        current: i32,
    },
    /// Another record format.
    #[error("record format {magic} for {partition} is not supported: use format 2 (Kafka 0.11 and later)")]
    UnsupportedMagic {
        /// The partition.
        partition: TopicPartition,
        /// The magic byte.
        magic: i8,
    },
    /// Another codec.
    #[error("compression type {codec} for {partition} is unknown")]
    UnsupportedCompression {
        /// The partition.
        partition: TopicPartition,
        /// The attribute bits.
        codec: u8,
    },
    /// Larger than `max.message.bytes`.
    #[error("batch of {size} bytes for {partition} exceeds max.message.bytes {limit}")]
    TooLarge {
        /// The partition.
        partition: TopicPartition,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Larger than `segment.bytes`.
    #[error("batch of {size} bytes for {partition} exceeds segment.bytes {limit}")]
    LargerThanSegment {
        /// The partition.
        partition: TopicPartition,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A sequence is missing between this batch and the last.
    #[error("producer {producer_id} sent sequence {found} to {partition} where {expected} was next")]
    OutOfOrderSequence {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// The next sequence.
        expected: i32,
        /// What the batch starts with.
        found: i32,
    },
    /// An older incarnation of the producer.
    #[error("producer {producer_id} wrote to {partition} with epoch {found} but {current} is in use")]
    InvalidProducerEpoch {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// The epoch in use.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// Certainly appended before, too long ago to know its offset.
    #[error(
        "producer {producer_id} already wrote sequence {found} to {partition}; its offset is no longer known"
    )]
    DuplicateSequence {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// What the batch starts with.
        found: i32,
    },
    /// No room on the disk; nothing of the batch was kept, and later appends may work again.
    #[error("no space left on the disk for {partition}: free some and retry: {source}")]
    DiskFull {
        /// The partition.
        partition: TopicPartition,
        /// What the operating system said.
        source: io::Error,
    },
    /// The write failed; nothing of the batch was kept.
    #[error("cannot write to {partition}: {source}")]
    Write {
        /// The partition.
        partition: TopicPartition,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log takes no writes: failed, deleted or closed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why records were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// Below zero or beyond the high watermark.
    #[error(
        "cannot delete records of {partition} before offset {offset}: it has {log_start} to {high_watermark}"
    )]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// What was asked for.
        offset: Offset,
        /// The first offset.
        log_start: Offset,
        /// The offset up to which consumers may read.
        high_watermark: Offset,
    },
    /// The topic is only compacted.
    #[error("records of {partition} cannot be deleted: cleanup.policy of the topic does not contain delete")]
    Policy {
        /// The partition.
        partition: TopicPartition,
    },
    /// The operating system refused, or the log is failed, deleted or closed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start or beyond the log end.
    #[error("offset {offset} of {partition} is out of range: it has {log_start} to {log_end}")]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// What was asked for.
        offset: Offset,
        /// The first offset.
        log_start: Offset,
        /// The offset after the last.
        log_end: Offset,
    },
    /// What is on disk is not a batch.
    #[error("{} is damaged at byte {position}: {source}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        source: BatchError,
    },
    /// The operating system refused, or the log is deleted or closed.
    #[error(transparent)]
    Log(#[from] LogError),
}
