//! What became of the records that a producer of ours sent.

use std::sync::{Mutex, PoisonError};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::error::CliError;

/// The first failed delivery; later ones are its consequences.
#[derive(Debug, Default)]
pub struct FirstFailure(Mutex<Option<String>>);

impl FirstFailure {
    /// Keeps this failure unless there was one before.
    pub fn keep(&self, reason: impl FnOnce() -> String) {
        let mut failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(reason);
    }

    /// An error if a delivery failed.
    pub fn check(&self) -> Result<(), CliError> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .as_ref()
            .map_or(Ok(()), |reason| Err(CliError::new(reason.clone())))
    }
}

/// What helps against a failed delivery, where its code alone says too little.
pub fn remedy(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            "; give smaller records, or allow larger ones with the topic's max.message.bytes"
        }
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "; `millstream topics create` makes a topic"
        }
        Some(RDKafkaErrorCode::InvalidTopic) => {
            "; a topic's name has up to 249 of the characters a-z A-Z 0-9 . _ -"
        }
        Some(RDKafkaErrorCode::MessageTimedOut) => "; is the broker up and fast enough?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let failure = FirstFailure::default();
        assert!(failure.check().is_ok());
        failure.keep(|| "first".into());
        failure.keep(|| "second".into());
        assert_eq!(failure.check().unwrap_err().to_string(), "first");
    }
}
