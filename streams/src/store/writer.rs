//! The thread that writes checkpoints, so that no stream thread waits for the disk.
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::Keyspace;

use super::LocalStoreError;
use super::directory::directory_error;
use super::pending::Pending;
use super::position::Stamp;

/// Checkpoints that wait to be written, besides the one that each store waits for.
const QUEUE: usize = 16;
/// Checkpoints that may wait to be merged before the next one is held back.
const UNMERGED_MAX: usize = 24;
/// How long it is held back at most.
const MERGE_WAIT: Duration = Duration::from_secs(30);
const MERGE_PAUSE: Duration = Duration::from_millis(10);
/// The key of the stamp; those of states begin with 1.
pub(super) const STAMP_KEY: [u8; 1] = [0];

/// Changes that change no more, until they are on the disk.
pub(super) struct Sealed {
    pub(super) pending: Pending,
    pub(super) stamp: Option<Stamp>,
    outcome: Mutex<Option<Result<(), String>>>,
    ended: Condvar,
}

impl Sealed {
    pub(super) fn new(pending: Pending, stamp: Option<Stamp>) -> Self {
        Self {
            pending,
            stamp,
            outcome: Mutex::default(),
            ended: Condvar::new(),
        }
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

    fn end(&self, result: Result<(), String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.ended.notify_all();
    }
}

/// One checkpoint to write.
pub(super) struct Job {
    pub(super) keyspace: Keyspace,
    pub(super) sealed: Arc<Sealed>,
}

/// The thread. It ends when this is dropped, with what waits written.
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(path: &std::path::Path) -> Result<Self, LocalStoreError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || work(&queue))
            .map_err(|error| directory_error(path, &error))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Queues a checkpoint; waits while many are.
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

fn work(queue: &Receiver<Job>) {
    for Job { keyspace, sealed } in queue {
        // The stream threads wait for the outcome, whatever it is.
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| write(&keyspace, &sealed)));
        sealed.end(match written {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the store panicked".to_owned()),
        });
    }
}

/// Writes all of it at once: a crash leaves everything or nothing, the stamp included.
fn write(keyspace: &Keyspace, sealed: &Sealed) -> fjall::Result<()> {
    let held_back = Instant::now();
    while keyspace.l0_table_count() > UNMERGED_MAX && held_back.elapsed() < MERGE_WAIT {
        std::thread::sleep(MERGE_PAUSE);
    }
    let mut ingestion = keyspace.start_ingestion()?;
    if let Some(stamp) = &sealed.stamp {
        ingestion.write(STAMP_KEY, stamp.encode())?;
    }
    for (key, value) in sealed.pending.sorted() {
        match value {
            Some(value) => ingestion.write(key, value)?,
            None => ingestion.write_tombstone(key)?,
        }
    }
    ingestion.finish()
}
