//! What the rows of a table ask another one for, by a key of that one.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, filter};

use super::{Operator, OperatorError, Output};
use crate::plan::SubscriberPlan;
use crate::rows::Rows;

/// Asks for new keys, and no longer for old ones.
pub(crate) struct Subscriber {
    plan: SubscriberPlan,
    /// What was asked for may have been lost: it is asked for whenever the row changes.
    repeats: bool,
}

impl Subscriber {
    pub(crate) fn new(plan: SubscriberPlan, repeats: bool) -> Self {
        Self { plan, repeats }
    }

    /// The foreign keys of rows whose columns begin at `from`.
    fn foreign<'a>(&self, pairs: &'a RecordBatch, from: usize) -> &'a [ArrayRef] {
        let end = from + self.plan.width;
        &pairs.columns()[end - self.plan.foreign..end]
    }

    fn emit(
        &self,
        pairs: &Rows,
        foreign: &[ArrayRef],
        which: &[bool],
        live: bool,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let which = BooleanArray::from(which.to_vec());
        let keys = &pairs.batch.columns()[..self.plan.keys];
        let columns = foreign.iter().chain(keys).map(|column| filter(column, &which));
        let mut columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        columns.push(Arc::new(BooleanArray::from(vec![live; which.true_count()])));
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.subscriptions), columns)?;
        out.push(pairs.filter(&which)?.with_batch(batch));
        Ok(())
    }
}

/// Which rows that are there have a whole key.
fn with_key(there: &BooleanArray, keys: &[ArrayRef]) -> Vec<bool> {
    let is_whole = |row: usize| keys.iter().all(|key| key.is_valid(row));
    (0..there.len())
        .map(|row| there.value(row) && is_whole(row))
        .collect()
}

impl Operator for Subscriber {
    fn process(&mut self, pairs: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let width = self.plan.width;
        let columns = pairs.batch.columns();
        let (new, old) = (self.foreign(&pairs.batch, 0), self.foreign(&pairs.batch, width));
        let had = with_key(columns[2 * width].as_boolean(), old);
        let has = with_key(columns[2 * width + 1].as_boolean(), new);
        let mut same = BooleanArray::from(vec![true; pairs.len()]);
        for (new, old) in new.iter().zip(old) {
            same = and(&same, &not_distinct(new, old)?)?;
        }
        let rows = || had.iter().zip(&has).zip(same.values());
        let gone: Vec<bool> = rows().map(|((had, has), same)| *had && !(*has && same)).collect();
        let asked: Vec<bool> = rows()
            .map(|((had, has), same)| *has && (!(*had && same) || self.repeats))
            .collect();
        self.emit(&pairs, old, &gone, false, out)?;
        self.emit(&pairs, new, &asked, true, out)
    }
}
