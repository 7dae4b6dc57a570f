//! What the consumer's callbacks leave for the task.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use crate::cluster::ClientLog;

/// A change of the assignment; the client waits until it is confirmed by assigning or unassigning.
pub(super) enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked { lost: bool },
}

#[derive(Default)]
pub(super) struct Notes {
    changes: Mutex<VecDeque<Change>>,
    changed: AtomicBool,
    closing: AtomicBool,
    log: ClientLog,
}

impl Notes {
    /// Whether a change waits.
    pub(super) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    pub(super) fn change(&self) -> Option<Change> {
        if !self.has_changed() {
            return None;
        }
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let change = changes.pop_front();
        self.changed.store(!changes.is_empty(), Ordering::Release);
        change
    }

    /// From now on the client gives partitions back by itself.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Notes {
    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error("consumer", &error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }
}

impl ConsumerContext for Notes {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "the consumer did not give its partitions back");
            }
            return;
        }
        let change = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let elements = partitions.elements();
                let named = elements
                    .iter()
                    .map(|element| (element.topic().to_owned(), element.partition()));
                Change::Assigned(named.collect())
            }
            _ => Change::Revoked {
                lost: consumer.assignment_lost(),
            },
        };
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(change);
        self.changed.store(true, Ordering::Release);
    }
}
