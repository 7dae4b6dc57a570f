//! `millstream connect standalone`: a worker, its connectors and its REST API in one process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use millstream_connect::config::connector_file::ConnectorFile;
use millstream_connect::config::providers::ConfigProviders;
use millstream_connect::config::worker::{WorkerMode, warnings};
use millstream_connect::config::{ConfigMap, properties};
use millstream_connect::herder::{
    Herder, LogLevel, Loggers, StandaloneHerder, StandaloneParts, StatusBoard, Validator,
};
use millstream_connect::plugin::Registry;
use millstream_connect::rest::{Listeners, RestServer};
use millstream_connect::transform::config_def_for;
use millstream_connect::worker::{TargetState, Worker, WorkerConfig};

use super::{api, submit};
use crate::client::split_property;
use crate::embedded::EmbeddedBroker;
use crate::error::CliError;
use crate::logging;
use crate::pages;
use crate::stop::StopSignal;

/// Run a worker that keeps connectors in memory.
#[derive(Debug, Args)]
#[command(
    after_help = "The files are those of Kafka's connect-standalone. Source offsets are kept in offset.storage.file.filename.\n\n\
    Examples:\n  \
    millstream connect standalone worker.properties source.properties sink.json\n  \
    millstream connect standalone worker.properties --broker localhost:9092\n  \
    millstream connect standalone worker.properties source.properties --embedded-broker --data-dir ./data\n  \
    millstream connect standalone worker.properties --override listeners=http://localhost:8084"
)]
pub struct StandaloneArgs {
    /// The worker's properties, as connect-standalone takes them
    #[arg(value_name = "WORKER.PROPERTIES")]
    worker: PathBuf,
    /// Connectors to begin with: property files, or JSON as POST /connectors takes it
    #[arg(value_name = "CONNECTOR")]
    connectors: Vec<PathBuf>,
    /// Brokers, instead of the file's bootstrap.servers
    #[arg(long, value_name = "HOST:PORT,…")]
    broker: Option<String>,
    /// Run a broker in this process
    #[arg(long, conflicts_with = "broker")]
    embedded_broker: bool,
    /// Where that broker keeps its data [default: a temporary directory]
    #[arg(long, value_name = "DIR", requires = "embedded_broker")]
    data_dir: Option<PathBuf>,
    /// One of the worker's settings, as in its file (may be repeated)
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How long to try to reach a broker, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    connect_timeout_ms: u64,
}

/// Runs the subcommand until the user stops it.
pub fn run(args: &StandaloneArgs) -> Result<(), CliError> {
    let mut given = read_worker(&args.worker, &args.overrides)?;
    let connectors = args
        .connectors
        .iter()
        .map(|path| submit::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    pages::keep_small();
    let stop = StopSignal::listen()?;
    let broker = match args.embedded_broker {
        true => Some(EmbeddedBroker::start(args.data_dir.as_deref(), &stop)?),
        false => None,
    };
    if let Some(bootstrap) = broker
        .as_ref()
        .map(EmbeddedBroker::bootstrap)
        .or_else(|| args.broker.clone())
    {
        given.insert("bootstrap.servers".to_owned(), bootstrap);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(format!("cannot start threads: {error}")))?;
    let ran = runtime.block_on(serve(args, given, connectors, &stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stopped = broker.map_or(Ok(()), EmbeddedBroker::stop);
    ran.and(stopped)
}

/// The worker's file with the overrides in it.
pub(super) fn read_worker(path: &Path, overrides: &[String]) -> Result<ConfigMap, CliError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::new(format!(
            "cannot read {shown}: {error}; name a worker's properties file"
        ))
    })?;
    let mut given = properties::parse(&text).map_err(|error| CliError::new(format!("{shown}: {error}")))?;
    for property in overrides {
        let (key, value) = split_property("--override", property)?;
        given.insert(key.to_owned(), value.to_owned());
    }
    Ok(given)
}

async fn serve(
    args: &StandaloneArgs,
    given: ConfigMap,
    connectors: Vec<ConnectorFile>,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let shown = args.worker.display();
    let wrong = |error: &dyn std::fmt::Display| CliError::new(format!("{shown}: {error}"));
    let providers = ConfigProviders::of_worker(&given).map_err(|errors| wrong(&errors))?;
    let resolved = providers.resolve(&given).map_err(|errors| wrong(&errors))?;
    for warning in warnings(WorkerMode::Standalone, &resolved) {
        tracing::warn!("{shown}: {warning}");
    }
    let config = WorkerConfig::parse(WorkerMode::Standalone, resolved).map_err(|errors| wrong(&errors))?;
    let listeners = Listeners::bind(&config.rest).await.map_err(CliError::new)?;
    let herder = herder(args, Arc::new(config), Arc::new(providers), &listeners).await?;
    let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
    let ended = match begin(&herder, &server, connectors).await {
        Ok(()) => {
            let stop = stop.clone();
            let waited = tokio::task::spawn_blocking(move || while !stop.wait(Duration::from_secs(3600)) {});
            waited.await.map_err(|error| CliError::new(error.to_string()))
        }
        Err(error) => Err(error),
    };
    server.stop().await;
    herder.stop().await;
    ended
}

/// The plugins of this program.
pub(super) fn registry() -> Registry {
    millstream_connectors::register(Registry::built_in())
}

