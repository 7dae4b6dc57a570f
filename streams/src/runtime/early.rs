//! Tasks behind a repartition topic end their epoch as soon as they have read what an epoch before it wrote.
//!
//! What such a task reads was committed together, at the end of an epoch of the task that wrote it, and nothing more comes until that one's
//! next epoch ends. Waiting for the end of the running epoch would only make results later, by up to `commit.interval.ms`.
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::error::StreamsError;
use crate::sink::Sink;
use crate::source::{Restore, Source};

/// How long nothing more came.
const QUIET: Duration = Duration::from_millis(2);
/// How long to wait for more at most: several tasks write, each when its epoch ends.
const GATHER_MAX: Duration = Duration::from_millis(20);

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    /// Ends the epoch of the tasks behind repartition topics, if they have read what there was and no other task has written
    /// anything. `came`: the last poll brought records of repartition topics; `caught_up`: it did not bring all it could. While there is
    /// more than that to read, results later cost less.
    pub(super) fn end_shuffled_early(&mut self, came: bool, caught_up: bool) -> Result<(), StreamsError> {
        let now = Instant::now();
        if came {
            let (first, _) = self.shuffled.unwrap_or((now, now));
            self.shuffled = Some((first, now));
        }
        let Some((first, last)) = self.shuffled else {
            return Ok(());
        };
        if !caught_up || self.epoch_end.is_none() {
            self.shuffled = None;
            return Ok(());
        }
        let complete = now.duration_since(last) >= QUIET || now.duration_since(first) >= GATHER_MAX;
        if !complete {
            return Ok(());
        }
        self.shuffled = None;
        // What others wrote would be committed without their positions.
        let others = self.tasks.tasks.values().filter(|task| !task.is_behind_shuffle());
        if others.into_iter().any(|task| task.has_written()) {
            return Ok(());
        }
        self.end_epoch_of(|task| task.is_behind_shuffle())
    }
}
