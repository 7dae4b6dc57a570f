//! One partition: an ordered list of segments, the last of which is written.
//!
//! Owns: offsets, the high watermark, the producers' state, and the lock that makes appends sequential.
//! Does not own: the sync thread, which calls [`Partition::begin_sync`] and [`SyncWork::finish`].
//! Invariants: `log_start <= high watermark <= log_end`; only a writer holding `writer` changes the list of
//! segments or appends; segments before the last never change, but compaction puts others in their place. Locks are taken in the order `files`,
//! `writer`, `segments`, and none of them is held while waiting for the disk to sync.

mod append;
mod flush;
mod read;
mod replace;
mod transform;
mod trim;

pub use append::{Appended, Origin};
pub(crate) use flush::SyncWork;
pub(crate) use replace::{CleanedSegment, Part};
pub(crate) use trim::Span;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use tokio::sync::watch;

use super::config::LogConfig;
use super::error::LogError;
use super::lock::{lock, read, write};
use super::producer_state::{ProducerInfo, ProducerStates, Verification};
use super::segment::Segment;
use super::shared::Shared;
use super::traffic::Traffic;
use super::txn_index::AbortedTransaction;
use super::watch::Watchers;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// An offset and where its batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) offset: i64,
    /// Base offset of the segment.
    pub(crate) segment: i64,
    /// Byte in its file.
    pub(crate) position: u64,
}

/// A segment that was closed but whose indexes are not on disk yet.
#[derive(Debug)]
struct Rolled {
    segment: Arc<Segment>,
    file: Option<Arc<File>>,
    /// The producers at its end, encoded.
    snapshot: Vec<u8>,
    end_offset: i64,
    /// Entries that the index files have already.
    index_written: (usize, usize),
}

/// What only the holder of the append lock may touch.
#[derive(Debug)]
struct Writer {
    active: Arc<Segment>,
    /// Open while there is unsynced data in it, so that a failed write-back is reported to this handle.
    file: Option<Arc<File>>,
    end: LogPosition,
    /// Everything before it is synced.
    synced: i64,
    producers: ProducerStates,
    rolled: Vec<Rolled>,
    /// A segment file was created, and the folder is not synced since.
    folder_dirty: bool,
    /// Greatest timestamp of the active segment's first batch.
    first_timestamp: Option<i64>,
    created_ms: i64,
    index_written: (usize, usize),
}

/// What recovery found, to make a partition of.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) log_start: i64,
    pub(crate) log_end: i64,
    pub(crate) recovery_point: i64,
    pub(crate) producers: ProducerStates,
    pub(crate) first_timestamp: Option<i64>,
    /// Snapshots there are, by offset.
    pub(crate) snapshots: Vec<i64>,
    /// Entries that the active segment's index files have already.
    pub(crate) index_written: (usize, usize),
    /// A file was created, and the folder is not synced since.
    pub(crate) folder_dirty: bool,
    /// Offset before which compaction may have left gaps between segments.
    pub(crate) gaps_before: i64,
}

impl Recovered {
    /// A partition with one new, empty segment.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        let start = segment.base_offset();
        Self {
            segments: vec![segment],
            log_start: start,
            log_end: start,
            recovery_point: start,
            producers: ProducerStates::default(),
            first_timestamp: None,
            snapshots: Vec::new(),
            index_written: (0, 0),
            folder_dirty: true,
            gaps_before: 0,
        }
    }
}

/// One partition's log.
#[derive(Debug)]
pub struct Partition {
    me: Weak<Self>,
    topic_partition: TopicPartition,
    folder: Arc<Path>,
    shared: Arc<Shared>,
    config: RwLock<Arc<LogConfig>>,
    segments: RwLock<Vec<Arc<Segment>>>,
    writer: Mutex<Writer>,
    /// Held while files are created or removed by name; the snapshots there are, by offset.
    files: Mutex<Vec<i64>>,
    deleted: AtomicBool,
    queued: AtomicBool,
    log_start: AtomicI64,
    /// What the checkpoint may say already, before `log_start` does.
    log_start_intended: AtomicI64,
    log_end: AtomicI64,
    recovery_point: AtomicI64,
    cleaned_to: AtomicI64,
    /// Offset before which compaction may have left gaps between segments.
    gaps_before: AtomicI64,
    set_aside: AtomicBool,
    /// Where undecided records begin; `i64::MAX` if there are none.
    first_unstable: AtomicI64,
    /// How many aborted transactions the producers' state lists.
    aborted: AtomicUsize,
    visible: RwLock<LogPosition>,
    high_watermark: watch::Sender<i64>,
    watchers: Watchers,
    traffic: Arc<Traffic>,
}

