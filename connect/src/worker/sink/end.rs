//! How a sink's task ends: well, after a failure, and out of its group.
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::SinkLoop;
use crate::plugin::PluginError;
use crate::worker::stall::Call;

/// How long a member that leaves waits for its partitions to be taken back.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

impl SinkLoop<'_> {
    /// Ends well.
    pub(super) fn finish(&mut self) -> Result<(), PluginError> {
        self.commit()?;
        self.close(false)
    }

    pub(super) fn close(&mut self, lost: bool) -> Result<(), PluginError> {
        let partitions = self.assignment.end();
        self.report.metrics.gave_back();
        match partitions.is_empty() {
            true => Ok(()),
            false => {
                let (control, task) = (self.control, &mut self.parts.task);
                let close = || control.wait_for(task.close(&partitions, lost));
                self.report.within(Call::Close, close)
            }
        }
    }

    /// Leaves the group, so that others need not wait for the session to end.
    pub(super) fn leave(&mut self) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        self.consumer.client().context().close();
        // A change that waits to be confirmed, or a lost assignment, would hold up the client's end for ever.
        let _ = self.consumer.unassign();
        self.consumer.client().unsubscribe();
        let until = Instant::now() + LEAVE_WAIT;
        while self
            .consumer
            .client()
            .assignment()
            .is_ok_and(|held| held.count() > 0)
            && Instant::now() < until
        {
            let _ = self.consumer.client().poll(Duration::from_millis(10));
        }
    }

    /// Ends after a failure. What was put before may be done, but nothing of a batch that failed: it comes again, to the record that failed.
    pub(super) fn give_up(&mut self) {
        let committed = match self.half_taken {
            true => Err(PluginError::fatal("the last batch was not taken as a whole")),
            false => self.commit(),
        };
        let closed = self.close(committed.is_err() || self.control.is_abandoned());
        if let Err(further) = committed.and(closed) {
            tracing::warn!(%further, "nothing more is committed");
        }
    }
}
