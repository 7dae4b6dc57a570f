//! A table joined by a column of its own with another, whose answers come when they do.
//!
//! An answer says what it was asked for: it counts if the row still asks for that, and is of the past else. A row that asks for something
//! else is what it was until it is answered; one that is gone, or asks for nothing, is not waited for. So rows are kept whole, and not
//! made of both tables when they are asked for. What has changed comes out some keys at a time.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};

use super::changes::{Change, gathered};
use super::portion::Looks;
use super::table_sides::{self, Changed, Pairs, Side};
use super::to_table::nulled;
use super::{Operator, OperatorError, Output, Place, Seen, Tables};
use crate::plan::{ForeignResultPlan, JoinKind};
use crate::rows::{NO_TIME, Rows, column_bytes};
use crate::state::{Changelog, RowStore, Share};
use crate::store::LocalStore;

/// Rows that are held until the epoch ends early.
const HELD_ROWS_MAX: usize = 256 * 1024;
/// Bytes of them.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The rows of the join.
pub(crate) struct ForeignResult {
    plan: ForeignResultPlan,
    /// Answers, and what changed in the left table.
    held: [Vec<Rows>; 2],
    held_rows: usize,
    held_bytes: usize,
    /// The columns of the changelog: the key; what else is shown, what was asked for, and the time.
    stored: SchemaRef,
    rows: RowStore,
    /// What is left to do of the end of an epoch.
    ending: Option<Changed>,
    looks: Looks,
}

/// The sides of what has changed: the left table, and answers.
const LEFT: usize = 0;
const ANSWERS: usize = 1;

/// What becomes of the row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays as it is.
    Stays,
    Gone,
    /// The left row with this answer.
    Answered(u32),
    /// The left row with what was answered before.
    Known,
    /// The left row alone.
    Alone,
}

/// What is known of some keys.
struct Known {
    keys: Vec<ArrayRef>,
    left: Side,
    /// Which of them changed in the left table.
    changed: Vec<bool>,
    /// The place of each in the store.
    places: Vec<usize>,
    /// Which of them have a row there.
    had: Vec<bool>,
    /// What is stored, null where there is none.
    stored: Vec<ArrayRef>,
}

