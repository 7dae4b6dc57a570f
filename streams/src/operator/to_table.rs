//! The last row of each key.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, is_null, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;

use super::changes::{self, Change};
use super::unavailable::{fill_from_rows, fill_from_table};
use super::{Asked, Operator, OperatorError, Output, Seen, Surroundings, Tables};
use crate::plan::ToTable as Plan;
use crate::rows::Rows;
use crate::state::{Changelog, RowStore, RowTable, Share};
use crate::store::LocalStore;
use crate::time::Watermark;

/// Rows of an epoch that are held before they are reduced to the last of each key.
pub(super) const HELD_ROWS_MAX: usize = 64 * 1024;

/// A table, and what came in the running epoch.
pub(super) struct ToTable {
    plan: Plan,
    held: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    /// The columns of the changelog.
    stored: SchemaRef,
    rows: RowStore,
    /// Nobody reads its changelog, so that nothing has to fit there.
    is_silent: bool,
}

impl ToTable {
    pub(super) fn new(plan: &Plan, partition: i32, near: &Surroundings) -> Result<Self, OperatorError> {
        let stored = stored_schema(plan);
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            partition,
            Arc::clone(&stored),
            plan.keys,
            &plan.meaning,
        );
        let changelog = changelog.limited(near.limits.record_bytes_max);
        Ok(Self {
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            rows: RowStore::new(changelog, Share::of(&near.memory))?,
            stored,
            is_silent: near.is_silent,
            plan: plan.clone(),
        })
    }

    /// Reduces what is held to the last row of each key.
    fn reduce(&mut self) -> Result<Option<Rows>, OperatorError> {
        let mut held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        if !self.plan.unavailable.is_empty() && !held.is_empty() {
            held = vec![self.filled(&held)?];
        }
        last_of_each(&self.plan.input, self.plan.keys, &held)
    }

    /// The rows, in which what some do not say is what those before them said.
    fn filled(&self, held: &[Rows]) -> Result<Rows, OperatorError> {
        let (schema, keys) = (&self.plan.input, self.plan.keys);
        let batch = concat_batches(schema, held.iter().map(|rows| &rows.batch))?;
        let times = held.iter().flat_map(|rows| rows.times().iter().copied());
        let (groups, _) = groups_of(schema, keys, &batch)?;
        let deleted = deletes(&self.plan, &batch)?;
        let batch = fill_from_rows(&batch, keys, &groups, &deleted, &self.plan.unavailable)?;
        Ok(Rows::new(batch, times.collect()))
    }
}

/// Whether each row deletes its key.
pub(super) fn deletes(plan: &Plan, rows: &RecordBatch) -> Result<Vec<bool>, OperatorError> {
    if let Some(deleted) = &plan.deleted {
        let deleted = deleted.evaluate(rows)?;
        let deleted = as_boolean_array(&deleted)?;
        // Null is not true.
        return Ok(deleted.iter().map(|deleted| deleted == Some(true)).collect());
    }
    let mut all = vec![rows.num_columns() > plan.keys; rows.num_rows()];
    for column in &rows.columns()[plan.keys..] {
        let nulls = is_null(column)?;
        all.iter_mut()
            .zip(nulls.values())
            .for_each(|(all, null)| *all &= null);
    }
    Ok(all)
}

/// The columns of the changelog.
pub(super) fn stored_schema(plan: &Plan) -> SchemaRef {
    let (keys, values) = plan.schema.fields().split_at(plan.keys);
    // A deleted row has null in every column, also in those that no row leaves empty.
    let values = values.iter();
    let mut values: Vec<Arc<Field>> = values
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    values.push(Arc::new(Field::new("$time", DataType::Int64, true)));
    Arc::new(Schema::new([keys, &values].concat()))
}

/// The last row of each key, the first `keys` columns.
pub(super) fn last_of_each(
    schema: &SchemaRef,
    keys: usize,
    held: &[Rows],
) -> Result<Option<Rows>, OperatorError> {
    if held.is_empty() {
        return Ok(None);
    }
    let batch = concat_batches(schema, held.iter().map(|rows| &rows.batch))?;
    let times: Vec<i64> = held
        .iter()
        .flat_map(|rows| rows.times().iter().copied())
        .collect();
    let (groups, total) = groups_of(schema, keys, &batch)?;
    let mut last: Vec<u32> = vec![0; total];
    for (row, group) in (0..).zip(groups) {
        last[group] = row;
    }
    // In the order of the log, which is that of the keys' last rows.
    last.sort_unstable();
    let times = last.iter().map(|row| times[*row as usize]).collect();
    let batch = take_record_batch(&batch, &UInt32Array::from(last))?;
    Ok(Some(Rows::new(batch, times)))
}

/// For each row the number of its key among those there are, and how many these are.
pub(super) fn groups_of(
    schema: &SchemaRef,
    keys: usize,
    batch: &RecordBatch,
) -> Result<(Vec<usize>, usize), OperatorError> {
    let key_schema = Arc::new(Schema::new(schema.fields()[..keys].to_vec()));
    let mut places = RowTable::new(key_schema, Arc::new(Schema::empty()))?;
    let groups = places.places(&batch.columns()[..keys])?;
    Ok((groups, places.places_end()))
}

