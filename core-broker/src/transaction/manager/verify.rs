//! Whether a write may be part of a transaction (KIP-890, part one).

use std::sync::{Arc, Weak};

use kafka_protocol::ResponseError;

use super::TransactionManager;
use crate::group::{TransactionVerifier, TransactionalProducer};
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};
use crate::transaction::coordinator::Producer;
use crate::transaction::error::TransactionError;

impl TransactionManager {
    /// Whether a partition is part of the producer's transaction under way. Takes one lock and never waits for the disk.
    ///
    /// # Errors
    /// If the producer is unknown or fenced, its transaction is ending, or the partition was not added to it.
    pub fn verify_now(
        &self,
        transactional_id: &str,
        id: ProducerId,
        epoch: ProducerEpoch,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        let shard = self.shard(self.index_of(transactional_id));
        match shard.get(transactional_id) {
            Some(transaction) => transaction.verify(Producer { id, epoch }, partition),
            None => Err(TransactionError::UnknownId {
                id: Arc::from(transactional_id),
            }),
        }
    }

    /// The same for callers that would wait.
    ///
    /// # Errors
    /// As [`TransactionManager::verify_now`].
    pub async fn verify(
        &self,
        transactional_id: &str,
        id: ProducerId,
        epoch: ProducerEpoch,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        self.verify_now(transactional_id, id, epoch, partition)
    }
}

/// Verifies for the group coordinator. Does not keep the transaction coordinator, which keeps the groups.
pub(crate) struct Verifier(pub Weak<TransactionManager>);

impl TransactionVerifier for Verifier {
    fn verify(
        &self,
        producer: &TransactionalProducer,
        partition: &TopicPartition,
    ) -> Result<(), (ResponseError, String)> {
        let verified = match self.0.upgrade() {
            Some(manager) => {
                manager.verify_now(&producer.transactional_id, producer.id, producer.epoch, partition)
            }
            None => Err(TransactionError::NotAvailable),
        };
        verified.map_err(|error| (error.write_error(), error.to_string()))
    }
}
