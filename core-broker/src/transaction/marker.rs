//! How a transaction ends in one partition.

use crate::ids::{ProducerEpoch, ProducerId};

/// Ends a producer's transaction in a partition; becomes a control batch there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionMarker {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch when the transaction ended.
    pub producer_epoch: ProducerEpoch,
    /// Whether what it wrote counts.
    pub commit: bool,
    /// Epoch of the coordinator that decided it.
    pub coordinator_epoch: i32,
}
