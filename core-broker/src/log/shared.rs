//! What all partitions of a data directory share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::config::LogOptions;
use super::error::LogError;
use super::lock::read;
use super::partition::Partition;
use super::segment::FilePool;
use super::sync::SyncQueue;
use crate::ids::TopicPartition;
use crate::metrics::Histogram;

/// The state of a data directory apart from its partitions' own.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) pool: FilePool,
    pub(crate) queue: SyncQueue,
    /// Cleared when the directory is closed or dropped, since partitions point back here.
    pub(crate) partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    /// Held while checkpoint files are written.
    pub(crate) checkpoints: Mutex<()>,
    pub(crate) bytes_since_checkpoint: AtomicU64,
    /// The checkpoint files may name partitions that were deleted since; written again before any is created.
    pub(crate) checkpoints_stale: AtomicBool,
    /// How long syncs took.
    pub(crate) sync_times: Histogram,
    /// How long an idle producer is remembered.
    pub(crate) producer_expiration_ms: AtomicI64,
    closed: AtomicBool,
    failure: OnceLock<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, options: LogOptions) -> Self {
        Self {
            root,
            pool: FilePool::new(options.open_files_max),
            producer_expiration_ms: AtomicI64::new(options.producer_expiration_ms),
            options,
            queue: SyncQueue::default(),
            partitions: RwLock::default(),
            checkpoints: Mutex::new(()),
            bytes_since_checkpoint: AtomicU64::new(0),
            checkpoints_stale: AtomicBool::new(false),
            sync_times: Histogram::default(),
            closed: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// Whether writes and waits still make sense.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        self.check_not_failed()?;
        self.check_open()
    }

    pub(crate) fn check_not_failed(&self) -> Result<(), LogError> {
        match self.failure.get() {
            Some(reason) => Err(LogError::Failed {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether reads still make sense: what is below the high watermark outlives a failed sync.
    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(LogError::Closed {
                dir: self.root.clone(),
            });
        }
        Ok(())
    }

    /// Refuses all further use; true if it was open.
    pub(crate) fn set_closed(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Fails the directory for good. Linux reports a lost page once and then forgets it: whoever syncs
    /// again and succeeds has not saved what was lost, so there is no way on but to recover from the disk.
    pub(crate) fn fail(&self, reason: &str) {
        if self.failure.set(reason.into()).is_ok() {
            tracing::error!(dir = %self.root.display(), reason, "data directory failed; it takes no more writes");
        }
        self.wake_all();
    }

    pub(crate) fn wake_all(&self) {
        for partition in read(&self.partitions).values() {
            partition.wake();
        }
    }
}