impl ForeignResult {
    pub(crate) fn new(plan: ForeignResultPlan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let mut stored: Vec<FieldRef> = plan.schema.fields().to_vec();
        stored.extend(
            plan.left.fields()[plan.left.fields().len() - plan.foreign..]
                .iter()
                .cloned(),
        );
        stored.push(Arc::new(Field::new("$time", DataType::Int64, true)));
        let stored = Arc::new(Schema::new(stored));
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            Arc::clone(&stored),
            plan.keys,
            &plan.meaning,
        );
        let share = Share::of(&place.near.memory);
        Ok(Self {
            rows: RowStore::new(changelog, share)?,
            held: Default::default(),
            held_rows: 0,
            held_bytes: 0,
            ending: None,
            looks: Looks::new(),
            stored,
            plan,
        })
    }

    /// The columns of the left row behind the key that are shown.
    fn left_values(&self) -> usize {
        self.plan.left.fields().len() - self.plan.keys - self.plan.foreign
    }

    /// The columns behind the key.
    fn values(&self) -> usize {
        self.plan.schema.fields().len() - self.plan.keys
    }

    fn known(
        &mut self,
        changed: &Changed,
        keys: &Range<usize>,
        tables: &mut Tables<'_>,
    ) -> Result<Known, OperatorError> {
        let width = self.plan.left.fields().len();
        let (last, changes) = (changed.last(LEFT, keys), changed.pairs[LEFT].as_ref());
        let keys = changed.keys(keys);
        let left = table_sides::side(LEFT, width, &keys, changes, &last, tables)?;
        let changed = last.iter().map(Option::is_some).collect();
        let places = self.rows.touch(&keys)?;
        let table = self.rows.table();
        let had: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        let columns = self.stored.fields().len() - self.plan.keys;
        let stored = gathered(table, &places, &had, columns)?;
        let bytes: usize = stored.iter().map(column_bytes).sum();
        self.looks.took(places.len(), left.bytes() + bytes);
        Ok(Known {
            keys,
            left,
            changed,
            places,
            had,
            stored,
        })
    }

    /// What becomes of each key. `said` are answers, each with the number of its key.
    fn fates(
        &self,
        known: &Known,
        answers: Option<&Pairs>,
        said: &[(u32, usize)],
    ) -> Result<Vec<Fate>, OperatorError> {
        let Known { left, had, .. } = known;
        let asked = &left.values[self.left_values()..];
        let before = &known.stored[self.values()..];
        let is_same = same(asked, &before[..self.plan.foreign])?;
        let missing = match self.plan.kind {
            JoinKind::Inner => Fate::Gone,
            JoinKind::Left | JoinKind::Outer => Fate::Alone,
        };
        let fate = |key: usize| match (left.now[key], asked.iter().all(|asked| asked.is_valid(key))) {
            (false, _) => Fate::Gone,
            (true, false) if known.changed[key] => missing,
            (true, true) if known.changed[key] && had[key] && is_same.value(key) => Fate::Known,
            (true, _) => Fate::Stays,
        };
        let mut fates: Vec<Fate> = (0..had.len()).map(fate).collect();
        let Some(answers) = answers else {
            return Ok(fates);
        };
        let columns = answers.batch.columns();
        let end = self.plan.keys + self.plan.foreign;
        let of = UInt32Array::from_iter_values(said.iter().map(|(_, key)| *key as u32));
        let asked_now = asked.iter().map(|asked| take(asked, &of, None));
        let asked_now: Vec<ArrayRef> = asked_now.collect::<Result<_, _>>()?;
        let rows = UInt32Array::from_iter_values(said.iter().map(|(row, _)| *row));
        let answered = columns[self.plan.keys..end].iter();
        let answered = answered.map(|column| take(column, &rows, None));
        let counts = same(&asked_now, &answered.collect::<Result<Vec<_>, _>>()?)?;
        let found = columns[end].as_boolean();
        for (place, (row, key)) in said.iter().enumerate() {
            // The last that is of now counts.
            if left.now[*key] && counts.value(place) {
                fates[*key] = match found.value(*row as usize) {
                    true => Fate::Answered(*row),
                    false => missing,
                };
            }
        }
        Ok(fates)
    }

    /// The columns of the store for the keys at `rows`, whose fates are `fates`.
    fn new_rows(
        &self,
        known: &Known,
        answers: Option<&Pairs>,
        rows: &[u32],
        fates: &[Fate],
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        // What was before, nothing, and what was answered now.
        let from = rows.iter().zip(fates).map(|(row, fate)| match fate {
            Fate::Known => (0, *row as usize),
            Fate::Stays | Fate::Gone | Fate::Alone => (1, 0),
            Fate::Answered(answer) => (2, *answer as usize),
        });
        let from: Vec<(usize, usize)> = from.collect();
        let taken = UInt32Array::from(rows.to_vec());
        let left_values = self.left_values();
        let mut columns = Vec::with_capacity(known.stored.len());
        for column in &known.left.values[..left_values] {
            columns.push(take(column, &taken, None)?);
        }
        let first = self.plan.keys + self.plan.foreign + 1;
        let shown = self.plan.shown_keys.iter().map(|key| self.plan.keys + key);
        let right = shown.chain(first..self.plan.answers.fields().len());
        for (number, column) in right.enumerate() {
            let before = &known.stored[left_values + number];
            let nothing = new_null_array(before.data_type(), 1);
            let mut parts: Vec<&dyn Array> = vec![&**before, &*nothing];
            parts.extend(answers.map(|answers| &**answers.batch.column(column)));
            columns.push(interleave(&parts, &from)?);
        }
        for column in &known.left.values[left_values..] {
            columns.push(take(column, &taken, None)?);
        }
        let before = known.stored.last().expect("what is stored ends with the time");
        let before = before.as_primitive::<Int64Type>();
        let times = rows.iter().zip(fates).map(|(row, fate)| {
            let row = *row as usize;
            let right = match (fate, answers) {
                (Fate::Answered(answer), Some(answers)) => answers.times[*answer as usize],
                (Fate::Known, _) => before.value(row),
                _ => NO_TIME,
            };
            known.left.times[row].max(right)
        });
        columns.push(Arc::new(Int64Array::from_iter_values(times)));
        Ok(columns)
    }

    /// Stores what has changed, and emits it.
    fn change(
        &mut self,
        known: &Known,
        answers: Option<&Pairs>,
        fates: &[Fate],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        // Of what was not there nothing goes, unless it was told of in an epoch that is repeated.
        let news = |row: &u32| match fates[*row as usize] {
            Fate::Stays => false,
            Fate::Gone => known.had[*row as usize] || out.repeats,
            _ => true,
        };
        let rows: Vec<u32> = (0..fates.len() as u32).filter(news).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let fates: Vec<Fate> = rows.iter().map(|row| fates[*row as usize]).collect();
        let live: Vec<bool> = fates.iter().map(|fate| *fate != Fate::Gone).collect();
        let taken = UInt32Array::from(rows.clone());
        let keys = known.keys.iter().map(|key| take(key, &taken, None));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        let stored = self.new_rows(known, answers, &rows, &fates)?;
        let times = Arc::clone(stored.last().expect("what is stored ends with the time"));
        let stored = nulled(&stored, &live)?;
        let places: Vec<usize> = rows.iter().map(|row| known.places[*row as usize]).collect();
        self.rows.table().set(&places, &stored, &live)?;
        let logged = RecordBatch::try_new(Arc::clone(&self.stored), [&keys[..], &stored].concat())?;
        (out.publish)(&self.rows.encode(&logged, &live)?)?;

        let values = self.values();
        let before = match self.plan.changes_used {
            true => {
                let before = known.stored[..values]
                    .iter()
                    .map(|column| take(column, &taken, None));
                Some(before.collect::<Result<Vec<ArrayRef>, _>>()?)
            }
            false => None,
        };
        let columns = [&keys[..], &stored[..values]].concat();
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        let change = Change {
            rows: Rows::with_array(batch, times),
            had: rows.iter().map(|row| known.had[*row as usize]).collect(),
            live,
            keys: self.plan.keys,
            before,
        };
        change.emit(out)
    }
}

