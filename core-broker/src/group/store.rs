//! The seam to the log: an ordered, durable list of keyed records and transaction markers per partition.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::error::GroupError;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::transaction::TransactionMarker;

/// A key with its value; no value deletes the key.
pub type KeyedRecord = (Bytes, Option<Bytes>);

/// The producer of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionalProducer {
    /// Its `transactional.id`.
    pub transactional_id: Arc<str>,
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// One batch to write.
#[derive(Clone, Debug, PartialEq)]
pub enum LogWrite {
    /// Records that count at once.
    Plain(Vec<KeyedRecord>),
    /// Records that count once their transaction is committed. Refused unless the partition is part of it.
    Transactional {
        /// Whose transaction.
        producer: TransactionalProducer,
        /// What is written.
        records: Vec<KeyedRecord>,
    },
    /// The end of a transaction.
    Marker(TransactionMarker),
}

impl LogWrite {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Plain(records) | Self::Transactional { records, .. } => records.is_empty(),
            Self::Marker(_) => false,
        }
    }
}

/// What replay finds.
#[derive(Clone, Copy, Debug)]
pub enum Replayed<'a> {
    /// A record.
    Record {
        /// Its key.
        key: &'a [u8],
        /// Its value; none deletes the key.
        value: Option<&'a [u8]>,
        /// The producer whose transaction it is part of.
        transaction: Option<ProducerId>,
    },
    /// The end of a producer's transaction.
    Marker {
        /// The producer.
        producer: ProducerId,
        /// Whether its records count.
        commit: bool,
    },
}

/// Where group state is kept.
#[async_trait]
pub trait OffsetsLog: Send + Sync {
    /// Partitions of the internal topic; groups are spread over them. Must not change while in use.
    fn partition_count(&self) -> i32;

    /// Makes sure that the internal topic exists.
    async fn prepare(&self) -> Result<(), GroupError>;

    /// Appends one batch to a partition and waits until it is durable.
    async fn append(&self, partition: i32, write: LogWrite) -> Result<(), GroupError>;

    /// Everything in a partition from the start, in order. Stops at the first error of `visit`.
    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), GroupError>;
}

/// Receives each record and marker.
pub type Visit<'a> = dyn FnMut(Replayed<'_>) -> Result<(), GroupError> + 'a;
