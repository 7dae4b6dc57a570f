//! The thread that keeps a data directory from growing without bound.
//!
//! Owns: when retention looks at the logs, when deleted files go, when the room on the disk is measured. Does not own:
//! the rules (`retention`), the steps of a deletion (`trim`), and compaction (`cleaner`).
//! Invariant: one partition that cannot be read does not keep others from being looked at.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::config::Volume;
use super::dir::LogDir;
use super::error::{LogError, TrimError};
use super::lock::{lock, read};
use super::partition::Partition;
use super::retention;
use super::shared::Shared;
use super::trim;
use crate::ids::Offset;

/// Rest between two looks at the room on the disk and at files that wait.
const TICK: Duration = Duration::from_secs(1);
/// While the disk is full, retention need not wait for its interval.
const INTERVAL_WHEN_SHORT: Duration = Duration::from_secs(10);

/// Deletes what is too old, in all partitions of a data directory.
#[derive(Debug)]
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    stop: AtomicBool,
    /// Held for a round, so that there is one at a time.
    round: Mutex<()>,
    sleeping: Mutex<()>,
    wake: Condvar,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            stop: AtomicBool::new(false),
            round: Mutex::default(),
            sleeping: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Ends [`Upkeep::run`] soon, and returns when nobody deletes any more.
    pub(crate) fn stop(&self) {
        {
            let _sleeping = lock(&self.sleeping);
            self.stop.store(true, Ordering::Release);
            self.wake.notify_all();
        }
        drop(lock(&self.round));
    }

    /// Runs until it is stopped or the directory fails.
    pub(crate) fn run(&self) {
        let interval = self.shared.options.retention_interval;
        let mut looked = Instant::now();
        while self.shared.check().is_ok() {
            self.tick();
            {
                let sleeping = lock(&self.sleeping);
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                let waited = self.wake.wait_timeout(sleeping, TICK.min(interval));
                drop(waited.expect("no thread panics while it holds the lock"));
            }
            let interval = match self.shared.space.is_short() {
                true => interval.min(INTERVAL_WHEN_SHORT),
                false => interval,
            };
            if looked.elapsed() >= interval && !self.stop.load(Ordering::Acquire) {
                looked = Instant::now();
                if let Err(error) = self.retain() {
                    tracing::warn!(%error, "cannot delete old records; trying again later");
                }
            }
        }
    }

    fn tick(&self) {
        let shared = &*self.shared;
        shared.space.refresh(&shared.root, &*shared.options.disk);
        shared.graveyard.reap(shared.space.is_short());
        if shared.sweep_due.swap(false, Ordering::AcqRel) {
            let _one_at_a_time = lock(&self.round);
            self.sweep();
        }
    }

    /// Removes segments before the log starts. Most partitions have none.
    fn sweep(&self) {
        let partitions: Vec<_> = read(&self.shared.partitions).values().cloned().collect();
        for partition in partitions {
            partition.sweep();
        }
    }

    /// Deletes what retention says; tells from how many partitions.
    pub(crate) fn retain(&self) -> Result<usize, LogError> {
        let _one_at_a_time = lock(&self.round);
        self.shared.check()?;
        let now = self.shared.options.clock.now().0;
        let partitions: Vec<_> = read(&self.shared.partitions).values().cloned().collect();
        let mut raises = Vec::new();
        for partition in partitions {
            let due = match retention::due(&partition, now) {
                Ok(due) => due,
                // Compaction or a client was faster; there is a next time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    tracing::warn!(partition = %partition.topic_partition(), %error, "cannot tell how old records are");
                    None
                }
            };
            let Some(due) = due else { continue };
            // If there were appends meanwhile, the last segment is not to go.
            if !due.roll || partition.roll_at(due.start) {
                raises.push((partition, due.start));
            }
        }
        let before: Vec<_> = raises.iter().map(|(p, _)| p.log_start_offset().0).collect();
        trim::raise(&self.shared, &raises)?;
        self.sweep();
        for ((partition, to), from) in raises.iter().zip(before) {
            if *to > from {
                tracing::info!(partition = %partition.topic_partition(), from, to, "old records deleted by retention");
            }
        }
        Ok(raises.len())
    }
}

impl LogDir {
    /// Starts the thread that deletes old records and watches over the room on the disk, once every partition has its own
    /// settings. A second call does nothing.
    ///
    /// # Errors
    /// The operating system's, if there can be no thread.
    pub fn start_upkeep(&self) -> Result<(), LogError> {
        self.shared.check()?;
        let mut slot = lock(&self.upkeep_thread);
        if slot.is_none() {
            let upkeep = self.upkeep.clone();
            let thread = std::thread::Builder::new().name("millstream-log-upkeep".to_owned());
            *slot = Some(
                thread
                    .spawn(move || upkeep.run())
                    .map_err(LogError::io(self.path()))?,
            );
        }
        Ok(())
    }

    /// Deletes now what retention says, and tells from how many partitions. Blocks on the disk.
    ///
    /// # Errors
    /// The directory failed or was closed, or the new log starts cannot be written.
    pub fn retain_now(&self) -> Result<usize, LogError> {
        self.upkeep.retain()
    }

    /// Deletes the records before the offsets, or before the high watermark where the offset is −1; when this returns,
    /// they stay deleted after a crash. Gives the first offsets there are then. Blocks on the disk.
    #[must_use]
    pub fn delete_records(&self, wanted: &[(Arc<Partition>, Offset)]) -> Vec<Result<Offset, TrimError>> {
        trim::delete_records(&self.shared, wanted)
    }

    /// Whether records are refused because the disk is nearly full.
    #[must_use]
    pub fn is_short_of_room(&self) -> bool {
        self.shared.space.is_short()
    }

    /// The room on the volume.
    ///
    /// # Errors
    /// The operating system's.
    pub fn volume(&self) -> Result<Volume, LogError> {
        let volume = self.shared.options.disk.volume(self.path());
        volume.map_err(LogError::io(self.path()))
    }
}
