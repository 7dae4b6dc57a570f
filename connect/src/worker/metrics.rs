//! What a task counts, and how long it has been doing what it does.
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::stall::Call;

use crate::plugin::{PartitionOffset, Progress, ProgressUnit, TaskId, TopicPartition};

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
    calls: Calls,
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

/// What a task is doing. Times are those of the clock that never jumps: a clock that is set must not make a task look stuck.
#[derive(Debug)]
struct Calls {
    began: Instant,
    /// When the task last came back from a call, in milliseconds since it began.
    alive_at_ms: AtomicU64,
    /// The call that it is in (the lowest byte), and since when (milliseconds since it began); 0 if it is in none.
    inside: AtomicU64,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            alive_at_ms: AtomicU64::new(0),
            inside: AtomicU64::new(0),
        }
    }
}

impl Calls {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A call that a task is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) call: Call,
    /// Milliseconds since the task began: the same for as long as the call lasts.
    pub(crate) since_ms: u64,
    pub(crate) lasts: Duration,
}

impl TaskMetrics {
    pub(crate) fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Makes a call that may take long, of the connector's code or of the cluster.
    pub(crate) fn within<T>(&self, call: Call, work: impl FnOnce() -> T) -> T {
        let inside = (self.calls.now_ms() << 8) | u64::from(call as u8);
        self.calls.inside.store(inside, Ordering::Relaxed);
        let outcome = work();
        let now = self.calls.now_ms();
        self.calls.alive_at_ms.store(now, Ordering::Relaxed);
        self.calls.inside.store(0, Ordering::Relaxed);
        outcome
    }

    /// The call that the task is in, if it is in one.
    pub(crate) fn inside(&self) -> Option<Inside> {
        let inside = self.calls.inside.load(Ordering::Relaxed);
        let call = Call::of((inside & 0xff) as u8)?;
        let since_ms = inside >> 8;
        let lasts = Duration::from_millis(self.calls.now_ms().saturating_sub(since_ms));
        Some(Inside {
            call,
            since_ms,
            lasts,
        })
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
    fn counters(&self, source: bool) -> [(&'static str, u64); 8] {
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

    /// How long its call has lasted, and how long ago it came back from one.
    fn ages(&self) -> [(&'static str, Duration); 2] {
        let alive_at = self.calls.alive_at_ms.load(Ordering::Relaxed);
        let age = self.calls.now_ms().saturating_sub(alive_at);
        [
            (
                "call_seconds",
                self.inside().map_or(Duration::ZERO, |inside| inside.lasts),
            ),
            ("last_progress_age_seconds", Duration::from_millis(age)),
        ]
    }
}

/// The figures of tasks, in Prometheus' text form.
pub(super) fn write<'a>(tasks: impl Iterator<Item = (&'a TaskId, &'a TaskMetrics, bool)>) -> String {
    let mut families: BTreeMap<&str, String> = BTreeMap::new();
    for (id, metrics, is_source) in tasks {
        let connector = id
            .connector
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let labels = format!("{{connector=\"{connector}\",task=\"{}\"}}", id.task);
        // Writing to a text cannot fail.
        for (name, value) in metrics.counters(is_source) {
            let family = families.entry(name).or_default();
            let _ = writeln!(family, "kafka_connect_task_{name}{labels} {value}");
        }
        for (name, line) in metrics.progress_lines(&labels) {
            families.entry(name).or_default().push_str(&line);
        }
        for (name, age) in metrics.ages() {
            let (family, seconds) = (families.entry(name).or_default(), age.as_secs_f64());
            let _ = writeln!(family, "kafka_connect_task_{name}{labels} {seconds}");
        }
    }
    let mut text = String::new();
    for (name, lines) in families {
        let kind = if name.ends_with("_seconds") || name.starts_with("source_progress_") {
            "gauge"
        } else {
            "counter"
        };
        let _ = write!(text, "# TYPE kafka_connect_task_{name} {kind}\n{lines}");
    }
    text
}

/// Milliseconds since 1970. For timestamps and epochs; nothing that is delivered depends on it.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_a_task_is_in_is_known_while_it_lasts() {
        let metrics = TaskMetrics::default();
        assert_eq!(metrics.inside(), None);
        metrics.within(Call::Put, || {
            let inside = metrics.inside().unwrap();
            assert_eq!(inside.call, Call::Put);
            std::thread::sleep(Duration::from_millis(5));
            let later = metrics.inside().unwrap();
            assert_eq!(later.since_ms, inside.since_ms);
            assert!(later.lasts >= Duration::from_millis(4), "{later:?}");
        });
        assert_eq!(metrics.inside(), None);
        let id = TaskId {
            connector: "a\"b".to_owned(),
            task: 1,
        };
        let text = write([(&id, &metrics, false)].into_iter());
        let labels = "{connector=\"a\\\"b\",task=\"1\"}";
        assert!(
            text.contains(&format!("kafka_connect_task_call_seconds{labels} 0\n")),
            "{text}"
        );
        assert!(
            text.contains("# TYPE kafka_connect_task_sink_record_send_total counter\n"),
            "{text}"
        );
    }
}
