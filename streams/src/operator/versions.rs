//! A table that keeps the versions of its rows: what each key had, from when on.
//!
//! A version ends where the next one begins. Those that ended longer ago than anybody may ask for are deleted with the next change of their
//! key; the last one stays, and says as well that the key is deleted. What the table shows to others is the version that is last in event
//! time: a row that comes behind it, and is older, changes what was, and not what is.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::{concat, concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::changes::Change;
use super::lookup::distinct;
use super::portion::portion;
use super::to_table::{HELD_ROWS_MAX, deletes, groups_of, last_of_each, nulled};
use super::unavailable::{fill_from_rows, fill_from_table};
use super::{Operator, OperatorError, Output, Place, Seen, Tables};
use crate::plan::VersionsPlan;
use crate::rows::{EventTime, NO_TIME, Rows, add_row_bytes};
use crate::state::{Changelog, GroupStore, Share};
use crate::store::LocalStore;

/// When a version begins: the end of its key. No column of a user has such a name.
const FROM: &str = "$from";
/// The columns behind those of the row: whether the key has none, and when the version begins, which orders those of a key.
const OWN_COLUMNS: usize = 2;

/// A table with versions, and what came in the running epoch.
pub(crate) struct Versions {
    plan: VersionsPlan,
    /// Rows with their times behind the key.
    timed: SchemaRef,
    held: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    /// The columns of the changelog.
    stored: SchemaRef,
    versions: GroupStore,
}

/// The versions that some keys have, each key's in the order of time.
struct Stored {
    columns: Vec<ArrayRef>,
    /// By key.
    places: Vec<Range<usize>>,
}

/// What is to be done with the rows of an epoch.
#[derive(Default)]
struct Merged {
    /// New versions that are kept: rows.
    set: Vec<u32>,
    /// Versions that nobody may ask for any more: their keys and beginnings.
    dropped: Vec<(u32, EventTime)>,
    /// Rows that are the last version of their key, and the version that was before them.
    last: Vec<(u32, Option<u32>)>,
}

impl Stored {
    fn begins(&self) -> &[EventTime] {
        let begins = self.columns.last().expect("versions end with their beginning");
        begins.as_primitive::<Int64Type>().values()
    }

    fn is_deleted(&self, place: usize) -> bool {
        let deleted = self.columns[self.columns.len() - OWN_COLUMNS].as_boolean();
        deleted.value(place)
    }

    /// The place of the last version of a key, unless it says that there is none.
    fn last(&self, key: usize) -> Option<usize> {
        let place = self.places[key].clone().next_back()?;
        (!self.is_deleted(place)).then_some(place)
    }

    /// The place of the version that a key had at a time.
    fn at(&self, key: usize, time: EventTime) -> Option<usize> {
        let places = self.places[key].clone();
        let begun = self.begins()[places.clone()].partition_point(|begin| *begin <= time);
        let place = places.start + begun.checked_sub(1)?;
        (!self.is_deleted(place)).then_some(place)
    }

    /// What each version takes.
    fn row_bytes(&self) -> Vec<usize> {
        let rows = self.columns[0].len();
        let mut bytes = vec![0; rows];
        for column in &self.columns {
            add_row_bytes(column, &mut bytes);
        }
        bytes
    }

    /// The values of rows at `places`, null where there is none.
    fn values(&self, places: &UInt32Array) -> Result<Vec<ArrayRef>, OperatorError> {
        let values = &self.columns[..self.columns.len() - OWN_COLUMNS];
        let values = values.iter().map(|column| take(column, places, None));
        Ok(values.collect::<Result<_, _>>()?)
    }

    fn seen(&self, places: &UInt32Array) -> Result<Seen, OperatorError> {
        let begins = self.columns.last().expect("versions end with their beginning");
        let there = (0..places.len()).map(|row| places.is_valid(row));
        let times = take(begins, places, None)?;
        Ok(Seen::new(there.collect(), self.values(places)?, &times))
    }
}

fn place_of(place: Option<usize>) -> Option<u32> {
    place.map(|place| place as u32)
}

