//! `millstream connect distributed`: a worker of a group that shares connectors through topics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use millstream_connect::config::ConfigMap;
use millstream_connect::config::providers::ConfigProviders;
use millstream_connect::config::worker::{WorkerMode, warnings};
use millstream_connect::herder::{
    DistributedHerder, DistributedParts, Health, Herder, LogLevel, Loggers, TaskEvents, Validator,
};
use millstream_connect::plugin::Registry;
use millstream_connect::rest::Listeners;
use millstream_connect::transform::config_def_for;
use millstream_connect::worker::{Worker, WorkerConfig};

use super::{api, standalone};
use crate::error::CliError;
use crate::pages;
use crate::stop::StopSignal;

/// How often it is looked whether the worker has joined its group.
const LOOK: Duration = Duration::from_millis(50);

/// Run a worker of a group that shares connectors.
#[derive(Debug, Args)]
#[command(
    after_help = "The file is that of Kafka's connect-distributed. Workers of one group.id share connectors, which come over the REST API and \
    are kept in topics; those that Kafka's workers made are gone on with. Both kinds of workers cannot be in a group at once.\n\n\
    Examples:\n  \
    millstream connect distributed worker.properties\n  \
    millstream connect distributed worker.properties --broker localhost:9092\n  \
    millstream connect distributed worker.properties --override listeners=http://localhost:8084"
)]
pub struct DistributedArgs {
    /// The worker's properties, as connect-distributed takes them
    #[arg(value_name = "WORKER.PROPERTIES")]
    worker: PathBuf,
    /// Brokers, instead of the file's bootstrap.servers
    #[arg(long, value_name = "HOST:PORT,…")]
    broker: Option<String>,
    /// One of the worker's settings, as in its file (may be repeated)
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How long to try to reach a broker, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    connect_timeout_ms: u64,
}

/// Runs the subcommand until the user stops it.
pub fn run(args: &DistributedArgs, plugins: Registry) -> Result<(), CliError> {
    let mut given = standalone::read_worker(&args.worker, &args.overrides)?;
    if let Some(broker) = &args.broker {
        given.insert("bootstrap.servers".to_owned(), broker.clone());
    }
    pages::keep_small();
    let stop = StopSignal::listen()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(format!("cannot start threads: {error}")))?;
    let ran = runtime.block_on(serve(args, plugins, &given, &stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ran
}

async fn serve(
    args: &DistributedArgs,
    plugins: Registry,
    given: &ConfigMap,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let shown = args.worker.display();
    let wrong = |error: &dyn std::fmt::Display| CliError::new(format!("{shown}: {error}"));
    let providers = ConfigProviders::of_worker(given).map_err(|errors| wrong(&errors))?;
    let config = WorkerConfig::resolved(WorkerMode::Distributed, given, &providers);
    let config = config.map_err(|errors| wrong(&errors))?;
    for warning in warnings(WorkerMode::Distributed, &config.given) {
        tracing::warn!("{shown}: {warning}");
    }
    let listeners = Listeners::bind(&config.rest).await.map_err(CliError::new)?;
    let herder = herder(args, plugins, Arc::new(config), Arc::new(providers), &listeners).await?;
    let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
    let urls: Vec<String> = server
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    let (waiting, its) = (stop.clone(), Arc::clone(&herder));
    let waited = tokio::task::spawn_blocking(move || {
        let mut joined = false;
        while !waiting.wait(if joined { Duration::from_secs(3600) } else { LOOK }) {
            if !joined && its.health() == Health::Healthy {
                joined = true;
                api::say(&format!("millstream connect ready on {}", urls.join(" and ")))?;
            }
        }
        Ok(())
    });
    let ended = waited
        .await
        .unwrap_or_else(|error| Err(CliError::new(error.to_string())));
    server.stop().await;
    herder.stop().await;
    ended
}

async fn herder(
    args: &DistributedArgs,
    plugins: Registry,
    config: Arc<WorkerConfig>,
    providers: Arc<ConfigProviders>,
    listeners: &Listeners,
) -> Result<Arc<DistributedHerder>, CliError> {
    let shown = args.worker.display();
    let wrong = |error: &dyn std::fmt::Display| CliError::new(format!("{shown}: {error}"));
    let registry = Arc::new(plugins);
    let events = Arc::<TaskEvents>::default();
    let worker = Worker::new(
        Arc::clone(&config),
        Arc::clone(&registry),
        Arc::clone(&events) as _,
    );
    let worker = worker.map_err(|error| wrong(&error))?;
    let wait = Duration::from_millis(args.connect_timeout_ms);
    worker.cluster_id(wait).await.map_err(|_| {
        CliError::new(format!(
            "no broker answered at bootstrap.servers={} within {} ms; start one with `millstream broker`, or name another with --broker",
            config.bootstrap_servers, args.connect_timeout_ms
        ))
    })?;
    let parts = DistributedParts {
        tasks: Arc::new(worker),
        events,
        validator: Validator::new(registry, Arc::clone(&config), providers, config_def_for),
        config,
        loggers: Loggers::new(LogLevel::Info, Box::new(standalone::apply_levels)),
        worker_id: listeners.worker_id(),
    };
    let herder = DistributedHerder::start(parts).await;
    herder.map(Arc::new).map_err(|error| wrong(&error))
}
