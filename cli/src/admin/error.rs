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
    #[error("{what}: the broker refused with error {code} ({reason})")]
    Refused {
        /// What was asked about.
        what: String,
        /// Kafka's error code.
        code: i16,
        /// The broker's words, or the code's.
        reason: String,
    },
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        Self::new(error.to_string())
    }
}