impl Versions {
    pub(crate) fn new(plan: &VersionsPlan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let table = &plan.table;
        let from = Arc::new(Field::new(FROM, DataType::Int64, false));
        let with_time = |schema: &Schema| {
            let mut fields = schema.fields().to_vec();
            fields.insert(table.keys, Arc::clone(&from));
            fields
        };
        let timed = Arc::new(Schema::new(with_time(&table.input)));
        let mut stored = with_time(&table.schema);
        for field in &mut stored[table.keys + 1..] {
            // A version that says that there is none has null in every column.
            *field = Arc::new(field.as_ref().clone().with_nullable(true));
        }
        stored.push(Arc::new(Field::new("$deleted", DataType::Boolean, true)));
        stored.push(Arc::new(Field::new("$at", DataType::Int64, true)));
        let stored = Arc::new(Schema::new(stored));
        let changelog = Changelog::new(
            Arc::clone(&table.changelog),
            place.partition,
            Arc::clone(&stored),
            table.keys + 1,
            &table.meaning,
        );
        let changelog = changelog.limited(place.near.limits.record_bytes_max);
        Ok(Self {
            timed,
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            versions: GroupStore::new(changelog, table.keys, Share::of(&place.near.memory))?,
            stored,
            plan: plan.clone(),
        })
    }

    /// Rows as they came: without their times among the columns.
    fn as_came(&self, timed: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let columns: Vec<usize> = (0..timed.num_columns())
            .filter(|column| *column != self.plan.table.keys)
            .collect();
        Ok(timed.project(&columns)?)
    }

    fn hold(&mut self, rows: Rows) {
        self.held_rows += rows.len();
        self.held_bytes += rows.size_bytes();
        self.held.push(rows);
    }

    /// Reduces what is held to the last row of each key and time.
    fn reduce(&mut self) -> Result<Option<Rows>, OperatorError> {
        let mut held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        let (keys, unavailable) = (self.plan.table.keys, &self.plan.table.unavailable);
        if !unavailable.is_empty() && !held.is_empty() {
            let batch = concat_batches(&self.timed, held.iter().map(|rows| &rows.batch))?;
            let times = held
                .iter()
                .flat_map(|rows| rows.times().iter().copied())
                .collect();
            let (groups, _) = groups_of(&self.timed, keys, &batch)?;
            let deleted = deletes(&self.plan.table, &self.as_came(&batch)?)?;
            let filled = fill_from_rows(&batch, keys + 1, &groups, &deleted, unavailable)?;
            held = vec![Rows::new(filled, times)];
        }
        last_of_each(&self.timed, keys + 1, &held)
    }

    /// The versions of `keys`, each there once, which come into memory if they are not there.
    fn stored(&mut self, keys: &[ArrayRef]) -> Result<Stored, OperatorError> {
        let mut wanted: Vec<usize> = (0..keys[0].len()).collect();
        // All of them are asked for at once: memory is emptied when the next epoch ends.
        while !wanted.is_empty() {
            let ready = self.versions.touch(keys, &wanted)?;
            wanted.retain(|key| ready.binary_search(key).is_err());
        }
        let groups = self.versions.members().groups(keys)?;
        let (key_of, columns) = self.versions.members().of(&groups)?;
        let (mut places, mut next) = (Vec::with_capacity(groups.len()), 0);
        for key in 0..groups.len() {
            let end = next + key_of[next..].partition_point(|of| *of == key);
            places.push(next..end);
            next = end;
        }
        Ok(Stored { columns, places })
    }

