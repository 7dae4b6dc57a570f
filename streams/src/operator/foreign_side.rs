//! The table that others ask by its key: who asks for what, and what it answers.
//!
//! Everybody is answered that asks, and everybody that asked for a row that changes. What is answered is the row as it is at the end of the epoch,
//! one batch at a time: the steps below have worked on each before the next one is made.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::portion::{Looks, portion};
use super::to_table::{HELD_ROWS_MAX, last_of_each, nulled};
use super::{Operator, OperatorError, Output, Place, Seen, Tables};
use crate::plan::ForeignSidePlan;
use crate::rows::{Rows, add_row_bytes, column_bytes};
use crate::state::{Changelog, GroupStore, RowTable, Share};
use crate::store::LocalStore;

/// Those who ask that are read together, but for those of one key.
const ASKING_MAX: usize = if cfg!(test) { 10 } else { 64 * 1024 };

/// Who asks, by what it asks for.
pub(crate) struct ForeignSide {
    plan: ForeignSidePlan,
    held: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    /// The keys of rows that changed in the running epoch, and what they take.
    changed: Vec<Vec<ArrayRef>>,
    changed_bytes: usize,
    /// What is left to do of the end of an epoch.
    ending: Option<Ending>,
    looks: Looks,
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

/// How far the end of an epoch is.
struct Ending {
    delta: Delta,
    /// Groups that are not in memory yet.
    wanted: Vec<usize>,
    /// Of those that are: rows of the delta that ask anew for what did not change, and groups that changed, in the order of groups; and how
    /// many of each were read.
    new: Vec<u32>,
    new_read: usize,
    changed: Vec<usize>,
    changed_read: usize,
    /// Those that are being answered.
    asking: Option<Asking>,
}

/// Some who ask, and what the table has for them.
struct Asking {
    /// Their keys.
    keys: Vec<ArrayRef>,
    /// What each asks for, as a row of `groups`.
    group_of: Vec<u32>,
    groups: Vec<ArrayRef>,
    seen: Seen,
    /// What the answer for each group takes.
    bytes: Vec<usize>,
    /// How many were answered.
    given: usize,
}

impl Ending {
    fn new(delta: Delta) -> Self {
        Self {
            wanted: (0..delta.changed.len()).collect(),
            delta,
            new: Vec::new(),
            new_read: 0,
            changed: Vec::new(),
            changed_read: 0,
            asking: None,
        }
    }

    /// Whether all that are in memory were read.
    fn is_read(&self) -> bool {
        self.new_read == self.new.len() && self.changed_read == self.changed.len()
    }
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
            changed_bytes: 0,
            ending: None,
            looks: Looks::new(),
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
        self.changed_bytes = 0;
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

    /// Brings more groups into memory, and changes what is asked for of them.
    fn read_more(&mut self, ending: &mut Ending, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.groups.make_room()?;
        let delta = &ending.delta;
        let mut ready = self.groups.touch(&delta.groups, &ending.wanted)?;
        ready.sort_unstable();
        ending.wanted.retain(|group| ready.binary_search(group).is_err());
        let mut is_ready = vec![false; delta.changed.len()];
        ready.iter().for_each(|group| is_ready[*group] = true);
        let rows: Vec<usize> = (0..delta.live.len())
            .filter(|row| is_ready[delta.group_of[*row]])
            .collect();
        self.change(delta, &rows, out)?;
        // All that ask for what changed are answered, those that are new among them.
        let is_new = |row: &usize| delta.live[*row] && !delta.changed[delta.group_of[*row]];
        ending.new = rows.into_iter().filter(is_new).map(|row| row as u32).collect();
        ending.changed = ready.into_iter().filter(|group| delta.changed[*group]).collect();
        (ending.new_read, ending.changed_read) = (0, 0);
        Ok(())
    }

    /// The next that ask, and what there is for them; none if nobody asks for these groups.
    fn asking(
        &mut self,
        ending: &mut Ending,
        tables: &mut Tables<'_>,
    ) -> Result<Option<Asking>, OperatorError> {
        let delta = &ending.delta;
        let (keys, of): (Vec<ArrayRef>, Vec<usize>) = match ending.new_read < ending.new.len() {
            true => {
                let new = &ending.new[ending.new_read..];
                let count = with_groups(new, |row| delta.group_of[*row as usize], self.looks.keys_max());
                let rows = &new[..count];
                ending.new_read += count;
                let of = rows.iter().map(|row| delta.group_of[*row as usize]).collect();
                let (rows, first) = (UInt32Array::from(rows.to_vec()), self.plan.foreign);
                let keys = &delta.rows.columns()[first..first + self.plan.keys];
                let keys = keys.iter().map(|key| take(key, &rows, None));
                (keys.collect::<Result<_, _>>()?, of)
            }
            false => self.members(ending)?,
        };
        if of.is_empty() {
            return Ok(None);
        }
        // What each asks for, once.
        let (mut group_of, mut place_of) = (Vec::with_capacity(of.len()), BTreeMap::new());
        let mut groups: Vec<u32> = Vec::new();
        for group in of {
            let place = *place_of.entry(group).or_insert_with(|| {
                groups.push(group as u32);
                groups.len() as u32 - 1
            });
            group_of.push(place);
        }
        let groups = UInt32Array::from(groups);
        let groups = ending.delta.groups.iter().map(|group| take(group, &groups, None));
        let groups: Vec<ArrayRef> = groups.collect::<Result<_, _>>()?;
        let seen = tables.look_up(0, &groups)?;
        let mut bytes = vec![0; seen.there.len()];
        for column in groups.iter().chain(&seen.values) {
            add_row_bytes(column, &mut bytes);
        }
        self.looks.took(bytes.len(), bytes.iter().sum());
        Ok(Some(Asking {
            keys,
            group_of,
            groups,
            seen,
            bytes,
            given: 0,
        }))
    }

