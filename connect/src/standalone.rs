//! A standalone worker inside a program: what `millstream connect standalone` is made of, to be used as a library.
//!
//! ```no_run
//! use millstream_connect::config::connector_file::ConnectorFile;
//! use millstream_connect::config::properties;
//! use millstream_connect::plugin::Registry;
//! use millstream_connect::standalone::Standalone;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let worker = properties::parse(&std::fs::read_to_string("worker.properties")?)?;
//! let connector = ConnectorFile::parse(&std::fs::read_to_string("connector.properties")?)?;
//! let connect = Standalone::builder(Registry::built_in()).properties(worker).start().await?;
//! connect.create(connector).await?;
//! connect.until_done().await?;
//! connect.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Owns: putting the parts together, and knowing when all is done. Does not own: the parts ([`worker`](crate::worker),
//! [`herder`](crate::herder), [`rest`](crate::rest)).
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::config::connector_file::ConnectorFile;
use crate::config::providers::ConfigProviders;
use crate::config::worker::{WorkerMode, warnings};
use crate::config::{ConfigErrors, ConfigMap};
use crate::herder::{
    ConnectorInfo, Herder, HerderError, LogLevel, Loggers, SourcesProgress, StandaloneHerder,
    StandaloneParts, StatusBoard, Unit, Validator,
};
use crate::plugin::{PluginError, Registry};
use crate::rest::{Listeners, RestServer};
use crate::transform::config_def_for;
use crate::worker::{TargetState, Worker, WorkerConfig};

/// How often it is looked whether sources are done, and sinks, which costs the cluster some questions.
const LOOK_AT_SOURCES: Duration = Duration::from_millis(50);
const LOOK_AT_SINKS: Duration = Duration::from_millis(500);

/// Why a worker could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// An address of its REST API cannot be had.
    #[error("{0}")]
    Listen(String),
    /// What it is made of cannot be: options of clients, the file of offsets.
    #[error("{0}")]
    Worker(PluginError),
    /// No broker answered.
    #[error("no broker answered at bootstrap.servers={servers} within {wait_ms} ms")]
    Unreachable {
        /// `bootstrap.servers`.
        servers: String,
        /// How long was waited, in milliseconds.
        wait_ms: u128,
        /// What was tried.
        #[source]
        error: PluginError,
    },
}

/// A connector or a task failed, and is not started again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{} failed: {why}", unit.connector, unit.task.map_or(String::new(), |task| format!(", task {task},")))]
pub struct UnitFailed {
    /// What failed.
    pub unit: Unit,
    /// Why.
    pub why: String,
}

