//! Structured logs on standard error; standard output belongs to results.

mod json;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use self::json::JsonLines;
use crate::error::CliError;

/// Options of the log, the same for every subcommand.
#[derive(Debug, Args)]
pub struct LoggingArgs {
    /// What is logged on standard error: a level (error, warn, info, debug, trace) or filters like
    /// `info,millstream_broker=debug` [default: info for `broker`, warn elsewhere; environment: MILLSTREAM_LOG]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logs")]
    log: Option<String>,
    /// How it is logged: text for people, or one JSON object a line with timestamp, level, target, message and
    /// fields [default: text; environment: MILLSTREAM_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Option<LogFormat>,
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
        let wanted = self.log.clone().or_else(|| std::env::var("MILLSTREAM_LOG").ok());
        let filter = wanted.as_deref().unwrap_or(default_level);
        let filter = EnvFilter::try_new(filter).map_err(|error| {
            CliError::new(format!(
                "--log {filter}: {error}; give a level like info, or TARGET=LEVEL pairs"
            ))
        })?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.format()? {
            LogFormat::Text => {
                let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
                log.with_ansi(colours).try_init()
            }
            LogFormat::Json => log.with_ansi(false).event_format(JsonLines).try_init(),
        };
        started.map_err(|error| CliError::new(format!("cannot start the log: {error}")))
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
