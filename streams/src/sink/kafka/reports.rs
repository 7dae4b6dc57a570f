//! What the producer's events mean for the sink.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::sink::SinkError;

/// Remembers the first failure.
#[derive(Default)]
pub(super) struct Reports {
    /// Whether records go into transactions.
    pub(super) transactional: bool,
    /// Failures are expected, and none is remembered.
    pub(super) muted: AtomicBool,
    pub(super) failed: AtomicBool,
    pub(super) failure: Mutex<Option<SinkError>>,
}

impl Reports {
    /// Begins anew.
    pub(super) fn reset(&self) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.failed.store(false, Ordering::Release);
        self.muted.store(false, Ordering::Release);
    }

    fn fail(&self, error: SinkError) {
        if self.muted.load(Ordering::Acquire) {
            return;
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // An aborted transaction is often what follows from a record that was refused.
        if matches!(&*failure, None | Some(SinkError::Aborted { .. })) {
            *failure = Some(error);
        }
        drop(failure);
        self.failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            let cause = reason.to_owned();
            self.fail(match self.transactional {
                // Fenced: a new producer takes over.
                true => SinkError::Aborted { cause },
                false => SinkError::Fatal { cause },
            });
        } else {
            tracing::warn!(%error, reason, "producer");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.fail(delivery_error(message.topic(), error, self.transactional));
        }
    }
}

/// What to do about an error that no new transaction would mend; nothing for all others.
pub(super) fn transaction_remedy(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            "; grant this client Write on the transactional id, which begins with the application id"
        }
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            "; grant this client Read on the group, which is the application id"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "; grant this client Write on the topics",
        Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
            "; transaction.timeout.ms is beyond the brokers' transaction.max.timeout.ms"
        }
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            "; the brokers know no transactions: use processing.guarantee=at_least_once"
        }
        _ => "",
    }
}

pub(super) fn delivery_error(topic: &str, error: &KafkaError, transactional: bool) -> SinkError {
    if transactional && is_of_transaction(error) {
        return SinkError::Aborted {
            cause: error.to_string(),
        };
    }
    let remedy = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "; create the topic"
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => "; raise message.max.bytes on the topic and producer",
        Some(RDKafkaErrorCode::QueueFull) => {
            "; the record is larger than the producer's queue: raise queue.buffering.max.kbytes"
        }
        Some(RDKafkaErrorCode::MessageTimedOut) => "; is the cluster reachable and the topic writable?",
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "; grant this client Write on the topic",
        _ => "",
    };
    SinkError::Delivery {
        topic: topic.to_owned(),
        cause: error.to_string(),
        remedy,
    }
}

/// Whether a record was lost because its transaction was, so that a new one may do better.
fn is_of_transaction(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        error.rdkafka_error_code(),
        Some(
            PurgeQueue
                | PurgeInflight
                | Fenced
                | ProducerFenced
                | InvalidProducerEpoch
                | InvalidProducerIdMapping
                | InvalidTransactionalState
                | OutOfOrderSequenceNumber
                | UnknownProducerId
                | Fatal
                | State
                | MessageTimedOut
        )
    )
}