    /// What becomes of rows, of which each has the number of its key in `key_of`; nobody asks for times before `horizon`.
    fn merged(&self, times: &[EventTime], key_of: &[usize], stored: &Stored, horizon: EventTime) -> Merged {
        let mut rows: Vec<(usize, EventTime, u32)> = (0..)
            .zip(key_of.iter().zip(times))
            .map(|(row, (key, time))| (*key, *time, row))
            .collect();
        rows.sort_unstable();
        let mut merged = Merged::default();
        for rows in rows.chunk_by(|one, other| one.0 == other.0) {
            let key = rows[0].0;
            let places = stored.places[key].clone();
            let begins = &stored.begins()[places.clone()];
            let (_, newest, row) = rows[rows.len() - 1];
            if begins.last().is_none_or(|last| *last <= newest) {
                merged.last.push((row, place_of(stored.last(key))));
            }
            // Each beginning, whether it is stored, and the row that is new there.
            let mut all: Vec<(EventTime, bool, Option<u32>)> =
                begins.iter().map(|begin| (*begin, true, None)).collect();
            for &(_, time, row) in rows {
                match begins.binary_search(&time) {
                    Ok(at) => all[at].2 = Some(row),
                    Err(_) => all.push((time, false, Some(row))),
                }
            }
            all.sort_unstable_by_key(|version| version.0);
            let ends = all.iter().skip(1).map(|next| Some(next.0)).chain([None]);
            for ((begin, is_stored, row), end) in all.iter().zip(ends) {
                match (end.is_some_and(|end| end <= horizon), row) {
                    (true, _) if *is_stored => merged.dropped.push((key as u32, *begin)),
                    (false, Some(row)) => merged.set.push(*row),
                    _ => {}
                }
            }
        }
        merged
    }

    /// Stores new versions and drops old ones.
    fn store(
        &mut self,
        timed: &RecordBatch,
        deleted: &[bool],
        keys: &[ArrayRef],
        merged: &Merged,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let table = &self.plan.table;
        let set = UInt32Array::from(merged.set.clone());
        let news = take_record_batch(timed, &set)?;
        let deleted: Vec<bool> = set.values().iter().map(|row| deleted[*row as usize]).collect();
        let there: Vec<bool> = deleted.iter().map(|deleted| !deleted).collect();
        let values = table.keys + 1..self.stored.fields().len() - OWN_COLUMNS;
        let mut columns = news.columns()[..table.keys + 1].to_vec();
        columns.extend(nulled(&news.columns()[values], &there)?);
        columns.push(Arc::new(BooleanArray::from(deleted)));
        columns.push(Arc::clone(news.column(table.keys)));

        let of = UInt32Array::from_iter_values(merged.dropped.iter().map(|(key, _)| *key));
        let begins: ArrayRef = Arc::new(Int64Array::from_iter_values(
            merged.dropped.iter().map(|(_, begin)| *begin),
        ));
        for (number, column) in columns.iter_mut().enumerate() {
            let old = match number {
                number if number < table.keys => take(&keys[number], &of, None)?,
                number if number == table.keys => Arc::clone(&begins),
                _ => new_null_array(column.data_type(), of.len()),
            };
            *column = concat(&[&**column, &*old])?;
        }
        let mut live = vec![true; set.len()];
        live.resize(set.len() + of.len(), false);
        if live.is_empty() {
            return Ok(());
        }
        let logged = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        let (keys, values) = logged.columns().split_at(table.keys + 1);
        self.versions.members().set(keys, values, &live)?;
        (out.publish)(&self.versions.encode(&logged, &live)?)?;
        Ok(())
    }

    /// The change of what is last of each key.
    fn change(
        &self,
        rows: &Rows,
        deleted: &[bool],
        merged: &Merged,
        stored: &Stored,
    ) -> Result<Change, OperatorError> {
        let table = &self.plan.table;
        let last: UInt32Array = merged.last.iter().map(|(row, _)| Some(*row)).collect();
        let before: UInt32Array = merged.last.iter().map(|(_, before)| *before).collect();
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        let batch = self.as_came(&rows.batch)?.project(&columns)?;
        let batch = take_record_batch(&batch, &last)?;
        let times = last.values().iter().map(|row| rows.times()[*row as usize]);
        let live = last.values().iter().map(|row| !deleted[*row as usize]);
        Ok(Change {
            rows: Rows::new(batch, times.collect()),
            had: (0..before.len()).map(|row| before.is_valid(row)).collect(),
            live: live.collect(),
            keys: table.keys,
            before: table.changes_used.then(|| stored.values(&before)).transpose()?,
        })
    }
}

