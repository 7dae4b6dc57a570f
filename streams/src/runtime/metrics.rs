//! Counters of a job.
use std::sync::atomic::{AtomicU64, Ordering};

/// What a job has done since it started, in this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Records read, the repartition topics' included.
    pub records_in: u64,
    /// Bytes of the values read.
    pub bytes_in: u64,
    /// Records written, the repartition topics' included.
    pub records_out: u64,
    /// Bytes of keys and values written.
    pub bytes_out: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// Each sub-topology, by number.
    pub sub_topologies: Vec<SubTopologyMetrics>,
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
}

/// The counters behind a snapshot.
pub(super) struct Metrics {
    records_out: AtomicU64,
    bytes_out: AtomicU64,
    epochs: AtomicU64,
    subs: Vec<SubCounters>,
}

#[derive(Default)]
struct SubCounters {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    state_keys: AtomicU64,
    state_bytes: AtomicU64,
}

impl Metrics {
    pub(super) fn new(sub_topologies: usize) -> Self {
        Self {
            records_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            subs: (0..sub_topologies).map(|_| SubCounters::default()).collect(),
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

    pub(super) fn committed(&self) {
        self.epochs.fetch_add(1, Ordering::Relaxed);
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
        };
        let sub_topologies: Vec<SubTopologyMetrics> = self.subs.iter().enumerate().map(sub).collect();
        MetricsSnapshot {
            records_in: sub_topologies.iter().map(|sub| sub.records_in).sum(),
            bytes_in: self.subs.iter().map(|sub| get(&sub.bytes_in)).sum(),
            records_out: get(&self.records_out),
            bytes_out: get(&self.bytes_out),
            epochs: get(&self.epochs),
            sub_topologies,
        }
    }
}
