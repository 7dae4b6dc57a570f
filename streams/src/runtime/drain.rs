//! Waiting until what is in the source topics now has gone all the way.
//!
//! Sub-topology by sub-topology, writers before readers: take the ends of its topics once everything above is committed, then wait until
//! the group's committed offsets are there. Offsets are committed only after the outputs are acknowledged, so a committed
//! sub-topology has written all it had to say; with at-most-once it writes right afterwards, which is waited for in this process. The group's offsets count, not this process's, because other
//! processes may hold partitions.
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::LogBounds;
use super::deadline::Deadline;
use super::handle::StreamsHandle;
use super::stalls::Stalls;
use crate::config::Guarantee;
use crate::error::StreamsError;
use crate::source::TopicPartition;

/// The pause between two looks at the committed offsets.
const PAUSE: Duration = Duration::from_millis(10);
/// The pause between two looks whether what belongs to committed offsets is written.
const DELIVERY_PAUSE: Duration = Duration::from_millis(1);
/// How long offsets must stand still before it is worth looking what is missing.
const STALL: Duration = Duration::from_secs(1);
/// The same where every epoch ends in a transaction marker, so that offsets always end before the log does.
const STALL_OF_TRANSACTIONS: Duration = Duration::from_millis(100);

/// Partitions and the offsets still to be committed in each.
type Goals = Vec<(TopicPartition, LogBounds)>;

impl StreamsHandle {
    /// Waits until everything that is in the source topics now has gone through every step, is committed, and
    /// its outputs are acknowledged; with [`Guarantee::AtMostOnce`], those that this process writes. Records that arrive later may or may
    /// not be included.
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
    /// On a topic that ends in transaction markers, which no commit passes, each call needs some 100 ms a partition to see that.
    ///
    /// # Errors
    /// The failure of a worker, or the end of the job.
    pub fn drained_within(&self, timeout: Duration) -> Result<bool, StreamsError> {
        Ok(self.drained(timeout)?.is_none())
    }

    /// None if drained in time, else what is left.
    fn drained(&self, timeout: Duration) -> Result<Option<String>, StreamsError> {
        let deadline = Deadline::after(timeout);
        // Epochs end early while somebody waits for them.
        let _draining = self.shared.draining();
        // Repartition topics are read by later sub-topologies than write them, but for those that `passes` counts: taking ends in order
        // suffices.
        let subs = &self.topology.sub_topologies;
        for sub in std::iter::repeat_n(subs, self.topology.passes()).flatten() {
            let mut goals = Vec::new();
            for input in &sub.inputs {
                goals.extend(self.cluster.bounds(&input.topic)?);
            }
            let left = self.await_committed(sub.id, goals, deadline)?;
            if let Some((first, _)) = left.first() {
                let records: i64 = left.iter().map(|(_, bounds)| bounds.end - bounds.start).sum();
                let (topic, partition) = (&first.topic, first.partition);
                let partitions = left.len();
                return Ok(Some(format!(
                    "; {records} records are left in {partitions} partitions, first {topic}-{partition}"
                )));
            }
            while self.shared.is_delivering() && !deadline.is_over() {
                self.check_alive()?;
                std::thread::sleep(DELIVERY_PAUSE);
            }
            if self.shared.is_delivering() {
                return Ok(Some("; its last outputs are not acknowledged".to_owned()));
            }
        }
        Ok(None)
    }

    /// Waits for the `goals` of a sub-topology; gives those that are not met at the deadline.
    fn await_committed(
        &self,
        sub: usize,
        mut goals: Goals,
        deadline: Deadline,
    ) -> Result<Goals, StreamsError> {
        goals.retain(|(_, bounds)| bounds.end > bounds.start);
        while !goals.is_empty() {
            self.check_alive()?;
            let partitions: Vec<TopicPartition> = goals.iter().map(|(at, _)| at.clone()).collect();
            let committed = match self.cluster.committed(&partitions) {
                Ok(committed) => committed,
                // The group's coordinator may be on its way from one broker to another.
                Err(error) if !deadline.is_over() => {
                    tracing::warn!(%error, "draining goes on");
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let missing = |((at, bounds), committed): ((TopicPartition, LogBounds), Option<i64>)| {
                let (start, end) = (committed.unwrap_or(0).max(bounds.start), bounds.end);
                (start < end).then_some((at, LogBounds { start, end }))
            };
            goals = goals.into_iter().zip(committed).filter_map(missing).collect();
            let starts = goals
                .iter()
                .map(|(at, bounds)| (at.clone(), bounds.start))
                .collect();
            let stall = match self.guarantee {
                Guarantee::AtLeastOnce | Guarantee::AtMostOnce => STALL,
                Guarantee::ExactlyOnce => STALL_OF_TRANSACTIONS,
            };
            if self.stalls().note(sub, starts, Instant::now()) > stall {
                goals = self.without_empty(sub, goals, deadline)?;
            }
            if deadline.is_over() {
                break;
            }
            if !goals.is_empty() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(goals)
    }

    /// Leaves out the partitions in which nothing is left that a consumer sees, as far as the time suffices.
    fn without_empty(&self, sub: usize, goals: Goals, deadline: Deadline) -> Result<Goals, StreamsError> {
        let mut kept = Vec::with_capacity(goals.len());
        for (at, bounds) in goals {
            match self.cluster.is_empty(&at, bounds, deadline)? {
                Some(true) => {}
                Some(false) => {
                    self.stalls().restart(sub);
                    kept.push((at, bounds));
                }
                // The next call goes on looking at once.
                None => kept.push((at, bounds)),
            }
        }
        Ok(kept)
    }

    fn stalls(&self) -> MutexGuard<'_, Stalls> {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner)
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
