//! Structured logs on standard error; standard output belongs to results.

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::error::CliError;

/// Options of the log, the same for every subcommand.
#[derive(Debug, Args)]
pub struct LoggingArgs {
    /// What is logged on standard error: a level (error, warn, info, debug, trace) or filters like
    /// `info,millstream_broker=debug` [default: info for `broker`, warn elsewhere; environment: MILLSTREAM_LOG]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logs")]
    log: Option<String>,
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
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init()
            .map_err(|error| CliError::new(format!("cannot start the log: {error}")))
    }
}
