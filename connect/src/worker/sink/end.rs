//! How a sink's task ends: well, after a failure, and out of its group.
use std::ops::{Deref, DerefMut};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use millstream_client::BatchConsumer;
use rdkafka::consumer::Consumer;

use super::SinkLoop;
use super::notes::Notes;
use crate::plugin::PluginError;
use crate::worker::stall::Call;

/// How long a member that leaves waits for its partitions to be taken back.
const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// How long a client that has left its group may take to end.
const END_WAIT: Duration = Duration::from_secs(10);

/// A member of the sink's group. The client waits for its own threads without a limit when it ends; what becomes of the task is not to hang on
/// that.
pub(super) struct Member(Option<BatchConsumer<Notes>>);

impl Member {
    pub(super) fn new(client: BatchConsumer<Notes>) -> Self {
        Self(Some(client))
    }
}

impl Deref for Member {
    type Target = BatchConsumer<Notes>;

    fn deref(&self) -> &Self::Target {
        self.0
            .as_ref()
            .unwrap_or_else(|| unreachable!("only drop takes it"))
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0
            .as_mut()
            .unwrap_or_else(|| unreachable!("only drop takes it"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let (client, (ending, ended)) = (self.0.take(), mpsc::sync_channel(1));
        let thread = std::thread::Builder::new().name("leaving".to_owned());
        // Without a thread it ends here.
        let spawned = thread.spawn(move || {
            drop(client);
            let _ = ending.send(());
        });
        if spawned.is_ok() && ended.recv_timeout(END_WAIT).is_err() {
            tracing::warn!(
                "the consumer did not end within {END_WAIT:?}: it is left behind, out of its group"
            );
        }
    }
}

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
