//! `millstream broker`: the embedded broker as a server of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream_broker::config::{BrokerConfig, CREATE_TOPICS};
use millstream_broker::{Broker, InitialTopic};

use crate::client::split_property;
use crate::error::{CliError, output};
use crate::pages;
use crate::stop::StopSignal;

/// Run a broker that Kafka clients can use.
#[derive(Debug, Args)]
#[command(
    after_help = "KAFKA_… variables (KAFKA_NUM_PARTITIONS is num.partitions) win over the file, --override over both,\n\
    --data-dir, --listener and --metrics-listener over all.\n\n\
    Examples:\n  \
    millstream broker\n  \
    millstream broker --data-dir /var/lib/millstream --listener 127.0.0.1:9092\n  \
    millstream broker config/server.properties --override num.partitions=4 --override flush.mode=os\n  \
    millstream broker --create-topic orders:4 --create-topic customers:1:1:compact\n  \
    millstream broker --log info,millstream_broker=debug --log-format json 2>> broker.log"
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
    /// Address that serves /metrics (Prometheus), /healthz and /readyz over HTTP [default: the file's
    /// metrics.listener, else none]
    #[arg(long, value_name = "HOST:PORT")]
    metrics_listener: Option<String>,
    /// A topic to make unless it exists, as in orders:4:1:compact (may be repeated); KAFKA_CREATE_TOPICS lists more,
    /// separated by commas
    #[arg(long = "create-topic", value_name = "NAME:PARTITIONS[:REPLICAS[:POLICY]]")]
    create_topics: Vec<InitialTopic>,
}

/// Runs the subcommand until the user stops it.
pub fn run(args: &BrokerArgs) -> Result<(), CliError> {
    let config = config(args)?;
    pages::keep_small();
    let stop = StopSignal::listen()?;
    let mut builder = Broker::builder().config(config);
    if let Some(directory) = &args.data_dir {
        builder = builder.data_dir(directory);
    }
    if let Some(listener) = &args.listener {
        builder = builder.listener(listener);
    }
    if let Some(listener) = &args.metrics_listener {
        builder = builder.metrics_listener(listener);
    }
    let from_environment = std::env::var(CREATE_TOPICS).unwrap_or_default();
    let listed = InitialTopic::parse_list(&from_environment)
        .map_err(|error| CliError::new(format!("{CREATE_TOPICS}: {error}")))?;
    for topic in args.create_topics.iter().cloned().chain(listed) {
        builder = builder.create_topic(topic);
    }
    let broker = builder
        .start_blocking()
        .map_err(|error| CliError::new(error.to_string()))?;
    {
        let mut out = std::io::stdout().lock();
        let directory = broker.data_dir().display();
        writeln!(
            out,
            "millstream broker ready on {} (data in {directory})",
            broker.address()
        )
        .and_then(|()| match broker.metrics_address() {
            Some(address) => writeln!(out, "metrics on http://{address}/metrics"),
            None => Ok(()),
        })
        .and_then(|()| out.flush())
        .map_err(output)?;
    }
    while !stop.wait(Duration::from_secs(3600)) {}
    broker
        .shutdown_blocking()
        .map_err(|error| CliError::new(error.to_string()))
}

/// The file's settings, the environment's and the overrides, with warnings for keys that have no effect.
fn config(args: &BrokerArgs) -> Result<BrokerConfig, CliError> {
    let mut config = BrokerConfig::default();
    let mut warnings = Vec::new();
    if let Some(path) = &args.properties {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::new(format!(
                "cannot read {name}: {error}; name a server.properties file"
            ))
        })?;
        warnings.extend(
            config
                .apply_properties(&text, &name)
                .map_err(|error| CliError::new(error.to_string()))?,
        );
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    warnings.extend(
        config
            .apply_environment(variables)
            .map_err(|error| CliError::new(error.to_string()))?,
    );
    let mut overrides = BTreeMap::new();
    for property in &args.overrides {
        let (key, value) = split_property("--override", property)?;
        overrides.insert(key.to_owned(), value.to_owned());
    }
    warnings.extend(
        config
            .apply_overrides(&overrides)
            .map_err(|error| CliError::new(error.to_string()))?,
    );
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
