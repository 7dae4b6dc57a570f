//! Waiting until what is in the source topics now has gone all the way.
//!
//! Sub-topology by sub-topology, in order: take the ends of its topics once everything above is committed, then wait until
//! the group's committed offsets are there. Offsets are committed only after the outputs are acknowledged, so a committed
//! sub-topology has written all it had to say. The group's offsets count, not this process's, because other
//! processes may hold partitions.
use std::time::{Duration, Instant};

use super::cluster::LogBounds;
use super::handle::StreamsHandle;
use crate::error::StreamsError;
use crate::source::TopicPartition;

/// The pause between two looks at the committed offsets.
const PAUSE: Duration = Duration::from_millis(10);
/// How long offsets must stand still before it is worth looking what is missing.
const STALL: Duration = Duration::from_secs(1);

impl StreamsHandle {
    /// Waits until everything that is in the source topics now has gone through every step, is committed, and
    /// its outputs are acknowledged. Records that arrive later may or may not be included.
    ///
    /// # Errors
    /// The failure of a worker, the end of the job, or [`StreamsError::Timeout`] with how much is left.
    pub fn drain(&self, timeout: Duration) -> Result<(), StreamsError> {
        match self.drained(timeout)? {
            None => Ok(()),
            Some(detail) => {
                let application_id = self.shared.application_id().to_owned();
                Err(StreamsError::Timeout {
                    application_id,
                    what: "drained",
                    timeout,
                    detail,
                })
            }
        }
    }

    /// Like [`drain`](Self::drain), but says whether the time was enough, for callers that show progress.
    ///
    /// # Errors
    /// The failure of a worker, or the end of the job.
    pub fn drained_within(&self, timeout: Duration) -> Result<bool, StreamsError> {
        Ok(self.drained(timeout)?.is_none())
    }

    /// None if drained in time, else what is left.
    fn drained(&self, timeout: Duration) -> Result<Option<String>, StreamsError> {
        let deadline = Instant::now() + timeout;
        // Epochs end early while somebody waits for them.
        let _draining = self.shared.draining();
        // Repartition topics are read by later sub-topologies than write them: taking ends in order suffices.
        for sub in &self.topology.sub_topologies {
            let mut goals = Vec::new();
            for input in &sub.inputs {
                goals.extend(self.cluster.bounds(&input.topic)?);
            }
            let left = self.await_committed(goals, deadline)?;
            if let Some((first, _)) = left.first() {
                let records: i64 = left.iter().map(|(_, bounds)| bounds.end - bounds.start).sum();
                let (topic, partition) = (&first.topic, first.partition);
                let partitions = left.len();
                return Ok(Some(format!(
                    "; {records} records are left in {partitions} partitions, first {topic}-{partition}"
                )));
            }
        }
        Ok(None)
    }

    /// Waits for `goals`; gives those that are not met at the deadline.
    fn await_committed(
        &self,
        mut goals: Vec<(TopicPartition, LogBounds)>,
        deadline: Instant,
    ) -> Result<Vec<(TopicPartition, LogBounds)>, StreamsError> {
        goals.retain(|(_, bounds)| bounds.end > bounds.start);
        let (mut left, mut since) = (i64::MAX, Instant::now());
        while !goals.is_empty() {
            self.check_alive()?;
            let partitions: Vec<TopicPartition> = goals.iter().map(|(at, _)| at.clone()).collect();
            let committed = match self.cluster.committed(&partitions) {
                Ok(committed) => committed,
                // The group's coordinator may be on its way from one broker to another.
                Err(error) if Instant::now() < deadline => {
                    tracing::warn!(%error, "draining goes on");
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut missing = Vec::new();
            for ((at, bounds), committed) in goals.into_iter().zip(committed) {
                let from = committed.unwrap_or(0).max(bounds.start);
                if from < bounds.end {
                    missing.push((
                        at,
                        LogBounds {
                            start: from,
                            end: bounds.end,
                        },
                    ));
                }
            }
            let records: i64 = missing.iter().map(|(_, bounds)| bounds.end - bounds.start).sum();
            if records < left {
                (left, since) = (records, Instant::now());
            } else if since.elapsed() > STALL {
                missing = self.without_empty(missing)?;
                since = Instant::now();
            }
            goals = missing;
            if Instant::now() >= deadline {
                break;
            }
            if !goals.is_empty() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(goals)
    }

    /// Leaves out the partitions in which nothing is left that a consumer sees.
    fn without_empty(
        &self,
        goals: Vec<(TopicPartition, LogBounds)>,
    ) -> Result<Vec<(TopicPartition, LogBounds)>, StreamsError> {
        let mut kept = Vec::with_capacity(goals.len());
        for (at, bounds) in goals {
            if !self.cluster.is_empty_from(&at, bounds.start)? {
                kept.push((at, bounds));
            }
        }
        Ok(kept)
    }

    fn check_alive(&self) -> Result<(), StreamsError> {
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        if self.shared.is_stopping() {
            let application_id = self.shared.application_id().to_owned();
            return Err(StreamsError::Stopped {
                application_id,
                what: "drained",
            });
        }
        Ok(())
    }
}
