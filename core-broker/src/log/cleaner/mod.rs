//! Compaction: of each key, the newest record stays.
//!
//! Owns: the thread, which partition comes next, and when ([`Section::is_due`]); `pass` does the work, `filter`
//! holds the rules. Does not own: how a new segment takes the place of others (`swap`, `partition::replace`).
//! Invariants: the segment being written is never touched; offsets never change; a partition that cannot be read
//! is set aside until the next start, so that it does not keep others from being cleaned.

mod filter;
mod offset_map;
mod pass;
mod transactions;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use pass::{CleanError, Pass, Section};

use super::error::LogError;
use super::lock::{lock, read};
use super::partition::Partition;
use super::shared::Shared;

/// Settings of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerOptions {
    /// `log.cleaner.backoff.ms`: rest when there is nothing to do. Default 15 s.
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of all threads; with less, a log takes several passes.
    /// Default 128 MiB.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.threads`: how many logs are compacted at once. Default 1.
    pub threads: usize,
}

impl Default for CleanerOptions {
    fn default() -> Self {
        Self {
            backoff: Duration::from_secs(15),
            dedupe_buffer_bytes: 128 << 20,
            threads: 1,
        }
    }
}

/// Compacts the partitions of a data directory whose settings ask for it.
#[derive(Debug)]
pub(crate) struct Cleaner {
    shared: Arc<Shared>,
    options: Mutex<CleanerOptions>,
    stop: AtomicBool,
    /// Held for a round, so that there is one at a time.
    round: Mutex<()>,
    sleeping: Mutex<()>,
    wake: Condvar,
}

impl Cleaner {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            options: Mutex::new(shared.options.cleaner),
            shared,
            stop: AtomicBool::new(false),
            round: Mutex::new(()),
            sleeping: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Changes the settings, from the next round on.
    pub(crate) fn set_options(&self, options: CleanerOptions) {
        *lock(&self.options) = options;
    }

    fn options(&self) -> CleanerOptions {
        *lock(&self.options)
    }

    /// Ends [`Cleaner::run`] soon, even in the middle of a pass, and returns when nobody compacts any more.
    pub(crate) fn stop(&self) {
        {
            let _sleeping = lock(&self.sleeping);
            self.stop.store(true, Ordering::Release);
            self.wake.notify_all();
        }
        drop(lock(&self.round));
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Runs until it is stopped or the directory fails.
    pub(crate) fn run(&self) {
        loop {
            {
                let sleeping = lock(&self.sleeping);
                if self.is_stopped() {
                    return;
                }
                let waited = self.wake.wait_timeout(sleeping, self.options().backoff);
                drop(waited.expect("no thread panics while it holds the lock"));
            }
            while !self.is_stopped() {
                match self.round() {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "compaction rests until the next start");
                        return;
                    }
                }
            }
        }
    }

    /// Compacts every partition that is due, the dirtiest first. Tells how many have got on.
    ///
    /// # Errors
    /// The directory failed or was closed.
    pub(crate) fn round(&self) -> Result<usize, LogError> {
        let _one_at_a_time = lock(&self.round);
        let options = self.options();
        let partitions: Vec<_> = read(&self.shared.partitions).values().cloned().collect();
        let mut due: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| Some((Reverse(self.dirt(&partition)?), partition)))
            .collect();
        due.sort_by_key(|(dirt, _)| *dirt);
        let (next, cleaned) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let threads = options.threads.clamp(1, due.len().max(1));
        let options = CleanerOptions {
            dedupe_buffer_bytes: options.dedupe_buffer_bytes / threads,
            ..options
        };
        let work = || {
            while let Some((_, partition)) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.shared.check().is_err() {
                    return;
                }
                match self.clean(partition, options) {
                    Ok(grown) => _ = cleaned.fetch_add(usize::from(grown), Ordering::Relaxed),
                    Err(CleanError::Stopped) => return,
                    Err(error) => give_up(partition, &error),
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        self.shared.check()?;
        Ok(cleaned.into_inner())
    }

    /// How dirty the partition is, if it is due.
    fn dirt(&self, partition: &Partition) -> Option<u64> {
        let config = partition.config();
        if !config.compact || partition.is_set_aside() || self.is_stopped() {
            return None;
        }
        match Section::of(partition, &self.shared, &config) {
            Ok(section) => {
                let due = section.filter(|section| section.is_due(&config));
                due.map(|section| section.dirty_ppm())
            }
            Err(error) => {
                give_up(partition, &error);
                None
            }
        }
    }

    fn clean(&self, partition: &Partition, options: CleanerOptions) -> Result<bool, CleanError> {
        let config = partition.config();
        let Some(section) = Section::of(partition, &self.shared, &config)? else {
            return Ok(false);
        };
        let before = partition.size_bytes();
        let pass = Pass {
            partition,
            shared: &self.shared,
            config: &config,
            dedupe_buffer_bytes: options.dedupe_buffer_bytes,
            stop: &self.stop,
        };
        let grown = pass.run(&section)?;
        let after = partition.size_bytes();
        tracing::debug!(partition = %partition.topic_partition(), before, after, "compacted");
        Ok(grown)
    }
}

/// One partition must not keep others from being cleaned.
fn give_up(partition: &Partition, error: &CleanError) {
    if partition.is_deleted() {
        return;
    }
    let topic_partition = partition.topic_partition();
    match error {
        CleanError::Stopped => {}
        CleanError::Corrupt { .. } => {
            partition.set_aside();
            tracing::error!(partition = %topic_partition, %error, "no more compaction of this partition until the \
                next start; restore the file, or delete and refill the topic");
        }
        CleanError::Log(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            tracing::debug!(partition = %topic_partition, %error, "segments were deleted while they were compacted");
        }
        CleanError::NoRoom { .. } | CleanError::Log(_) => {
            tracing::warn!(partition = %topic_partition, %error, "compaction failed; trying again later");
        }
    }
}
