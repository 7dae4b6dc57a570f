//! What the threads of a job share.
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::deadline::Deadline;
use super::metrics::Metrics;
use super::queries::Queries;
use crate::error::StreamsError;
use crate::operator::ErrorCounters;
use crate::plan::Topology;

/// The longest wait for the workers at a time.
const END_WAIT: Duration = Duration::from_secs(3600);

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// No worker has been given partitions yet.
    Starting,
    /// At least one worker has been given its partitions.
    Running,
    /// Stopping was asked for; workers end their epochs.
    Stopping,
    /// All workers have ended as asked.
    Stopped,
    /// A worker failed, and with it the job.
    Failed,
}

/// Counts for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Flags, the outcome of the workers, and the counters.
pub(super) struct Shared {
    application_id: String,
    stop: AtomicBool,
    /// How many calls wait for commits.
    drains: AtomicUsize,
    /// How many workers write what belongs to offsets that they are committing.
    deliveries: AtomicUsize,
    /// How often workers were given partitions.
    assignments: AtomicU64,
    /// Shared with sources and sinks: give up waiting for brokers.
    abandon: Arc<AtomicBool>,
    progress: Mutex<Progress>,
    changed: Condvar,
    pub(super) metrics: Metrics,
    pub(super) queries: Queries,
}

#[derive(Default)]
struct Progress {
    /// Workers that have not ended, and the thread that keeps standby copies.
    live: usize,
    /// Whether a worker was ever given partitions.
    assigned: bool,
    /// The first failure: the worker and its cause.
    failure: Option<(String, Arc<StreamsError>)>,
}

impl Shared {
    pub(super) fn new(
        topology: &Topology,
        workers: usize,
        errors: Arc<ErrorCounters>,
        queries: Queries,
    ) -> Self {
        Self {
            application_id: topology.application_id.clone(),
            stop: AtomicBool::new(false),
            drains: AtomicUsize::new(0),
            deliveries: AtomicUsize::new(0),
            assignments: AtomicU64::new(0),
            abandon: Arc::default(),
            progress: Mutex::new(Progress {
                live: workers,
                ..Progress::default()
            }),
            changed: Condvar::new(),
            queries,
            metrics: Metrics::new(
                topology.sub_topologies.iter().map(|sub| sub.reads_sources()),
                errors,
            ),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn application_id(&self) -> &str {
        &self.application_id
    }

    /// Asks the workers to end their epoch and leave.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Marks that somebody waits for commits until the guard is dropped.
    pub(super) fn draining(&self) -> Counted<'_> {
        self.drains.fetch_add(1, Ordering::AcqRel);
        Counted(&self.drains)
    }

    /// Whether somebody waits for commits: epochs then end as soon as the input pauses.
    pub(super) fn is_draining(&self) -> bool {
        self.drains.load(Ordering::Acquire) > 0
    }

    /// Marks that a worker commits offsets whose outputs come afterwards, until the guard is dropped.
    pub(super) fn delivering(&self) -> Counted<'_> {
        self.deliveries.fetch_add(1, Ordering::AcqRel);
        Counted(&self.deliveries)
    }

    /// Whether a worker is about to write what belongs to offsets that may be committed.
    pub(super) fn is_delivering(&self) -> bool {
        self.deliveries.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// All workers have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.progress().live == 0
    }

    /// Asks the workers not to wait for brokers any more.
    pub(super) fn abandon(&self) {
        self.abandon.store(true, Ordering::Release);
    }

    pub(super) fn abandon_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.abandon)
    }

    /// A worker was given partitions, or confirmed that it has none.
    pub(super) fn worker_assigned(&self) {
        self.assignments.fetch_add(1, Ordering::AcqRel);
        self.progress().assigned = true;
        self.changed.notify_all();
    }

    /// How often workers were given partitions: whenever the group had changed.
    pub(super) fn assignments(&self) -> u64 {
        self.assignments.load(Ordering::Acquire)
    }

    /// A worker ended, or the thread that keeps standby copies; a failure stops the job.
    pub(super) fn worker_ended(&self, worker: &str, outcome: Result<(), StreamsError>) {
        let mut progress = self.progress();
        progress.live -= 1;
        if let Err(error) = outcome {
            tracing::error!(job = self.application_id, worker, %error, "a worker failed");
            progress
                .failure
                .get_or_insert((worker.to_owned(), Arc::new(error)));
            self.stop();
        }
        let ended = progress.live == 0;
        drop(progress);
        self.changed.notify_all();
        if ended {
            self.queries.end();
        }
    }

    /// Something beside the workers failed, which stops the job.
    pub(super) fn failed(&self, what: &str, error: StreamsError) {
        tracing::error!(job = self.application_id, thread = what, %error, "a thread failed");
        let failure = (what.to_owned(), Arc::new(error));
        self.progress().failure.get_or_insert(failure);
        self.stop();
        self.changed.notify_all();
    }

    /// The first failure, as the user sees it.
    pub(super) fn failure(&self) -> Option<StreamsError> {
        let (worker, cause) = self.progress().failure.clone()?;
        Some(StreamsError::Failed {
            application_id: self.application_id.clone(),
            worker,
            cause,
        })
    }

    pub(super) fn state(&self) -> JobState {
        let progress = self.progress();
        match (&progress.failure, progress.live) {
            (Some(_), _) => JobState::Failed,
            (None, 0) => JobState::Stopped,
            (None, _) if self.is_stopping() => JobState::Stopping,
            (None, _) if progress.assigned => JobState::Running,
            (None, _) => JobState::Starting,
        }
    }

    /// Waits until every worker has ended, or the time is over; says whether they have.
    pub(super) fn await_end(&self, timeout: Option<Duration>) -> bool {
        let deadline = Deadline::after(timeout.unwrap_or(Duration::MAX));
        let mut progress = self.progress();
        while progress.live > 0 {
            if deadline.is_over() {
                return false;
            }
            let waited = self.changed.wait_timeout(progress, deadline.left(END_WAIT));
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
