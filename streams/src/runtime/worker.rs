//! One worker: a group member, a producer, and the tasks of its partitions.
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::error::StreamsError;
use crate::operator::Surroundings;
use crate::plan::Topology;
use crate::sink::{Destination, RecordBuffer, Sink, SinkError};
use crate::source::{Polled, Source, SourceError, StartAt, TopicPartition};
use crate::task::{InputRecord, Task, TaskError};

/// The longest wait for input; bounds how late a stop is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The wait for more rows while some wait to become a batch.
const PENDING_WAIT: Duration = Duration::from_millis(1);
/// The wait for input while somebody waits for the epoch to end.
const DRAIN_WAIT: Duration = Duration::from_millis(5);
/// Records taken before the clock is looked at again.
const POLL_RECORDS_MAX: usize = 4096;

/// A task's sub-topology and partition; in this order epochs end.
type TaskId = (usize, i32);

/// A worker. `step` is one turn of its loop.
pub(super) struct Worker<S, K> {
    topology: Arc<Topology>,
    surroundings: Surroundings,
    interval: Duration,
    source: S,
    sink: K,
    shared: Arc<Shared>,
    tasks: Tasks,
    /// Tasks whose partitions were taken back and may be given again.
    suspended: BTreeMap<TaskId, Task>,
    committed: HashMap<TopicPartition, i64>,
    /// When the running epoch must end; none while nothing has been read in it.
    epoch_end: Option<Instant>,
    /// The keys and bytes of state reported for each sub-topology.
    reported: BTreeMap<usize, (usize, usize)>,
}

/// Running tasks, and which of them reads what.
#[derive(Default)]
struct Tasks {
    tasks: BTreeMap<TaskId, Task>,
    routes: HashMap<TopicPartition, (TaskId, usize)>,
}

