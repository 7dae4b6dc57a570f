//! What an epoch read counts from here on: offsets, by the job's guarantee.
use std::sync::Arc;

use super::worker::Worker;
use crate::error::StreamsError;
use crate::sink::Sink;
use crate::source::{Restore, Source, SourceError, TopicPartition};
use crate::task::{Position, Task};

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    pub(super) fn committed(&mut self, offsets: Vec<(TopicPartition, Position)>) {
        self.aborted = 0;
        if !offsets.is_empty() {
            self.committed.extend(offsets);
            self.shared.metrics.committed();
        }
    }

    /// Commits the offsets, then delivers what was held back.
    pub(super) fn commit_first(
        &mut self,
        offsets: Vec<(TopicPartition, Position)>,
    ) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let _delivering = shared.delivering();
        let outcome = match offsets.is_empty() {
            true => Ok(()),
            false => self.source.commit(&offsets),
        };
        match outcome {
            Ok(()) => {
                self.sink.deliver()?;
                self.committed(offsets);
                Ok(())
            }
            Err(SourceError::Fenced { cause }) => {
                tracing::warn!(
                    cause,
                    "the commit came too late; the partitions' next owner works on the epoch"
                );
                self.sink.forget();
                self.drop_tasks();
                Ok(())
            }
            // Whether the offsets count is not known, so that nothing may come of their rows.
            Err(error) => {
                self.sink.forget();
                Err(error.into())
            }
        }
    }

    /// Awaits delivery, of states after all else, then commits the offsets.
    pub(super) fn commit(&mut self, offsets: Vec<(TopicPartition, Position)>) -> Result<(), StreamsError> {
        self.sink.deliver()?;
        if offsets.is_empty() {
            return Ok(());
        }
        match self.source.commit(&offsets) {
            Ok(()) => {
                self.committed(offsets);
                Ok(())
            }
            Err(SourceError::Fenced { cause }) => {
                tracing::warn!(
                    cause,
                    "the commit came too late; the partitions' next owner reads the epoch again"
                );
                self.drop_tasks();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Positions that are not what is committed, and those of tasks that announced something: without an offset, what a task writes
    /// that lost its partitions would count.
    pub(super) fn uncommitted(&mut self, of: impl Fn(&Task) -> bool) -> Vec<(TopicPartition, Position)> {
        let mut positions = Vec::new();
        for task in self.tasks.tasks.values_mut().filter(|task| of(task)) {
            let (announced, partition) = (task.take_announced(), task.partition());
            for (topic, position) in task.positions() {
                let at = TopicPartition {
                    topic: Arc::clone(topic),
                    partition,
                };
                if announced || self.committed.get(&at) != Some(&position) {
                    positions.push((at, position));
                }
            }
        }
        positions
    }
}
