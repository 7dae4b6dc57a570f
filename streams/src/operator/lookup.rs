//! Rows of a stream with those that a table has for their keys.
//!
//! Why at the end of the epoch: the table is then what the epoch has made of it, whatever order its inputs were read in, and many rows are
//! looked up at once. What comes out is one batch at a time: the steps below have worked on each before the next one is made.
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{cast, concat, nullif, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::portion::{Looks, portion};
use super::{Operator, OperatorError, Output, Seen, SharedView, Tables};
use crate::expr::CompiledExpr;
use crate::plan::LookupPlan;
use crate::rows::{Rows, add_row_bytes, row_bytes};
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
    held: VecDeque<Held>,
    rows: usize,
    bytes: usize,
    /// What is left to do of the end of an epoch: those of the held rows that were looked up last.
    ending: Option<Ending>,
    looks: Looks,
    /// What is looked up comes into memory.
    share: Share,
}

/// A batch and its keys, which are of the table's types; null in a key is no key.
struct Held {
    rows: Rows,
    keys: Vec<ArrayRef>,
}

/// Rows that were looked up, and how many of them have been emitted.
struct Ending {
    held: VecDeque<Held>,
    /// For each row of these the number of its key.
    groups: Vec<usize>,
    keys: Vec<ArrayRef>,
    seen: Seen,
    /// What each key's row takes.
    key_bytes: Vec<usize>,
    /// What each row of the first of `held` takes.
    row_bytes: Vec<usize>,
    /// The rows of it that have been emitted, and of all.
    given: usize,
    given_of_all: usize,
}

impl Held {
    /// The first rows, of which there are more; they are not here then.
    fn split_off(&mut self, rows: usize) -> Self {
        let rest = self.rows.len() - rows;
        let slices = |from: usize, rows: usize| self.keys.iter().map(|key| key.slice(from, rows)).collect();
        let (first, keys) = (self.rows.slice(0, rows), slices(0, rows));
        (self.keys, self.rows) = (slices(rows, rest), self.rows.slice(rows, rest));
        Self { rows: first, keys }
    }
}

impl Lookup {
    pub(crate) fn new(plan: LookupPlan, global: Option<SharedView>, memory: &Arc<StateMemory>) -> Self {
        Self {
            plan,
            global,
            held: VecDeque::new(),
            rows: 0,
            bytes: 0,
            ending: None,
            looks: Looks::new(),
            share: Share::of(memory),
        }
    }

    /// Each key once, and for each held row the number of its key.
    fn distinct(&self, held: &VecDeque<Held>) -> Result<(Vec<ArrayRef>, Vec<usize>), OperatorError> {
        let column = |number: usize| {
            let parts: Vec<&dyn Array> = held.iter().map(|held| &*held.keys[number]).collect();
            concat(&parts)
        };
        let keys: Vec<ArrayRef> = (0..self.plan.keys.len()).map(column).collect::<Result<_, _>>()?;
        distinct(&keys)
    }

    /// Looks the next of the held rows up.
    fn look(&mut self, tables: &mut Tables<'_>) -> Result<Option<Ending>, OperatorError> {
        let (mut held, mut room) = (VecDeque::new(), self.looks.keys_max());
        while room > 0
            && let Some(mut next) = self.held.pop_front()
        {
            if next.rows.len() > room {
                held.push_back(next.split_off(room));
                self.held.push_front(next);
                break;
            }
            room -= next.rows.len();
            held.push_back(next);
        }
        if held.is_empty() {
            return Ok(None);
        }
        let (keys, groups) = self.distinct(&held)?;
        let seen = match &self.global {
            Some(global) => global.look_up(&keys)?,
            None => tables.look_up(0, &keys)?,
        };
        let mut key_bytes = vec![0; seen.there.len()];
        let shown = self.plan.shown_keys.iter().map(|key| &keys[*key]);
        for column in shown.chain(&seen.values) {
            add_row_bytes(column, &mut key_bytes);
        }
        self.looks.took(key_bytes.len(), key_bytes.iter().sum());
        Ok(Some(Ending {
            row_bytes: row_bytes(&held[0].rows.batch),
            held,
            groups,
            keys,
            seen,
            key_bytes,
            given: 0,
            given_of_all: 0,
        }))
    }

    /// The next of the rows that were looked up, as many as are one batch.
    fn next_joined(&self, ending: &mut Ending) -> Result<Option<Rows>, OperatorError> {
        let Some(held) = ending.held.front() else {
            return Ok(None);
        };
        let is_found = |row: usize, group: usize| {
            ending.seen.there[group] && held.keys.iter().all(|key| key.is_valid(row))
        };
        let of_all = ending.groups[ending.given_of_all..].iter();
        let left = (ending.given..held.rows.len()).zip(of_all);
        let (rows, _) = portion(left.clone().map(|(row, group)| match is_found(row, *group) {
            true => ending.row_bytes[row].saturating_add(ending.key_bytes[*group]),
            false if self.plan.left => ending.row_bytes[row],
            false => 0,
        }));
        let found = left
            .take(rows)
            .map(|(row, group)| is_found(row, *group).then_some(*group as u32));
        let found: UInt32Array = found.collect();
        let joined = self.joined(
            held.rows.slice(ending.given, rows),
            found,
            &ending.keys,
            &ending.seen,
        )?;
        ending.given += rows;
        ending.given_of_all += rows;
        if ending.given == held.rows.len() {
            ending.held.pop_front();
            ending.given = 0;
            let next = ending.held.front();
            ending.row_bytes = next.map_or(Vec::new(), |next| row_bytes(&next.rows.batch));
        }
        Ok(Some(joined))
    }

    /// Rows with what was seen for their keys; `found` has the number of the key of each, or none if there is nothing for it.
    fn joined(
        &self,
        rows: Rows,
        found: UInt32Array,
        keys: &[ArrayRef],
        seen: &Seen,
    ) -> Result<Rows, OperatorError> {
        let (rows, found) = match self.plan.left || found.null_count() == 0 {
            true => (rows, found),
            false => {
                let keep: BooleanArray = found.iter().map(|found| Some(found.is_some())).collect();
                let found: UInt32Array = found.iter().flatten().collect();
                (rows.filter(&keep)?, found)
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
        self.held.push_back(Held { rows, keys });
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        (self.rows, self.bytes) = (0, 0);
        self.ending = self.look(&mut out.tables)?;
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(mut ending) = self.ending.take() else {
            return Ok(());
        };
        self.ending = match self.next_joined(&mut ending)? {
            Some(rows) => {
                out.push(rows);
                Some(ending)
            }
            None => self.look(&mut out.tables)?,
        };
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
