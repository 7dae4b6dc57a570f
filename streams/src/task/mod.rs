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
mod decoder;
mod epoch;
mod error;
mod failures;
mod global;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use decoder::{Decoder, ShuffleDecoder, Shuffled};
pub use error::TaskError;
use error::step_error;
use failures::Failures;
pub(crate) use global::GlobalTask;
pub use stats::{InputMetrics, StepMetrics, StoreMetrics, TaskMetrics};

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::format::{RowDecoder, Undecodable};
pub(crate) use millstream_client::HeaderLookup;

use crate::operator::{
    Asked, Operator, OperatorError, Output, Place, Publish, Surroundings, Tables, new_operator,
};
use crate::plan::{Decode, Edge, ErrorPolicy, StepId, SubTopology};
use crate::rows::{EventTime, Rows};
use crate::state::Owner;
use crate::store::LocalStore;
use crate::time::TaskClock;

/// A record as a task sees it.
pub(crate) struct InputRecord<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// When it was made, or [`NO_TIME`](crate::rows::NO_TIME).
    pub(crate) timestamp: EventTime,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a dyn HeaderLookup,
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
    /// Epochs may be repeated, or lost, in part.
    repeats: bool,
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
        let place = Place { partition, near };
        let operators = plan.steps.iter().map(|step| {
            new_operator(&step.kind, &place).map_err(|cause| step_error(&plan, partition, &step.label, cause))
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
            repeats: near.repeats,
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

    /// `step` does without the states of its checkpoint in memory, if it can; says whether.
    pub(crate) fn takes_none(&mut self, step: StepId) -> bool {
        self.operators[step.0].takes_none()
    }

    /// Whether the epoch should end, because a step has no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.operators.iter().any(|operator| operator.is_full())
    }

    /// What `step` says of keys that somebody asks for, between two epochs.
    pub(crate) fn answer(&mut self, step: StepId, asked: &Asked) -> Result<Vec<RecordBatch>, TaskError> {
        let settled = self.clock.settled().minus(self.plan.steps[step.0].hold_ms);
        let answered = self.operators[step.0].answer(asked, settled);
        answered.map_err(|cause| self.step_error(step, cause))
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

    fn push(&mut self, to: &[Edge], rows: Rows, publish: &mut Publish<'_>) -> Result<(), TaskError> {
        for &Edge { to: step, port } in to {
            let rows = rows.clone();
            self.counts[step.0].rows_in += rows.len() as u64;
            let fails = *self.failures.policy(self.plan.steps[step.0].on_error.as_ref()) == ErrorPolicy::Fail;
            self.run(step, publish, |operator, out| {
                failures::process(operator, port, rows, out, fails)
            })?;
        }
        Ok(())
    }

    /// Runs one call of one step, and the steps below on what follows from it.
    fn run(
        &mut self,
        step: StepId,
        publish: &mut Publish<'_>,
        call: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<(), OperatorError>,
    ) -> Result<(), TaskError> {
        self.run_part(step, publish, call)?;
        while self.operators[step.0].has_more() {
            self.run_part(step, publish, |operator, out| operator.go_on(out))?;
        }
        Ok(())
    }

    /// Runs one call of one step, and the steps below on what it emits.
    fn run_part(
        &mut self,
        step: StepId,
        publish: &mut Publish<'_>,
        call: impl FnOnce(&mut dyn Operator, &mut Output<'_>) -> Result<(), OperatorError>,
    ) -> Result<(), TaskError> {
        let (began, wrote) = (Instant::now(), &mut self.wrote);
        let plan = &self.plan.steps[step.0];
        let (above, operators) = self.operators.split_at_mut(step.0);
        let mut out = Output {
            rows: Vec::new(),
            publish: &mut |records| {
                *wrote = true;
                publish(records)
            },
            clock: &mut self.clock,
            hold_ms: plan.hold_ms,
            paces: &plan.paces,
            tables: Tables::of(step.0, &self.plan.steps, above),
            repeats: self.repeats,
            late_rows: 0,
            failed: Vec::new(),
        };
        call(operators[0].as_mut(), &mut out)
            .map_err(|cause| step_error(&self.plan, self.partition, &plan.label, cause))?;
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
}
