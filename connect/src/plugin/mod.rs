//! What plugins are: sources, sinks, converters, transforms, predicates, and the registry that finds them by name.
//!
//! A plugin is an object in the [`Registry`] that says what it is called and which keys it has, and makes the parts that run. The runtime
//! gives each task a thread of its own: a part may block (on a disk, a database) without disturbing anybody, and a panic
//! fails its task alone. Names are Kafka's where a plugin does what Kafka's does, so that property files carry over.
//!
//! Owns: the traits and their contracts. Does not own: when parts are called ([`worker`](crate::worker)), and what a connector's
//! common keys mean.
pub mod conformance;
mod convert;
mod error;
mod registry;
mod sink;
mod source;

use std::fmt;

/// What the traits of connectors and tasks are written with; implementations need it, too.
pub use async_trait::async_trait;

use crate::config::{ConfigDef, ConfigMap, ConfigValue};

pub use convert::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Latest, Predicate,
    PredicatePlugin, ReadsAsIs, Transform, TransformPlugin,
};
pub use error::{ErrorKind, PluginError};
pub use registry::{PluginKind, Registry, UnknownPlugin};
pub use sink::{
    FailedRecord, PartitionOffset, RawValue, SinkPlugin, SinkTask, SinkTaskContext, TopicPartition,
};
pub use source::{
    Boundary, Budget, ExactlyOnceSupport, OffsetReader, Progress, ProgressUnit, SourceBatch, SourceOffset,
    SourcePartition, SourcePlugin, SourceTask, SourceTaskContext, TaskSignal,
};

/// What every plugin says of itself.
pub trait Plugin: Send + Sync {
    /// Its full name: the class name of Kafka's plugin where it does the same, such as
    /// `org.apache.kafka.connect.file.FileStreamSourceConnector`.
    fn class(&self) -> &'static str;

    /// Further names it answers to, beside the last part of its class (after the last dot), with and without `Connector`.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Its version.
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Its keys.
    fn config_def(&self) -> ConfigDef;
}

/// A task of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The connector's name.
    pub connector: String,
    /// The task's number, from 0.
    pub task: u32,
}

impl fmt::Display for TaskId {
    /// As Kafka writes it: `local-file-source-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// A connector that runs: it divides its work among tasks, and may watch for changes of it.
#[async_trait]
pub trait Connector: Send {
    /// Begins. `config` was found good by the plugin, and its references to secrets are resolved.
    ///
    /// # Errors
    /// When it cannot; the connector is FAILED then.
    async fn start(&mut self, config: &ConfigMap, context: ConnectorContext) -> Result<(), PluginError>;

    /// The configurations of its tasks, at most `max` of them.
    ///
    /// # Errors
    /// When the work cannot be divided.
    fn task_configs(&mut self, max: usize) -> Result<Vec<ConfigMap>, PluginError>;

    /// Ends.
    async fn stop(&mut self) {}
}

/// What the runtime offers to a connector.
#[derive(Clone)]
pub struct ConnectorContext {
    /// The connector's name.
    pub name: String,
    /// Calling it asks for [`Connector::task_configs`] again: the work is to be divided differently.
    pub request_task_reconfiguration: std::sync::Arc<dyn Fn() + Send + Sync>,
}

/// A connector with one configuration for any number of tasks; for plugins that need no more.
#[derive(Debug, Clone, Default)]
pub struct SameForAll {
    config: ConfigMap,
    /// The most tasks that make sense.
    tasks: usize,
}

impl SameForAll {
    /// At most `tasks` tasks, each with the connector's configuration.
    pub fn new(tasks: usize) -> Self {
        let config = ConfigMap::new();
        Self { config, tasks }
    }
}

#[async_trait]
impl Connector for SameForAll {
    async fn start(&mut self, config: &ConfigMap, _context: ConnectorContext) -> Result<(), PluginError> {
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&mut self, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        Ok(vec![self.config.clone(); self.tasks.min(max)])
    }
}

/// What validating a connector's configuration found: each declared key with its value and errors.
pub type Validated = Vec<ConfigValue>;