    /// The keys of those that ask for the next of the groups that changed, and the group of each.
    fn members(&mut self, ending: &mut Ending) -> Result<(Vec<ArrayRef>, Vec<usize>), OperatorError> {
        let (delta, groups) = (&ending.delta, &ending.changed[ending.changed_read..]);
        // As many groups at most, because most may have nobody that asks.
        let groups = &groups[..groups.len().min(ASKING_MAX)];
        let taken = UInt32Array::from_iter_values(groups.iter().map(|group| *group as u32));
        let keys = delta.groups.iter().map(|group| take(group, &taken, None));
        let places = self
            .groups
            .members()
            .groups(&keys.collect::<Result<Vec<_>, _>>()?)?;
        let (mut asking, mut asked, mut end) = (0, 0, 0);
        while end < places.len() && asking < ASKING_MAX && asked < self.looks.keys_max() {
            let members = self.groups.members().size_of(places[end]);
            asking += members;
            asked += usize::from(members > 0);
            end += 1;
        }
        ending.changed_read += end;
        let (members_of, mut members) = self.groups.members().of(&places[..end])?;
        // Their number says nothing to others.
        members.pop();
        Ok((
            members,
            members_of.into_iter().map(|group| groups[group]).collect(),
        ))
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

    /// Answers the next of those that ask.
    fn answer_next(&self, asking: &mut Asking, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let left = &asking.group_of[asking.given..];
        let (count, _) = portion(left.iter().map(|group| asking.bytes[*group as usize]));
        let groups = UInt32Array::from(left[..count].to_vec());
        let mut columns: Vec<ArrayRef> = asking
            .keys
            .iter()
            .map(|column| column.slice(asking.given, count))
            .collect();
        asking.given += count;
        let there: ArrayRef = Arc::new(BooleanArray::from(asking.seen.there.clone()));
        for column in asking.groups.iter().chain([&there]).chain(&asking.seen.values) {
            columns.push(take(column, &groups, None)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.answers), columns)?;
        let times: ArrayRef = Arc::new(asking.seen.times.clone());
        out.push(Rows::with_array(batch, take(&times, &groups, None)?));
        Ok(())
    }

    /// Does the next part of what is left of the end of an epoch; gives what is left then.
    fn end(&mut self, mut ending: Ending, out: &mut Output<'_>) -> Result<Option<Ending>, OperatorError> {
        if let Some(asking) = &mut ending.asking {
            self.answer_next(asking, out)?;
            if asking.given == asking.group_of.len() {
                ending.asking = None;
            }
            return Ok(Some(ending));
        }
        if !ending.is_read() {
            ending.asking = self.asking(&mut ending, &mut out.tables)?;
            return Ok(Some(ending));
        }
        if !ending.wanted.is_empty() {
            self.read_more(&mut ending, out)?;
            return Ok(Some(ending));
        }
        // Rows that change are asked for by nobody as often as not.
        self.groups.members().forget_empty_groups()?;
        self.groups.compact()?;
        Ok(None)
    }
}

/// How many of `rows`, of which `group_of` says what each asks for, are of the first `groups_max` different groups among them, and no more
/// than are read together.
fn with_groups(rows: &[u32], group_of: impl Fn(&u32) -> usize, groups_max: usize) -> usize {
    let mut groups = BTreeSet::new();
    let fits = |row: &&u32| {
        let group = group_of(row);
        groups.contains(&group) || groups.len() < groups_max && groups.insert(group)
    };
    rows.iter().take(ASKING_MAX).take_while(fits).count()
}

impl Operator for ForeignSide {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        if port > 0 {
            // Pairs begin with what is new.
            let keys = rows.batch.columns()[..self.plan.foreign].to_vec();
            self.changed_bytes += keys.iter().map(column_bytes).sum::<usize>();
            self.changed.push(keys);
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

    fn end_epoch(&mut self, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.ending = self.delta()?.map(Ending::new);
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(ending) = self.ending.take() {
            self.ending = self.end(ending, out)?;
        }
        Ok(())
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
        self.groups.is_full_with(self.held_bytes + self.changed_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        self.groups.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asks for other rows was read by the thousand, however large the rows were.
    #[test]
    fn who_asks_is_read_by_what_is_asked_for() {
        let group_of = |row: &u32| *row as usize % 3;
        let rows: Vec<u32> = vec![0, 3, 1, 6, 4, 2, 0, 1];
        assert_eq!(with_groups(&rows, group_of, 1), 2);
        assert_eq!(with_groups(&rows, group_of, 2), 5);
        assert_eq!(with_groups(&rows, group_of, 3), 8);
        assert_eq!(with_groups(&[0; 100], group_of, 1), ASKING_MAX);
    }
}
