//! Errors of plugins.
use std::error::Error;
use std::fmt;

use crate::config::secrets::Secrets;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later: it is repeated, within `errors.retry.timeout`, or, for `put`, without an end.
    Retriable,
    /// The other side is gone: the task is started again, with growing pauses.
    Disconnected,
    /// A record cannot be handled: `errors.tolerance` decides.
    BadRecord,
    /// The configuration is wrong: the task fails, and waits for another configuration.
    UserConfig,
    /// Anything else: the task is started again, with growing pauses.
    Fatal,
}

/// An error of a plugin: what is wrong, where, and what would help.
#[derive(Debug)]
pub struct PluginError {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PluginError {
    /// An error. `message` is lower case, without a full stop, and names the thing, the place and the remedy. It never holds a secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// [`ErrorKind::Retriable`].
    pub fn retriable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retriable, message)
    }

    /// [`ErrorKind::Disconnected`].
    pub fn disconnected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Disconnected, message)
    }

    /// [`ErrorKind::BadRecord`].
    pub fn bad_record(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRecord, message)
    }

    /// [`ErrorKind::UserConfig`].
    pub fn user_config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::UserConfig, message)
    }

    /// [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// The same with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same without what the configuration's references stand for.
    pub(crate) fn without(self, secrets: &Secrets) -> Self {
        let text = self.to_string();
        let hidden = secrets.hidden(&text);
        match hidden == text {
            true => self,
            // The cause would say it again.
            false => Self::new(self.kind, hidden),
        }
    }

    /// What is to be done.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for PluginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn Error + 'static))
    }
}

impl From<crate::config::ConfigErrors> for PluginError {
    fn from(errors: crate::config::ConfigErrors) -> Self {
        Self::user_config(errors.to_string())
    }
}
