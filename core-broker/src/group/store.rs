//! The seam to the log: an ordered, durable list of keyed records per partition.

use async_trait::async_trait;
use bytes::Bytes;

use super::error::GroupError;

/// A key with its value; no value deletes the key.
pub type KeyedRecord = (Bytes, Option<Bytes>);

/// Where group state is kept.
#[async_trait]
pub trait OffsetsLog: Send + Sync {
    /// Partitions of the internal topic; groups are spread over them. Must not change while in use.
    fn partition_count(&self) -> i32;

    /// Makes sure that the internal topic exists.
    async fn prepare(&self) -> Result<(), GroupError>;

    /// Appends one batch to a partition and waits until it is durable.
    async fn append(&self, partition: i32, records: Vec<KeyedRecord>) -> Result<(), GroupError>;

    /// Every record of a partition from the start, in order. Stops at the first error of `visit`.
    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), GroupError>;
}

/// Receives key and value of each record.
pub type Visit<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), GroupError> + 'a;
