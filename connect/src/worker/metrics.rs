//! What a task counts.
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::plugin::{PartitionOffset, Progress, ProgressUnit, TopicPartition};

/// Counters of a task since it was started. Names in the metrics page follow Kafka Connect's.
#[derive(Debug, Default)]
pub(crate) struct TaskMetrics {
    /// Records that came from the source, or from topics.
    pub(crate) read: AtomicU64,
    /// Records that went to topics, or to the sink.
    pub(crate) written: AtomicU64,
    /// Records that transforms dropped.
    pub(crate) filtered: AtomicU64,
    /// Records that failed somewhere.
    pub(crate) failed: AtomicU64,
    /// Failed records that were passed over.
    pub(crate) skipped: AtomicU64,
    /// Records that went to the dead letters.
    pub(crate) dead_letters: AtomicU64,
    /// Times that offsets were stored.
    pub(crate) commits: AtomicU64,
    /// Times that offsets could not be stored.
    pub(crate) commit_failures: AtomicU64,
    /// When the task last came back from its connector's code, in milliseconds since 1970.
    pub(crate) alive_at_ms: AtomicI64,
    /// Whether the task is in its connector's code now, and since when (0: it is not).
    pub(crate) inside_since_ms: AtomicI64,
    /// A source has come to its end: all is delivered, and its offsets are stored.
    pub(crate) finished: AtomicBool,
    /// How far a source says it is.
    progress: Mutex<Option<Progress>>,
    /// Behind what was put into a sink, of the partitions it has.
    taken: Mutex<HashMap<TopicPartition, i64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TaskMetrics {
    pub(crate) fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// The task calls its connector's code.
    pub(crate) fn enter(&self) {
        self.inside_since_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// The task came back from it.
    pub(crate) fn leave(&self) {
        self.alive_at_ms.store(now_ms(), Ordering::Relaxed);
        self.inside_since_ms.store(0, Ordering::Relaxed);
    }

    /// The source is so far.
    pub(crate) fn set_progress(&self, progress: Option<Progress>) {
        *locked(&self.progress) = progress;
    }

    /// How far the source is.
    pub(crate) fn progress(&self) -> Option<Progress> {
        *locked(&self.progress)
    }

    /// Records were put into the sink, now or by who had these partitions before, up to these offsets.
    pub(crate) fn took(&self, ends: impl Iterator<Item = PartitionOffset>) {
        locked(&self.taken).extend(ends.map(|end| (end.partition, end.next)));
    }

    /// The sink has no partitions any more.
    pub(crate) fn gave_back(&self) {
        locked(&self.taken).clear();
    }

    /// How far records of partitions that it has were put into the sink.
    pub(crate) fn taken(&self) -> HashMap<TopicPartition, i64> {
        locked(&self.taken).clone()
    }

    /// What is written of the progress: a metric's name and its line.
    pub(crate) fn progress_lines(&self, labels: &str) -> Vec<(&'static str, String)> {
        let Some(progress) = self.progress() else {
            return Vec::new();
        };
        let (done, total) = match progress.unit {
            ProgressUnit::Bytes => ("source_progress_done_bytes", "source_progress_total_bytes"),
            ProgressUnit::Records => ("source_progress_done_records", "source_progress_total_records"),
        };
        let values = [(done, Some(progress.done)), (total, progress.total)];
        let lines = values.into_iter().filter_map(|(name, value)| {
            let mut line = String::new();
            // Writing to a text cannot fail.
            let _ = writeln!(line, "kafka_connect_task_{name}{labels} {}", value?);
            Some((name, line))
        });
        lines.collect()
    }

    /// Counters with their names.
    pub(crate) fn counters(&self, source: bool) -> [(&'static str, u64); 8] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (read, written) = match source {
            true => ("source_record_poll_total", "source_record_write_total"),
            false => ("sink_record_read_total", "sink_record_send_total"),
        };
        [
            (read, get(&self.read)),
            (written, get(&self.written)),
            ("records_filtered_total", get(&self.filtered)),
            ("total_record_failures", get(&self.failed)),
            ("total_records_skipped", get(&self.skipped)),
            ("deadletterqueue_produce_requests", get(&self.dead_letters)),
            ("offset_commit_success_total", get(&self.commits)),
            ("offset_commit_failure_total", get(&self.commit_failures)),
        ]
    }
}

/// Milliseconds since 1970. For metrics and epochs; nothing that is delivered depends on it.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
