//! What helps against the errors of producers.
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What is wrong with a record that was not delivered, and what helps.
pub(crate) fn undelivered(topic: &str, error: &KafkaError) -> String {
    format!("{topic}: {error}{}", remedy(error))
}

/// What helps against an error, behind its text; empty where nothing is known.
pub(super) fn remedy(error: &KafkaError) -> &'static str {
    use RDKafkaErrorCode::*;
    match error.rdkafka_error_code() {
        Some(UnknownTopic | UnknownTopicOrPartition) => "; create the topic",
        Some(MessageSizeTooLarge) => {
            "; raise max.message.bytes of the topic and producer.override.max.request.size; where the topic takes less than a batch, lower \
             producer.override.batch.size"
        }
        Some(QueueFull) => {
            "; the record is larger than the producer's queue: raise producer.override.buffer.memory"
        }
        Some(MessageTimedOut) => "; is the cluster reachable and the topic writable?",
        Some(TopicAuthorizationFailed) => "; grant this client Write on the topic",
        Some(TransactionalIdAuthorizationFailed) => "; grant this client Write on the transactional id",
        Some(Fenced | ProducerFenced | InvalidProducerEpoch) => {
            "; another task took its transactional id over"
        }
        Some(InvalidTransactionTimeout) => {
            "; transaction.timeout.ms is beyond the brokers' transaction.max.timeout.ms"
        }
        Some(UnsupportedFeature | UnsupportedVersion) => {
            "; the brokers know no transactions: set exactly.once.source.support=disabled"
        }
        _ => "",
    }
}
