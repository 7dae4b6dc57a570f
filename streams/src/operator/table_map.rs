//! A table of which some rows are left out, or that has other columns.
//!
//! What changed comes as pairs of what was and what is, and what follows is said of both: so a row that an update moves out of what
//! stays is gone, and one that it moves in is there, without anything being kept.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;

use super::changes::{Change, side};
use super::failing::{failing, without};
use super::{FailedContent, FailedRow, Operator, OperatorError, Output, Seen, Tables};
use crate::plan::TableMapPlan;
use crate::rows::{NO_TIME, Rows};

/// What becomes of each row.
pub(crate) struct TableMap {
    plan: TableMapPlan,
    /// The columns of the table, each of which may be null.
    table: SchemaRef,
}

/// Rows as they are behind the step: which there are, and their columns behind the key, null where there is none.
struct Mapped {
    there: Vec<bool>,
    values: Vec<ArrayRef>,
}

impl TableMap {
    pub(crate) fn new(plan: TableMapPlan) -> Self {
        let fields = plan.table.fields().iter();
        let fields = fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        Self {
            table: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            plan,
        }
    }

    /// What becomes of those of `rows` that `flags` marks.
    fn map(&self, rows: &RecordBatch, flags: &BooleanArray) -> Result<Mapped, OperatorError> {
        let marked = filter_record_batch(rows, flags)?;
        let stays = match &self.plan.predicate {
            None => None,
            Some(predicate) => Some(predicate.evaluate(&marked).map_err(OperatorError::of_rows)?),
        };
        let stays = stays.as_ref().map(|stays| as_boolean_array(stays)).transpose()?;
        let is_there = |place: u32| {
            let place = place as usize;
            stays.is_none_or(|stays| stays.is_valid(place) && stays.value(place))
        };
        let mut next = 0..;
        let places: UInt32Array = (0..flags.len())
            .map(|row| {
                let place = if flags.value(row) { next.next() } else { None };
                place.filter(|place| is_there(*place))
            })
            .collect();
        let values = self.plan.values.iter().map(|value| {
            let value = value.evaluate(&marked).map_err(OperatorError::of_rows)?;
            Ok(take(&value, &places, None)?)
        });
        Ok(Mapped {
            values: values.collect::<Result<_, OperatorError>>()?,
            there: places.iter().map(|place| place.is_some()).collect(),
        })
    }

    /// The same, where those on which an expression fails are not there; gives them as well.
    fn map_without_failing(
        &self,
        rows: &RecordBatch,
        flags: &BooleanArray,
    ) -> Result<(Mapped, Vec<(usize, OperatorError)>), OperatorError> {
        match self.map(rows, flags) {
            Err(error) if error.is_of_rows() => {}
            mapped => return Ok((mapped?, Vec::new())),
        }
        let evaluate = |rows: &RecordBatch| {
            let all = BooleanArray::from(vec![true; rows.num_rows()]);
            self.map(rows, &all).map(drop)
        };
        let failed = failing(rows, flags, &evaluate)?;
        let flags = without(flags, failed.iter().map(|(row, _)| *row));
        Ok((self.map(rows, &flags)?, failed))
    }
}

impl Operator for TableMap {
    fn process(&mut self, pairs: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let width = self.table.fields().len();
        let columns = pairs.batch.columns();
        let (had, has) = (
            columns[2 * width].as_boolean(),
            columns[2 * width + 1].as_boolean(),
        );
        let all = BooleanArray::from(vec![true; pairs.len()]);
        let new = side(&pairs.batch, 0, &self.table, &all)?;
        let old = side(&pairs.batch, width, &self.table, &all)?;
        // A row that failed when it came was not there, and is not told of again.
        let (was, _) = self.map_without_failing(&old, had)?;
        let (is, failed) = self.map_without_failing(&new, has)?;
        out.failed
            .extend(failed.into_iter().map(|(row, cause)| FailedRow {
                part: 0,
                row: FailedContent::Row(pairs.with_batch(new.clone()).slice(row, 1)),
                cause,
            }));
        let mut columns = columns[..self.plan.keys].to_vec();
        columns.extend(is.values);
        let change = Change {
            rows: pairs.with_batch(RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?),
            had: was.there,
            live: is.there,
            keys: self.plan.keys,
            before: self.plan.changes_used.then_some(was.values),
        };
        change.emit(out)
    }

    fn look_up(&mut self, keys: &[ArrayRef], tables: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let seen = tables.look_up(0, keys)?;
        let columns = [keys, &seen.values].concat();
        let rows = RecordBatch::try_new(Arc::clone(&self.table), columns)?;
        let (mapped, _) = self.map_without_failing(&rows, &BooleanArray::from(seen.there))?;
        let times = seen.times.values().iter().zip(&mapped.there);
        let times = times.map(|(time, there)| if *there { *time } else { NO_TIME });
        Ok(Seen {
            times: Int64Array::from_iter_values(times),
            there: mapped.there,
            values: mapped.values,
        })
    }
}
