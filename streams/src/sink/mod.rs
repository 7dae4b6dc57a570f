//! The seam to the producer: records out, delivery confirmed.
//!
//! Owns: the buffer that steps write records into ([`RecordBuffer`]), the calls a worker needs of a producer
//! ([`Sink`]), and their implementation on librdkafka. Does not own: when an epoch ends (`task`, `runtime`).
//!
//! Invariants: after `flush` returned `Ok`, every record given to `send` is acknowledged by all in-sync replicas; after `commit`
//! returned `Ok`, every record and offset of the transaction counts, after [`SinkError::Aborted`] none; a record that
//! could not be delivered fails the next `send` or `flush`, and with it the job. What a [`HeldSink`] keeps back, everything with
//! at-most-once and changelog records with at-least-once, is not sent before `deliver`.
mod buffer;
mod held;
mod kafka;

use rdkafka::consumer::ConsumerGroupMetadata;
use thiserror::Error;

pub(crate) use buffer::{Destination, OutputRecord, RECORD_OVERHEAD, RecordBuffer, header_size};
pub(crate) use held::{HeldSink, Holds};
pub(crate) use kafka::KafkaSink;

use crate::source::TopicPartition;
use crate::task::Position;

/// Takes records. A worker's task writes to it in the course of an epoch.
pub(crate) trait Sink {
    /// Hands over all records of `records`; waits while the client's queue is full.
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError>;

    /// Waits until everything sent is acknowledged.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Ends the transaction with what was sent since the last one and with `positions` of the group that `member` is in. Returns
    /// only when the outcome is known.
    fn commit(
        &mut self,
        positions: &[(TopicPartition, Position)],
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), SinkError>;

    /// Sends what is held back, in the order that the guarantee asks for, and waits until it is acknowledged, and everything that was sent
    /// before.
    fn deliver(&mut self) -> Result<(), SinkError> {
        self.flush()
    }

    /// Forgets what is held back.
    fn forget(&mut self) {}

    /// Bytes of what is held back.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Drops what was sent since the last transaction; afterwards the sink works again, whatever has happened to it.
    fn recover(&mut self) -> Result<(), SinkError>;
}

/// Records that could not be delivered.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The brokers did not take a record.
    #[error("a record for topic {topic:?} was not delivered: {cause}{remedy}")]
    Delivery {
        /// The topic.
        topic: String,
        /// What the client says.
        cause: String,
        /// What to do, or nothing.
        remedy: &'static str,
    },
    /// The producer can no longer be used.
    #[error("the producer failed: {cause}")]
    Fatal {
        /// What the client says.
        cause: String,
    },
    /// The transaction did not come about: nothing of it counts, and its records will be read again.
    #[error("the transaction was aborted: {cause}")]
    Aborted {
        /// What the client says.
        cause: String,
    },
    /// A transaction that the cluster refuses for good.
    #[error("the transaction cannot be committed: {cause}{remedy}")]
    Refused {
        /// What the client says.
        cause: String,
        /// What to do, or nothing.
        remedy: &'static str,
    },
    /// The job was told to stop and gave the epoch up.
    #[error(
        "the job stopped before its last {records} records were acknowledged; they will be written again"
    )]
    Abandoned {
        /// Records not acknowledged.
        records: usize,
    },
}
