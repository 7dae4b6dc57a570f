//! Rows of a stream with those that a table has for their keys.
//!
//! Why at the end of the epoch: the table is then what the epoch has made of it, whatever order its inputs were read in, and all rows are
//! looked up at once.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{cast, concat, nullif, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::{Operator, OperatorError, Output, Seen, SharedView};
use crate::expr::CompiledExpr;
use crate::plan::LookupPlan;
use crate::rows::Rows;
use crate::state::{RowTable, Share, StateMemory};

/// Rows that are held until the epoch ends early.
const HELD_ROWS_MAX: usize = 256 * 1024;
/// Bytes of them.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Rows of the running epoch, and where to look.
pub(crate) struct Lookup {
    plan: LookupPlan,
    /// Where, if that is no table of the task.
    global: Option<SharedView>,
    held: Vec<Held>,
    rows: usize,
    bytes: usize,
    /// What is looked up comes into memory.
    share: Share,
}

/// A batch and its keys, which are of the table's types; null in a key is no key.
struct Held {
    rows: Rows,
    keys: Vec<ArrayRef>,
}

impl Lookup {
    pub(crate) fn new(plan: LookupPlan, global: Option<SharedView>, memory: &Arc<StateMemory>) -> Self {
        Self {
            plan,
            global,
            held: Vec::new(),
            rows: 0,
            bytes: 0,
            share: Share::of(memory),
        }
    }

    /// Each key once, and for each held row the number of its key.
    fn distinct(&self, held: &[Held]) -> Result<(Vec<ArrayRef>, Vec<usize>), OperatorError> {
        let column = |number: usize| {
            let parts: Vec<&dyn Array> = held.iter().map(|held| &*held.keys[number]).collect();
            concat(&parts)
        };
        let keys: Vec<ArrayRef> = (0..self.plan.keys.len()).map(column).collect::<Result<_, _>>()?;
        distinct(&keys)
    }

    /// The rows of `held`, whose keys have the numbers `groups`, with what was seen for these.
    fn joined(
        &self,
        held: &Held,
        groups: &[usize],
        keys: &[ArrayRef],
        seen: &Seen,
    ) -> Result<Rows, OperatorError> {
        let matches =
            |row: usize, group: usize| seen.there[group] && held.keys.iter().all(|key| key.is_valid(row));
        let found: UInt32Array = groups
            .iter()
            .enumerate()
            .map(|(row, group)| matches(row, *group).then_some(*group as u32))
            .collect();
        let (rows, found) = match self.plan.left || found.null_count() == 0 {
            true => (held.rows.clone(), found),
            false => {
                let keep: BooleanArray = found.iter().map(|found| Some(found.is_some())).collect();
                let found: UInt32Array = found.iter().flatten().collect();
                (held.rows.filter(&keep)?, found)
            }
        };
        let mut columns = rows.batch.columns().to_vec();
        let shown = self.plan.shown_keys.iter().map(|key| &keys[*key]);
        for column in shown.chain(&seen.values) {
            columns.push(take(column, &found, None)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        Ok(rows.with_batch(batch))
    }
}

/// Each key once, and for each row the number of its key.
pub(super) fn distinct(keys: &[ArrayRef]) -> Result<(Vec<ArrayRef>, Vec<usize>), OperatorError> {
    let fields = keys.iter().enumerate();
    let fields: Vec<Field> = fields
        .map(|(number, key)| Field::new(format!("k{number}"), key.data_type().clone(), true))
        .collect();
    let mut places = RowTable::new(Arc::new(Schema::new(fields)), Arc::new(Schema::empty()))?;
    let groups = places.places(keys)?;
    let mut first: Vec<u32> = Vec::with_capacity(places.places_end());
    for (row, group) in (0..).zip(&groups) {
        if *group == first.len() {
            first.push(row);
        }
    }
    let first = UInt32Array::from(first);
    let keys = keys.iter().map(|key| take(key, &first, None));
    Ok((keys.collect::<Result<_, _>>()?, groups))
}

/// The keys of rows as a table has them, of these types.
pub(super) fn keys_of(
    batch: &RecordBatch,
    keys: &[CompiledExpr],
    types: &[DataType],
) -> Result<Vec<ArrayRef>, OperatorError> {
    let keys = keys.iter().zip(types).map(|(key, data_type)| {
        let key = key.evaluate(batch).map_err(OperatorError::of_rows)?;
        // A value that the table's key cannot have is null then, and as little there.
        match key.data_type() == data_type {
            true => Ok(key),
            false => Ok(exactly(&key, data_type)?),
        }
    });
    keys.collect()
}

/// Values as another type has them; null where it has another value in their place.
fn exactly(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let (own, others) = (values.data_type(), cast(values, data_type)?);
    // Times of other units are cut, and numbers rounded; texts are the same or nothing.
    if !(own.is_numeric() || own.is_temporal()) {
        return Ok(others);
    }
    let again = cast(&others, own)?;
    nullif(&others, &neq(&again, values)?)
}

impl Operator for Lookup {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        let keys = keys_of(&rows.batch, &self.plan.keys, &self.plan.key_types)?;
        self.rows += rows.len();
        self.bytes += rows.size_bytes();
        self.held.push(Held { rows, keys });
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let held = std::mem::take(&mut self.held);
        (self.rows, self.bytes) = (0, 0);
        if held.is_empty() {
            return Ok(());
        }
        let (keys, groups) = self.distinct(&held)?;
        let seen = match &self.global {
            Some(global) => global.look_up(&keys)?,
            None => out.tables.look_up(0, &keys)?,
        };
        let mut first = 0;
        for held in &held {
            let next = first + held.rows.len();
            out.push(self.joined(held, &groups[first..next], &keys, &seen)?);
            first = next;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= HELD_ROWS_MAX || self.bytes >= HELD_BYTES_MAX || self.share.is_full_with(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
    use arrow::datatypes::{Float32Type, Int32Type, TimeUnit, TimestampMillisecondType};

    use super::*;

    /// What was cut to the table's type met rows that it is not equal to.
    #[test]
    fn what_a_key_cannot_be_is_null() {
        let in_ms = DataType::Timestamp(TimeUnit::Millisecond, None);
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![
            Some(7_000_000),
            Some(7_000_001),
            None,
        ]));
        let times = exactly(&times, &in_ms).unwrap();
        let times = times.as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.iter().collect::<Vec<_>>(), [Some(7), None, None]);

        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.1, f64::NAN, 1e300, -0.0]));
        let numbers = exactly(&numbers, &DataType::Float32).unwrap();
        let numbers: Vec<_> = numbers.as_primitive::<Float32Type>().iter().collect();
        assert_eq!(
            (numbers[0], numbers[1], numbers[3], numbers[4]),
            (Some(0.5), None, None, Some(0.0))
        );
        assert!(numbers[2].unwrap().is_nan());

        let whole: ArrayRef = Arc::new(Int64Array::from(vec![1, 1 << 40]));
        let whole = exactly(&whole, &DataType::Int32).unwrap();
        assert_eq!(
            whole.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
            [Some(1), None]
        );

        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let texts = exactly(&texts, &DataType::Utf8View).unwrap();
        assert_eq!(
            texts.as_string_view().iter().collect::<Vec<_>>(),
            [Some("a"), None]
        );
    }
}
