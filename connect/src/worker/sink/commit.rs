//! Committing what the sink says is durable.
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::SinkLoop;
use crate::plugin::{ErrorKind, PartitionOffset, PluginError};
use crate::worker::metrics::TaskMetrics;
use crate::worker::stall::Call;

/// How often a commit is tried again, and the pause between.
const COMMIT_TRIES: u32 = 20;
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

impl SinkLoop<'_> {
    /// Makes durable what was put, and commits it.
    pub(super) fn commit(&mut self) -> Result<(), PluginError> {
        self.due = Instant::now() + self.parts.flush_interval;
        if !self.assignment.has_news() || self.control.is_abandoned() {
            return Ok(());
        }
        self.deliver()?;
        let control = self.control;
        let taken = self.assignment.taken();
        let task = &mut self.parts.task;
        let flush = || control.wait_for(task.flush(&taken));
        let durable = match self.report.within(Call::Flush, flush) {
            Ok(durable) => durable,
            Err(error) if error.kind() == ErrorKind::Retriable && !control.stopping() => {
                TaskMetrics::add(&self.report.metrics.commit_failures, 1);
                tracing::error!(%error, "nothing is committed; the sink flushes again later");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (metrics, durable) = (Arc::clone(&self.report.metrics), self.assignment.durable(durable));
        metrics.within(Call::Store, || self.store(&durable))
    }

    /// Waits until the dead letters that were queued are safe.
    pub(super) fn deliver(&mut self) -> Result<(), PluginError> {
        let control = self.control;
        let queued = self
            .parts
            .dead_letters
            .as_mut()
            .filter(|letters| letters.are_queued());
        let Some(dead_letters) = queued else {
            return Ok(());
        };
        let flush = || dead_letters.flush(&|| control.is_abandoned());
        self.report.metrics.within(Call::Deliver, flush)
    }

    fn store(&mut self, durable: &[PartitionOffset]) -> Result<(), PluginError> {
        if durable.is_empty() {
            return Ok(());
        }
        let failed = |error: &KafkaError| PluginError::disconnected(format!("committing offsets: {error}"));
        let mut list = TopicPartitionList::new();
        for PartitionOffset { partition, next } in durable {
            let listed =
                list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*next));
            listed.map_err(|error| failed(&error))?;
        }
        let mut tries = 0;
        loop {
            use RDKafkaErrorCode::*;
            match self.consumer.client().commit(&list, CommitMode::Sync) {
                Ok(()) => break,
                // Another member goes on from what was committed before; this one is told so soon.
                Err(error)
                    if matches!(
                        error.rdkafka_error_code(),
                        Some(
                            IllegalGeneration
                                | UnknownMemberId
                                | RebalanceInProgress
                                | FencedInstanceId
                                | AssignmentLost
                                | StaleMemberEpoch
                        )
                    ) =>
                {
                    TaskMetrics::add(&self.report.metrics.commit_failures, 1);
                    tracing::warn!(%error, "offsets are not committed: the group has moved on");
                    return Ok(());
                }
                Err(error) if tries >= COMMIT_TRIES || self.control.is_abandoned() => {
                    TaskMetrics::add(&self.report.metrics.commit_failures, 1);
                    return Err(failed(&error));
                }
                Err(error) => {
                    tracing::warn!(%error, "a commit is tried again");
                    tries += 1;
                    std::thread::sleep(COMMIT_PAUSE);
                }
            }
        }
        self.assignment.stored(durable);
        tracing::debug!(partitions = durable.len(), "offsets are committed");
        TaskMetrics::add(&self.report.metrics.commits, 1);
        Ok(())
    }
}
