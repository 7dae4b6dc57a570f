//! Which connectors there are, and what they are to do.
//!
//! A herder keeps connectors' configurations and target states, and has a worker start and stop what follows from them. The REST API and the
//! command line speak to the trait [`Herder`] alone. [`StandaloneHerder`] keeps everything in memory, as Kafka's `connect-standalone` does.
//!
//! Owns: configurations, target states, statuses, validation, supervised restarts. Does not own: threads of tasks, offsets
//! ([`worker`](crate::worker)), how requests come in ([`rest`](crate::rest)).
mod board;
mod distributed;
#[cfg(test)]
pub(crate) mod double;
mod error;
mod locks;
mod loggers;
mod metrics;
mod offsets;
mod restarts;
mod standalone;
mod tasks;
mod validation;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::ConfigMap;
use crate::plugin::{PluginKind, Registry, TaskId, TaskSignal};
use crate::worker::{ConnectorOffsets, State, TargetState};

pub use board::StatusBoard;
pub use distributed::{DistributedHerder, DistributedParts, TaskEvents};
pub use error::HerderError;
pub use loggers::{LogLevel, LoggerLevel, Loggers};
pub use offsets::GivenOffset;
pub use restarts::{RestartPolicy, Restarts, Unit};
pub use standalone::{SourcesProgress, StandaloneHerder, StandaloneParts};
pub use tasks::Tasks;
pub use validation::{StagesDef, Validation, Validator};

/// A configuration as a request gives it: a key may be null, which is an error, or removes it.
pub type GivenConfig = BTreeMap<String, Option<String>>;

/// A connector, as `GET /connectors/NAME` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: String,
    /// Its configuration as it was given: references to secrets are not resolved.
    pub config: ConfigMap,
    /// Its tasks.
    pub tasks: Vec<TaskId>,
    /// Source or sink.
    pub kind: PluginKind,
}

/// What a connector or a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitStatus {
    /// Its state.
    pub state: State,
    /// The worker that runs it.
    pub worker_id: String,
    /// The version of its plugin.
    pub version: Option<String>,
    /// Why it failed.
    pub trace: Option<String>,
}

/// What a connector and its tasks are doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// The connector's name.
    pub name: String,
    /// The connector.
    pub connector: UnitStatus,
    /// Its tasks by their numbers.
    pub tasks: Vec<(u32, UnitStatus)>,
    /// Source or sink.
    pub kind: PluginKind,
}

/// What `POST /connectors/NAME/restart` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartRequest {
    /// `includeTasks`.
    pub include_tasks: bool,
    /// `onlyFailed`.
    pub only_failed: bool,
}

/// How a worker feels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Healthy,
    /// It is not yet ready.
    Starting,
    /// It does not answer as it should.
    Unhealthy(String),
}

impl Health {
    /// That of a worker which works but for tasks that hang: `stalled` has a sentence for each.
    fn of_tasks(stalled: &[String]) -> Self {
        match stalled {
            [] => Self::Healthy,
            [one] => Self::Unhealthy(format!("The {one}.")),
            [first, more @ ..] => {
                Self::Unhealthy(format!("The {first}, and {} more tasks hang.", more.len()))
            }
        }
    }
}

/// Who does what a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doer {
    /// The leader of the group of workers.
    Leader,
    /// Whoever runs the task.
    Task(TaskId),
}

/// Everything the REST API asks for.
///
/// A call that changes something runs to its end even if whoever asked goes away: callers put it on a task of its own.
#[async_trait]
pub trait Herder: Send + Sync {
    /// The plugins.
    fn registry(&self) -> &Arc<Registry>;

    /// The levels of logs.
    fn loggers(&self) -> &Loggers;

    /// How the worker feels.
    fn health(&self) -> Health;

    /// Figures in the text format of Prometheus.
    fn metrics(&self) -> String;

    /// The id of the cluster that records go to and come from.
    async fn cluster_id(&self) -> Result<String, HerderError>;

    /// The names of all connectors.
    async fn connectors(&self) -> Result<Vec<String>, HerderError>;

    /// A connector.
    async fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError>;

    /// What it is doing.
    async fn status(&self, name: &str) -> Result<ConnectorStatus, HerderError>;

    /// What it is doing; one that was made a moment ago is given the time to begin.
    async fn first_status(&self, name: &str) -> Result<ConnectorStatus, HerderError> {
        self.status(name).await
    }

    /// What a task is doing.
    async fn task_status(&self, id: &TaskId) -> Result<UnitStatus, HerderError>;

    /// The configurations of its tasks, with references instead of secrets.
    async fn tasks(&self, name: &str) -> Result<Vec<(TaskId, ConfigMap)>, HerderError>;

    /// Checks a configuration. It may take long, and holds up nothing else.
    async fn validate(&self, config: GivenConfig) -> Result<Validation, HerderError>;

    /// Makes a connector.
    async fn create(
        &self,
        name: &str,
        config: GivenConfig,
        initial: TargetState,
    ) -> Result<ConnectorInfo, HerderError>;

    /// Makes a connector, or changes one; says whether it was made.
    async fn put_config(&self, name: &str, config: GivenConfig)
    -> Result<(bool, ConnectorInfo), HerderError>;

    /// Changes some keys of a connector; null removes one (KIP-477).
    async fn patch_config(&self, name: &str, patch: GivenConfig) -> Result<ConnectorInfo, HerderError>;

    /// Stops a connector and forgets it; with `offsets`, its offsets, too.
    async fn delete(&self, name: &str, offsets: bool) -> Result<(), HerderError>;

    /// Pauses, resumes or stops a connector.
    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), HerderError>;

    /// Starts a connector again, without its tasks, and waits for it.
    async fn restart_connector(&self, name: &str) -> Result<(), HerderError>;

    /// Starts a connector and perhaps its tasks again, in the background; what is restarted shows as RESTARTING in the answer.
    async fn restart(&self, name: &str, request: RestartRequest) -> Result<ConnectorStatus, HerderError>;

    /// Starts a task again.
    async fn restart_task(&self, id: &TaskId) -> Result<(), HerderError>;

    /// Has a task that runs here take what a user asks for.
    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), HerderError>;

    /// The topics it has used.
    async fn topics(&self, name: &str) -> Result<Vec<String>, HerderError>;

    /// Forgets the topics it has used.
    async fn reset_topics(&self, name: &str) -> Result<(), HerderError>;

    /// Its offsets.
    async fn offsets(&self, name: &str) -> Result<ConnectorOffsets, HerderError>;

    /// Sets offsets of a stopped connector.
    async fn alter_offsets(&self, name: &str, offsets: Vec<GivenOffset>) -> Result<(), HerderError>;

    /// Forgets all offsets of a stopped connector.
    async fn reset_offsets(&self, name: &str) -> Result<(), HerderError>;

    /// The URL of the worker to which a request has to be handed on, if it is another one than this.
    async fn elsewhere(&self, _doer: &Doer) -> Result<Option<String>, HerderError> {
        Ok(None)
    }

    /// Sets the level of a logger on all workers; one that is alone sets its own.
    async fn set_cluster_level(&self, logger: &str, level: LogLevel) -> Result<(), HerderError> {
        let now = jiff::Timestamp::now().as_millisecond();
        self.loggers().set(logger, level, now);
        Ok(())
    }

    /// What a distributed worker asks its leader for; a standalone one says that it does not do `what`.
    async fn peer_request(&self, what: &str) -> Result<(), HerderError> {
        Err(HerderError::Internal(format!(
            "Kafka Connect in standalone mode does not support {what}."
        )))
    }
}
