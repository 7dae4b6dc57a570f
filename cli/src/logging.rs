//! Structured logs on standard error; standard output belongs to results.

mod json;

use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use self::json::{JsonLines, JsonValues};
use crate::error::CliError;

/// Options of the log, the same for every subcommand.
#[derive(Debug, Args)]
pub struct LoggingArgs {
    /// What is logged on standard error: a level (error, warn, info, debug, trace) or filters like
    /// `info,millstream_broker=debug` [default: info for `broker` and
    /// workers of Connect, warn elsewhere; environment: MILLSTREAM_LOG]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logs")]
    log: Option<String>,
    /// How it is logged: text for people, or one JSON object a line with timestamp, level, target, message and
    /// fields [default: text; environment: MILLSTREAM_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Option<LogFormat>,
}

type Adjust = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// How the filter of this process's log is replaced, where it can be.
static ADJUST: OnceLock<Adjust> = OnceLock::new();

/// Replaces what is logged; does nothing if the log was not started as adjustable, or the filter is wrong.
pub fn adjust(filter: &str) {
    match (ADJUST.get(), EnvFilter::try_new(filter)) {
        (Some(adjust), Ok(filter)) => adjust(filter),
        (_, Err(error)) => tracing::warn!(%error, filter, "the levels of logs stay as they were"),
        (None, _) => {}
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl LoggingArgs {
    /// Installs the log for this process.
    pub fn start(&self, default_level: &str) -> Result<(), CliError> {
        let filter = self.filter(default_level)?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.format()? {
            LogFormat::Text => {
                let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
                log.with_ansi(colours).try_init()
            }
            LogFormat::Json => log
                .with_ansi(false)
                .fmt_fields(JsonValues)
                .event_format(JsonLines)
                .try_init(),
        };
        started.map_err(|error| CliError::new(format!("cannot start the log: {error}")))
    }

    /// The same, and [`adjust`] works from now on. Filters that may change cost a little with each event.
    pub fn start_adjustable(&self, default_level: &str) -> Result<(), CliError> {
        let log = tracing_subscriber::fmt()
            .with_env_filter(self.filter(default_level)?)
            .with_writer(std::io::stderr);
        let adjust: Adjust;
        let started = match self.format()? {
            LogFormat::Text => {
                let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
                let log = log.with_ansi(colours).with_filter_reloading();
                let handle = log.reload_handle();
                adjust = Box::new(move |filter| drop(handle.reload(filter)));
                log.try_init()
            }
            LogFormat::Json => {
                let log = log
                    .with_ansi(false)
                    .fmt_fields(JsonValues)
                    .event_format(JsonLines)
                    .with_filter_reloading();
                let handle = log.reload_handle();
                adjust = Box::new(move |filter| drop(handle.reload(filter)));
                log.try_init()
            }
        };
        // Set once: a process starts its log once.
        let _ = ADJUST.set(adjust);
        started.map_err(|error| CliError::new(format!("cannot start the log: {error}")))
    }

    fn filter(&self, default_level: &str) -> Result<EnvFilter, CliError> {
        let wanted = self.log.clone().or_else(|| std::env::var("MILLSTREAM_LOG").ok());
        let filter = wanted.as_deref().unwrap_or(default_level);
        EnvFilter::try_new(filter).map_err(|error| {
            CliError::new(format!(
                "--log {filter}: {error}; give a level like info, or TARGET=LEVEL pairs"
            ))
        })
    }

    fn format(&self) -> Result<LogFormat, CliError> {
        if let Some(format) = self.log_format {
            return Ok(format);
        }
        match std::env::var("MILLSTREAM_LOG_FORMAT") {
            Ok(name) => LogFormat::from_str(&name, true)
                .map_err(|_| CliError::new(format!("MILLSTREAM_LOG_FORMAT={name}: give text or json"))),
            Err(_) => Ok(LogFormat::Text),
        }
    }
}
