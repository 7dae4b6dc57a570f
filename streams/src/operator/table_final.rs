//! An aggregate over the rows of a table: keeps the members of each group, and aggregates those of the groups that changed anew.
//!
//! Taking back what a row contributed is exact this way for every aggregate, sums of floats, extremes and users' own included. A group's
//! members are taken in the order in which they came, or changed last.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat, sort_to_indices, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;

use super::changes::Change;
use super::failing::{failing, without};
use super::to_table::{HELD_ROWS_MAX, groups_of, last_of_each, latest, nulled};
use super::{Asked, FailedContent, FailedRow, Operator, OperatorError, Output, Surroundings};
use crate::aggregate::EmitTo;
use crate::plan::TableFinal as Plan;
use crate::rows::{EventTime, Rows};
use crate::state::{Changelog, GroupStore, RowTable, Share};
use crate::store::LocalStore;
use crate::time::Watermark;

/// Groups and their members.
pub(super) struct TableFinal {
    plan: Plan,
    held: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    /// The columns of members, and of the changelog: groups and the table's key; what the aggregates read, and a number that grows with
    /// each change.
    stored: SchemaRef,
    groups: GroupStore,
}

/// The rows of an epoch, each member once.
struct Delta {
    /// The columns of the store.
    rows: RecordBatch,
    live: Vec<bool>,
    times: Vec<EventTime>,
    /// The group of each row, as a row of `groups`.
    group_of: Vec<usize>,
    /// Each group once.
    groups: Vec<ArrayRef>,
}

impl TableFinal {
    pub(super) fn new(plan: &Plan, partition: i32, near: &Surroundings) -> Result<Self, OperatorError> {
        let stored = stored_schema(plan);
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            partition,
            Arc::clone(&stored),
            plan.member_keys(),
            plan.spec.text(),
        )
        .typed();
        let changelog = changelog.limited(near.limits.record_bytes_max);
        Ok(Self {
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            groups: GroupStore::new(changelog, plan.groups, Share::of(&near.memory))?,
            stored,
            plan: plan.clone(),
        })
    }

    /// Reduces what is held to the last row of each member.
    fn reduce(&mut self) -> Result<Option<Rows>, OperatorError> {
        let held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        last_of_each(
            &self.plan.keyed_schema(&self.stored),
            self.plan.member_keys(),
            &held,
        )
    }

    /// The rows of the epoch with the groups that they touch, in the order of their first row. They have no numbers yet.
    fn delta(&self, rows: &Rows) -> Result<Delta, OperatorError> {
        let (live, columns) = rows
            .batch
            .columns()
            .split_last()
            .expect("rows end with whether they are live");
        let live: Vec<bool> = live.as_boolean().values().iter().collect();
        let (keys, values) = columns.split_at(self.plan.member_keys());
        let mut columns = keys.to_vec();
        columns.extend(nulled(values, &live)?);
        columns.push(Arc::new(Int64Array::from(vec![0; live.len()])));
        let group_schema = Arc::new(Schema::new(self.stored.fields()[..self.plan.groups].to_vec()));
        let mut known = RowTable::new(group_schema, Arc::new(Schema::empty()))?;
        let places = known.places(&keys[..self.plan.groups])?;
        let (mut group_of, mut first_rows) = (Vec::with_capacity(places.len()), Vec::new());
        let mut seen = vec![usize::MAX; known.places_end()];
        for (row, place) in (0_u32..).zip(places) {
            if seen[place] == usize::MAX {
                seen[place] = first_rows.len();
                first_rows.push(row);
            }
            group_of.push(seen[place]);
        }
        let first_rows = UInt32Array::from(first_rows);
        let groups = keys[..self.plan.groups].iter();
        let groups = groups.map(|key| take(key, &first_rows, None));
        Ok(Delta {
            groups: groups.collect::<Result<_, _>>()?,
            rows: RecordBatch::try_new(Arc::clone(&self.stored), columns)?,
            times: rows.times().to_vec(),
            live,
            group_of,
        })
    }

    /// Changes groups that are in memory, and emits what follows from it.
    fn change(&mut self, delta: &Delta, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (keys, values) = delta.rows.columns().split_at(self.plan.member_keys());
        let mut values = values.to_vec();
        values.pop();
        let numbers = Int64Array::from_iter_values(self.groups.numbers(delta.live.len()));
        values.extend(nulled(&[Arc::new(numbers)], &delta.live)?);
        let touched = self.groups.members().groups(&delta.groups)?;
        let had = self.have_members(&touched);
        let before = match self.plan.changes_used {
            true => Some(nulled(&self.results(&touched)?, &had)?),
            false => None,
        };
        self.groups.members().set(keys, &values, &delta.live)?;
        let logged = RecordBatch::try_new(Arc::clone(&self.stored), [keys, &values].concat())?;
        (out.publish)(&self.groups.encode(&logged, &delta.live)?)?;

        let mut columns = delta.groups.clone();
        columns.extend(self.results(&touched)?);
        let times: ArrayRef = Arc::new(latest(&delta.times, &delta.group_of, touched.len()));
        let batch = RecordBatch::try_new(self.plan.spec.output_schema(), columns)?;
        let change = Change {
            rows: Rows::with_array(batch, times),
            had,
            live: self.have_members(&touched),
            keys: self.plan.groups,
            before,
        };
        change.emit(out)
    }

    fn have_members(&mut self, groups: &[usize]) -> Vec<bool> {
        let members = self.groups.members();
        groups.iter().map(|group| members.has_members(*group)).collect()
    }

    /// The rows, where those on which an argument of the aggregates fails are no members from now on.
    fn without_failing(&self, rows: Rows, out: &mut Output<'_>) -> Result<Rows, OperatorError> {
        let arguments = self.plan.arguments.fields().len();
        let columns = rows.batch.columns();
        let (live, read) = (
            columns[arguments + self.plan.groups].as_boolean(),
            RecordBatch::try_new(Arc::clone(&self.plan.arguments), columns[..arguments].to_vec())?,
        );
        let evaluate = |rows: &RecordBatch| {
            let evaluated = self.plan.spec.evaluate_arguments(rows);
            evaluated.map(drop).map_err(OperatorError::of_rows)
        };
        let failed = failing(&read, live, &evaluate)?;
        if failed.is_empty() {
            return Ok(rows);
        }
        let mut columns = columns.to_vec();
        columns[arguments + self.plan.groups] = Arc::new(without(live, failed.iter().map(|(row, _)| *row)));
        let left = rows.with_batch(RecordBatch::try_new(rows.batch.schema(), columns)?);
        let read = rows.with_batch(read);
        out.failed
            .extend(failed.into_iter().map(|(row, cause)| FailedRow {
                part: 0,
                row: FailedContent::Row(read.slice(row, 1)),
                cause,
            }));
        Ok(left)
    }

    /// The results of `touched` groups, in their order: the columns behind the group. Those of groups without members say nothing: accumulators
    /// may take for granted that a group has members (an average of decimals divides by their number).
    fn results(&mut self, touched: &[usize]) -> Result<Vec<ArrayRef>, OperatorError> {
        let (groups, mut columns) = self.groups.members().of(touched)?;
        columns.pop();
        let mut places = vec![usize::MAX; touched.len()];
        let mut total = 0;
        let mut filled = Vec::with_capacity(groups.len());
        for group in groups {
            if places[group] == usize::MAX {
                places[group] = total;
                total += 1;
            }
            filled.push(places[group]);
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.plan.arguments), columns)?;
        let mut accumulators = self.plan.spec.new_accumulators()?;
        let arguments = self.plan.spec.evaluate_arguments(&rows)?;
        self.plan
            .spec
            .update(&mut accumulators, &arguments, &filled, total)?;
        let places = UInt64Array::from_iter_values(places.iter().map(|place| (*place).min(total) as u64));
        let schema = self.plan.spec.output_schema();
        let fields = schema.fields()[self.plan.groups..].iter();
        let results = accumulators.iter_mut().zip(fields).map(|(accumulator, field)| {
            let results = accumulator.evaluate(EmitTo::All)?;
            let nothing = match field.is_nullable() {
                true => new_null_array(field.data_type(), 1),
                false => ScalarValue::new_default(field.data_type())?.to_array()?,
            };
            Ok(take(&concat(&[&results, &nothing])?, &places, None)?)
        });
        results.collect()
    }
}

