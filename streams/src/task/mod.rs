//! A task: one sub-topology on one partition number of its inputs, without any I/O.
//!
//! Records go in, records come out through a callback; time, brokers and threads stay outside, so a test can drive a
//! task with nothing but this module.
//!
//! Owns: decoding into batches, running the steps in order, what becomes of errors (`failures`), the position in every input, restoring. Does not
//! own: when an epoch ends, or committing (`runtime`).
//!
//! # Epochs
//! Rows take effect in memory as they come; [`Task::end_epoch`] merges them into the state and emits what follows. The
//! runtime then waits for delivery and commits [`Task::positions`].
//!
//! # Restoring
//! A task with state is given the records of its changelogs ([`Task::stores`], [`Task::restore`]) before the first record of its
//! inputs. What it emits for its changelogs in an epoch is all that a later owner needs to know of that epoch.
mod error;
mod failures;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::TaskError;
use error::step_error;
use failures::Failures;
pub use stats::{InputMetrics, StepMetrics, StoreMetrics, TaskMetrics};

use std::time::{Duration, Instant};

use crate::format::{
    BATCH_HEADER, FormatError, ROWS_VERSION, RowDecoder, ShuffleCodec, ShuffledRows, Undecodable,
};
use crate::operator::{Operator, OperatorError, Output, Publish, Surroundings, new_operator};
use crate::plan::{Decode, ErrorPolicy, Shuffle, StepId, SubTopology};
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::sink::{Destination, RecordBuffer};
use crate::state::Owner;
use crate::store::LocalStore;
use crate::time::{Announcement, CONTROL_VERSION, TaskClock, Watermark};

/// A record as a task sees it.
pub(crate) struct InputRecord<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// When it was made, or [`NO_TIME`].
    pub(crate) timestamp: EventTime,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a dyn HeaderLookup,
}

/// The headers of a record, looked up only by those who need one.
pub(crate) trait HeaderLookup {
    /// The value of the last header named `name`.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// All headers, in their order.
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// A running task.
pub(crate) struct Task {
    plan: Arc<SubTopology>,
    partition: i32,
    inputs: Vec<InputState>,
    operators: Vec<Box<dyn Operator>>,
    clock: TaskClock,
    /// How many tasks the sub-topology has.
    tasks: usize,
    /// The partitions of each topic of the plan's announcements.
    announced_partitions: Vec<usize>,
    /// Something was announced since the last commit, so that an offset has to go with it.
    announced: bool,
    late_rows: u64,
    counts: Vec<StepCounts>,
    /// The steps wrote something since the last commit.
    wrote: bool,
    failures: Failures,
    batch_rows_max: usize,
    batch_bytes_max: usize,
}

/// What a step has done.
#[derive(Debug, Clone, Default)]
struct StepCounts {
    rows_in: u64,
    rows_out: u64,
    busy: Duration,
}

/// What is committed for an input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The next record to read.
    pub(crate) offset: i64,
    /// How far the task is in event time.
    pub(crate) metadata: String,
}

struct InputState {
    decoder: Decoder,
    /// The offset after the last record taken.
    next: Option<i64>,
    /// The committed offset that the state stands for, as long as nothing was taken.
    base: Option<i64>,
}

enum Decoder {
    Rows(Box<RowDecoder>),
    Shuffle(ShuffleDecoder),
}

/// What comes through a repartition topic.
struct ShuffleDecoder {
    states: Option<ShuffleCodec>,
    rows: Option<Arc<ShuffledRows>>,
}

enum Shuffled {
    States(Rows),
    Rows(Rows),
    Announcement(Announcement),
}

impl ShuffleDecoder {
    fn new(shuffle: &Shuffle) -> Self {
        let codec = |spec: &Arc<crate::aggregate::AggregateSpec>| {
            ShuffleCodec::new(spec.state_schema(), spec.fingerprint())
        };
        Self {
            states: shuffle.states.as_ref().map(codec),
            rows: shuffle.rows.clone(),
        }
    }

