//! What librdkafka's callbacks leave for the worker: changes of the assignment, and how far partitions are behind.
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Statistics, TopicPartitionList};

/// How far the partitions of each topic are behind, as librdkafka's statistics last said.
#[derive(Debug, Default)]
pub(crate) struct LagBoard(Mutex<HashMap<String, HashMap<i32, i64>>>);

impl LagBoard {
    /// Records not yet read from `topic`'s partitions held here.
    pub(crate) fn of(&self, topic: &str) -> i64 {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.get(topic).map_or(0, |partitions| partitions.values().sum())
    }

    /// Records not yet read from a partition.
    pub(crate) fn of_partition(&self, topic: &str, partition: i32) -> i64 {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = board.get(topic).and_then(|partitions| partitions.get(&partition));
        lag.copied().unwrap_or(0)
    }
}

pub(super) enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked { lost: bool },
}

/// What librdkafka's callbacks leave for the worker.
pub(super) struct Notes {
    pub(super) changes: Mutex<VecDeque<Change>>,
    pub(super) changed: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) lag: Arc<LagBoard>,
}

impl ClientContext for Notes {
    fn stats(&self, statistics: Statistics) {
        let lag = statistics.topics.into_iter().map(|(topic, state)| {
            let partitions = state.partitions.into_iter();
            let held = partitions.filter(|(_, partition)| partition.consumer_lag >= 0);
            let lag = held.map(|(number, partition)| (number, partition.consumer_lag));
            (topic, lag.collect())
        });
        self.lag
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(lag);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "consumer");
    }
}

impl ConsumerContext for Notes {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "the consumer did not give its partitions back");
            }
            return;
        }
        let elements = partitions.elements();
        let named = elements
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()));
        let change = if assigned {
            Change::Assigned(named.collect())
        } else {
            Change::Revoked {
                lost: consumer.assignment_lost(),
            }
        };
        self.note(change);
    }
}

impl Notes {
    pub(super) fn note(&self, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(change);
        self.changed.store(true, Ordering::Release);
    }
}
