//! Counters of a job.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::worker::TaskId;
use crate::task::TaskMetrics;

use crate::operator::ErrorCounters;

/// What a job has done since it started, in this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Records read from source topics.
    pub records_in: u64,
    /// Bytes of their values.
    pub bytes_in: u64,
    /// Records written to output topics.
    pub records_out: u64,
    /// Bytes of their keys and values.
    pub bytes_out: u64,
    /// Records written to repartition topics, each a batch of partial states.
    pub batches_shuffled: u64,
    /// Their bytes.
    pub bytes_shuffled: u64,
    /// Records written to changelogs, one a key and epoch.
    pub changes: u64,
    /// Their bytes.
    pub bytes_changed: u64,
    /// Records that could not be read and rows that could not be worked on, and were dropped as their policy
    /// ([`skip`](crate::skip)) says. What is read again after a failure counts again.
    pub rows_skipped: u64,
    /// The same, written to a dead letter topic ([`dead_letter`](crate::dead_letter)).
    pub rows_dead_lettered: u64,
    /// Those of them of which something was left out, because a record takes no more.
    pub dead_letters_truncated: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// States loaded from local checkpoints.
    pub states_loaded: u64,
    /// Records of changelogs read to rebuild state.
    pub records_restored: u64,
    /// Offsets of changelogs that are still to be read before all tasks work.
    pub restore_left: u64,
    /// Each sub-topology, by number.
    pub sub_topologies: Vec<SubTopologyMetrics>,
    /// The tasks that this process works on, by sub-topology and partition, up to half a second old.
    pub tasks: BTreeMap<(usize, i32), TaskMetrics>,
    /// Records of changelogs taken into standby copies (`num.standby.replicas`).
    pub standby_records: u64,
    /// The standby copies of this process, by changelog and partition, up to half a second old.
    pub standbys: BTreeMap<(String, i32), StandbyMetrics>,
}

/// A warm copy of the state of a task that another process works on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StandbyMetrics {
    /// Offsets of the changelog that it has not taken yet, up to a few seconds old; none as long as nobody has looked.
    pub lag: Option<u64>,
}

/// One sub-topology of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SubTopologyMetrics {
    /// Records read.
    pub records_in: u64,
    /// Records behind the end of the partitions this process holds, up to a second old.
    pub lag: u64,
    /// Keys in the resident state, as of the last epoch.
    pub state_keys: u64,
    /// Memory of the resident state in bytes, roughly, as of the last epoch.
    pub state_bytes: u64,
    /// Rows that came too late for their windows; of rows that were aggregated before the shuffle while a partition was idle, each key
    /// counts once.
    pub late_rows: u64,
}

/// The counters behind a snapshot.
pub(super) struct Metrics {
    records_out: AtomicU64,
    bytes_out: AtomicU64,
    batches_shuffled: AtomicU64,
    bytes_shuffled: AtomicU64,
    changes: AtomicU64,
    bytes_changed: AtomicU64,
    epochs: AtomicU64,
    states_loaded: AtomicU64,
    records_restored: AtomicU64,
    restore_left: AtomicU64,
    errors: Arc<ErrorCounters>,
    subs: Vec<SubCounters>,
    tasks: Mutex<BTreeMap<TaskId, TaskMetrics>>,
    standby_records: AtomicU64,
    standbys: Mutex<BTreeMap<(String, i32), StandbyMetrics>>,
}

#[derive(Default)]
struct SubCounters {
    reads_sources: bool,
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    state_keys: AtomicU64,
    state_bytes: AtomicU64,
    late_rows: AtomicU64,
}

impl Metrics {
    /// One entry a sub-topology: whether it reads source topics.
    pub(super) fn new(sub_topologies: impl IntoIterator<Item = bool>, errors: Arc<ErrorCounters>) -> Self {
        Self {
            records_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            batches_shuffled: AtomicU64::new(0),
            bytes_shuffled: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            bytes_changed: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            states_loaded: AtomicU64::new(0),
            records_restored: AtomicU64::new(0),
            restore_left: AtomicU64::new(0),
            errors,
            subs: sub_topologies
                .into_iter()
                .map(|reads_sources| SubCounters {
                    reads_sources,
                    ..SubCounters::default()
                })
                .collect(),
            tasks: Mutex::default(),
            standby_records: AtomicU64::new(0),
            standbys: Mutex::default(),
        }
    }