    fn decode(&self, record: &InputRecord<'_>) -> Result<Shuffled, FormatError> {
        let header = record.headers.header(BATCH_HEADER);
        match (header, header.and_then(<[u8]>::first), &self.rows, &self.states) {
            (Some(header), Some(&CONTROL_VERSION), ..) => {
                Announcement::decode(header, record.value).map(Shuffled::Announcement)
            }
            (Some(header), Some(&ROWS_VERSION), Some(rows), _) => {
                rows.decode(header, record.value).map(Shuffled::Rows)
            }
            (header, _, _, Some(states)) => {
                let batch = states.decode(header, record.value)?;
                // Partial states carry the times of their rows themselves.
                let times = vec![record.timestamp; batch.num_rows()];
                Ok(Shuffled::States(Rows::new(batch, times)))
            }
            _ => Err(FormatError::NotABatch { header: BATCH_HEADER }),
        }
    }
}

impl Task {
    pub(crate) fn new(
        plan: Arc<SubTopology>,
        partition: i32,
        near: &Surroundings,
    ) -> Result<Self, TaskError> {
        let failures = Failures::new(Arc::clone(&plan), partition, near);
        let new_input = |input: &crate::plan::Input| InputState {
            decoder: match &input.decode {
                Decode::Rows(format) => {
                    let mut decoder = RowDecoder::new(format);
                    if let ErrorPolicy::DeadLetter(_) = failures.policy(input.on_error.as_ref()) {
                        decoder.keep_originals();
                    }
                    Decoder::Rows(Box::new(decoder))
                }
                Decode::Shuffle(shuffle) => Decoder::Shuffle(ShuffleDecoder::new(shuffle)),
            },
            next: None,
            base: None,
        };
        let inputs = plan.inputs.iter().map(new_input).collect();
        let operators = plan.steps.iter().map(|step| {
            new_operator(&step.kind, partition, near)
                .map_err(|cause| step_error(&plan, partition, &step.label, cause))
        });
        let count = |topic: &Arc<str>| near.partitions.get(topic).copied().unwrap_or(1);
        let own = usize::try_from(partition).unwrap_or(0) + 1;
        Ok(Self {
            operators: operators.collect::<Result<_, _>>()?,
            inputs,
            failures,
            partition,
            clock: TaskClock::new(plan.inputs.iter().map(|input| &input.time)),
            tasks: near.tasks.get(&plan.id).copied().unwrap_or(1).max(own),
            announced_partitions: plan.announces.iter().map(|to| count(&to.topic)).collect(),
            announced: false,
            late_rows: 0,
            counts: vec![StepCounts::default(); plan.steps.len()],
            wrote: false,
            batch_rows_max: near.limits.batch_rows_max,
            batch_bytes_max: near.limits.batch_bytes_max,
            plan,
        })
    }

    /// A task in the place of this one that has restored nothing yet.
    pub(crate) fn begin_anew(&self, near: &Surroundings) -> Result<Self, TaskError> {
        let mut task = Self::new(Arc::clone(&self.plan), self.partition, near)?;
        for (input, before) in task.inputs.iter_mut().zip(&self.inputs) {
            input.base = before.base;
        }
        for input in 0..self.inputs.len() {
            task.clock.resume(input, &self.clock.metadata(input));
        }
        Ok(task)
    }

    /// The number of the sub-topology.
    pub(crate) fn sub_topology(&self) -> usize {
        self.plan.id
    }

    /// The partition number of all inputs.
    pub(crate) fn partition(&self) -> i32 {
        self.partition
    }

    /// The changelogs of the steps that keep state.
    pub(crate) fn stores(&self) -> impl Iterator<Item = (StepId, &Arc<str>)> {
        self.plan.stores()
    }

    /// Gives `step` the local store of its changelog.
    pub(crate) fn attach(&mut self, step: StepId, store: &LocalStore) {
        self.operators[step.0].attach(store);
    }

    /// The task goes on after others may have held its partition.
    pub(crate) fn belongs_to(&mut self, owner: Owner) {
        for operator in &mut self.operators {
            operator.belongs_to(owner);
        }
    }

    /// Whether `step` wants more states of its checkpoint in memory.
    pub(crate) fn takes_more(&mut self, step: StepId) -> bool {
        self.operators[step.0].takes_more()
    }