impl Operator for ToTable {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        // A row for which it fails is no row of the table, and must not hide the one before it.
        if let Some(deleted) = &self.plan.deleted {
            deleted.evaluate(&rows.batch).map_err(OperatorError::of_rows)?;
        }
        self.held_rows += rows.len();
        self.held_bytes += rows.size_bytes();
        self.held.push(rows);
        if self.held_rows > HELD_ROWS_MAX
            && let Some(rows) = self.reduce()?
        {
            self.held_bytes = rows.size_bytes();
            self.held.push(rows);
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.rows.make_room()?;
        let Some(rows) = self.reduce()? else {
            return Ok(());
        };
        let deleted = deletes(&self.plan, &rows.batch)?;
        let columns: Vec<usize> = (0..self.plan.schema.fields().len()).collect();
        let mut rows = rows.with_batch(rows.batch.project(&columns)?);
        let places = self.rows.touch(&rows.batch.columns()[..self.plan.keys])?;
        let table = self.rows.table();
        let had: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        // What deletes a key that is not there is no change.
        let news: BooleanArray = had
            .iter()
            .zip(&deleted)
            .map(|(had, deleted)| Some(*had || !deleted))
            .collect();
        let live: Vec<bool> = deleted.iter().map(|deleted| !deleted).collect();
        let is_filled = !self.plan.unavailable.is_empty();
        let mut before = None;
        if self.plan.changes_used || is_filled {
            let values = rows.batch.num_columns() - self.plan.keys;
            before = Some(changes::gathered(table, &places, &had, values)?);
        }
        if let Some(before) = before.as_ref().filter(|_| is_filled) {
            rows = rows.with_batch(fill_from_table(
                &rows.batch,
                self.plan.keys,
                before,
                &self.plan.unavailable,
            )?);
        }
        let before = before.filter(|_| self.plan.changes_used);
        let (keys, values) = rows.batch.columns().split_at(self.plan.keys);
        let mut stored = values.to_vec();
        stored.push(Arc::clone(rows.time_columns().0));
        let stored = nulled(&stored, &live)?;
        table.set(&places, &stored, &live)?;

        if !self.is_silent && news.true_count() > 0 {
            let logged = RecordBatch::try_new(Arc::clone(&self.stored), [keys, &stored].concat())?;
            let logged = arrow::compute::filter_record_batch(&logged, &news)?;
            let logged_live: Vec<bool> = live
                .iter()
                .zip(&news)
                .filter_map(|(live, news)| (news == Some(true)).then_some(*live))
                .collect();
            (out.publish)(&self.rows.encode(&logged, &logged_live)?)?;
        }
        let change = Change {
            rows,
            had,
            live,
            keys: self.plan.keys,
            before,
        };
        change.emit(out)?;
        Ok(self.rows.compact()?)
    }

    fn answer(&mut self, asked: &Asked, _: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        let columns = match &asked.key {
            None => self.rows.all()?,
            Some(key) => {
                let places = self.rows.touch(key)?;
                let table = self.rows.table();
                if !table.is_live(places[0]) {
                    self.rows.compact()?;
                    return Ok(Vec::new());
                }
                [key.clone(), table.gather(&places)?].concat()
            }
        };
        let columns = columns[..self.plan.schema.fields().len()].to_vec();
        self.rows.compact()?;
        Ok(vec![RecordBatch::try_new(
            Arc::clone(&self.plan.schema),
            columns,
        )?])
    }

    fn look_up(&mut self, keys: &[ArrayRef], _: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let places = self.rows.touch(keys)?;
        let table = self.rows.table();
        let there: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        let stored = self.stored.fields().len() - self.plan.keys;
        let mut values = changes::gathered(table, &places, &there, stored)?;
        let times = values.pop().expect("what is stored ends with the time");
        self.rows.compact()?;
        Ok(Seen::new(there, values, &times))
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        self.rows.restore(key, value)?;
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        self.rows.end_restore()?;
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.rows.attach(store);
    }

    fn takes_more(&mut self) -> bool {
        self.rows.takes_more()
    }

    fn takes_none(&mut self) -> bool {
        self.rows.takes_none()
    }

    fn is_full(&self) -> bool {
        self.rows.is_full_with(self.held_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        self.rows.size()
    }
}

/// The columns with null where a row is not live, so that deleted rows keep nothing.
pub(super) fn nulled(columns: &[ArrayRef], live: &[bool]) -> Result<Vec<ArrayRef>, OperatorError> {
    if live.iter().all(|live| *live) {
        return Ok(columns.to_vec());
    }
    let dead: BooleanArray = live.iter().map(|live| Some(!live)).collect();
    let nulled = columns
        .iter()
        .map(|column| arrow::compute::nullif(column, &dead))
        .collect::<Result<_, _>>()?;
    Ok(nulled)
}

/// The latest of some times for each of `total` groups.
pub(super) fn latest(times: &[i64], groups: &[usize], total: usize) -> Int64Array {
    let mut latest = vec![crate::rows::NO_TIME; total];
    for (time, group) in times.iter().zip(groups) {
        latest[*group] = latest[*group].max(*time);
    }
    Int64Array::from(latest)
}
