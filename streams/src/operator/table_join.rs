//! Two tables joined by their keys.
//!
//! What changed on one side comes as a pair of what was and what is; what did not is looked up there, and is both. So the join knows what
//! its own row was without keeping it.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::changes::Change;
use super::table_sides::{self, Pairs, distinct_keys};
use super::to_table::nulled;
use super::{Operator, OperatorError, Output, Seen, Tables};
use crate::plan::TableJoinPlan;
use crate::rows::Rows;

/// What changed on both sides in the running epoch.
pub(crate) struct TableJoin {
    plan: TableJoinPlan,
    pairs: [Vec<Rows>; 2],
}

impl TableJoin {
    pub(crate) fn new(plan: TableJoinPlan) -> Self {
        Self {
            plan,
            pairs: Default::default(),
        }
    }

    fn has(&self, left: &[bool], right: &[bool]) -> Vec<bool> {
        let pairs = left.iter().zip(right);
        pairs
            .map(|(left, right)| self.plan.kind.has(*left, *right))
            .collect()
    }
}

impl Operator for TableJoin {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.pairs[usize::from(port)].push(rows);
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let [left, right] = std::mem::take(&mut self.pairs);
        let pairs = [Pairs::of(&left)?, Pairs::of(&right)?];
        if pairs.iter().all(Option::is_none) {
            return Ok(());
        }
        let fields = &self.plan.schema.fields()[..self.plan.keys];
        let (keys, groups) = distinct_keys(fields, &pairs)?;
        let mut side = |side: usize| {
            let pairs = pairs[side].as_ref();
            let width = self.plan.sides[side].fields().len();
            table_sides::side(side, width, &keys, pairs, &groups[side], &mut out.tables)
        };
        let (left, right) = (side(0)?, side(1)?);
        let (live, had) = (self.has(&left.now, &right.now), self.has(&left.had, &right.had));
        let times = left.times.iter().zip(&right.times);
        let times: Vec<i64> = times.map(|(left, right)| *left.max(right)).collect();
        let columns = [keys, left.values, right.values].concat();
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        let before = match self.plan.changes_used {
            true => Some(nulled(&[left.before, right.before].concat(), &had)?),
            false => None,
        };
        let change = Change {
            rows: Rows::new(batch, times),
            had,
            live,
            keys: self.plan.keys,
            before,
        };
        change.emit(out)
    }

    fn look_up(&mut self, keys: &[ArrayRef], tables: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let left = tables.look_up(0, keys)?;
        let right = tables.look_up(1, keys)?;
        let there = self.has(&left.there, &right.there);
        let values = nulled(&[left.values, right.values].concat(), &there)?;
        let times = left.times.values().iter().zip(right.times.values());
        let times = Int64Array::from_iter_values(times.map(|(left, right)| *left.max(right)));
        Ok(Seen { there, values, times })
    }
}