impl<S: Source, K: Sink> Worker<S, K> {
    pub(super) fn new(
        topology: Arc<Topology>,
        surroundings: Surroundings,
        interval: Duration,
        source: S,
        sink: K,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            topology,
            surroundings,
            interval,
            source,
            sink,
            shared,
            tasks: Tasks::default(),
            suspended: BTreeMap::new(),
            committed: HashMap::new(),
            epoch_end: None,
            reported: BTreeMap::new(),
        }
    }

    /// Works until the job stops.
    pub(super) fn run(&mut self) -> Result<(), StreamsError> {
        while !self.shared.is_stopping() {
            self.step()?;
        }
        self.end_epoch()
    }

    /// Polls once, and does what follows from it.
    pub(super) fn step(&mut self) -> Result<(), StreamsError> {
        let pending = self.tasks.tasks.values().any(|task| task.pending_rows() > 0);
        let left = self
            .epoch_end
            .map_or(IDLE_WAIT, |end| end.saturating_duration_since(Instant::now()));
        let draining = self.shared.is_draining();
        let wait = left.min(match (pending, draining) {
            (true, _) => PENDING_WAIT,
            (false, true) => DRAIN_WAIT,
            (false, false) => IDLE_WAIT,
        });
        let mut failure = None;
        let (tasks, sink, shared) = (&mut self.tasks, &mut self.sink, &self.shared);
        let mut feed = Feed {
            tasks,
            sink,
            shared,
            route: None,
            records: 0,
            bytes: 0,
        };
        let polled = self
            .source
            .poll(wait, POLL_RECORDS_MAX, &mut |record| match feed.accept(record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            });
        feed.count();
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        match polled? {
            Polled::Records(_) => {
                self.epoch_end
                    .get_or_insert_with(|| Instant::now() + self.interval);
            }
            Polled::Idle if pending => self.flush_rows()?,
            // Whoever drains waits for a commit, and nothing more comes that could share it.
            Polled::Idle if draining => self.end_epoch()?,
            Polled::Idle => {}
            Polled::Assigned(partitions) => self.assign(partitions)?,
            Polled::Revoked { lost } => self.revoke(lost)?,
        }
        if self.epoch_end.is_some_and(|end| Instant::now() >= end) {
            self.end_epoch()?;
        }
        Ok(())
    }

    /// The input pauses: what waits to become a batch goes through.
    fn flush_rows(&mut self) -> Result<(), StreamsError> {
        let (sink, shared) = (&mut self.sink, &self.shared);
        for task in self.tasks.tasks.values_mut() {
            task.flush(&mut |records| publish(sink, shared, records))?;
        }
        Ok(())
    }

    /// Ends the epoch of every task: merge, emit, await delivery, commit.
    fn end_epoch(&mut self) -> Result<(), StreamsError> {
        if self.epoch_end.take().is_none() {
            return Ok(());
        }
        let (sink, shared) = (&mut self.sink, &self.shared);
        for task in self.tasks.tasks.values_mut() {
            task.end_epoch(&mut |records| publish(sink, shared, records))?;
        }
        self.sink.flush()?;
        self.report_state();
        let offsets = self.uncommitted();
        if offsets.is_empty() {
            return Ok(());
        }
        match self.source.commit(&offsets) {
            Ok(()) => {
                self.committed.extend(offsets);
                self.shared.metrics.committed();
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

    /// Positions beyond what is committed.
    fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        let mut offsets = Vec::new();
        for task in self.tasks.tasks.values() {
            for (topic, offset) in task.positions() {
                let at = TopicPartition {
                    topic: Arc::clone(topic),
                    partition: task.partition(),
                };
                if self
                    .committed
                    .get(&at)
                    .is_none_or(|committed| offset > *committed)
                {
                    offsets.push((at, offset));
                }
            }
        }
        offsets
    }

    fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<(), StreamsError> {
        let committed = self.source.committed(&partitions)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for (at, committed) in partitions.into_iter().zip(committed) {
            let Some((sub, input)) = self.topology.reader_of(&at.topic) else {
                tracing::warn!(
                    topic = &*at.topic,
                    "the group gave a topic that the job does not read"
                );
                continue;
            };
            let id = (sub.id, at.partition);
            if let Some(task) = self.suspended.remove(&id) {
                self.tasks.tasks.insert(id, task);
            } else if !self.tasks.tasks.contains_key(&id) {
                self.tasks
                    .tasks
                    .insert(id, Task::new(Arc::clone(sub), at.partition, &self.surroundings)?);
            }
            let task = self
                .tasks
                .tasks
                .get_mut(&id)
                .expect("inserted above if it was missing");
            let behind = |next: i64| committed.is_some_and(|committed| committed > next);
            let start = match task.position(input) {
                // Kept from before the rebalance. If another member has gone on since, its commit counts.
                Some(next) if !behind(next) => StartAt::Offset(next),
                _ if !sub.is_stateful() => StartAt::Committed,
                // The state is in memory alone, and the topic is its truth.
                position => {
                    if let Some(committed) = committed.filter(|offset| *offset > 0) {
                        task.restore_until(input, committed);
                    }
                    position.map_or(StartAt::Beginning, StartAt::Offset)
                }
            };
            match committed {
                Some(offset) => self.committed.insert(at.clone(), offset),
                None => self.committed.remove(&at),
            };
            self.tasks.routes.insert(at.clone(), (id, input));
            starts.push((at, start));
        }
        self.suspended.clear();
        self.report_state();
        tracing::info!(partitions = starts.len(), "assigned");
        self.source.assign(&starts)?;
        self.shared.worker_assigned();
        Ok(())
    }

    fn revoke(&mut self, lost: bool) -> Result<(), StreamsError> {
        if lost {
            tracing::warn!("the assignment is lost; its epoch is dropped and will be read again");
            self.drop_tasks();
        } else {
            self.end_epoch()?;
            self.suspended.append(&mut self.tasks.tasks);
            self.tasks.routes.clear();
        }
        self.committed.clear();
        Ok(self.source.unassign()?)
    }

    /// Forgets the tasks and their running epoch. Records of their partitions are ignored until the next assignment.
    fn drop_tasks(&mut self) {
        self.tasks = Tasks::default();
        self.suspended.clear();
        self.epoch_end = None;
        self.report_state();
    }

    fn report_state(&mut self) {
        let mut sizes: BTreeMap<usize, (usize, usize)> =
            self.reported.keys().map(|sub| (*sub, (0, 0))).collect();
        for task in self.tasks.tasks.values().chain(self.suspended.values()) {
            let (keys, bytes) = task.state_size();
            let sum = sizes.entry(task.sub_topology()).or_default();
            *sum = (sum.0 + keys, sum.1 + bytes);
        }
        for (&sub, &size) in &sizes {
            let before = self.reported.insert(sub, size).unwrap_or_default();
            self.shared.metrics.state(sub, before, size);
        }
    }
}

/// Feeds the records of one poll to the tasks.
struct Feed<'a, K> {
    tasks: &'a mut Tasks,
    sink: &'a mut K,
    shared: &'a Shared,
    /// The partition of the last record and its reader: records come in runs.
    route: Option<(TopicPartition, TaskId, usize)>,
    records: u64,
    bytes: u64,
}

impl<K: Sink> Feed<'_, K> {
    fn accept(&mut self, record: &InputRecord<'_>) -> Result<(), TaskError> {
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
            return Ok(());
        };
        self.records += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len) as u64;
        let task = self
            .tasks
            .tasks
            .get_mut(id)
            .expect("a route leads to a running task");
        let (sink, shared) = (&mut *self.sink, self.shared);
        task.accept(*input, record, &mut |records| publish(sink, shared, records))
    }

    /// Adds what was read from the current partition to the counters.
    fn count(&mut self) {
        if let Some((_, (sub, _), _)) = &self.route {
            self.shared.metrics.read(*sub, self.records, self.bytes);
        }
        (self.records, self.bytes) = (0, 0);
    }
}

fn publish(sink: &mut impl Sink, shared: &Shared, records: &RecordBuffer) -> Result<(), SinkError> {
    let (count, bytes) = (records.len() as u64, records.bytes() as u64);
    match records.destination() {
        Destination::ByKey(_) => shared.metrics.wrote(count, bytes),
        Destination::Partition { .. } => shared.metrics.shuffled(count, bytes),
    }
    sink.send(records)
}
