//! The one place where domain errors become Kafka's error codes.
//!
//! Why: clients decide by the code whether to retry, to give up or to fence themselves; scattered choices would
//! contradict each other.

pub(crate) use kafka_protocol::error::ResponseError as ErrorCode;

use crate::log::batch::BatchError;
use crate::log::{AppendError, LogError, ReadError, TrimError};
use crate::producer_id::ProducerIdError;
use crate::topic::TopicError;

/// The code of "no error".
pub(crate) const NONE: i16 = 0;

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Corrupt { .. } => Self::CorruptMessage,
            // Clients split the batch on it.
            AppendError::InvalidRecord {
                source: BatchError::TooLargeDecompressed { .. },
                ..
            } => Self::MessageTooLarge,
            AppendError::InvalidRecord { .. } => Self::InvalidRecord,
            AppendError::InvalidTimestamp { .. } | AppendError::TimestampOutOfRange { .. } => {
                Self::InvalidTimestamp
            }
            AppendError::UnsupportedMagic { .. } => Self::UnsupportedForMessageFormat,
            AppendError::UnsupportedCompression { .. } => Self::UnsupportedCompressionType,
            AppendError::TooLarge { .. } => Self::MessageTooLarge,
            AppendError::LargerThanSegment { .. } => Self::RecordListTooLarge,
            AppendError::OutOfOrderSequence { .. } => Self::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch { .. } => Self::InvalidProducerEpoch,
            AppendError::InvalidTransactionState { .. } => Self::InvalidTxnState,
            AppendError::CoordinatorFenced { .. } => Self::TransactionCoordinatorFenced,
            AppendError::DuplicateSequence { .. } => Self::DuplicateSequenceNumber,
            AppendError::DiskFull { .. } | AppendError::Write { .. } => Self::KafkaStorageError,
            AppendError::Log(error) => error.into(),
        }
    }
}

impl From<&LogError> for ErrorCode {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Deleted { .. } | LogError::Unknown { .. } => Self::UnknownTopicOrPartition,
            // Retriable: the client looks for the leader again, and finds it once the broker is back.
            LogError::Closed { .. } => Self::NotLeaderOrFollower,
            LogError::Exists { .. } => Self::TopicAlreadyExists,
            LogError::Name { .. } => Self::InvalidTopicException,
            LogError::Io { .. } | LogError::Failed { .. } | LogError::Damaged { .. } => {
                Self::KafkaStorageError
            }
        }
    }
}

impl From<&ReadError> for ErrorCode {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::OutOfRange { .. } => Self::OffsetOutOfRange,
            ReadError::Corrupt { .. } => Self::KafkaStorageError,
            ReadError::Log(error) => error.into(),
        }
    }
}

impl From<&TrimError> for ErrorCode {
    fn from(error: &TrimError) -> Self {
        match error {
            TrimError::OutOfRange { .. } => Self::OffsetOutOfRange,
            TrimError::Policy { .. } => Self::PolicyViolation,
            TrimError::Log(error) => error.into(),
        }
    }
}

impl From<&TopicError> for ErrorCode {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::Name(_) | TopicError::Collides { .. } => Self::InvalidTopicException,
            TopicError::Exists(_) => Self::TopicAlreadyExists,
            TopicError::Unknown(_) => Self::UnknownTopicOrPartition,
            TopicError::Partitions { .. } => Self::InvalidPartitions,
            TopicError::TooMany { .. } => Self::PolicyViolation,
            TopicError::Config(_) => Self::InvalidConfig,
            TopicError::Log { source, .. } => source.into(),
            TopicError::File(_) | TopicError::Orphan(_) => Self::KafkaStorageError,
        }
    }
}

impl From<&ProducerIdError> for ErrorCode {
    fn from(error: &ProducerIdError) -> Self {
        match error {
            ProducerIdError::Log(error) => error.into(),
            ProducerIdError::Damaged { .. } => Self::KafkaStorageError,
            ProducerIdError::Exhausted => Self::UnknownServerError,
        }
    }
}