impl Delta {
    /// The part with these of the groups, which are in ascending order.
    fn part(&self, wanted: &[usize]) -> Result<Self, OperatorError> {
        let mut places = vec![usize::MAX; self.groups.first().map_or(0, |group| group.len())];
        for (place, group) in wanted.iter().enumerate() {
            places[*group] = place;
        }
        let rows: Vec<usize> = (0..self.live.len())
            .filter(|row| places[self.group_of[*row]] != usize::MAX)
            .collect();
        let taken = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
        let wanted = UInt64Array::from_iter_values(wanted.iter().map(|group| *group as u64));
        let groups = self.groups.iter().map(|group| take(group, &wanted, None));
        Ok(Self {
            groups: groups.collect::<Result<_, _>>()?,
            rows: take_record_batch(&self.rows, &taken)?,
            live: rows.iter().map(|row| self.live[*row]).collect(),
            times: rows.iter().map(|row| self.times[*row]).collect(),
            group_of: rows.iter().map(|row| places[self.group_of[*row]]).collect(),
        })
    }
}

/// Groups and the table's key; what the aggregates read, and the number.
pub(super) fn stored_schema(plan: &Plan) -> SchemaRef {
    let fields = plan.rows.schema();
    let fields = fields.fields();
    let arguments = plan.arguments.fields();
    let mut stored: Vec<Arc<Field>> = fields[arguments.len()..arguments.len() + plan.groups].to_vec();
    stored.extend(plan.table_key.iter().map(|column| {
        let field = fields[*column].as_ref().clone();
        let name = format!("$key.{}", field.name());
        Arc::new(field.with_name(name))
    }));
    stored.extend(arguments.iter().cloned());
    stored.push(Arc::new(Field::new("$number", DataType::Int64, true)));
    Arc::new(Schema::new(stored))
}