    pub(super) fn read(&self, sub_topology: usize, records: u64, bytes: u64) {
        self.subs[sub_topology]
            .records_in
            .fetch_add(records, Ordering::Relaxed);
        self.subs[sub_topology]
            .bytes_in
            .fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, records: u64, bytes: u64) {
        self.records_out.fetch_add(records, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn shuffled(&self, batches: u64, bytes: u64) {
        self.batches_shuffled.fetch_add(batches, Ordering::Relaxed);
        self.bytes_shuffled.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn changed(&self, records: u64, bytes: u64) {
        self.changes.fetch_add(records, Ordering::Relaxed);
        self.bytes_changed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rows that came too late.
    pub(super) fn late(&self, sub_topology: usize, rows: u64) {
        self.subs[sub_topology]
            .late_rows
            .fetch_add(rows, Ordering::Relaxed);
    }

    /// A worker's tasks stand so; those in `before` were reported by it last.
    pub(super) fn tasks(&self, before: &BTreeSet<TaskId>, now: BTreeMap<TaskId, TaskMetrics>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task, _| !before.contains(task));
        tasks.extend(now);
    }

    /// More records were taken into standby copies.
    pub(super) fn followed(&self, records: u64) {
        self.standby_records.fetch_add(records, Ordering::Relaxed);
    }

    /// The standby copies stand so.
    pub(super) fn standbys(&self, now: BTreeMap<(String, i32), StandbyMetrics>) {
        *self.standbys.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// How the standby copies stand.
    pub(super) fn standbys_now(&self) -> BTreeMap<(String, i32), StandbyMetrics> {
        self.standbys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn committed(&self) {
        self.epochs.fetch_add(1, Ordering::Relaxed);
    }

    /// More states were loaded, and more records read, to rebuild state.
    pub(super) fn restored(&self, states: u64, records: u64) {
        self.states_loaded.fetch_add(states, Ordering::Relaxed);
        self.records_restored.fetch_add(records, Ordering::Relaxed);
    }

    /// What one restore still has to read went from `before` to `after`.
    pub(super) fn restoring(&self, before: u64, after: u64) {
        // Modulo 2^64, as below.
        self.restore_left
            .fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// The state of a sub-topology's tasks in one worker went from `before` to `after` keys and bytes.
    pub(super) fn state(&self, sub_topology: usize, before: (usize, usize), after: (usize, usize)) {
        let change = |counter: &AtomicU64, before: usize, after: usize| {
            // Two's complement: adding the difference modulo 2^64 subtracts where it is negative.
            counter.fetch_add((after as u64).wrapping_sub(before as u64), Ordering::Relaxed);
        };
        change(&self.subs[sub_topology].state_keys, before.0, after.0);
        change(&self.subs[sub_topology].state_bytes, before.1, after.1);
    }

    pub(super) fn snapshot(&self, lag: impl Fn(usize) -> u64) -> MetricsSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sub = |(number, sub): (usize, &SubCounters)| SubTopologyMetrics {
            records_in: get(&sub.records_in),
            lag: lag(number),
            state_keys: get(&sub.state_keys),
            state_bytes: get(&sub.state_bytes),
            late_rows: get(&sub.late_rows),
        };
        let sub_topologies: Vec<SubTopologyMetrics> = self.subs.iter().enumerate().map(sub).collect();
        let of_sources = || self.subs.iter().filter(|sub| sub.reads_sources);
        MetricsSnapshot {
            records_in: of_sources().map(|sub| get(&sub.records_in)).sum(),
            bytes_in: of_sources().map(|sub| get(&sub.bytes_in)).sum(),
            records_out: get(&self.records_out),
            bytes_out: get(&self.bytes_out),
            batches_shuffled: get(&self.batches_shuffled),
            bytes_shuffled: get(&self.bytes_shuffled),
            changes: get(&self.changes),
            bytes_changed: get(&self.bytes_changed),
            rows_skipped: get(&self.errors.skipped),
            rows_dead_lettered: get(&self.errors.dead_lettered),
            dead_letters_truncated: get(&self.errors.truncated),
            epochs: get(&self.epochs),
            states_loaded: get(&self.states_loaded),
            records_restored: get(&self.records_restored),
            restore_left: get(&self.restore_left),
            sub_topologies,
            tasks: self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            standby_records: get(&self.standby_records),
            standbys: self.standbys_now(),
        }
    }
}
