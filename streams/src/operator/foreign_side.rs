//! The table that others ask by its key: who asks for what, and what it answers.
//!
//! Everybody is answered that asks, and everybody that asked for a row that changes. What is answered is the row as it is at the end of the epoch.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::to_table::{HELD_ROWS_MAX, last_of_each, nulled};
use super::{Operator, OperatorError, Output, Place};
use crate::plan::ForeignSidePlan;
use crate::rows::Rows;
use crate::state::{Changelog, GroupStore, RowTable, Share};
use crate::store::LocalStore;

/// Rows of a batch of answers.
const ANSWERS_MAX: usize = 8192;

/// Who asks, by what it asks for.
pub(crate) struct ForeignSide {
    plan: ForeignSidePlan,
    held: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    /// The keys of rows that changed in the running epoch.
    changed: Vec<Vec<ArrayRef>>,
    /// The columns of the store: the foreign key and the key of who asks; that key again, and a number that grows with each change.
    stored: SchemaRef,
    groups: GroupStore,
}

/// What an epoch asks for, and what changed.
struct Delta {
    /// The columns of the store.
    rows: RecordBatch,
    live: Vec<bool>,
    /// What each row asks for, as a row of `groups`.
    group_of: Vec<usize>,
    /// What is asked for or changed, each once.
    groups: Vec<ArrayRef>,
    /// Which of them changed.
    changed: Vec<bool>,
}

