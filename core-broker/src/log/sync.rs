//! Group commit: one thread makes durable whatever waits, as often as the disk allows.
//!
//! Why a thread: `fdatasync` blocks for milliseconds. While one runs, further appends gather, and the next
//! covers them all, so that the cost of durability is shared by everyone who waits.
//! Owns: the queue of partitions with unsynced data, the choice between `fdatasync` and `syncfs`, and the
//! checkpoints from which recovery begins.
//! Invariant: what could not be synced once is never synced again; the directory fails instead.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::checkpoint::{self, CLEANER_FILE, LOG_START_FILE, Offsets, RECOVERY_POINT_FILE};
use super::durable;
use super::error::LogError;
use super::lock::{lock, read};
use super::partition::{Partition, SyncWork};
use super::shared::Shared;
use super::sync_pool::{Order, SyncPool};

/// Partitions written in one go by a checkpoint; those that wait for a commit come in between.
const CHECKPOINT_CHUNK: usize = 64;
/// The first Linux on which `syncfs` reports lost pages.
const SYNCFS_REPORTS_SINCE: (u32, u32) = (5, 8);

/// Rest before a partition is tried again that could not be prepared.
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Queue {
    /// Each partition at most once here or in `later`, so it is bounded by their number.
    waiting: Vec<Arc<Partition>>,
    later: Vec<Arc<Partition>>,
    /// When `later` is due.
    retry_at: Option<Instant>,
    stopped: bool,
}

/// Partitions with data that is not durable.
#[derive(Debug, Default)]
pub(crate) struct SyncQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl SyncQueue {
    pub(crate) fn push(&self, partition: Arc<Partition>) {
        let mut queue = lock(&self.queue);
        // After the end nobody would take it out again, and it refers back here.
        if !queue.stopped {
            queue.waiting.push(partition);
            self.changed.notify_one();
        }
    }

    /// The same after a short rest.
    pub(crate) fn push_later(&self, partition: Arc<Partition>) {
        let mut queue = lock(&self.queue);
        if !queue.stopped {
            queue.later.push(partition);
            queue.retry_at.get_or_insert_with(|| Instant::now() + RETRY_AFTER);
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.queue).stopped = true;
        self.changed.notify_one();
    }

    pub(crate) fn clear(&self) {
        drop(self.take_all());
    }

    fn take(&self) -> Vec<Arc<Partition>> {
        std::mem::take(&mut lock(&self.queue).waiting)
    }

    /// Those that rest as well.
    fn take_all(&self) -> Vec<Arc<Partition>> {
        let mut queue = lock(&self.queue);
        queue.retry_at = None;
        let later = std::mem::take(&mut queue.later);
        let mut all = std::mem::take(&mut queue.waiting);
        drop(queue);
        all.extend(later);
        all
    }

    /// Waits for partitions or for the deadline. Nothing when it is time to end.
    fn wait(&self, deadline: Instant) -> Option<Vec<Arc<Partition>>> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopped {
                return None;
            }
            let now = Instant::now();
            if queue.retry_at.is_some_and(|at| at <= now) {
                queue.retry_at = None;
                let mut later = std::mem::take(&mut queue.later);
                queue.waiting.append(&mut later);
            }
            let next = queue.retry_at.map_or(deadline, |at| at.min(deadline));
            let left = next.saturating_duration_since(now);
            if !queue.waiting.is_empty() || left.is_zero() {
                return Some(std::mem::take(&mut queue.waiting));
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.expect("no thread panics while it holds the queue").0;
        }
    }
}

/// Makes data durable; run by the sync thread, and at close by who closes.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    /// Held open from the start, so that errors since then are reported to it.
    root: File,
    sync_filesystem: bool,
    pool: SyncPool,
}

impl Syncer {
    /// `one_filesystem`: all partitions are on the file system of the data directory.
    pub(crate) fn new(shared: Arc<Shared>, one_filesystem: bool) -> io::Result<Self> {
        Ok(Self {
            root: File::open(&shared.root)?,
            sync_filesystem: one_filesystem && syncfs_reports_errors(),
            pool: SyncPool::default(),
            shared,
        })
    }

    /// Runs until the queue is stopped.
    pub(crate) fn run(&self) {
        let _guard = FailOnPanic(&self.shared);
        let interval = self.shared.options.checkpoint_interval;
        let mut deadline = Instant::now() + interval;
        while let Some(waiting) = self.shared.queue.wait(deadline) {
            self.commit(&waiting, false);
            let bytes = self.shared.bytes_since_checkpoint.load(Ordering::Relaxed);
            if Instant::now() >= deadline || bytes >= self.shared.options.checkpoint_bytes {
                if let Err(error) = self.checkpoint() {
                    // Recovery will begin at the last one; the log itself is not in danger.
                    tracing::warn!(%error, "cannot write a checkpoint; trying again later");
                }
                deadline = Instant::now() + interval;
            }
        }
    }