async fn herder(
    args: &StandaloneArgs,
    config: Arc<WorkerConfig>,
    providers: Arc<ConfigProviders>,
    listeners: &Listeners,
) -> Result<Arc<StandaloneHerder>, CliError> {
    let registry = Arc::new(registry());
    let board = Arc::new(StatusBoard::new(listeners.worker_id()));
    let worker = Worker::new(
        Arc::clone(&config),
        Arc::clone(&registry),
        Arc::clone(&board) as _,
    )
    .map_err(|error| CliError::new(format!("{}: {error}", args.worker.display())))?;
    let wait = Duration::from_millis(args.connect_timeout_ms);
    worker.cluster_id(wait).await.map_err(|error| {
        CliError::new(format!(
            "no broker answered at {} within {} ms ({error}); start one with `millstream broker`, name another with --broker, or run one \
             in this process with --embedded-broker",
            config.bootstrap_servers, args.connect_timeout_ms
        ))
    })?;
    let validator = Validator::new(registry, Arc::clone(&config), providers, config_def_for);
    Ok(Arc::new(StandaloneHerder::start(StandaloneParts {
        tasks: Arc::new(worker),
        board,
        validator,
        config,
        loggers: Loggers::new(LogLevel::Info, Box::new(apply_levels)),
    })))
}

/// Makes the connectors to begin with, and says that all is there.
async fn begin(
    herder: &Arc<StandaloneHerder>,
    server: &RestServer,
    connectors: Vec<ConnectorFile>,
) -> Result<(), CliError> {
    for file in connectors {
        let target = match file.initial_state.as_deref() {
            None => TargetState::Started,
            Some(state) => TargetState::parse(state).ok_or_else(|| {
                CliError::new(format!(
                    "{}: initial_state is not known; it is RUNNING, PAUSED or STOPPED",
                    file.name
                ))
            })?,
        };
        let config = file.config.into_iter().map(|(key, text)| (key, Some(text)));
        let made = herder.create(&file.name, config.collect(), target).await;
        made.map_err(|error| CliError::new(format!("{}: {error}", file.name)))?;
    }
    herder.ready();
    let urls: Vec<String> = server
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    api::say(&format!("millstream connect ready on {}", urls.join(" and ")))
}

/// What Kafka Connect's loggers are called here; the longest name that fits counts.
const LOGGERS: [(&str, &[&str]); 11] = [
    (
        "org.apache.kafka.connect",
        &["millstream_connect", "millstream_connectors"],
    ),
    (
        "org.apache.kafka.connect.runtime",
        &[
            "millstream_connect::worker",
            "millstream_connect::herder",
            "millstream_connect::cluster",
            "millstream_connect::rest",
        ],
    ),
    (
        "org.apache.kafka.connect.runtime.rest",
        &["millstream_connect::rest"],
    ),
    (
        "org.apache.kafka.connect.runtime.distributed",
        &["millstream_connect::herder"],
    ),
    (
        "org.apache.kafka.connect.runtime.standalone",
        &["millstream_connect::herder"],
    ),
    (
        "org.apache.kafka.connect.json",
        &["millstream_connect::converter"],
    ),
    (
        "org.apache.kafka.connect.converters",
        &["millstream_connect::converter"],
    ),
    (
        "org.apache.kafka.connect.storage",
        &["millstream_connect::worker::offsets"],
    ),
    (
        "org.apache.kafka.connect.transforms",
        &["millstream_connect::transform"],
    ),
    ("org.apache.kafka.connect.file", &["millstream_connectors::file"]),
    (
        "org.apache.kafka.clients",
        &["librdkafka", "millstream_connect::cluster"],
    ),
];

/// The targets of this program's log that a logger stands for.
fn targets(logger: &str) -> Vec<String> {
    let within = |outer: &str| {
        let rest = logger.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '$']))
    };
    let named = LOGGERS.iter().filter(|(outer, _)| within(outer));
    match named.max_by_key(|(outer, _)| outer.len()) {
        Some((_, targets)) => targets.iter().map(|target| (*target).to_owned()).collect(),
        None => vec![logger.replace(['.', '$'], "::")],
    }
}

/// Puts levels of loggers into effect. Kafka Connect's own loggers stand for this program's.
pub(super) fn apply_levels(levels: &BTreeMap<String, LogLevel>) {
    logging::adjust(&filter(levels));
}

/// The filter that loggers with these levels are.
fn filter(levels: &BTreeMap<String, LogLevel>) -> String {
    let allowed = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:$".contains(&byte))
    };
    let mut filters = Vec::new();
    // The longer name comes later, and wins.
    for (name, level) in levels.iter().filter(|(name, _)| allowed(name)) {
        let level = level.filter();
        match name.as_str() {
            "root" => filters.insert(0, level.to_owned()),
            name => filters.extend(targets(name).iter().map(|target| format!("{target}={level}"))),
        }
    }
    filters.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_of_kafka_connect_stand_for_ours() {
        let levels = [
            ("root", LogLevel::Warn),
            (
                "org.apache.kafka.connect.file.FileStreamSourceTask",
                LogLevel::Debug,
            ),
            ("org.apache.kafka.connect.runtime.rest", LogLevel::Trace),
            ("org.apache.kafka.connectors", LogLevel::Error),
            ("a,b", LogLevel::Error),
        ];
        let levels = levels.map(|(name, level)| (name.to_owned(), level));
        assert_eq!(
            filter(&levels.into()),
            "warn,millstream_connectors::file=debug,millstream_connect::rest=trace,org::apache::kafka::connectors=error"
        );
        assert_eq!(targets("org.apache.kafka.connect.Other").len(), 2);
        assert_eq!(
            targets("millstream_connect.worker"),
            ["millstream_connect::worker"]
        );
    }
}
