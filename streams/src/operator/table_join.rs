//! Two tables joined by their keys.
//!
//! What changed on one side comes as a pair of what was and what is; what did not is looked up there, and is both. So the join knows what
//! its own row was without keeping it. What has changed comes out some keys at a time.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::changes::Change;
use super::portion::Looks;
use super::table_sides::{self, Changed};
use super::to_table::nulled;
use super::{Operator, OperatorError, Output, Seen, Tables};
use crate::plan::TableJoinPlan;
use crate::rows::Rows;

/// What changed on both sides in the running epoch.
pub(crate) struct TableJoin {
    plan: TableJoinPlan,
    pairs: [Vec<Rows>; 2],
    /// What is left to do of the end of an epoch.
    ending: Option<Changed>,
    looks: Looks,
}

impl TableJoin {
    pub(crate) fn new(plan: TableJoinPlan) -> Self {
        Self {
            plan,
            pairs: Default::default(),
            ending: None,
            looks: Looks::new(),
        }
    }

    fn has(&self, left: &[bool], right: &[bool]) -> Vec<bool> {
        let pairs = left.iter().zip(right);
        pairs
            .map(|(left, right)| self.plan.kind.has(*left, *right))
            .collect()
    }

    /// Emits what has changed of some keys.
    fn join(
        &mut self,
        changed: &Changed,
        keys: &Range<usize>,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let columns = changed.keys(keys);
        let mut side = |side: usize| {
            let pairs = changed.pairs[side].as_ref();
            let width = self.plan.sides[side].fields().len();
            let last = changed.last(side, keys);
            table_sides::side(side, width, &columns, pairs, &last, &mut out.tables)
        };
        let (left, right) = (side(0)?, side(1)?);
        self.looks.took(keys.len(), left.bytes() + right.bytes());
        let (live, had) = (self.has(&left.now, &right.now), self.has(&left.had, &right.had));
        let times = left.times.iter().zip(&right.times);
        let times: Vec<i64> = times.map(|(left, right)| *left.max(right)).collect();
        let columns = [columns, left.values, right.values].concat();
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
}

impl Operator for TableJoin {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.pairs[usize::from(port)].push(rows);
        Ok(())
    }

    fn end_epoch(&mut self, _: &mut Output<'_>) -> Result<(), OperatorError> {
        let fields = &self.plan.schema.fields()[..self.plan.keys];
        self.ending = Changed::of(fields, &std::mem::take(&mut self.pairs))?;
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(mut changed) = self.ending.take()
            && let Some(keys) = changed.next(&self.looks)
        {
            self.join(&changed, &keys, out)?;
            self.ending = Some(changed);
        }
        Ok(())
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