    /// Whether the epoch should end, because a step has no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.operators.iter().any(|operator| operator.is_full())
    }

    /// Takes a record of the changelog of `step`.
    pub(crate) fn restore(
        &mut self,
        step: StepId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), TaskError> {
        let restored = self.operators[step.0].restore(key, value);
        restored.map_err(|cause| self.step_error(step, cause))
    }

    /// The changelog of `step` ends.
    pub(crate) fn end_restore(&mut self, step: StepId) -> Result<(), TaskError> {
        let restored = self.operators[step.0].end_restore();
        restored.map_err(|cause| self.step_error(step, cause))
    }

    fn step_error(&self, step: StepId, cause: OperatorError) -> TaskError {
        step_error(&self.plan, self.partition, &self.plan.steps[step.0].label, cause)
    }

    /// Takes a record of input number `input`.
    pub(crate) fn accept(
        &mut self,
        input: usize,
        record: &InputRecord<'_>,
        publish: &mut Publish<'_>,
    ) -> Result<(), TaskError> {
        let state = &mut self.inputs[input];
        state.next = Some(record.offset + 1);
        self.clock.came(input);
        match &mut state.decoder {
            Decoder::Rows(rows) => {
                rows.push(record);
                if rows.rows() >= self.batch_rows_max || rows.bytes() >= self.batch_bytes_max {
                    self.flush_input(input, publish)?;
                }
                Ok(())
            }
            Decoder::Shuffle(shuffle) => {
                let shuffled = shuffle.decode(record).map_err(|cause| TaskError::Record {
                    topic: record.topic.to_owned(),
                    partition: record.partition,
                    offset: record.offset,
                    cause,
                })?;
                let plan = Arc::clone(&self.plan);
                match shuffled {
                    Shuffled::States(rows) => self.push(&plan.inputs[input].children, rows, publish),
                    Shuffled::Rows(rows) => self.push(&plan.inputs[input].row_children, rows, publish),
                    Shuffled::Announcement(announcement) => {
                        self.clock.take(input, &announcement);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Rows that wait to become a batch.
    pub(crate) fn pending_rows(&self) -> usize {
        let rows = |input: &InputState| match &input.decoder {
            Decoder::Rows(rows) => rows.rows(),
            Decoder::Shuffle(_) => 0,
        };
        self.inputs.iter().map(rows).sum()
    }

    /// Runs the steps over the rows that wait, because the input pauses.
    pub(crate) fn flush(&mut self, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        (0..self.inputs.len()).try_for_each(|input| self.flush_input(input, publish))
    }

    fn flush_input(&mut self, input: usize, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        let Decoder::Rows(rows) = &mut self.inputs[input].decoder else {
            return Ok(());
        };
        let plan = &self.plan.inputs[input];
        let taken = rows
            .take()
            .map_err(|Undecodable { offset, cause, .. }| TaskError::Record {
                topic: plan.topic.to_string(),
                partition: self.partition,
                offset,
                cause,
            });
        let mut decoded = taken?;
        let wrote = &mut self.wrote;
        self.failures.undecodable(plan, &mut decoded, &mut |records| {
            *wrote = true;
            publish(records)
        })?;
        match decoded.rows {
            Some(rows) => self.push_input(input, rows, publish),
            None => Ok(()),
        }
    }

    fn push_input(&mut self, input: usize, rows: Rows, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        let plan = Arc::clone(&self.plan);
        self.push(&plan.inputs[input].children, rows, publish)
    }

    fn push(&mut self, to: &[StepId], rows: Rows, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        for &step in to {
            let rows = rows.clone();
            self.counts[step.0].rows_in += rows.len() as u64;
            let fails = *self.failures.policy(self.plan.steps[step.0].on_error.as_ref()) == ErrorPolicy::Fail;
            self.run(step, publish, |operator, out| {
                failures::process(operator, rows, out, fails)
            })?;
        }
        Ok(())
    }

    /// Runs one call of one step, and the steps below on what it emits.
    fn run(
        &mut self,
        step: StepId,
        publish: &mut Publish<'_>,
        call: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<(), OperatorError>,
    ) -> Result<(), TaskError> {
        let (began, wrote) = (Instant::now(), &mut self.wrote);
        let mut out = Output {
            rows: Vec::new(),
            publish: &mut |records| {
                *wrote = true;
                publish(records)
            },
            clock: &mut self.clock,
            hold_ms: self.plan.steps[step.0].hold_ms,
            late_rows: 0,
            failed: Vec::new(),
        };
        call(self.operators[step.0].as_mut(), &mut out)
            .map_err(|cause| step_error(&self.plan, self.partition, &self.plan.steps[step.0].label, cause))?;
        self.late_rows += out.late_rows;
        let (emitted, failed) = (out.rows, out.failed);
        let counts = &mut self.counts[step.0];
        counts.busy += began.elapsed();
        counts.rows_out += emitted.iter().map(|(_, rows)| rows.len() as u64).sum::<u64>();
        if !failed.is_empty() {
            let wrote = &mut self.wrote;
            self.failures.rows(step, failed, &mut |records| {
                *wrote = true;
                publish(records)
            })?;
        }
        let plan = Arc::clone(&self.plan);
        for (port, rows) in emitted {
            self.push(&plan.steps[step.0].children[port], rows, publish)?;
        }
        Ok(())
    }

    /// Ends the epoch: everything taken is merged, and what follows from it is published. [`Task::announce`] comes next.
    pub(crate) fn end_epoch(&mut self, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        self.flush(publish)?;
        // Steps are in topological order, so each hears of the end after its last input.
        for step in 0..self.operators.len() {
            self.run(StepId(step), publish, |operator, out| operator.end_epoch(out))?;
        }
        Ok(())
    }

    /// Tells the tasks behind how far this one has come, behind the rows of the epoch: those of all tasks that end it together, so that
    /// who was idle is not overtaken by the others.
    pub(crate) fn announce(&mut self, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        let Some((watermark, idle)) = self.clock.settle() else {
            return Ok(());
        };
        let plan = Arc::clone(&self.plan);
        for (to, &partitions) in plan.announces.iter().zip(&self.announced_partitions) {
            self.announced = true;
            for partition in (0..).take(partitions) {
                let announcement = self.announcement(watermark.minus(to.hold_ms), idle);
                let mut records = RecordBuffer::new(Destination::Partition {
                    topic: Arc::clone(&to.topic),
                    partition,
                    batch_header: Some(announcement.header()),
                });
                records.push(
                    NO_TIME,
                    |_| false,
                    |out| {
                        announcement.encode(out);
                        true
                    },
                );
                publish(&records).map_err(|cause| {
                    step_error(
                        &self.plan,
                        self.partition,
                        "watermark",
                        OperatorError::Sink(cause),
                    )
                })?;
            }
        }
        Ok(())
    }

    fn announcement(&self, watermark: Watermark, idle: bool) -> Announcement {
        Announcement {
            plan: self.plan.fingerprint,
            task: u32::try_from(self.partition).unwrap_or(0),
            tasks: u32::try_from(self.tasks).unwrap_or(u32::MAX),
            watermark,
            idle,
            was_idle: self.clock.was_idle(),
        }
    }

    /// The source inputs from which nothing came for their idle time, each with the next offset to read, as far as it is known.
    pub(crate) fn silent_inputs(&mut self, now: Instant) -> Vec<(usize, Option<i64>)> {
        let silent = self.clock.silent(now);
        silent
            .into_iter()
            .map(|input| (input, self.stands_at(input)))
            .collect()
    }

    /// Nothing was left to read from input number `input` at `position`, up to `end`.
    pub(crate) fn set_idle(&mut self, input: usize, position: Option<i64>, end: i64) {
        if self.stands_at(input) == position {
            self.inputs[input].next = Some(end);
            self.clock.set_idle(input);
        }
    }

    /// The topic of input number `input`.
    pub(crate) fn topic(&self, input: usize) -> Arc<str> {
        Arc::clone(&self.plan.inputs[input].topic)
    }

    /// Whether those behind have to hear of this task before it reads anything.
    pub(crate) fn has_awoken(&self) -> bool {
        self.clock.has_awoken()
    }

    /// What is to be committed for input number `input`, or what the state stands for.
    pub(crate) fn stands_for(&self, input: usize) -> Option<Position> {
        let offset = self.stands_at(input)?;
        let metadata = self.clock.metadata(input);
        Some(Position { offset, metadata })
    }

    /// Whether an epoch is needed although nothing came.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.clock.is_unsettled()
    }

    /// How far the task is in event time, in milliseconds since 1970, if it knows.
    pub(crate) fn watermark(&self) -> Option<EventTime> {
        let watermark = self.clock.watermark();
        (watermark != Watermark::NONE).then_some(watermark.millis())
    }

    /// Rows that came too late since the last call.
    pub(crate) fn take_late_rows(&mut self) -> u64 {
        std::mem::take(&mut self.late_rows)
    }

    /// What to commit after the epoch has ended, for every input.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&Arc<str>, Position)> {
        let inputs = self.plan.inputs.iter().zip(&self.inputs).enumerate();
        inputs.filter_map(|(number, (input, state))| {
            let metadata = self.clock.metadata(number);
            let base = state.base.filter(|_| !metadata.is_empty());
            let offset = state.next.or(base)?;
            Some((&input.topic, Position { offset, metadata }))
        })
    }

    /// Whether all of its inputs are repartition topics.
    pub(crate) fn is_behind_shuffle(&self) -> bool {
        !self.plan.reads_sources()
    }

    /// Whether its steps wrote something since the last commit.
    pub(crate) fn has_written(&self) -> bool {
        self.wrote
    }

    /// What the steps wrote is committed, or on its way.
    pub(crate) fn forget_written(&mut self) {
        self.wrote = false;
    }

    /// What its steps have done, and where it stands; `lag` says how far the partition of a topic is behind.
    pub(crate) fn metrics(&self, lag: &dyn Fn(&str, i32) -> u64) -> TaskMetrics {
        let steps = self.plan.steps.iter().zip(&self.counts);
        let stores = self.plan.stores().map(|(step, changelog)| {
            let (keys, bytes) = self.operators[step.0].state_size();
            StoreMetrics {
                changelog: changelog.to_string(),
                keys: keys as u64,
                bytes: bytes as u64,
            }
        });
        let inputs = self.plan.inputs.iter().zip(&self.inputs);
        TaskMetrics {
            watermark: self.watermark(),
            steps: steps
                .map(|(step, counts)| StepMetrics {
                    name: step.label.clone(),
                    rows_in: counts.rows_in,
                    rows_out: counts.rows_out,
                    busy: counts.busy,
                })
                .collect(),
            stores: stores.collect(),
            inputs: inputs
                .map(|(input, state)| InputMetrics {
                    topic: input.topic.to_string(),
                    position: state.next.or(state.base),
                    lag: lag(&input.topic, self.partition),
                })
                .collect(),
        }
    }

    /// Whether positions have to be committed even if they are what was committed before, because something was announced.
    pub(crate) fn take_announced(&mut self) -> bool {
        std::mem::take(&mut self.announced)
    }

    /// The next offset to read of input number `input`, if any record of it was taken.
    pub(crate) fn position(&self, input: usize) -> Option<i64> {
        self.inputs[input].next
    }

    /// Notes what is committed for input number `input`, which goes with the changelogs the task was, or will be, restored from.
    pub(crate) fn stand_at(&mut self, input: usize, committed: Option<&Position>) {
        self.inputs[input].base = committed.map(|position| position.offset);
        if let Some(position) = committed {
            self.clock.resume(input, &position.metadata);
        }
    }

    /// The next offset to read of input number `input`, or the committed offset that the state stands for.
    pub(crate) fn stands_at(&self, input: usize) -> Option<i64> {
        let state = &self.inputs[input];
        state.next.or(state.base)
    }

    /// Keys and bytes of state.
    pub(crate) fn state_size(&self) -> (usize, usize) {
        let sizes = self.operators.iter().map(|operator| operator.state_size());
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }
}
