//! Errors of the transaction coordinator, and their Kafka error codes.
//!
//! Why: a producer reacts to the code (retry, abort, stop for good), so each refusal is one variant with the values
//! that explain it. Owns: the variants and the one mapping to codes.

use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::metadata::TransactionState;
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};

/// Why the coordinator refused a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The transactional id is empty or too long.
    #[error("transactional id of {bytes} bytes is not between 1 and {bytes_max} bytes")]
    InvalidId {
        /// Length of the id.
        bytes: usize,
        /// Longest allowed id.
        bytes_max: usize,
    },
    /// Only one of producer id and epoch was given.
    #[error("producer id {id} and epoch {epoch} must be given together, or neither of them")]
    HalfProducer {
        /// The producer id of the request.
        id: ProducerId,
        /// The epoch of the request.
        epoch: ProducerEpoch,
    },
    /// The timeout is out of bounds.
    #[error("transaction timeout {timeout_ms} ms is not within 1..={max_ms} ms (transaction.max.timeout.ms)")]
    InvalidTimeout {
        /// What was asked for.
        timeout_ms: i32,
        /// `transaction.max.timeout.ms`.
        max_ms: i32,
    },
    /// Nobody has initialized this transactional id, or it has expired.
    #[error("transactional id {id} is not known, initialize the producer first")]
    UnknownId {
        /// The transactional id.
        id: Arc<str>,
    },
    /// The transactional id belongs to another producer id.
    #[error("transactional id {id} belongs to producer {current}, not to {found}")]
    OtherProducer {
        /// The transactional id.
        id: Arc<str>,
        /// Its producer.
        current: ProducerId,
        /// The producer of the request.
        found: ProducerId,
    },
    /// Another process has initialized the transactional id, or its transaction took too long.
    #[error("producer of {id} with epoch {found} is fenced, the epoch is {current}")]
    Fenced {
        /// The transactional id.
        id: Arc<str>,
        /// The epoch in force.
        current: ProducerEpoch,
        /// The epoch of the request.
        found: ProducerEpoch,
    },
    /// The last step of the transactional id is not finished yet.
    #[error("transaction of {id} is being changed ({state}), retry")]
    Concurrent {
        /// The transactional id.
        id: Arc<str>,
        /// Its state.
        state: TransactionState,
    },
    /// The state does not allow what was asked for.
    #[error("transaction of {id} is in state {state}, it cannot be {wanted}")]
    InvalidState {
        /// The transactional id.
        id: Arc<str>,
        /// Its state.
        state: TransactionState,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The partition is not part of the transaction.
    #[error("{partition} is not part of the transaction of {id}, add it first")]
    NotIncluded {
        /// The transactional id.
        id: Arc<str>,
        /// The partition.
        partition: TopicPartition,
    },
    /// The broker or a transaction has as many of something as it may have.
    #[error("more than {limit} {what}, raise {setting} to allow more")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The setting that holds it.
        setting: &'static str,
    },
    /// Too many writes are waiting for the disk.
    #[error("{waiting} writes of transactions are waiting for the disk, retry later")]
    Overloaded {
        /// How many writes wait.
        waiting: usize,
    },
    /// The broker is shutting down.
    #[error("the transaction coordinator is not available, retry")]
    NotAvailable,
    /// The internal topic could not be created, written or read.
    #[error("internal topic __transaction_state failed: {reason}")]
    Storage {
        /// What the log said.
        reason: String,
    },
    /// No producer id could be made.
    #[error("{reason}")]
    ProducerIds {
        /// What their file said.
        reason: String,
    },
    /// A record of the internal topic cannot be read.
    #[error("record in __transaction_state-{partition} is corrupt: {reason}")]
    Corrupt {
        /// The partition of the internal topic.
        partition: i32,
        /// What is wrong with it.
        reason: String,
    },
}

impl TransactionError {
    /// The error as the protocol names it.
    #[must_use]
    pub const fn response_error(&self) -> ResponseError {
        match self {
            Self::InvalidId { .. } | Self::HalfProducer { .. } => ResponseError::InvalidRequest,
            Self::InvalidTimeout { .. } => ResponseError::InvalidTransactionTimeout,
            Self::UnknownId { .. } | Self::OtherProducer { .. } => ResponseError::InvalidProducerIdMapping,
            Self::Fenced { .. } => ResponseError::ProducerFenced,
            Self::Concurrent { .. } => ResponseError::ConcurrentTransactions,
            Self::InvalidState { .. } | Self::NotIncluded { .. } => ResponseError::InvalidTxnState,
            Self::TooMany { .. } => ResponseError::PolicyViolation,
            Self::Overloaded { .. }
            | Self::NotAvailable
            | Self::Storage { .. }
            | Self::ProducerIds { .. } => ResponseError::CoordinatorNotAvailable,
            Self::Corrupt { .. } => ResponseError::UnknownServerError,
        }
    }

    /// The error for a client of a request of this version, where the API has PRODUCER_FENCED since `fenced_since`:
    /// older clients know it as INVALID_PRODUCER_EPOCH.
    #[must_use]
    pub fn response_error_in(&self, version: i16, fenced_since: i16) -> ResponseError {
        match self.response_error() {
            ResponseError::ProducerFenced if version < fenced_since => ResponseError::InvalidProducerEpoch,
            error => error,
        }
    }

    /// The error of a write that was not found to be part of a transaction: logs call a fenced producer's epoch
    /// invalid, as they do without transactions.
    #[must_use]
    pub fn write_error(&self) -> ResponseError {
        self.response_error_in(0, 1)
    }
}
