//! What a worker does about event time.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::sink::Sink;
use crate::source::{Restore, Source, TopicPartition};

/// The pause between two looks at the clocks of the tasks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How old the answer may be that nothing is left to read.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(1);
/// The pause between two reports.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    /// Finds out which inputs are idle, and has an epoch end if that, or what was restored, is news for somebody.
    pub(super) fn look_at_clocks(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_PAUSE;
        self.report_tasks(now);
        for exhausted in self.probe.answers() {
            let route = self.tasks.routes.get(&exhausted.at);
            let task = route.and_then(|(id, input)| Some((self.tasks.tasks.get_mut(id)?, *input)));
            // Who was kept from reading for long may have missed what came since.
            let fresh = now.saturating_duration_since(exhausted.seen) < ANSWER_AGE_MAX;
            if let Some((task, input)) = task
                && fresh
            {
                tracing::debug!(
                    topic = &*exhausted.at.topic,
                    partition = exhausted.at.partition,
                    "read to its end"
                );
                task.set_read(input, exhausted.position, exhausted.end, now);
            }
        }
        let mut unsettled = false;
        for task in self.tasks.tasks.values_mut() {
            let partition = task.partition();
            for (input, position) in task.silent_inputs(now) {
                let at = TopicPartition {
                    topic: task.topic(input),
                    partition,
                };
                self.probe.ask(at, position, now);
            }
            unsettled |= task.is_unsettled();
        }
        self.ask_for_tables(now);
        if unsettled {
            self.begin_epoch(now);
        }
    }

    /// Counts the rows that came too late.
    pub(super) fn report_time(&mut self) {
        for task in self.tasks.tasks.values_mut() {
            let late = task.take_late_rows();
            self.shared.metrics.late(task.sub_topology(), late);
        }
    }

    /// Says what the tasks have done, every now and then.
    pub(super) fn report_tasks(&mut self, now: Instant) {
        if now < self.report_at {
            return;
        }
        self.report_at = now + REPORT_PAUSE;
        let lag = |topic: &str, partition| self.source.lag(topic, partition);
        let tasks = self.tasks.tasks.iter();
        let reports: BTreeMap<_, _> = tasks.map(|(id, task)| (*id, task.metrics(&lag))).collect();
        let reported = reports.keys().copied().collect();
        self.shared.metrics.tasks(&self.reported_tasks, reports);
        self.reported_tasks = reported;
    }
}