impl Operator for Versions {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        // A row for which it fails is no version, and must not end the one before it.
        if let Some(deleted) = &self.plan.table.deleted {
            deleted.evaluate(&rows.batch).map_err(OperatorError::of_rows)?;
        }
        let has_time: BooleanArray = rows.times().iter().map(|time| Some(*time > NO_TIME)).collect();
        out.count_late(rows.len() - has_time.true_count());
        let rows = rows.filter(&has_time)?;
        let mut columns = rows.batch.columns().to_vec();
        columns.insert(self.plan.table.keys, Arc::clone(rows.time_columns().0));
        let times = rows.times().to_vec();
        let batch = RecordBatch::try_new(Arc::clone(&self.timed), columns)?;
        self.hold(Rows::new(batch, times));
        if self.held_rows > HELD_ROWS_MAX
            && let Some(rows) = self.reduce()?
        {
            // Most of them may stay; how many more come is counted from none.
            self.held_bytes = rows.size_bytes();
            self.held.push(rows);
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.versions.make_room()?;
        // Keys that were only asked for. Nothing of this epoch is stored yet.
        self.versions.members().forget_empty_groups()?;
        let Some(mut rows) = self.reduce()? else {
            return Ok(());
        };
        let key_columns = &rows.batch.columns()[..self.plan.table.keys];
        let (keys, key_of) = distinct(key_columns)?;
        let stored = self.stored(&keys)?;
        let deleted = deletes(&self.plan.table, &self.as_came(&rows.batch)?)?;
        if !self.plan.table.unavailable.is_empty() {
            // What was there at the row's time, which need not be what is last.
            let keys = key_of.iter().zip(rows.times());
            let before = keys.map(|(key, time)| place_of(stored.at(*key, *time)));
            let before = stored.values(&before.collect())?;
            let table = &self.plan.table;
            let filled = fill_from_table(
                &self.as_came(&rows.batch)?,
                table.keys,
                &before,
                &table.unavailable,
            )?;
            let mut columns = filled.columns().to_vec();
            columns.insert(self.plan.table.keys, Arc::clone(rows.time_columns().0));
            rows = rows.with_batch(RecordBatch::try_new(Arc::clone(&self.timed), columns)?);
        }
        // What waited for this end asks for nothing that was over at the last one.
        let horizon = out.settled().minus(self.plan.history_ms).millis();
        let merged = self.merged(rows.times(), &key_of, &stored, horizon);
        self.store(&rows.batch, &deleted, &keys, &merged, out)?;
        self.change(&rows, &deleted, &merged, &stored)?.emit(out)?;
        Ok(self.versions.compact()?)
    }

    fn look_up(&mut self, keys: &[ArrayRef], _: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let stored = self.stored(keys)?;
        let places = (0..keys[0].len()).map(|key| place_of(stored.last(key)));
        stored.seen(&places.collect())
    }

    fn look_up_at(&mut self, keys: &[ArrayRef], asked: &[(usize, EventTime)]) -> Result<Seen, OperatorError> {
        let stored = self.stored(keys)?;
        let places: Vec<Option<usize>> = asked.iter().map(|(key, time)| stored.at(*key, *time)).collect();
        // Many rows may ask for one that is large.
        let bytes = stored.row_bytes();
        let sizes = places.iter().map(|place| place.map_or(0, |place| bytes[place]));
        let (answered, _) = portion(sizes);
        stored.seen(&places[..answered].iter().copied().map(place_of).collect())
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        self.versions.restore(key, value)?;
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        self.versions.end_restore()?;
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.versions.attach(store);
    }

    fn takes_more(&mut self) -> bool {
        self.versions.takes_more()
    }

    fn takes_none(&mut self) -> bool {
        self.versions.takes_none()
    }

    fn is_full(&self) -> bool {
        self.versions.is_full_with(self.held_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        self.versions.size()
    }
}
