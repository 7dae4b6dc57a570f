//! The task of a global table: it reads all partitions, and writes nothing.
use arrow::array::ArrayRef;

use super::{InputRecord, Task, TaskError};
use crate::operator::{GlobalView, OperatorError, Seen, Surroundings, Tables};
use crate::plan::{ErrorPolicy, GlobalTable, StepId};
use crate::sink::{RecordBuffer, SinkError};

/// A global table as it is being read.
pub(crate) struct GlobalTask {
    task: Task,
    table: StepId,
}

impl GlobalTask {
    pub(crate) fn new(plan: &GlobalTable, near: &Surroundings) -> Result<Self, TaskError> {
        let near = Surroundings {
            limits: near.limits.clone(),
            is_silent: true,
            errors: near.errors.clone(),
            // Each process would write the same letters.
            on_error: near.on_error.as_ref().map(|policy| match policy {
                ErrorPolicy::DeadLetter(_) => ErrorPolicy::Skip,
                policy => policy.clone(),
            }),
            // All of it stays in memory: it is nowhere else.
            ..Surroundings::default()
        };
        Ok(Self {
            task: Task::new(plan.sub.clone(), 0, &near)?,
            table: plan.table,
        })
    }

    /// Takes a record of any partition.
    pub(crate) fn accept(&mut self, record: &InputRecord<'_>) -> Result<(), TaskError> {
        if self.task.partition != record.partition {
            self.task.flush(&mut nowhere)?;
            self.task.partition = record.partition;
            self.task.failures.come_from(record.partition);
        }
        self.task.accept(0, record, &mut nowhere)
    }

    /// What was taken is in the table.
    pub(crate) fn settle(&mut self) -> Result<(), TaskError> {
        self.task.end_epoch(&mut nowhere)?;
        self.task.forget_written();
        Ok(())
    }
}

/// The topic is the changelog.
fn nowhere(_: &RecordBuffer) -> Result<(), SinkError> {
    Ok(())
}

impl GlobalView for GlobalTask {
    fn look_up(&mut self, keys: &[ArrayRef]) -> Result<Seen, OperatorError> {
        let StepId(step) = self.table;
        let (above, rest) = self.task.operators.split_at_mut(step);
        rest[0].look_up(keys, &mut Tables::of(step, &self.task.plan.steps, above))
    }
}
