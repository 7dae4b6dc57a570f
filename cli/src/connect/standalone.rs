//! `millstream connect standalone`: a worker, its connectors and its REST API in one process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use millstream_connect::config::connector_file::ConnectorFile;
use millstream_connect::config::{ConfigMap, properties};
use millstream_connect::herder::{LogLevel, Loggers};
use millstream_connect::plugin::Registry;
use millstream_connect::standalone::{Standalone, StartError};

use super::progress::Progress;
use super::{api, submit};
use crate::client::split_property;
use crate::embedded::EmbeddedBroker;
use crate::error::CliError;
use crate::logging;
use crate::pages;
use crate::stop::StopSignal;

/// How often what fails in a load is started again, unless the connector says it: with growing pauses, for half a minute.
const LOAD_ATTEMPTS: &str = "5";

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Run a worker that keeps connectors in memory.
#[derive(Debug, Args)]
#[command(
    after_help = "The files are those of Kafka's connect-standalone. Source offsets are kept in offset.storage.file.filename.\n\n\
    With --exit-when-done a load has an end: when sources have come to theirs (files with read.mode=once) and sinks have taken all there is, \
    the worker stops and exits with 0; when something still fails after some attempts (restart.attempts.max), with 1; after Ctrl-C, which ends it cleanly, with 130. \
    The next run goes on where it stopped.\n\n\
    Examples:\n  \
    millstream connect standalone worker.properties source.properties sink.json\n  \
    millstream connect standalone worker.properties --broker localhost:9092\n  \
    millstream connect standalone worker.properties load.properties --exit-when-done\n  \
    millstream connect standalone worker.properties source.properties --embedded-broker\n  \
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
    /// Stop when all sources have come to their end and all sinks have taken what there is, and show how far that is
    #[arg(long, requires = "connectors")]
    exit_when_done: bool,
    /// Show no progress
    #[arg(long, requires = "exit_when_done")]
    quiet: bool,
}

impl StandaloneArgs {
    /// The level of logs that fits: a service says what it does, a load shows how far it is.
    pub const fn default_level(&self) -> &'static str {
        if self.exit_when_done { "warn" } else { "info" }
    }
}

/// Runs the subcommand until the user stops it, or all is done if that is to be the end.
pub fn run(args: &StandaloneArgs, plugins: Registry) -> Result<(), CliError> {
    let mut given = read_worker(&args.worker, &args.overrides)?;
    let connectors = args
        .connectors
        .iter()
        .map(|path| Ok((path.as_path(), submit::read(path)?)))
        .collect::<Result<Vec<_>, CliError>>()?;
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
    let ran = runtime.block_on(serve(args, plugins, given, connectors, &stop));
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
    if given.contains_key("connector.class") && !given.contains_key("key.converter") {
        return Err(CliError::new(format!(
            "{shown} is the file of a connector; the worker's comes first, as in `millstream connect standalone worker.properties {shown}`"
        )));
    }
    for property in overrides {
        let (key, value) = split_property("--override", property)?;
        given.insert(key.to_owned(), value.to_owned());
    }
    Ok(given)
}

async fn serve(
    args: &StandaloneArgs,
    plugins: Registry,
    given: ConfigMap,
    connectors: Vec<(&Path, ConnectorFile)>,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let builder = Standalone::builder(plugins)
        .properties(given)
        .with_rest()
        .connect_timeout(Duration::from_millis(args.connect_timeout_ms))
        .loggers(Loggers::new(LogLevel::Info, Box::new(apply_levels)));
    let connect = builder
        .start()
        .await
        .map_err(|error| not_started(&args.worker, &error))?;
    let ended = match begin(args, &connect, connectors).await {
        Ok(()) if args.exit_when_done => until_done(&connect, stop, Progress::new(args.quiet)).await,
        Ok(()) => {
            let stop = stop.clone();
            let waited = tokio::task::spawn_blocking(move || while !stop.wait(Duration::from_secs(3600)) {});
            waited.await.map_err(|error| CliError::new(error.to_string()))
        }
        Err(error) => Err(error),
    };
    let stopped = connect.stop().await;
    match (ended, stopped) {
        // What fails as it is stopped is not done.
        (Ok(()), Err(failed)) if args.exit_when_done => Err(CliError::new(failed.to_string())),
        (ended, _) => ended,
    }
}

/// Why the worker of this file could not be started, and what helps.
fn not_started(worker: &Path, error: &StartError) -> CliError {
    match error {
        StartError::Unreachable { .. } => CliError::new(format!(
            "{error}; start one with `millstream broker`, name another with --broker, or run one in this process with --embedded-broker"
        )),
        StartError::Listen(why) => CliError::new(why.clone()),
        StartError::Config(_) | StartError::Worker(_) => {
            CliError::new(format!("{}: {error}", worker.display()))
        }
    }
}

/// Makes the connectors to begin with, and says that all is there.
async fn begin(
    args: &StandaloneArgs,
    connect: &Standalone,
    connectors: Vec<(&Path, ConnectorFile)>,
) -> Result<(), CliError> {
    for (path, mut file) in connectors {
        if args.exit_when_done {
            let attempts = file.config.entry("restart.attempts.max".to_owned());
            attempts.or_insert_with(|| LOAD_ATTEMPTS.to_owned());
        }
        let made = connect.create(file).await;
        made.map_err(|error| {
            CliError::new(format!(
                "{}: {}",
                path.display(),
                submit::reasons(&error.to_string())
            ))
        })?;
    }
    connect.ready();
    let urls: Vec<String> = connect
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    api::say(&format!("millstream connect ready on {}", urls.join(" and ")))
}

/// Waits until all is done or the user stops it, and shows how far it is.
async fn until_done(connect: &Standalone, stop: &StopSignal, mut shown: Progress) -> Result<(), CliError> {
    let mut done = std::pin::pin!(connect.until_done());
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ended = &mut done => {
                if let Ok(progress) = connect.progress() {
                    shown.done(progress);
                }
                return ended.map_err(|error| CliError::new(error.to_string()));
            }
            _ = tick.tick() => {
                stop.check()?;
                if let Ok(progress) = connect.progress() {
                    shown.show(progress);
                }
            }
        }
    }
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
