//! `millstream broker`: the embedded broker as a server of its own.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream_broker::{Broker, BrokerConfig};

use crate::client::split_property;
use crate::error::{CliError, output};
use crate::stop::StopSignal;

/// Run a broker that Kafka clients can use.
#[derive(Debug, Args)]
#[command(
    after_help = "Later settings win: file, --data-dir and --listener, --override.\n\n\
    Examples:\n  \
    millstream broker\n  \
    millstream broker --data-dir /var/lib/millstream --listener 127.0.0.1:9092\n  \
    millstream broker config/server.properties --override num.partitions=4 --override flush.mode=os"
)]
pub struct BrokerArgs {
    /// A Kafka server.properties file
    #[arg(value_name = "SERVER.PROPERTIES")]
    properties: Option<PathBuf>,
    /// One setting, as in the file (may be repeated)
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Directory of the log [default: the file's log.dirs, else ./millstream-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: the file's listeners, else 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listener: Option<String>,
}

/// Runs the subcommand until the user stops it.
pub fn run(args: &BrokerArgs) -> Result<(), CliError> {
    let config = config(args)?;
    let stop = StopSignal::listen()?;
    let broker = Broker::builder()
        .config(config)
        .start_blocking()
        .map_err(|error| CliError::new(error.to_string()))?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "millstream broker ready on {} (data in {})",
            broker.address(),
            broker.data_dir().display()
        )
        .and_then(|()| out.flush())
        .map_err(output)?;
    }
    while !stop.wait(Duration::from_secs(3600)) {}
    broker
        .shutdown_blocking()
        .map_err(|error| CliError::new(error.to_string()))
}

/// The settings in the order in which they win, with warnings for keys that nobody knows.
fn config(args: &BrokerArgs) -> Result<BrokerConfig, CliError> {
    let refused = |error: &dyn std::fmt::Display| CliError::new(error.to_string());
    let mut loader = BrokerConfig::loader();
    if let Some(path) = &args.properties {
        loader.file(path).map_err(|error| refused(&error))?;
    }
    if let Some(directory) = &args.data_dir {
        loader.set("--data-dir", "log.dirs", &directory.to_string_lossy());
    }
    if let Some(listener) = &args.listener {
        loader.set("--listener", "listeners", &format!("PLAINTEXT://{listener}"));
    }
    for property in &args.overrides {
        let (key, value) = split_property("--override", property)?;
        loader.set("--override", key, value);
    }
    let (config, warnings) = loader.finish().map_err(|error| refused(&error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
