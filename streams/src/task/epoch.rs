//! The end of a task's epoch: what is published then, how far its inputs and its event time are, and what it says of itself.
use std::sync::Arc;
use std::time::Instant;

use super::error::step_error;
use super::stats::{InputMetrics, StepMetrics, StoreMetrics, TaskMetrics};
use super::{Position, Task, TaskError};
use crate::operator::{OperatorError, Publish};
use crate::plan::StepId;
use crate::rows::{EventTime, NO_TIME};
use crate::sink::{Destination, RecordBuffer};
use crate::time::{Announcement, Watermark};

impl Task {
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

    /// Nothing was left to read from input number `input` at `position`, up to `end`. It is idle if nothing came for its idle time: who waits for tables
    /// asks without.
    pub(crate) fn set_read(&mut self, input: usize, position: Option<i64>, end: i64, now: Instant) {
        if self.stands_at(input) == position {
            self.inputs[input].next = Some(end);
            self.clock.set_idle(input, now);
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