/// The results of stored rows: all members of their groups.
pub(super) fn results_of_stored(plan: &Plan, stored: &RecordBatch) -> Result<RecordBatch, OperatorError> {
    if stored.num_rows() == 0 {
        return Ok(RecordBatch::new_empty(plan.spec.output_schema()));
    }
    let (numbers, _) = stored
        .columns()
        .split_last()
        .expect("what is stored ends with the number");
    let stored = take_record_batch(stored, &sort_to_indices(numbers, None, None)?)?;
    let (groups, total) = groups_of(&stored.schema(), plan.groups, &stored)?;
    let mut first = vec![u64::MAX; total];
    for (row, group) in (0..).zip(&groups) {
        first[*group] = first[*group].min(row);
    }
    let first = UInt64Array::from(first);
    let columns = stored.columns();
    let keys = columns[..plan.groups].iter().map(|key| take(key, &first, None));
    let mut results = keys.collect::<Result<Vec<_>, _>>()?;
    let read = columns[plan.member_keys()..columns.len() - 1].to_vec();
    let read = RecordBatch::try_new(Arc::clone(&plan.arguments), read)?;
    let mut accumulators = plan.spec.new_accumulators()?;
    let arguments = plan.spec.evaluate_arguments(&read)?;
    plan.spec.update(&mut accumulators, &arguments, &groups, total)?;
    for accumulator in &mut accumulators {
        results.push(accumulator.evaluate(EmitTo::All)?);
    }
    Ok(RecordBatch::try_new(plan.spec.output_schema(), results)?)
}

impl Operator for TableFinal {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let rows = self.without_failing(rows, out)?;
        self.held_rows += rows.len();
        self.held_bytes += rows.size_bytes();
        self.held.push(self.plan.keyed(&rows, &self.stored)?);
        if self.held_rows > HELD_ROWS_MAX
            && let Some(rows) = self.reduce()?
        {
            self.held_bytes = rows.size_bytes();
            self.held.push(rows);
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(rows) = self.reduce()? else {
            return Ok(());
        };
        let delta = self.delta(&rows)?;
        let mut wanted: Vec<usize> = (0..delta.groups.first().map_or(0, |group| group.len())).collect();
        // All at once, unless memory has no room for the members of all.
        while !wanted.is_empty() {
            self.groups.make_room()?;
            let ready = self.groups.touch(&delta.groups, &wanted)?;
            if ready.len() == delta.groups[0].len() {
                self.change(&delta, out)?;
                break;
            }
            self.change(&delta.part(&ready)?, out)?;
            wanted.retain(|group| ready.binary_search(group).is_err());
        }
        Ok(self.groups.compact()?)
    }

    fn answer(&mut self, asked: &Asked, _: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        let keys = match &asked.key {
            Some(key) => {
                self.groups.touch(key, &[0])?;
                key.clone()
            }
            None => self.groups.members().group_keys()?,
        };
        let places = self.groups.members().groups(&keys)?;
        let has: Vec<bool> = self.have_members(&places);
        let rows: UInt64Array = (0..)
            .zip(&has)
            .filter(|(_, has)| **has)
            .map(|(row, _)| row)
            .collect();
        let places: Vec<usize> = rows.values().iter().map(|row| places[*row as usize]).collect();
        let keys = keys.iter().map(|key| take(key, &rows, None));
        let mut columns = keys.collect::<Result<Vec<_>, _>>()?;
        if places.is_empty() {
            self.groups.members().forget_empty_groups()?;
            return Ok(Vec::new());
        }
        columns.extend(self.results(&places)?);
        let results = RecordBatch::try_new(self.plan.spec.output_schema(), columns)?;
        Ok(vec![results])
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

impl Plan {
    /// Groups and the table's key.
    pub(super) fn member_keys(&self) -> usize {
        self.groups + self.table_key.len()
    }

    /// Groups, the table's key, what the aggregates read, and whether the row is live.
    fn keyed_schema(&self, stored: &SchemaRef) -> SchemaRef {
        let fields = stored.fields();
        let mut fields: Vec<Arc<Field>> = fields[..fields.len() - 1].to_vec();
        fields.push(Arc::new(Field::new("$live", DataType::Boolean, false)));
        Arc::new(Schema::new(fields))
    }

    /// Shipped rows with their columns in the order of [`Self::keyed_schema`].
    fn keyed(&self, rows: &Rows, stored: &SchemaRef) -> Result<Rows, OperatorError> {
        let columns = rows.batch.columns();
        let arguments = self.arguments.fields().len();
        let mut keyed: Vec<ArrayRef> = columns[arguments..arguments + self.groups].to_vec();
        keyed.extend(self.table_key.iter().map(|column| Arc::clone(&columns[*column])));
        keyed.extend_from_slice(&columns[..arguments]);
        keyed.push(Arc::clone(&columns[arguments + self.groups]));
        let batch = RecordBatch::try_new(self.keyed_schema(stored), keyed)?;
        Ok(rows.with_batch(batch))
    }
}