/// Whether keys are the same; null is as null.
fn same(one: &[ArrayRef], other: &[ArrayRef]) -> Result<BooleanArray, OperatorError> {
    let mut same = BooleanArray::from(vec![true; one.first().map_or(0, |column| column.len())]);
    for (one, other) in one.iter().zip(other) {
        same = and(&same, &not_distinct(one, other)?)?;
    }
    Ok(same)
}

impl Operator for ForeignResult {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.held_rows += rows.len();
        self.held_bytes += rows.size_bytes();
        self.held[usize::from(port)].push(rows);
        Ok(())
    }

    fn end_epoch(&mut self, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.rows.make_room()?;
        let [answers, changes] = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        let fields = &self.plan.schema.fields()[..self.plan.keys];
        self.ending = Changed::of(fields, &[changes, answers])?;
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(mut changed) = self.ending.take() else {
            return Ok(());
        };
        let Some(keys) = changed.next(&self.looks) else {
            return Ok(self.rows.compact()?);
        };
        let known = self.known(&changed, &keys, &mut out.tables)?;
        let answers = changed.pairs[ANSWERS].as_ref();
        let fates = self.fates(&known, answers, &changed.all(ANSWERS, &keys))?;
        self.change(&known, answers, &fates, out)?;
        self.ending = Some(changed);
        Ok(())
    }

    fn look_up(&mut self, keys: &[ArrayRef], _: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let places = self.rows.touch(keys)?;
        let table = self.rows.table();
        let there: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        let columns = self.stored.fields().len() - self.plan.keys;
        let mut values = gathered(table, &places, &there, columns)?;
        let times = values.pop().expect("what is stored ends with the time");
        values.truncate(columns - 1 - self.plan.foreign);
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
        self.held_rows >= HELD_ROWS_MAX
            || self.held_bytes >= HELD_BYTES_MAX
            || self.rows.is_full_with(self.held_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        self.rows.size()
    }
}
