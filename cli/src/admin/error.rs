//! What can go wrong between this client and a broker, each with its remedy.

use crate::error::CliError;

/// A failed administrative call.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody answered at the bootstrap servers.
    #[error(
        "no broker answered at {bootstrap} within {timeout_ms} ms ({reason}); start one with `millstream broker`, name another \
         with --bootstrap-server, or allow more time with --connect-timeout-ms"
    )]
    Unreachable {
        /// The addresses.
        bootstrap: String,
        /// How long it was tried.
        timeout_ms: u128,
        /// The last failure.
        reason: String,
    },
    /// A socket failed.
    #[error("{address}: {reason}; check the address and that a broker runs there")]
    Connection {
        /// The broker.
        address: String,
        /// What failed.
        reason: String,
    },
    /// The broker's bytes are not an answer.
    #[error(
        "{address}: the answer to {api} cannot be read ({reason}); is this a Kafka listener without TLS?"
    )]
    Malformed {
        /// The broker.
        address: String,
        /// The request.
        api: String,
        /// What is wrong.
        reason: String,
    },
    /// No common version of an API.
    #[error(
        "{address} does not offer {api} in a version that this command knows; use a newer broker for this command"
    )]
    Unsupported {
        /// The broker.
        address: String,
        /// The request.
        api: String,
    },
    /// A protocol that this client does not speak.
    #[error(
        "security.protocol={protocol}: administration commands speak PLAINTEXT only; name a plaintext listener"
    )]
    Security {
        /// The property's value.
        protocol: String,
    },
    /// A broker id that the cluster does not have.
    #[error("broker {node} is not in the cluster's metadata; it may be down: try again when it is up")]
    NoSuchBroker {
        /// Its id.
        node: i32,
    },
    /// A topic that is not there.
    #[error(
        "topic {topic} does not exist; `millstream topics list` shows those that do, `millstream topics create --topic {topic}` \
         makes it"
    )]
    NoSuchTopic {
        /// Its name.
        topic: String,
    },
    /// The broker answered an error code.
    #[error("{what}: the broker refused with error {code} ({reason}){}", remedy(*.code))]
    Refused {
        /// What was asked about.
        what: String,
        /// Kafka's error code.
        code: i16,
        /// The broker's words, or the code's.
        reason: String,
    },
    /// A time with a meaning that the broker does not know.
    #[error(
        "broker {leader} does not know --time {timestamp}; give -1, -2 or milliseconds since 1970, or use a newer broker"
    )]
    UnknownTime {
        /// Its id.
        leader: i32,
        /// Below −2.
        timestamp: i64,
    },
    /// A broker that should have answered about this did not.
    #[error("{what}: {reason}")]
    Unanswered {
        /// What was asked about.
        what: String,
        /// The failure, with its remedy.
        reason: String,
    },
}

/// What helps against a refusal, where its code alone says too little.
fn remedy(code: i16) -> &'static str {
    use kafka_protocol::ResponseError as E;
    let Some(error) = E::try_from_code(code) else {
        return "";
    };
    match error {
        E::InvalidReplicationFactor => {
            "; a single broker holds one copy: leave --replication-factor out or give 1"
        }
        E::InvalidTopicException => {
            "; a name has up to 249 of the characters a-z A-Z 0-9 . _ - and must not clash with another where . and _ are alike"
        }
        E::InvalidPartitions => {
            "; a topic only grows: give a number above the present and up to the broker's limit"
        }
        E::InvalidConfig => "; `millstream configs --describe --all` shows the settings and their values",
        E::TopicAlreadyExists => "; --if-not-exists accepts that",
        E::UnknownTopicOrPartition => "; `millstream topics list` shows the topics that exist",
        E::OffsetOutOfRange => {
            "; `millstream offsets --time -2` and `--time -1` show where the log begins and ends"
        }
        E::PolicyViolation => "; the broker forbids it for this topic or by a policy of its own",
        E::NonEmptyGroup | E::UnknownMemberId | E::RebalanceInProgress | E::IllegalGeneration => {
            "; stop the consumers of the group first, `millstream groups --describe --members` shows them"
        }
        E::GroupSubscribedToTopic => "; stop the consumers that subscribe to the topic first",
        E::GroupIdNotFound => "; `millstream groups --list` shows the groups that exist",
        E::TransactionalIdNotFound => "; `millstream transactions list` shows the ids that exist",
        E::CoordinatorLoadInProgress | E::CoordinatorNotAvailable | E::NotCoordinator => {
            "; the coordinator is starting or moving: try again, or allow more time with --connect-timeout-ms"
        }
        E::LeaderNotAvailable | E::NotLeaderOrFollower => {
            "; the partition's leader is starting or moving: try again, or allow more time with --connect-timeout-ms"
        }
        E::RequestTimedOut => "; allow more time with --connect-timeout-ms",
        E::ConcurrentTransactions => "; a transaction of this id is just ending: try again",
        E::InvalidProducerEpoch | E::TransactionCoordinatorFenced => {
            "; the transaction is no longer the one that was asked about: look again with `millstream transactions describe-producers`"
        }
        E::ClusterAuthorizationFailed | E::TopicAuthorizationFailed | E::GroupAuthorizationFailed => {
            "; give the client's user the right to do this"
        }
        _ => "",
    }
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        Self::new(error.to_string())
    }
}