    /// Makes the partitions durable and moves their high watermarks.
    fn commit(&self, partitions: &[Arc<Partition>], checkpoint: bool) {
        if self.shared.check_not_failed().is_err() {
            return;
        }
        let mut work: Vec<SyncWork> = partitions
            .iter()
            .filter_map(|p| p.begin_sync(checkpoint))
            .collect();
        // A failure while files were opened: nothing of this round may count.
        if self.shared.check_not_failed().is_err() {
            return;
        }
        let begun = Instant::now();
        let synced = self.sync(&mut work);
        if !work.is_empty() {
            self.shared.sync_times.record(begun.elapsed());
        }
        match synced {
            Ok(()) => work.into_iter().for_each(SyncWork::finish),
            Err(error) => self.shared.fail(&format!("sync failed: {error}")),
        }
    }

    fn sync(&self, work: &mut [SyncWork]) -> io::Result<()> {
        let disk = &self.shared.options.disk;
        let orders: Vec<Order> = work.iter_mut().map(|w| std::mem::take(&mut w.order)).collect();
        let files: usize = orders.iter().map(Order::len).sum();
        if self.sync_filesystem && files >= self.shared.options.sync_filesystem_files_min.max(1) {
            match disk.sync_filesystem(&self.root) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => return result,
            }
        }
        self.pool.sync(disk, orders)
    }

    /// Makes everything durable including indexes and producers, and writes down from where recovery is to
    /// begin.
    pub(crate) fn checkpoint(&self) -> Result<(), LogError> {
        self.shared.bytes_since_checkpoint.store(0, Ordering::Relaxed);
        let partitions: Vec<_> = read(&self.shared.partitions).values().cloned().collect();
        let due: Vec<_> = partitions
            .iter()
            .filter(|p| p.needs_checkpoint())
            .cloned()
            .collect();
        for chunk in due.chunks(CHECKPOINT_CHUNK) {
            self.commit(chunk, true);
            self.commit(&self.shared.queue.take(), false);
        }
        self.shared.check_not_failed()?;
        if due.is_empty() {
            return Ok(());
        }
        write_checkpoints(&self.shared)?;
        for partition in &due {
            partition
                .prune_snapshots()
                .map_err(LogError::io(&self.shared.root))?;
        }
        Ok(())
    }

    /// Syncs and checkpoints everything at close.
    pub(crate) fn finish(&self) -> Result<(), LogError> {
        self.commit(&self.shared.queue.take_all(), false);
        self.checkpoint()?;
        let behind = |p: &&Arc<Partition>| p.needs_checkpoint() && !p.is_deleted();
        match read(&self.shared.partitions).values().find(behind) {
            None => Ok(()),
            Some(partition) => Err(LogError::Io {
                path: self.shared.root.join(partition.topic_partition().to_string()),
                source: Arc::new(io::Error::other(
                    "indexes could not be written; the next start recovers them",
                )),
            }),
        }
    }
}

/// Without the thread nothing would ever become durable: nobody must go on waiting for it.
struct FailOnPanic<'a>(&'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the sync thread panicked");
        }
    }
}

/// Writes the checkpoint files of a data directory, for the partitions that are not deleted.
pub(crate) fn write_checkpoints(shared: &Shared) -> Result<(), LogError> {
    let _one_at_a_time = lock(&shared.checkpoints);
    let partitions: Vec<_> = read(&shared.partitions).values().cloned().collect();
    let mut recovery_points = Offsets::new();
    let mut log_starts = Offsets::new();
    let mut cleaned = Offsets::new();
    for partition in partitions.iter().filter(|p| !p.is_deleted()) {
        let tp = partition.topic_partition();
        recovery_points.insert(tp.clone(), partition.recovery_point());
        // Even where a segment begins: an interrupted compaction may bring those before it back.
        let log_start = partition.intended_log_start();
        if log_start > 0 {
            log_starts.insert(tp.clone(), log_start);
        }
        let cleaned_to = partition.cleaned_to();
        if cleaned_to > 0 {
            cleaned.insert(tp.clone(), cleaned_to);
        }
    }
    for (name, offsets) in [
        (RECOVERY_POINT_FILE, recovery_points),
        (LOG_START_FILE, log_starts),
        (CLEANER_FILE, cleaned),
    ] {
        let path = shared.root.join(name);
        if name == CLEANER_FILE && offsets.is_empty() && !path.exists() {
            continue;
        }
        let text = checkpoint::encode(&offsets);
        shared.replace_file(&path, &durable::seal(text.as_bytes()))?;
    }
    Ok(())
}

/// Writes only where logs begin.
pub(crate) fn write_log_starts(shared: &Shared) -> Result<(), LogError> {
    let _one_at_a_time = lock(&shared.checkpoints);
    let starts: Offsets = read(&shared.partitions)
        .values()
        .filter(|partition| !partition.is_deleted() && partition.intended_log_start() > 0)
        .map(|partition| {
            (
                partition.topic_partition().clone(),
                partition.intended_log_start(),
            )
        })
        .collect();
    let text = checkpoint::encode(&starts);
    shared.replace_file(&shared.root.join(LOG_START_FILE), &durable::seal(text.as_bytes()))
}

fn syncfs_reports_errors() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|n| n.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= SYNCFS_REPORTS_SINCE)
}
