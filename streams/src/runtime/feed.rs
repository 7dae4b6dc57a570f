//! From what is read to the tasks, and from the tasks to the sink.
use super::checkpoints::Checkpoints;
use super::shared::Shared;
use super::worker::{TaskId, Tasks};
use crate::sink::{Destination, RecordBuffer, Sink, SinkError};
use crate::source::TopicPartition;
use crate::task::{InputRecord, TaskError};

/// Feeds the records of one poll to the tasks.
pub(super) struct Feed<'a, K> {
    pub(super) tasks: &'a mut Tasks,
    pub(super) sink: &'a mut K,
    pub(super) checkpoints: &'a mut Checkpoints,
    pub(super) shared: &'a Shared,
    /// The partition of the last record and its reader: records come in runs.
    pub(super) route: Option<(TopicPartition, TaskId, usize)>,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Records of repartition topics were among them.
    pub(super) shuffled: bool,
}

impl<K: Sink> Feed<'_, K> {
    /// Says whether there is room for more in the epoch.
    pub(super) fn accept(&mut self, record: &InputRecord<'_>) -> Result<bool, TaskError> {
        let same = self
            .route
            .as_ref()
            .is_some_and(|(at, ..)| at.partition == record.partition && *at.topic == *record.topic);
        if !same {
            self.count();
            let at = TopicPartition {
                topic: record.topic.into(),
                partition: record.partition,
            };
            self.route = self.tasks.routes.get(&at).map(|&(task, input)| (at, task, input));
        }
        let Some((_, id, input)) = &self.route else {
            return Ok(true);
        };
        self.records += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len) as u64;
        let task = self
            .tasks
            .tasks
            .get_mut(id)
            .expect("a route leads to a running task");
        self.shuffled |= task.is_behind_shuffle();
        let (sink, checkpoints, shared) = (&mut *self.sink, &mut *self.checkpoints, self.shared);
        task.accept(*input, record, &mut |records| {
            publish(sink, checkpoints, shared, records)
        })?;
        Ok(!task.is_full())
    }

    /// Adds what was read from the current partition to the counters.
    pub(super) fn count(&mut self) {
        if let Some((_, (sub, _), _)) = &self.route {
            self.shared.metrics.read(*sub, self.records, self.bytes);
        }
        (self.records, self.bytes) = (0, 0);
    }
}

pub(super) fn publish(
    sink: &mut impl Sink,
    checkpoints: &mut Checkpoints,
    shared: &Shared,
    records: &RecordBuffer,
) -> Result<(), SinkError> {
    checkpoints.stage(records);
    let (count, bytes) = (records.len() as u64, records.bytes() as u64);
    match records.destination() {
        Destination::ByKey(_) => shared.metrics.wrote(count, bytes),
        Destination::Partition {
            batch_header: Some(_),
            ..
        } => shared.metrics.shuffled(count, bytes),
        Destination::Partition { .. } => shared.metrics.changed(count, bytes),
    }
    sink.send(records)
}
