//! What librdkafka's errors mean for a worker.
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::source::SourceError;

/// Whether a broker denies a topic. librdkafka reports it once, and does not say which.
pub(super) fn is_unknown_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)
    )
}

/// The failure that ends the worker, or none if librdkafka goes on by itself.
pub(super) fn poll_error(error: &KafkaError) -> Option<SourceError> {
    ends_reading(error).then(|| read_error(error))
}

/// Whether no later poll would do better.
pub(in crate::source) fn ends_reading(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Authentication
                    | SaslAuthenticationFailed
                    | TopicAuthorizationFailed
                    | GroupAuthorizationFailed
                    | InvalidTopic
                    | UnsupportedSASLMechanism
                    | InconsistentGroupProtocol
            )
        )
}

pub(in crate::source) fn read_error(error: &KafkaError) -> SourceError {
    SourceError::Read {
        cause: error.to_string(),
        remedy: remedy(error.rdkafka_error_code()),
    }
}

/// The definite outcome of a failed commit, or none if it has to be tried again. `fatal` says why a client can no longer be
/// used.
pub(super) fn commit_error(
    error: &KafkaError,
    fatal: impl FnOnce() -> Option<(RDKafkaErrorCode, String)>,
) -> Option<SourceError> {
    use RDKafkaErrorCode::*;
    let cause = error.to_string();
    match error.rdkafka_error_code()? {
        IllegalGeneration | UnknownMemberId | RebalanceInProgress | FencedInstanceId | AssignmentLost
        | StaleMemberEpoch => Some(SourceError::Fenced { cause }),
        NoOffset => None,
        Fatal => {
            let (code, cause) = fatal().unwrap_or((Fatal, cause));
            Some(SourceError::Commit {
                cause,
                remedy: remedy(Some(code)),
            })
        }
        GroupAuthorizationFailed
        | TopicAuthorizationFailed
        | OffsetMetadataTooLarge
        | InvalidCommitOffsetSize
        | InvalidGroupId
        | UnknownTopicOrPartition => Some(SourceError::Commit {
            cause,
            remedy: remedy(error.rdkafka_error_code()),
        }),
        _ => None,
    }
}

pub(super) fn remedy(code: Option<RDKafkaErrorCode>) -> &'static str {
    use RDKafkaErrorCode::*;
    match code {
        Some(TopicAuthorizationFailed) => "; grant this client Read on the topic",
        Some(GroupAuthorizationFailed) => {
            "; grant this client Read on the group, which is the application id"
        }
        Some(Authentication | SaslAuthenticationFailed) => "; check security.protocol and the credentials",
        Some(UnknownTopic | UnknownTopicOrPartition) => {
            "; a topic of the job is missing or was deleted: create it and restart"
        }
        Some(FencedInstanceId) => {
            "; another program uses the same group.instance.id: give each process its own"
        }
        Some(InconsistentGroupProtocol) => {
            "; other programs use the application id as their group: choose another"
        }
        _ => "",
    }
}
