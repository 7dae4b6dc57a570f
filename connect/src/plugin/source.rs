//! Sources: from a system to topics.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Connector, Plugin, PluginError, TaskId, Validated};
use crate::config::ConfigMap;
use crate::record::Record;

/// Which part of a source system: what offsets are stored by, such as `{"filename": "test.txt"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourcePartition(pub Map<String, Json>);

/// How far a part of a source system was read, such as `{"position": 42}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceOffset(pub Map<String, Json>);

macro_rules! fields {
    ($type:ident, $example:literal) => {
        impl $type {
            /// Without fields.
            ///
            /// ```
            #[doc = concat!("use millstream_connect::plugin::", stringify!($type), ";")]
            ///
            #[doc = $example]
            /// ```
            #[must_use]
            pub fn new() -> Self {
                Self(Map::new())
            }

            /// The same with a field: a text, a number, a boolean.
            #[must_use]
            pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
                self.0.insert(name.to_owned(), value.into());
                self
            }

            /// The text of a field, if it is one.
            pub fn text(&self, name: &str) -> Option<&str> {
                self.0.get(name).and_then(Json::as_str)
            }

            /// The number of a field, if it is a whole one and not negative.
            pub fn number(&self, name: &str) -> Option<u64> {
                self.0.get(name).and_then(Json::as_u64)
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

fields!(
    SourcePartition,
    "assert_eq!(SourcePartition::new().with(\"filename\", \"a.txt\").text(\"filename\"), Some(\"a.txt\"));"
);
fields!(
    SourceOffset,
    "assert_eq!(SourceOffset::new().with(\"position\", 42).number(\"position\"), Some(42));"
);

/// Whether a source can deliver exactly once with a configuration (KIP-618).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExactlyOnceSupport {
    /// Its offsets say exactly what was read, and reading from an offset gives the same records again.
    Supported,
    /// It cannot.
    Unsupported,
}

/// A kind of source.
pub trait SourcePlugin: Plugin {
    /// Checks a configuration beyond what the declarations say; by default nothing more. It may take time, and runs where it blocks nobody.
    fn validate(&self, config: &ConfigMap) -> Validated {
        self.config_def().validate(config)
    }

    /// Whether it delivers exactly once with this configuration.
    fn exactly_once(&self, _config: &ConfigMap) -> ExactlyOnceSupport {
        ExactlyOnceSupport::Unsupported
    }

    /// Whether its batches say where transactions end (`transaction.boundary=connector`).
    fn defines_transaction_boundaries(&self, _config: &ConfigMap) -> bool {
        false
    }

    /// Checks offsets that a user wants to set (none: to forget), and does what has to be done outside; the runtime stores them then.
    ///
    /// # Errors
    /// When they make no sense.
    fn alter_offsets(
        &self,
        _config: &ConfigMap,
        _offsets: &[(SourcePartition, Option<SourceOffset>)],
    ) -> Result<(), PluginError> {
        Ok(())
    }

    /// A connector, not started.
    fn new_connector(&self) -> Box<dyn Connector>;

    /// A task, not started.
    fn new_task(&self) -> Box<dyn SourceTask>;
}

/// Stored offsets, of the task's connector. With exactly-once they are read after older tasks were fenced.
#[async_trait]
pub trait OffsetReader: Send + Sync {
    /// The stored offset of `partition`, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError>;

    /// All stored offsets of the connector.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError>;
}

/// What the runtime offers to a source's task.
#[derive(Clone)]
pub struct SourceTaskContext {
    /// Which task it is.
    pub task: TaskId,
    /// Where it stopped.
    pub offsets: Arc<dyn OffsetReader>,
}

/// How much a task may hand over at once. It may pass them by its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Records.
    pub records: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
    /// How long to wait for the first record.
    pub wait: Duration,
}

/// Where transactions end, for a source that says so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// Not here.
    #[default]
    None,
    /// Behind this batch.
    Commit,
    /// Here: what was handed over since the last boundary, this batch with it, is dropped; its offsets are kept.
    Abort,
}

