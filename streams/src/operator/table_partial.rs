//! A table's changes on their way to an aggregate over its rows: what a row is now goes to its group, and what it was is taken back from
//! the group it was in.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, and_not};

use super::changes::side;
use super::failing::{failing, without};
use super::repartition::HeldRows;
use super::{FailedContent, FailedRow, Limits, Operator, OperatorError, Output};
use crate::format::Placement;
use crate::plan::TablePartial as Plan;
use crate::rows::Rows;

/// Ships rows of a table by group.
pub(super) struct TablePartial {
    plan: Plan,
    held: HeldRows,
    limits: Limits,
}

impl TablePartial {
    pub(super) fn new(plan: &Plan, partitions: usize, limits: Limits) -> Self {
        Self {
            held: HeldRows::new(&plan.rows, &plan.topic, plan.groups.len(), partitions, &limits),
            plan: plan.clone(),
            limits,
        }
    }

    fn groups(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>, OperatorError> {
        let groups = self.plan.groups.iter();
        let groups = groups.map(|group| {
            let group = group.evaluate(rows).map_err(OperatorError::of_rows)?;
            Ok(Placement::key_column(group)?)
        });
        groups.collect()
    }

    /// Rows of the table as members of their groups, or as members that are gone; and their groups.
    fn members(
        &self,
        table: &RecordBatch,
        rows: &Rows,
        live: bool,
    ) -> Result<(Vec<ArrayRef>, Rows), OperatorError> {
        let groups = self.groups(table)?;
        let mut columns: Vec<ArrayRef> = self
            .plan
            .columns
            .iter()
            .map(|column| Arc::clone(table.column(*column)))
            .collect();
        columns.extend(groups.iter().cloned());
        columns.push(Arc::new(BooleanArray::from(vec![live; table.num_rows()])));
        let members = rows.with_batch(RecordBatch::try_new(self.plan.rows.schema(), columns)?);
        Ok((groups, members))
    }

    /// Holds what the pairs change: those that `had` a row, and those that have one now.
    fn hold(&mut self, pairs: &Rows, had: &BooleanArray, has: &BooleanArray) -> Result<(), OperatorError> {
        let schema = &Arc::clone(&self.plan.table);
        let width = schema.fields().len();
        // Who stays in its group is replaced there; only who leaves is taken back.
        let both = and(had, has)?;
        let (new, old) = (
            side(&pairs.batch, 0, schema, &both)?,
            side(&pairs.batch, width, schema, &both)?,
        );
        let stays = self.stays(&new, &old)?;
        let leaves = and_not(had, &spread(&both, &stays))?;
        let gone = side(&pairs.batch, width, schema, &leaves)?;
        let there = side(&pairs.batch, 0, schema, has)?;
        // Before anything is held, so that an error leaves the step as it was.
        let gone = self.members(&gone, &pairs.filter(&leaves)?, false)?;
        let there = self.members(&there, &pairs.filter(has)?, true)?;
        for (groups, members) in [gone, there] {
            if members.len() > 0 {
                self.held.hold(groups, &members)?;
            }
        }
        Ok(())
    }

    /// Holds what the pairs change, where some rows have no group: these are in none from now on, or never were.
    fn hold_without_failing(
        &mut self,
        pairs: &Rows,
        had: &BooleanArray,
        has: &BooleanArray,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let width = self.plan.table.fields().len();
        let all = BooleanArray::from(vec![true; pairs.len()]);
        let new = side(&pairs.batch, 0, &self.plan.table, &all)?;
        let old = side(&pairs.batch, width, &self.plan.table, &all)?;
        let evaluate = |rows: &RecordBatch| self.groups(rows).map(drop);
        let is_gone = failing(&old, had, &evaluate)?.into_iter().map(|(row, _)| row);
        let had = without(had, is_gone);
        let failed = failing(&new, has, &evaluate)?;
        let has = without(has, failed.iter().map(|(row, _)| *row));
        self.hold(pairs, &had, &has)?;
        out.failed
            .extend(failed.into_iter().map(|(row, cause)| FailedRow {
                part: 0,
                row: FailedContent::Row(pairs.with_batch(new.clone()).slice(row, 1)),
                cause,
            }));
        Ok(())
    }
}

impl Operator for TablePartial {
    fn process(&mut self, pairs: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let width = self.plan.table.fields().len();
        let had = pairs.batch.column(2 * width).as_boolean().clone();
        let has = pairs.batch.column(2 * width + 1).as_boolean().clone();
        match self.hold(&pairs, &had, &has) {
            Err(error) if error.is_of_rows() => self.hold_without_failing(&pairs, &had, &has, out)?,
            held => held?,
        }
        match self.held.is_full(&self.limits) {
            true => self.held.ship(out),
            false => Ok(()),
        }
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.held.ship(out)
    }
}

impl TablePartial {
    /// Whether each row is in the group it was in.
    fn stays(&self, new: &RecordBatch, old: &RecordBatch) -> Result<BooleanArray, OperatorError> {
        let mut stays = BooleanArray::from(vec![true; new.num_rows()]);
        for (new, old) in self.groups(new)?.iter().zip(self.groups(old)?) {
            stays = and(&stays, &not_distinct(new, &old)?)?;
        }
        Ok(stays)
    }
}

/// The flags in `some` at the places where `at` is true; false elsewhere.
fn spread(at: &BooleanArray, some: &BooleanArray) -> BooleanArray {
    let mut next = 0..some.len();
    let flags = at
        .values()
        .iter()
        .map(|at| at && next.next().is_some_and(|place| some.value(place)));
    BooleanArray::from(flags.collect::<Vec<bool>>())
}
