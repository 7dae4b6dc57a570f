//! Partitions that come and go.
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::SinkLoop;
use super::ends::listed;
use super::notes::Change;
use crate::plugin::PluginError;
use crate::worker::stall::Call;

impl SinkLoop<'_> {
    /// Serves changes of the assignment.
    pub(super) fn rebalance(&mut self) -> Result<(), PluginError> {
        while let Some(change) = self.consumer.client().context().change() {
            match change {
                Change::Assigned(partitions) if self.parts.queues.is_outgrown_by(partitions.len()) => {
                    let partitions = partitions.len();
                    tracing::info!(partitions, "the client is made anew for more partitions");
                    self.outgrown = Some(partitions);
                }
                Change::Assigned(partitions) => self.open(partitions)?,
                Change::Revoked { lost } => self.revoke(lost)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, partitions: Vec<(String, i32)>) -> Result<(), PluginError> {
        let failed = |error: KafkaError| PluginError::disconnected(format!("taking partitions: {error}"));
        let partitions = self.assignment.begin(partitions);
        let (control, task) = (self.control, &mut self.parts.task);
        let open = || control.wait_for(task.open(&partitions));
        let owned = self.report.within(Call::Open, open)?;
        let checked = self.check_within_logs(owned.clone())?;
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            let own = owned.iter().find(|own| own.partition == *partition);
            let begin = own.map_or(Offset::Stored, |own| Offset::Offset(own.next));
            list.add_partition_offset(&partition.topic, partition.partition, begin)
                .map_err(failed)?;
        }
        if self.consumer.client().assignment_lost() {
            // It will be revoked at one of the next polls.
            self.consumer.forget();
            return Ok(());
        }
        self.consumer.assign(&list).map_err(failed)?;
        if !checked.unknown.is_empty() {
            let paused = listed(&checked.unknown).and_then(|list| self.consumer.client().pause(&list));
            paused.map_err(failed)?;
        }
        // What the sink has already need not be put.
        self.report.metrics.took(owned.into_iter());
        self.unchecked.leave(checked.unknown, checked.took);
        self.assignment.keep(checked.within);
        Ok(())
    }

    /// Partitions are taken away: what was put is made durable and committed first, unless they are lost already.
    fn revoke(&mut self, lost: bool) -> Result<(), PluginError> {
        self.consumer.forget();
        self.unchecked.clear();
        let committed = match lost {
            true => Ok(()),
            false => self.commit(),
        };
        if let Err(error) = self.close(lost || committed.is_err()) {
            tracing::warn!(%error, "the sink could not close partitions");
        }
        let unassigned = self.consumer.unassign();
        committed?;
        unassigned.map_err(|error| PluginError::disconnected(format!("giving partitions back: {error}")))
    }
}