/// Records, and how far the source is read once they are delivered.
#[derive(Debug, Clone, Default)]
pub struct SourceBatch {
    /// The records, in the order in which they are to be written.
    pub records: Vec<Record>,
    /// What is to be stored once all these records (and all before them) are delivered; may come without records.
    pub offsets: Vec<(SourcePartition, SourceOffset)>,
    /// Partitions that are no more: what is stored for them is forgotten at that time, so that it does not grow for ever. An offset for one of
    /// them among `offsets`, or in a later batch, is stored. [`SourceTask::committed`] does not name them.
    ///
    /// ```
    /// use millstream_connect::plugin::{SourceBatch, SourcePartition};
    ///
    /// let batch = SourceBatch {
    ///     forgotten: vec![SourcePartition::new().with("filename", "a.txt")],
    ///     ..SourceBatch::default()
    /// };
    /// assert!(batch.records.is_empty());
    /// ```
    pub forgotten: Vec<SourcePartition>,
    /// Whether a transaction ends here.
    pub boundary: Boundary,
    /// Records without a time were made just now: transforms see the time of now, and so do those who read the topic. It costs less
    /// than a time in each record.
    pub made_now: bool,
    /// There will be nothing more: a one-shot load is done. The task stays RUNNING, and is polled no more.
    pub finished: bool,
}

/// What [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressUnit {
    /// Bytes of the source.
    Bytes,
    /// Records, rows, messages.
    Records,
}

/// How far a task is in what there is to read, for people who wait for it: the command line shows it, and so do metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How much was read since the source's beginning, by earlier tasks, too.
    pub done: u64,
    /// How much of that was done when this task began.
    pub before: u64,
    /// How much there is now, if that is known; it may grow.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: ProgressUnit,
}

/// What a user asks a running task for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSignal {
    /// Its id, by which whoever sent it knows it again.
    pub id: String,
    /// What it asks for, such as `execute-snapshot`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What belongs to it.
    #[serde(default)]
    pub data: Json,
}

/// A task of a source.
///
/// Calls come one at a time: `start`, any number of `poll` and `committed`, `stop`.
#[async_trait]
pub trait SourceTask: Send {
    /// Begins behind the stored offsets.
    ///
    /// # Errors
    /// When it cannot; the kind says whether trying again may help.
    async fn start(&mut self, config: &ConfigMap, context: SourceTaskContext) -> Result<(), PluginError>;

    /// The next records; an empty batch if there are none within [`Budget::wait`]. The future may be dropped at an await (the task is
    /// stopping, or its offsets are due): what it has not handed over is handed over by the next call.
    ///
    /// # Errors
    /// When the source cannot be read; the kind says whether trying again may help.
    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError>;

    /// These offsets are stored for good.
    ///
    /// # Errors
    /// When what the source has to do then fails (deleting a file that is done, say): it is logged, and not repeated.
    async fn committed(&mut self, _offsets: &[(SourcePartition, SourceOffset)]) -> Result<(), PluginError> {
        Ok(())
    }

    /// A user asks the running task for something, over `POST /connectors/{name}/signals`. Between other calls; it takes it to be done
    /// later, and does not wait. What it takes belongs into the offsets that it hands over next: the user's answer does not wait for them to be stored.
    /// If the task has to go back to what is stored before they are (it was paused within a transaction), it is asked again; if it fails, it is not.
    ///
    /// # Errors
    /// When it makes no sense, or the task takes no signals, as by default.
    async fn signal(&mut self, _signal: &TaskSignal) -> Result<(), PluginError> {
        Err(PluginError::user_config("the connector takes no signals"))
    }

    /// How far it is, if it can tell. It is asked a few times a second at most, between other calls, and answers at once.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// Ends. Also called when `start` failed.
    async fn stop(&mut self) {}
}
