//! What becomes of records that fail: tolerance, retries, logs (KIP-298).
use std::fmt;
use std::time::{Duration, Instant};

use super::control::Control;
use crate::config::Config;
use crate::config::secrets::Secrets;
use crate::plugin::{ErrorKind, PluginError, TaskId};
use crate::record::Origin;

/// The pause before the first retry; it doubles.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(300);

/// Where on its way a record failed, in Kafka Connect's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    TaskPut,
    Produce,
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TaskPut => "TASK_PUT",
            Self::Produce => "KAFKA_PRODUCE",
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
        })
    }
}

/// A record's failure.
#[derive(Debug)]
pub(super) struct RecordFailure {
    pub(super) stage: Stage,
    /// What failed: a class, or the name of a transform.
    pub(super) class: String,
    pub(super) error: PluginError,
}

impl RecordFailure {
    /// Whether it might have succeeded later, had the task not been told to stop: it is not the record's fault then.
    pub(super) fn is_of_stopping(&self, control: &Control) -> bool {
        self.error.kind() == ErrorKind::Retriable && control.stopping()
    }

    /// The same as the failure of the task.
    pub(super) fn into_task_error(self) -> PluginError {
        let kind = match self.error.kind() {
            // A record that fails again and again is not mended by starting again.
            ErrorKind::BadRecord => ErrorKind::UserConfig,
            kind => kind,
        };
        let (stage, class, error) = (self.stage, self.class, self.error);
        PluginError::new(
            kind,
            format!(
                "{stage} failed in {class}: {error}; with errors.tolerance=all such records are passed over, and with \
                 errors.deadletterqueue.topic.name kept"
            ),
        )
    }
}

impl PluginError {
    /// The same as what ends a task: a record that fails again and again is not mended by starting again, also where nobody says which one it is.
    pub(super) fn ending_task(self) -> Self {
        match self.kind() {
            ErrorKind::BadRecord => Self::user_config(self.to_string()),
            _ => self,
        }
    }

    /// The same, naming the record.
    pub(super) fn at(self, origin: &Origin) -> Self {
        let Origin {
            topic,
            partition,
            offset,
        } = origin;
        Self::new(
            self.kind(),
            format!("{topic}-{partition} at offset {offset}: {self}"),
        )
    }
}

/// What a connector's configuration says about failing records.
#[derive(Debug, Clone)]
pub(super) struct ErrorPolicy {
    pub(super) tolerant: bool,
    /// How long an operation is tried again; none for ever.
    retry_for: Option<Duration>,
    retry_delay_max: Duration,
    log: bool,
    log_records: bool,
    secrets: Secrets,
}

impl ErrorPolicy {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Self {
        Self {
            tolerant: config.string("errors.tolerance").eq_ignore_ascii_case("all"),
            retry_for: u64::try_from(config.long("errors.retry.timeout"))
                .ok()
                .map(Duration::from_millis),
            retry_delay_max: Duration::from_millis(
                u64::try_from(config.long("errors.retry.delay.max.ms")).unwrap_or(60_000),
            ),
            log: config.boolean("errors.log.enable"),
            log_records: config.boolean("errors.log.include.messages"),
            secrets: secrets.clone(),
        }
    }

    /// Calls until it succeeds, fails for good, or the time for retries is over.
    pub(super) fn retry<T>(
        &self,
        control: &Control,
        mut call: impl FnMut() -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        let mut retries: Option<(Instant, Duration)> = None;
        loop {
            let error = match call() {
                Ok(value) => return Ok(value),
                Err(error) => error.without(&self.secrets),
            };
            if error.kind() != ErrorKind::Retriable {
                return Err(error);
            }
            let (began, pause) = retries.unwrap_or_else(|| (Instant::now(), RETRY_DELAY_MIN));
            let over = self.retry_for.is_some_and(|most| began.elapsed() + pause > most);
            if over || control.stopping() {
                return Err(error);
            }
            tracing::warn!(%error, "an operation is tried again");
            control.sleep(pause.min(self.retry_delay_max));
            retries = Some((began, pause.saturating_mul(2)));
        }
    }

    /// A transform's failure.
    pub(super) fn of_transform(&self, class: &str, error: PluginError) -> RecordFailure {
        RecordFailure {
            stage: Stage::Transformation,
            class: class.to_owned(),
            error: error.without(&self.secrets),
        }
    }

    /// Logs a failure as the configuration wants it.
    pub(super) fn log(&self, task: &TaskId, failure: &RecordFailure, origin: Option<&Origin>) {
        if !self.log {
            return;
        }
        let RecordFailure { stage, class, error } = failure;
        match origin.filter(|_| self.log_records) {
            Some(Origin {
                topic,
                partition,
                offset,
            }) => tracing::error!(
                connector = task.connector, task = task.task, %stage, class, topic = &**topic, partition, offset, "record failed: {error}"
            ),
            None => {
                tracing::error!(connector = task.connector, task = task.task, %stage, class, "record failed: {error}")
            }
        }
    }
}
