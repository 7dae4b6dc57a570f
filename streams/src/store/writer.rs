//! The thread that writes checkpoints, so that no stream thread waits for the disk.
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::Keyspace;
use hashbrown::HashTable;

use super::LocalStoreError;
use super::directory::directory_error;
use super::pending::Pending;
use super::position::Stamp;
use super::spool::Spool;
use millstream_client::give_back_freed;

/// Checkpoints that may wait to be merged before the next one is held back.
const UNMERGED_MAX: usize = 24;
/// How long it is held back at most.
const MERGE_WAIT: Duration = Duration::from_secs(30);
const MERGE_PAUSE: Duration = Duration::from_millis(10);
/// How often freed memory is given back where it is short.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);
/// The key of the stamp; those of states begin with 1.
pub(super) const STAMP_KEY: [u8; 1] = [0];

/// Changes that change no more, until they are on the disk.
pub(super) struct Sealed {
    pub(super) pending: Pending,
    pub(super) stamp: Option<Stamp>,
    /// Finds the changes that nobody looked up before they were sealed.
    index: OnceLock<HashTable<u32>>,
    outcome: Mutex<Option<Result<(), String>>>,
    ended: Condvar,
}

impl Sealed {
    pub(super) fn new(pending: Pending, stamp: Option<Stamp>) -> Self {
        Self {
            pending,
            stamp,
            index: OnceLock::new(),
            outcome: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// None if the key is not among the changes, `Some(None)` if it was deleted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.pending.get_by(self.index(), key)
    }

    /// Each key can be found at once from now on.
    pub(super) fn index(&self) -> &HashTable<u32> {
        self.index.get_or_init(|| self.pending.index_behind())
    }

    #[cfg(test)]
    pub(super) fn is_indexed(&self) -> bool {
        self.index.get().is_some()
    }

    /// How the writing ended, if it has.
    pub(super) fn outcome(&self) -> Option<Result<(), String>> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.clone()
    }

    /// Waits until it is written.
    pub(super) fn wait(&self) -> Result<(), String> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.ended.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it is written, but no longer than `patience`; says whether it is.
    pub(super) fn wait_for(&self, patience: Duration) -> bool {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(outcome, patience, |outcome| outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    pub(super) fn end(&self, result: Result<(), String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.ended.notify_all();
    }
}

/// One checkpoint to write.
pub(super) struct Job {
    pub(super) keyspace: Keyspace,
    /// What comes before the sealed changes, and how much of it is sorted at once.
    pub(super) spool: Option<(Spool, usize)>,
    pub(super) sealed: Arc<Sealed>,
}

/// The thread. It ends when this is dropped, with what waits written.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it; where memory is `short` it also gives back what the process has freed.
    pub(super) fn start(path: &std::path::Path, short: bool) -> Result<Self, LocalStoreError> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || work(&queue, short))
            .map_err(|error| directory_error(path, &error))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Queues a checkpoint. Each store has one at a time.
    pub(super) fn write(&self, job: Job) {
        if let Some(jobs) = &self.jobs
            && let Err(job) = jobs.send(job)
        {
            job.0.sealed.end(Err("its thread has ended".to_owned()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes checkpoints ended abnormally");
        }
    }
}

fn work(queue: &Receiver<Job>, short: bool) {
    let mut given_back = Instant::now();
    loop {
        if short && given_back.elapsed() >= GIVE_BACK_PAUSE {
            give_back_freed();
            given_back = Instant::now();
        }
        let next = match short {
            true => queue.recv_timeout(GIVE_BACK_PAUSE),
            false => queue.recv().map_err(RecvTimeoutError::from),
        };
        let Job {
            keyspace,
            spool,
            sealed,
        } = match next {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // The stream threads wait for the outcome, whatever it is.
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| {
            if let Some((spool, bytes_max)) = spool {
                spool.runs(bytes_max, |run| write(&keyspace, None, run))?;
            }
            // The stamp at last: a crash before leaves changes that are in the log as well.
            write(&keyspace, sealed.stamp.as_ref(), &sealed.pending)
        }));
        sealed.end(match written {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the store panicked".to_owned()),
        });
    }
}

/// Writes changes all at once: a crash leaves everything or nothing, the stamp included.
fn write(keyspace: &Keyspace, stamp: Option<&Stamp>, changes: &Pending) -> fjall::Result<()> {
    let held_back = Instant::now();
    while keyspace.l0_table_count() > UNMERGED_MAX && held_back.elapsed() < MERGE_WAIT {
        std::thread::sleep(MERGE_PAUSE);
    }
    let mut ingestion = keyspace.start_ingestion()?;
    if let Some(stamp) = stamp {
        ingestion.write(STAMP_KEY, stamp.encode())?;
    }
    for (key, value) in changes.sorted() {
        match value {
            Some(value) => ingestion.write(key, value)?,
            None => ingestion.write_tombstone(key)?,
        }
    }
    ingestion.finish()
}