/// Why waiting for the end was given up.
#[derive(Debug, Error)]
pub enum NotDone {
    /// What failed will not be done.
    #[error(transparent)]
    Failed(#[from] UnitFailed),
    /// It cannot be told whether all is done.
    #[error("it cannot be told whether all is done: {0}")]
    Unknown(#[from] HerderError),
}

/// What a worker is to be like.
pub struct Builder {
    given: ConfigMap,
    registry: Registry,
    loggers: Option<Loggers>,
    connect_timeout: Duration,
    rest: bool,
}

impl Builder {
    /// The same with these of the worker's keys, those of Kafka's `connect-standalone.properties`.
    #[must_use]
    pub fn properties(mut self, given: ConfigMap) -> Self {
        self.given.extend(given);
        self
    }

    /// The same with one of the worker's keys.
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.insert(key.into(), value.into());
        self
    }

    /// The same with Kafka Connect's REST API, at the addresses that `listeners` names.
    #[must_use]
    pub fn with_rest(mut self) -> Self {
        self.rest = true;
        self
    }

    /// The same with levels of logs that the REST API can set.
    #[must_use]
    pub fn loggers(mut self, loggers: Loggers) -> Self {
        self.loggers = Some(loggers);
        self
    }

    /// The same, trying for so long to reach a broker; 10 s without it.
    #[must_use]
    pub fn connect_timeout(mut self, wait: Duration) -> Self {
        self.connect_timeout = wait;
        self
    }

    /// Starts it. It has to be called within a tokio runtime of several threads, with time and I/O enabled.
    ///
    /// # Errors
    /// When its configuration is wrong, an address cannot be had, or no broker answers.
    pub async fn start(self) -> Result<Standalone, StartError> {
        let providers = ConfigProviders::of_worker(&self.given)?;
        let mut config = WorkerConfig::resolved(WorkerMode::Standalone, &self.given, &providers)?;
        for warning in warnings(WorkerMode::Standalone, &config.given) {
            tracing::warn!("the worker's configuration: {warning}");
        }
        if !self.rest {
            config.rest.listeners.clear();
            config.rest.admin_listeners = None;
        }
        let listeners = Listeners::bind(&config.rest).await.map_err(StartError::Listen)?;
        let config = Arc::new(config);
        let registry = Arc::new(self.registry);
        let board = Arc::new(StatusBoard::new(listeners.worker_id()));
        let worker = Worker::new(
            Arc::clone(&config),
            Arc::clone(&registry),
            Arc::clone(&board) as _,
        );
        let worker = worker.map_err(StartError::Worker)?;
        let wait = self.connect_timeout;
        worker
            .cluster_id(wait)
            .await
            .map_err(|error| StartError::Unreachable {
                servers: config.bootstrap_servers.clone(),
                wait_ms: wait.as_millis(),
                error,
            })?;
        let validator = Validator::new(registry, Arc::clone(&config), Arc::new(providers), config_def_for);
        let loggers = self.loggers;
        let herder = Arc::new(StandaloneHerder::start(StandaloneParts {
            tasks: Arc::new(worker),
            board,
            validator,
            config,
            loggers: loggers.unwrap_or_else(|| Loggers::new(LogLevel::Info, Box::new(|_| {}))),
        }));
        let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
        Ok(Standalone { herder, server })
    }
}

/// A worker that runs in this process and keeps connectors in memory.
pub struct Standalone {
    herder: Arc<StandaloneHerder>,
    server: RestServer,
}

impl Standalone {
    /// What is to be started, with these plugins.
    pub fn builder(registry: Registry) -> Builder {
        Builder {
            given: ConfigMap::new(),
            registry,
            loggers: None,
            connect_timeout: Duration::from_secs(10),
            rest: false,
        }
    }

    /// Makes a connector, and starts it unless it says otherwise.
    ///
    /// # Errors
    /// What is wrong with its configuration.
    pub async fn create(&self, connector: ConnectorFile) -> Result<ConnectorInfo, HerderError> {
        let target = match connector.initial_state.as_deref() {
            None => TargetState::Started,
            Some(state) => TargetState::parse(state).ok_or_else(|| {
                HerderError::BadRequest(format!(
                    "initial_state={state} is not known; it is RUNNING, PAUSED or STOPPED"
                ))
            })?,
        };
        let config = connector.config.into_iter().map(|(key, text)| (key, Some(text)));
        self.herder
            .create(&connector.name, config.collect(), target)
            .await
    }

    /// All connectors of the beginning are made: the worker is healthy from now on.
    pub fn ready(&self) {
        self.herder.ready();
    }

    /// What looks after the connectors: everything that the REST API does.
    pub fn herder(&self) -> &Arc<StandaloneHerder> {
        &self.herder
    }

    /// The addresses of the REST API, if it is served.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// How far sources are.
    ///
    /// # Errors
    /// When something failed that is not started again.
    pub fn progress(&self) -> Result<SourcesProgress, UnitFailed> {
        match self.herder.given_up().into_iter().next() {
            Some((unit, why)) => Err(UnitFailed { unit, why }),
            None => Ok(self.herder.sources_progress()),
        }
    }

    /// Waits until every source has come to its end and all it read is delivered, and every sink has taken what is in its topics. What sinks
    /// have taken is durable once the worker is [stopped](Self::stop). A source without an end, such as one that follows a file, is waited for
    /// without an end.
    ///
    /// # Errors
    /// When something failed that is not started again, or the cluster cannot be asked.
    pub async fn until_done(&self) -> Result<(), NotDone> {
        while !self.progress()?.finished {
            tokio::time::sleep(LOOK_AT_SOURCES).await;
        }
        while !self.herder.sinks_have_all().await? {
            self.progress()?;
            tokio::time::sleep(LOOK_AT_SINKS).await;
        }
        Ok(())
    }

    /// Stops connectors: sources store their offsets, sinks make durable what they took.
    ///
    /// # Errors
    /// What had failed by then, or fails as it is stopped; all else is stopped.
    pub async fn stop(self) -> Result<(), UnitFailed> {
        self.server.stop().await;
        self.herder.stop().await;
        match self.herder.failures().into_iter().next() {
            Some((unit, why)) => Err(UnitFailed { unit, why }),
            None => Ok(()),
        }
    }
}
