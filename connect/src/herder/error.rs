//! What a herder answers when it does not do what was asked.
use thiserror::Error;

use crate::plugin::{ErrorKind, PluginError};

/// Why a request was not done. The texts are Kafka Connect's where it has one, and hold no value of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HerderError {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The worker's configuration does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// It exists already.
    #[error("Connector {0} already exists")]
    AlreadyExists(String),
    /// The worker is busy with what must end first; the same request may succeed soon.
    #[error("{0}")]
    Conflict(String),
    /// Something went wrong that is not the request's fault.
    #[error("{0}")]
    Internal(String),
}

impl HerderError {
    /// No such connector.
    pub fn unknown_connector(name: &str) -> Self {
        Self::NotFound(format!("Connector {name} not found"))
    }
}

impl HerderError {
    /// A signal was not taken: what may be otherwise later is no fault of it.
    pub(super) fn of_signal(error: &PluginError) -> Self {
        match error.kind() {
            ErrorKind::Retriable => Self::Conflict(error.to_string()),
            _ => Self::BadRequest(error.to_string()),
        }
    }
}

impl From<PluginError> for HerderError {
    fn from(error: PluginError) -> Self {
        match error.kind() {
            ErrorKind::UserConfig => Self::BadRequest(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}
