//! Sinks: from topics to a system.
use std::sync::Arc;

use async_trait::async_trait;

use super::{Connector, ExactlyOnceSupport, Plugin, PluginError, TaskId, Validated};
use crate::config::ConfigMap;
use crate::record::Record;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
}

/// A partition, and the offset of the first record that is not yet done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffset {
    /// Which partition.
    pub partition: TopicPartition,
    /// The next offset.
    pub next: i64,
}

/// A kind of sink.
pub trait SinkPlugin: Plugin {
    /// Checks a configuration beyond what the declarations say; by default nothing more. It may take time, and runs where it blocks nobody.
    fn validate(&self, config: &ConfigMap) -> Validated {
        self.config_def().validate(config)
    }

    /// Whether it delivers exactly once with this configuration.
    fn exactly_once(&self, _config: &ConfigMap) -> ExactlyOnceSupport {
        ExactlyOnceSupport::Unsupported
    }

    /// Checks offsets that a user wants to set (none: to forget), and does what has to be done outside (a sink that owns its offsets
    /// stores them); the runtime commits them then.
    ///
    /// # Errors
    /// When they make no sense.
    fn alter_offsets(
        &self,
        _config: &ConfigMap,
        _offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), PluginError> {
        Ok(())
    }

    /// The offsets that the sink keeps itself for the connector `config` is of: those that [`SinkTask::open`] would give. They are shown to
    /// users, and forgotten with the group's. It may take time.
    ///
    /// # Errors
    /// When they cannot be read.
    fn owned_offsets(&self, _config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
        Ok(Vec::new())
    }

    /// A connector, not started.
    fn new_connector(&self) -> Box<dyn Connector>;

    /// A task, not started.
    fn new_task(&self) -> Box<dyn SinkTask>;
}

/// What the runtime offers to a sink's task.
#[derive(Debug, Clone)]
pub struct SinkTaskContext {
    /// Which task it is.
    pub task: TaskId,
}

/// A record that a sink could not take.
#[derive(Debug)]
pub struct FailedRecord {
    /// Its place in the batch.
    pub index: usize,
    /// Why.
    pub error: PluginError,
}

/// A record of which a sink wants the value alone, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct RawValue<'a> {
    /// Of which topic it is.
    pub topic: &'a Arc<str>,
    /// Of which partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its bytes; a tombstone has none.
    pub value: Option<&'a [u8]>,
}

/// A task of a sink.
///
/// Calls come one at a time: `start`, then for partitions that come and go `open`, any number of `put` and `flush`, `close`, then `stop`.
#[async_trait]
pub trait SinkTask: Send {
    /// Begins.
    ///
    /// # Errors
    /// When it cannot; the kind says whether trying again may help.
    async fn start(&mut self, config: &ConfigMap, context: SinkTaskContext) -> Result<(), PluginError>;

    /// These partitions are this task's from now on. A sink that keeps offsets itself gives those it has, and records come from there;
    /// others come from where the group committed.
    ///
    /// An older owner may still run: a task that hangs, or on a machine that was away. A sink that keeps offsets says with them who opened
    /// last (a random name), and who finds another's name when it is to store offsets writes nothing more. The last who opened is the
    /// owner: no clock and no number can say better, because an older task that opens late would take both from its own present.
    ///
    /// # Errors
    /// When it cannot.
    async fn open(&mut self, _partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        Ok(Vec::new())
    }

    /// Takes records. Those that cannot be taken for what they are come back with their reasons (they go to the dead letters, or fail the
    /// task); all others count as taken. A sink that keeps offsets itself stores none behind a refused record before the next call of `put`
    /// or `flush`, which comes only if the task goes on behind it.
    ///
    /// # Errors
    /// When the batch as a whole could not be taken. With [`ErrorKind::Retriable`](super::ErrorKind::Retriable) the same batch comes again.
    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError>;

    /// Whether values alone, as bytes, are all this task wants of records: then it gets them with [`put_values`](Self::put_values) whenever the
    /// value converter reads them as they are and nothing is to be transformed, which is several times cheaper. Asked once, after `start`.
    fn wants_values(&self) -> bool {
        false
    }

    /// As [`put`](Self::put), for a task that [wants](Self::wants_values) values alone. Both may be called in turn.
    ///
    /// # Errors
    /// As with [`put`](Self::put).
    async fn put_values(&mut self, _values: &[RawValue<'_>]) -> Result<Vec<FailedRecord>, PluginError> {
        Err(PluginError::fatal("this sink wants whole records"))
    }

    /// Makes durable what was taken, and says how far: only that is committed. `taken` is how far records were put; giving it back
    /// means that all of them are durable. A sink that keeps offsets itself stores none behind `taken`. Dead letters of records up to there are
    /// safe by now, as those of earlier calls are when `put` is called.
    ///
    /// # Errors
    /// When nothing is known to be durable: nothing is committed.
    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError>;

    /// These partitions are this task's no more; if they are `lost`, another may already own them, and nothing more may be written for them.
    /// So it is after a failure, too: what was not flushed comes again. If they are not lost, what the last `flush` gave as taken may be stored, and
    /// no more.
    ///
    /// # Errors
    /// When it cannot; it is logged.
    async fn close(&mut self, _partitions: &[TopicPartition], _lost: bool) -> Result<(), PluginError> {
        Ok(())
    }

    /// Ends. Also called when `start` failed.
    async fn stop(&mut self) {}
}
