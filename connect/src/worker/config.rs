//! The worker's own configuration.
use std::path::PathBuf;
use std::time::Duration;

use crate::config::ConfigMap;

/// What a worker is told: the parsed keys of `connect-standalone.properties` or `connect-distributed.properties`.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Everything as it was given: `producer.*`, `consumer.*`, `admin.*`, `key.converter.*` and the like are read from here.
    pub given: ConfigMap,
    /// Where source offsets are kept: `offset.storage.file.filename` (standalone) or `offset.storage.topic` (distributed).
    pub offset_storage: OffsetStorage,
    /// `offset.flush.interval.ms`.
    pub offset_flush_interval: Duration,
    /// `offset.flush.timeout.ms`.
    pub offset_flush_timeout: Duration,
    /// `task.shutdown.graceful.timeout.ms`.
    pub task_shutdown_timeout: Duration,
    /// `exactly.once.source.support=enabled`.
    pub exactly_once_source: bool,
    /// `group.id`, of distributed workers.
    pub group_id: Option<String>,
    /// `topic.creation.enable`.
    pub topic_creation: bool,
}

/// Where source offsets are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetStorage {
    /// A file of this worker.
    File(PathBuf),
    /// A compacted topic.
    Topic(String),
}
