//! What all partitions of a data directory share.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::config::LogOptions;
use super::durable;
use super::error::LogError;
use super::graveyard::Graveyard;
use super::lock::read;
use super::partition::Partition;
use super::segment::FilePool;
use super::space::{Space, is_full};
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
    /// Held while log starts are raised.
    pub(crate) trims: Mutex<()>,
    /// Segments below a log start could not be removed yet.
    pub(crate) sweep_due: AtomicBool,
    pub(crate) graveyard: Graveyard,
    pub(crate) space: Space,
    closed: AtomicBool,
    failure: OnceLock<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, options: LogOptions) -> Self {
        Self {
            trims: Mutex::default(),
            sweep_due: AtomicBool::new(false),
            graveyard: Graveyard::default(),
            space: Space::new(&root, &options),
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

    /// Whether there is room for so many bytes of records. What is `urgent` may use more of the volume.
    pub(crate) fn admit(&self, bytes: u64, urgent: bool) -> io::Result<()> {
        self.space.admit(&self.root, &*self.options.disk, bytes, urgent)
    }

    /// Replaces a small file as a whole, if need be with the room that is reserved for that.
    pub(crate) fn replace_file(&self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let replaced = match durable::replace(path, bytes) {
            Err(error) if is_full(&error) && self.release_reserve() => durable::replace(path, bytes),
            result => result,
        };
        replaced.map_err(LogError::io(path))
    }

    /// Frees the reserve; false if there is none.
    pub(crate) fn release_reserve(&self) -> bool {
        self.space.release(&self.root)
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
