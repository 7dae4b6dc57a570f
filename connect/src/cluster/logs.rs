//! What clients say, on whichever thread, is logged as of the task that made them.
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::Span;

/// The context in which a client was made: its task's.
pub(crate) struct ClientLog(Span);

impl Default for ClientLog {
    fn default() -> Self {
        Self(Span::current())
    }
}

impl ClientLog {
    /// A line of the client library's own log. What matters of it comes as an error, too.
    pub(crate) fn line(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0
            .in_scope(|| tracing::debug!(target: "librdkafka", ?level, facility, "{text}"));
    }

    /// An error of the client: `what` it is.
    pub(crate) fn error(&self, what: &str, error: &KafkaError, reason: &str) {
        self.0.in_scope(|| tracing::warn!(%error, reason, "{what}"));
    }
}
