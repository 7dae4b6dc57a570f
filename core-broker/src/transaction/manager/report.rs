//! What can be seen of transactions from outside.

use std::sync::Arc;

use super::TransactionManager;
use crate::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::transaction::TransactionState;

/// One transactional id in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Its state.
    pub state: TransactionState,
    /// Its producer.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// How long its transactions may take.
    pub timeout_ms: i32,
    /// When the transaction began, −1 if none has.
    pub started: Timestamp,
    /// The partitions of the transaction under way.
    pub partitions: Vec<TopicPartition>,
}

/// One line of a list of transactional ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its state.
    pub state: TransactionState,
}

/// Which transactional ids are to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// In one of these states; in any if there are none.
    pub states: Vec<TransactionState>,
    /// Of one of these producers; of any if there are none.
    pub producer_ids: Vec<ProducerId>,
    /// Whose transaction is older than this; any if nothing is given.
    pub older_than_ms: Option<i64>,
}

impl TransactionManager {
    /// Describes a transactional id, if there is one.
    #[must_use]
    pub fn describe(&self, transactional_id: &str) -> Option<TransactionDescription> {
        let shard = self.shard(self.index_of(transactional_id));
        let known = shard.get(transactional_id)?.durable()?;
        Some(TransactionDescription {
            state: known.state,
            producer_id: known.producer_id,
            producer_epoch: known.producer_epoch,
            timeout_ms: known.timeout_ms,
            started: known.started,
            partitions: known.partitions.iter().cloned().collect(),
        })
    }

    /// Lists transactional ids, in the order of their names.
    #[must_use]
    pub fn list(&self, filter: &TransactionFilter) -> Vec<TransactionListing> {
        let now = self.clock.now();
        let mut listed = Vec::new();
        for index in 0..self.shards.len() {
            for (id, transaction) in self.shard(index).iter() {
                let Some(known) = transaction.durable() else {
                    continue;
                };
                let (states, producers) = (&filter.states, &filter.producer_ids);
                let old = filter
                    .older_than_ms
                    .is_none_or(|ms| known.started.0 >= 0 && now.0.saturating_sub(known.started.0) > ms);
                if (states.is_empty() || states.contains(&known.state))
                    && (producers.is_empty() || producers.contains(&known.producer_id))
                    && old
                {
                    listed.push(TransactionListing {
                        transactional_id: id.clone(),
                        producer_id: known.producer_id,
                        state: known.state,
                    });
                }
            }
        }
        listed.sort_unstable_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        listed
    }
}