impl ForeignSide {
    pub(crate) fn new(plan: ForeignSidePlan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let asked = plan.subscriptions.fields();
        let keys = &asked[..plan.foreign + plan.keys];
        let again = keys[plan.foreign..].iter().map(|field| {
            let name = format!("$key.{}", field.name());
            Arc::new(field.as_ref().clone().with_name(name))
        });
        let mut stored: Vec<FieldRef> = keys.iter().cloned().chain(again).collect();
        stored.push(Arc::new(Field::new("$number", DataType::Int64, true)));
        let stored = Arc::new(Schema::new(stored));
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            Arc::clone(&stored),
            plan.foreign + plan.keys,
            &plan.meaning,
        );
        let share = Share::of(&place.near.memory);
        Ok(Self {
            groups: GroupStore::new(changelog, plan.foreign, share)?,
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            changed: Vec::new(),
            stored,
            plan,
        })
    }

    /// Reduces what is held to the last word of who asks for what.
    fn reduce(&mut self) -> Result<Option<Rows>, OperatorError> {
        let held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        last_of_each(
            &self.plan.subscriptions,
            self.plan.foreign + self.plan.keys,
            &held,
        )
    }

    fn delta(&mut self) -> Result<Option<Delta>, OperatorError> {
        let asked = self.reduce()?;
        let changed = std::mem::take(&mut self.changed);
        let foreign = self.plan.foreign;
        let rows = asked.as_ref().map_or(0, Rows::len);
        let mut parts: Vec<&[ArrayRef]> = asked
            .iter()
            .map(|asked| &asked.batch.columns()[..foreign])
            .collect();
        parts.extend(changed.iter().map(Vec::as_slice));
        if parts.is_empty() {
            return Ok(None);
        }
        let column = |number: usize| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| &*part[number]).collect();
            concat(&parts)
        };
        let all: Vec<ArrayRef> = (0..foreign).map(column).collect::<Result<_, _>>()?;
        let fields = &self.stored.fields()[..foreign];
        let mut places = RowTable::new(Arc::new(Schema::new(fields.to_vec())), Arc::new(Schema::empty()))?;
        let numbers = places.places(&all)?;
        let mut first: Vec<u32> = Vec::with_capacity(places.places_end());
        for (row, number) in (0..).zip(&numbers) {
            if *number == first.len() {
                first.push(row);
            }
        }
        let first = UInt32Array::from(first);
        let groups = all.iter().map(|column| take(column, &first, None));
        let groups: Vec<ArrayRef> = groups.collect::<Result<_, _>>()?;
        let mut is_changed = vec![false; first.len()];
        numbers[rows..].iter().for_each(|group| is_changed[*group] = true);
        let (rows, live) = self.stored_rows(asked.as_ref())?;
        Ok(Some(Delta {
            group_of: numbers[..rows.num_rows()].to_vec(),
            rows,
            live,
            groups,
            changed: is_changed,
        }))
    }

    /// What is asked for in the columns of the store, without numbers yet; and whether it still is.
    fn stored_rows(&self, asked: Option<&Rows>) -> Result<(RecordBatch, Vec<bool>), OperatorError> {
        let Some(asked) = asked else {
            return Ok((RecordBatch::new_empty(Arc::clone(&self.stored)), Vec::new()));
        };
        let (live, keys) = asked
            .batch
            .columns()
            .split_last()
            .expect("rows end with whether they are live");
        let live: Vec<bool> = live.as_boolean().values().iter().collect();
        let mut columns = keys.to_vec();
        columns.extend(nulled(&keys[self.plan.foreign..], &live)?);
        columns.push(Arc::new(Int64Array::from(vec![0; live.len()])));
        Ok((RecordBatch::try_new(Arc::clone(&self.stored), columns)?, live))
    }

    /// Changes what is asked for of `ready`, groups that are in memory and in ascending order, and answers.
    fn answer(&mut self, delta: &Delta, ready: &[usize], out: &mut Output<'_>) -> Result<(), OperatorError> {
        let mut place_of = vec![None; delta.changed.len()];
        for (place, group) in (0_u32..).zip(ready) {
            place_of[*group] = Some(place);
        }
        let rows: Vec<usize> = (0..delta.live.len())
            .filter(|row| place_of[delta.group_of[*row]].is_some())
            .collect();
        self.change(delta, &rows, out)?;

        let taken = UInt32Array::from_iter_values(ready.iter().map(|group| *group as u32));
        let keys = delta.groups.iter().map(|group| take(group, &taken, None));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        // All that ask for what changed, and those that are new among the others.
        let changed: Vec<u32> = (0_u32..)
            .zip(ready)
            .filter(|(_, group)| delta.changed[**group])
            .map(|(place, _)| place)
            .collect();
        let touched = UInt32Array::from(changed.clone());
        let touched = keys.iter().map(|key| take(key, &touched, None));
        let touched: Vec<ArrayRef> = touched.collect::<Result<_, _>>()?;
        let touched = self.groups.members().groups(&touched)?;
        let (members_of, mut members) = self.groups.members().of(&touched)?;
        members.pop();
        let mut group_of: Vec<u32> = members_of.into_iter().map(|group| changed[group]).collect();
        let new: Vec<usize> = rows
            .into_iter()
            .filter(|row| delta.live[*row] && !delta.changed[delta.group_of[*row]])
            .collect();
        group_of.extend(new.iter().filter_map(|row| place_of[delta.group_of[*row]]));
        let new = UInt32Array::from_iter_values(new.iter().map(|row| *row as u32));
        let first = self.plan.foreign;
        let asking = members.iter().enumerate().map(|(number, members)| {
            let new = take(delta.rows.column(first + number), &new, None)?;
            Ok(concat(&[&**members, &*new])?)
        });
        let asking: Vec<ArrayRef> = asking.collect::<Result<_, OperatorError>>()?;
        self.emit(&asking, &group_of, &keys, out)
    }

    /// Sets or deletes rows of `delta`.
    fn change(&mut self, delta: &Delta, rows: &[usize], out: &mut Output<'_>) -> Result<(), OperatorError> {
        if rows.is_empty() {
            return Ok(());
        }
        let taken = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
        let changed = take_record_batch(&delta.rows, &taken)?;
        let live: Vec<bool> = rows.iter().map(|row| delta.live[*row]).collect();
        let (keys, values) = changed.columns().split_at(self.plan.foreign + self.plan.keys);
        let mut values = values.to_vec();
        values.pop();
        let numbers = Int64Array::from_iter_values(self.groups.numbers(rows.len()));
        values.extend(nulled(&[Arc::new(numbers)], &live)?);
        self.groups.members().set(keys, &values, &live)?;
        let logged = RecordBatch::try_new(Arc::clone(&self.stored), [keys, &values].concat())?;
        (out.publish)(&self.groups.encode(&logged, &live)?)?;
        Ok(())
    }

    /// Answers those with the keys `asking`, each of which asks for the key at its place in `group_of`.
    fn emit(
        &self,
        asking: &[ArrayRef],
        group_of: &[u32],
        keys: &[ArrayRef],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        if group_of.is_empty() {
            return Ok(());
        }
        let seen = out.tables.look_up(0, keys)?;
        let there: ArrayRef = Arc::new(BooleanArray::from(seen.there));
        let times: ArrayRef = Arc::new(seen.times);
        for (number, groups) in group_of.chunks(ANSWERS_MAX).enumerate() {
            let first = number * ANSWERS_MAX;
            let groups_taken = UInt32Array::from(groups.to_vec());
            let mut columns: Vec<ArrayRef> = asking
                .iter()
                .map(|column| column.slice(first, groups.len()))
                .collect();
            for column in keys.iter().chain([&there]).chain(&seen.values) {
                columns.push(take(column, &groups_taken, None)?);
            }
            let batch = RecordBatch::try_new(Arc::clone(&self.plan.answers), columns)?;
            out.push(Rows::with_array(batch, take(&times, &groups_taken, None)?));
        }
        Ok(())
    }
}

impl Operator for ForeignSide {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        if port > 0 {
            // Pairs begin with what is new.
            self.changed
                .push(rows.batch.columns()[..self.plan.foreign].to_vec());
            return Ok(());
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
        let Some(delta) = self.delta()? else {
            return Ok(());
        };
        let mut wanted: Vec<usize> = (0..delta.changed.len()).collect();
        // All at once, unless memory has no room for all that ask.
        while !wanted.is_empty() {
            self.groups.make_room()?;
            let mut ready = self.groups.touch(&delta.groups, &wanted)?;
            ready.sort_unstable();
            self.answer(&delta, &ready, out)?;
            wanted.retain(|group| ready.binary_search(group).is_err());
        }
        // Rows that change are asked for by nobody as often as not.
        self.groups.members().forget_empty_groups()?;
        Ok(self.groups.compact()?)
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        self.groups.restore(key, value)?;
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        self.groups.end_restore()?;
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.groups.attach(store);
    }

    fn takes_more(&mut self) -> bool {
        self.groups.takes_more()
    }

    fn takes_none(&mut self) -> bool {
        self.groups.takes_none()
    }

    fn is_full(&self) -> bool {
        self.groups.is_full_with(self.held_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        self.groups.size()
    }
}
