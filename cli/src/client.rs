//! How the commands reach a cluster: addresses, client properties, and one clear error when nobody answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use millstream_broker::config::parse_properties;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, error::KafkaError};

use crate::error::CliError;

/// Address used when none is given: where `millstream broker` listens by default.
pub const DEFAULT_BOOTSTRAP: &str = "127.0.0.1:9092";

/// Options that say which cluster, the same for every client command.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Brokers to start from, comma-separated HOST:PORT
    #[arg(
        long,
        visible_alias = "broker-list",
        value_name = "HOST:PORT,…",
        default_value = DEFAULT_BOOTSTRAP,
        help_heading = "Connection"
    )]
    pub bootstrap_server: String,
    #[command(flatten)]
    pub common: ConnectCommonArgs,
}

/// Connection options that do not name the cluster.
#[derive(Clone, Debug, Args)]
pub struct ConnectCommonArgs {
    /// File of client properties, one key=value a line
    #[arg(
        long,
        aliases = ["producer.config", "consumer.config"],
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub command_config: Option<PathBuf>,
    /// How long to try to reach a broker, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 10_000,
        help_heading = "Connection"
    )]
    pub connect_timeout_ms: u64,
}

impl ConnectArgs {
    /// A client configuration for this cluster with the user's properties in it.
    pub fn client_config(&self) -> Result<ClientConfig, CliError> {
        self.common.client_config(&self.bootstrap_server)
    }

    /// See [`ConnectCommonArgs::reach`].
    pub fn reach(&self, config: &ClientConfig, topic: Option<&str>) -> Result<Metadata, CliError> {
        self.common.reach(&self.bootstrap_server, config, topic)
    }

    /// How long to try to reach a broker.
    pub const fn timeout(&self) -> Duration {
        self.common.timeout()
    }
}

impl ConnectCommonArgs {
    /// How long to try to reach a broker.
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// A client configuration for `bootstrap` with the properties of `--command-config` in it.
    pub fn client_config(&self, bootstrap: &str) -> Result<ClientConfig, CliError> {
        let mut config = ClientConfig::new();
        config.set("client.id", "millstream");
        for (key, value) in self.properties()? {
            config.set(key, value);
        }
        config.set("bootstrap.servers", bootstrap);
        Ok(config)
    }

    /// The properties of `--command-config`.
    pub fn properties(&self) -> Result<Vec<(String, String)>, CliError> {
        self.command_config
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), read_properties)
    }

    /// Asks the cluster for its metadata (of one topic, or of all), so that everything after may assume that it answers.
    pub fn reach(
        &self,
        bootstrap: &str,
        config: &ClientConfig,
        topic: Option<&str>,
    ) -> Result<Metadata, CliError> {
        let mut config = config.clone();
        // Looking must not create what is looked for.
        config.set("allow.auto.create.topics", "false");
        let probe: BaseConsumer = create(&config)?;
        probe.fetch_metadata(topic, self.timeout()).map_err(|error| {
            CliError::new(format!(
                "no broker answered at {bootstrap} within {} ms ({error}); start one with `millstream broker`, name another with \
                 --bootstrap-server, or allow more time with --connect-timeout-ms",
                self.connect_timeout_ms
            ))
        })
    }
}

/// Creates a client; a refused property is named.
pub fn create<T: FromClientConfig>(config: &ClientConfig) -> Result<T, CliError> {
    config.create().map_err(|error| match error {
        KafkaError::ClientConfig(_, reason, key, value) => CliError::new(format!(
            "client property {key}={value}: {reason}; see --command-config, --property and their like"
        )),
        other => CliError::new(format!("cannot create a client: {other}")),
    })
}

/// Adds `KEY=VALUE` arguments of `option` to a client configuration.
pub fn add_properties(
    config: &mut ClientConfig,
    option: &str,
    properties: &[String],
) -> Result<(), CliError> {
    for property in properties {
        let (key, value) = split_property(option, property)?;
        config.set(key, value);
    }
    Ok(())
}

/// Splits one `KEY=VALUE` argument.
pub fn split_property<'a>(option: &str, property: &'a str) -> Result<(&'a str, &'a str), CliError> {
    match property.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => Err(CliError::new(format!("{option} {property}: give KEY=VALUE"))),
    }
}

/// Reads a properties file through the broker's parser, which knows Java's escapes and continuations.
pub fn read_properties(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::new(format!("cannot read {}: {error}", path.display())))?;
    let properties =
        parse_properties(&text).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
    Ok(properties
        .into_iter()
        .map(|property| (property.key, property.value))
        .collect())
}