impl Partition {
    pub(crate) fn new(
        topic_partition: TopicPartition,
        folder: Arc<Path>,
        shared: Arc<Shared>,
        config: LogConfig,
        recovered: Recovered,
    ) -> Arc<Self> {
        let active = recovered
            .segments
            .last()
            .expect("recovery leaves at least one segment")
            .clone();
        let end = LogPosition {
            offset: recovered.log_end,
            segment: active.base_offset(),
            position: active.size(),
        };
        let mut producers = recovered.producers;
        // Whatever recovery found is visible.
        producers.retire(i64::MAX);
        let (unstable, aborted) = (producers.first_unstable(), producers.aborted().len());
        let writer = Writer {
            active,
            file: None,
            end,
            synced: recovered.recovery_point,
            producers,
            rolled: Vec::new(),
            folder_dirty: recovered.folder_dirty,
            first_timestamp: recovered.first_timestamp,
            created_ms: shared.options.clock.now().0,
            index_written: recovered.index_written,
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            topic_partition,
            folder,
            config: RwLock::new(Arc::new(config)),
            segments: RwLock::new(recovered.segments),
            writer: Mutex::new(writer),
            files: Mutex::new(recovered.snapshots),
            deleted: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            log_start: AtomicI64::new(recovered.log_start),
            log_start_intended: AtomicI64::new(recovered.log_start),
            log_end: AtomicI64::new(end.offset),
            recovery_point: AtomicI64::new(recovered.recovery_point),
            cleaned_to: AtomicI64::new(0),
            gaps_before: AtomicI64::new(recovered.gaps_before),
            set_aside: AtomicBool::new(false),
            first_unstable: AtomicI64::new(unstable),
            aborted: AtomicUsize::new(aborted),
            visible: RwLock::new(end),
            high_watermark: watch::Sender::new(end.offset),
            watchers: Watchers::default(),
            traffic: Arc::default(),
            shared,
        })
    }

    /// Topic and number.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The first offset there is.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The offset after the last that is durable, up to which consumers may read.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(*self.high_watermark.borrow())
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// Where records begin of which it is not decided whether they count, up to the high watermark: consumers of
    /// committed records read no further.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        // In this order: a batch is counted as undecided before the high watermark passes it.
        let high_watermark = self.high_watermark().0;
        let unstable = self.first_unstable.load(Ordering::Acquire).min(high_watermark);
        // Records may have been deleted from under an open transaction.
        Offset(unstable.max(self.log_start_offset().0.min(high_watermark)))
    }

    /// Transactions that began here and have not ended.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        match self.first_unstable.load(Ordering::Acquire) {
            i64::MAX => 0,
            _ => lock(&self.writer).producers.open_transactions(),
        }
    }

    fn has_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire) > 0
    }

    /// Every producer that the log remembers, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerInfo> {
        lock(&self.writer).producers.describe()
    }

    /// Whether a transactional batch of the producer may be appended without asking the transaction coordinator (KIP-890).
    #[must_use]
    pub fn verification(&self, id: ProducerId, epoch: ProducerEpoch) -> Verification {
        lock(&self.writer).producers.verification(id.0, epoch.0)
    }

    /// The aborted transactions with records from `from` up to but not including `to`, in the order of their markers.
    #[must_use]
    pub fn aborted_transactions(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        if self.has_aborted() {
            lock(&self.writer)
                .producers
                .aborted()
                .collect(from.0, to.0, &mut found);
        }
        found
    }

    /// The leader's epoch; a single node never elects another.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(0)
    }

    /// Size of all segments, without their indexes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        read(&self.segments).iter().map(|s| s.size()).sum()
    }

    /// What went in and out since the start.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        read(&self.config).clone()
    }

    /// Changes the settings, for appends from now on.
    pub fn set_config(&self, config: LogConfig) {
        *write(&self.config) = Arc::new(config);
        // Under the old mode nobody may have asked for what is not synced yet.
        self.enqueue();
    }

    /// Resolves when everything before `offset` is durable under the flush mode.
    ///
    /// # Errors
    /// The log failed, was deleted or closed before it was.
    pub async fn wait_durable(&self, offset: Offset) -> Result<(), LogError> {
        let mut high_watermark = self.high_watermark.subscribe();
        loop {
            if *high_watermark.borrow_and_update() >= offset.0 {
                return Ok(());
            }
            self.check_writable()?;
            if high_watermark.changed().await.is_err() {
                // The sender is part of `self`.
                return self.check_writable();
            }
        }
    }

    pub(crate) fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// Opens the active segment if recovery found more in it than was synced. Everything counts as visible
    /// from the start, so the caller syncs before anyone else can see the partition.
    pub(crate) fn open_unsynced(&self) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        if writer.synced < writer.end.offset {
            writer.file = Some(writer.active.file(&self.shared.pool)?);
        }
        Ok(())
    }

    /// Whether all of it is on the disk, its indexes perhaps not.
    pub(crate) fn is_synced(&self) -> bool {
        let writer = lock(&self.writer);
        writer.synced >= writer.end.offset
    }

    /// Returns when the append that may be going on is over; the directory is closed to others.
    pub(crate) fn finish_appends(&self) {
        drop(lock(&self.writer));
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn wake(&self) {
        self.high_watermark.send_modify(|_| {});
        self.watchers.tell();
    }

    /// Who is told when it changes, fails or is deleted.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    fn check_writable(&self) -> Result<(), LogError> {
        self.check_not_deleted()?;
        self.shared.check()
    }

    fn check_not_deleted(&self) -> Result<(), LogError> {
        if self.is_deleted() {
            return Err(LogError::Deleted {
                partition: self.topic_partition.clone(),
            });
        }
        Ok(())
    }

    /// Ends all use of the partition, then lets `remove` take its folder away.
    pub(crate) fn delete<T>(&self, remove: impl FnOnce(&Path) -> T) -> T {
        let _files = lock(&self.files);
        {
            let mut writer = lock(&self.writer);
            self.deleted.store(true, Ordering::Release);
            // Whoever still holds the partition, a fetch session perhaps, must not hold its room on the disk.
            writer.file = None;
            writer.rolled.clear();
            read(&self.segments)
                .iter()
                .for_each(|segment| segment.close_file());
        }
        self.wake();
        remove(&self.folder)
    }
}
