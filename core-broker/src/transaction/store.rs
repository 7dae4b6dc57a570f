//! The seams of the coordinator: its log, the partitions that get markers, the source of producer ids.

use async_trait::async_trait;

use super::error::TransactionError;
use super::marker::TransactionMarker;
use crate::group::KeyedRecord;
use crate::ids::{ProducerId, TopicPartition};

/// Where the state of transactions is kept.
#[async_trait]
pub(crate) trait TransactionLog: Send + Sync {
    /// Partitions of the internal topic; transactional ids are spread over them. Must not change while in use.
    fn partition_count(&self) -> i32;

    /// Makes sure that the internal topic exists.
    async fn prepare(&self) -> Result<(), TransactionError>;

    /// Appends a record to a partition and waits until it is durable.
    async fn append(&self, partition: i32, record: KeyedRecord) -> Result<(), TransactionError>;

    /// Every record of a partition from the start, in order. Stops at the first error of `visit`.
    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), TransactionError>;

    /// A producer id that was never given before.
    async fn next_producer_id(&self) -> Result<ProducerId, TransactionError>;
}

/// Receives the key and the value of each record.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), TransactionError> + 'a;

/// Ends transactions in the partitions that they have written to.
#[async_trait]
pub(crate) trait MarkerWriter: Send + Sync {
    /// Writes a marker and waits until it is durable. Writing it again changes nothing. A partition that is gone,
    /// or in which the producer has moved on, needs none.
    async fn write(&self, partition: &TopicPartition, marker: TransactionMarker) -> Result<(), MarkerError>;
}

/// Why a marker was not written; it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MarkerError(pub String);
