//! Running connectors and their tasks.
//!
//! The worker does what a herder says: it starts and stops connectors and tasks, each task on a thread of its own, and reports what
//! becomes of them. It resolves references to secrets, and keeps source offsets.
mod config;

use std::sync::Arc;

use crate::config::ConfigMap;
use crate::plugin::{
    ErrorKind, PluginError, Registry, SourceOffset, SourcePartition, TaskId, TopicPartition,
};

pub use config::{OffsetStorage, StorageTopic, StorageTopics, WorkerConfig};

/// What a connector or a task is doing, in the words of Kafka Connect's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No worker runs it.
    Unassigned,
    /// It works.
    Running,
    /// It waits until it is resumed.
    Paused,
    /// It ended with an error, and is not started again without a change.
    Failed,
    /// It is being started again.
    Restarting,
    /// It was stopped, and has no tasks until it is resumed.
    Stopped,
}

impl State {
    /// Its name in answers of the REST API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What a user wants a connector to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetState {
    /// Work.
    Started,
    /// Keep its tasks, without working.
    Paused,
    /// Have no tasks.
    Stopped,
}

impl TargetState {
    /// What `initial_state` says, in any case: `RUNNING`, `PAUSED` or `STOPPED`.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "RUNNING" => Some(Self::Started),
            "PAUSED" => Some(Self::Paused),
            "STOPPED" => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// Hears what becomes of connectors and tasks. Called from any thread; must not block.
pub trait StatusListener: Send + Sync {
    /// A connector's state changed; `trace` says why it failed, `kind` whether another start may help.
    fn on_connector(&self, name: &str, state: State, trace: Option<&str>, kind: Option<ErrorKind>);

    /// A task's state changed; `trace` says why it failed, `kind` whether another start may help.
    fn on_task(&self, id: &TaskId, state: State, trace: Option<&str>, kind: Option<ErrorKind>);

    /// A connector wants its work to be divided anew.
    fn on_reconfiguration_request(&self, name: &str);

    /// A connector's task wrote to, or read from, a topic (KIP-558); said once a topic and task.
    fn on_topic(&self, id: &TaskId, topic: &str);
}

/// Offsets of a connector, as the REST API shows them.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectorOffsets {
    /// Of a source; none is to forget one.
    Source(Vec<(SourcePartition, Option<SourceOffset>)>),
    /// Of a sink's group; none is to forget one.
    Sink(Vec<(TopicPartition, Option<i64>)>),
}

/// Runs connectors and tasks in this process.
pub struct Worker {}

impl Worker {
    /// A worker without connectors. It has to be called within a tokio runtime, on which plugins' futures run.
    ///
    /// # Errors
    /// When the cluster's settings or the offset store's are wrong.
    pub fn new(
        config: Arc<WorkerConfig>,
        registry: Arc<Registry>,
        listener: Arc<dyn StatusListener>,
    ) -> Result<Self, PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// The plugins.
    pub fn registry(&self) -> &Arc<Registry> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Starts a connector (not its tasks); one of that name must not run. Its state goes to the listener, too.
    ///
    /// # Errors
    /// When its class is not known, its references to secrets cannot be resolved, or it says so itself.
    pub async fn start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Stops a connector (not its tasks), if it runs.
    pub async fn stop_connector(&self, name: &str) {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// How a running connector divides its work, at most into `max` tasks.
    ///
    /// # Errors
    /// When it does not run, or says so itself.
    pub async fn task_configs(&self, name: &str, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Starts a task; it may not be running. `target` is Started or Paused. Everything that goes wrong goes to the listener.
    pub fn start_task(
        &self,
        id: &TaskId,
        connector_config: &ConfigMap,
        task_config: &ConfigMap,
        target: TargetState,
    ) {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Stops these tasks, those that run, and waits until they have ended, at most `task.shutdown.graceful.timeout.ms`; who has not then is
    /// abandoned, and cannot write any more.
    pub async fn stop_tasks(&self, ids: &[TaskId]) {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Pauses or resumes a connector's running tasks.
    pub fn set_target(&self, connector: &str, target: TargetState) {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// The connector's offsets. It need not run.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn offsets(&self, name: &str, config: &ConfigMap) -> Result<ConnectorOffsets, PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Sets offsets of a connector whose tasks do not run; without `offsets` all are forgotten.
    ///
    /// # Errors
    /// When the connector refuses them, a topic does not exist, or they cannot be stored.
    pub async fn alter_offsets(
        &self,
        name: &str,
        config: &ConfigMap,
        offsets: Option<&ConnectorOffsets>,
    ) -> Result<(), PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// The id of the cluster that `bootstrap.servers` belongs to.
    ///
    /// # Errors
    /// When it does not answer within `wait`.
    pub async fn cluster_id(&self, wait: std::time::Duration) -> Result<String, PluginError> {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }

    /// Stops everything.
    pub async fn stop(&self) {
        #[allow(clippy::todo)]
        {
            todo!()
        }
    }
}
