//! An aggregate over the rows of a table: keeps the members of each group, and aggregates those of the groups that changed anew.
//!
//! Taking back what a row contributed is exact this way for every aggregate, sums of floats, extremes and users' own included. A group's
//! members are taken in the order in which they came, or changed last.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::changes::Change;
use super::failing::{failing, without};
use super::to_table::{HELD_ROWS_MAX, last_of_each, latest, nulled};
use super::{FailedContent, FailedRow, Operator, OperatorError, Output};
use crate::aggregate::EmitTo;
use crate::plan::TableFinal as Plan;
use crate::rows::Rows;
use crate::state::{Changelog, Restoring, RowTable};

/// Groups and their members.
pub(super) struct TableFinal {
    plan: Plan,
    held: Vec<Rows>,
    held_rows: usize,
    /// The columns of members, and of the changelog.
    stored: SchemaRef,
    /// Members by group and the table's key. Values are what the aggregates read, and a number that grows with each change.
    members: RowTable,
    /// Groups, without values.
    groups: RowTable,
    /// The group of each member, by places.
    group_of: Vec<usize>,
    /// How many members each group has.
    sizes: Vec<usize>,
    next: i64,
    changelog: Changelog,
    restoring: Option<Restoring>,
}

impl TableFinal {
    pub(super) fn new(plan: &Plan, partition: i32) -> Result<Self, OperatorError> {
        let stored = stored_schema(plan);
        let (keys, values) = stored.fields().split_at(plan.member_keys());
        let group_schema = Arc::new(Schema::new(keys[..plan.groups].to_vec()));
        Ok(Self {
            held: Vec::new(),
            held_rows: 0,
            members: RowTable::new(
                Arc::new(Schema::new(keys.to_vec())),
                Arc::new(Schema::new(values.to_vec())),
            )?,
            groups: RowTable::new(group_schema, Arc::new(Schema::empty()))?,
            group_of: Vec::new(),
            sizes: Vec::new(),
            next: 0,
            changelog: Changelog::new(
                Arc::clone(&plan.changelog),
                partition,
                Arc::clone(&stored),
                plan.member_keys(),
                plan.spec.text(),
            ),
            restoring: None,
            stored,
            plan: plan.clone(),
        })
    }

    /// Reduces what is held to the last row of each member.
    fn reduce(&mut self) -> Result<Option<Rows>, OperatorError> {
        let held = std::mem::take(&mut self.held);
        self.held_rows = 0;
        last_of_each(
            &self.plan.keyed_schema(&self.stored),
            self.plan.member_keys(),
            &held,
        )
    }

    /// Sets or deletes members; gives their groups.
    fn set(
        &mut self,
        keys: &[ArrayRef],
        values: &[ArrayRef],
        live: &[bool],
    ) -> Result<Vec<usize>, OperatorError> {
        let groups = self.groups.places(&keys[..self.plan.groups])?;
        self.sizes.resize(self.groups.places_end(), 0);
        let places = self.members.places(keys)?;
        self.group_of.resize(self.members.places_end(), 0);
        // A changelog may have a member several times.
        let had = self.members.set(&places, values, live)?;
        for ((&place, &group), (&live, had)) in places.iter().zip(&groups).zip(live.iter().zip(had)) {
            self.group_of[place] = group;
            self.sizes[group] = self.sizes[group] + usize::from(live) - usize::from(had);
        }
        Ok(groups)
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

    /// The results of `touched` groups, in their order: the columns behind the group.
    fn results(&self, touched: &[usize]) -> Result<Vec<ArrayRef>, OperatorError> {
        let mut dense = vec![usize::MAX; self.groups.places_end()];
        touched
            .iter()
            .enumerate()
            .for_each(|(place, group)| dense[*group] = place);
        let of_touched =
            |member: &usize| self.members.is_live(*member) && dense[self.group_of[*member]] != usize::MAX;
        let mut members: Vec<usize> = (0..self.members.places_end()).filter(of_touched).collect();
        let numbers = self
            .members
            .gather_column(self.plan.arguments.fields().len(), &members)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_unstable_by_key(|place| numbers.value(*place));
        members = order.into_iter().map(|place| members[place]).collect();

        let mut columns = self.members.gather(&members)?;
        columns.pop();
        let rows = RecordBatch::try_new(Arc::clone(&self.plan.arguments), columns)?;
        let groups: Vec<usize> = members
            .iter()
            .map(|member| dense[self.group_of[*member]])
            .collect();
        let mut accumulators = self.plan.spec.new_accumulators()?;
        let arguments = self.plan.spec.evaluate_arguments(&rows)?;
        self.plan
            .spec
            .update(&mut accumulators, &arguments, &groups, touched.len())?;
        let results = accumulators
            .iter_mut()
            .map(|accumulator| accumulator.evaluate(EmitTo::All));
        Ok(results.collect::<Result<_, _>>()?)
    }

    fn load(&mut self, (rows, live): (RecordBatch, Vec<bool>)) -> Result<(), OperatorError> {
        let (keys, values) = rows.columns().split_at(self.plan.member_keys());
        let numbers = values
            .last()
            .expect("values end with the number")
            .as_primitive::<Int64Type>();
        self.next = numbers
            .iter()
            .flatten()
            .fold(self.next, |next, number| next.max(number + 1));
        self.set(keys, values, &live)?;
        self.compact()
    }

    /// Forgets deleted members, and groups without members.
    fn compact(&mut self) -> Result<(), OperatorError> {
        let Some(keys) = self.members.compact()? else {
            return Ok(());
        };
        let group_schema = Arc::new(Schema::new(self.stored.fields()[..self.plan.groups].to_vec()));
        self.groups = RowTable::new(group_schema, Arc::new(Schema::empty()))?;
        self.group_of = match self.members.len() {
            0 => Vec::new(),
            _ => self.groups.places(&keys[..self.plan.groups])?,
        };
        self.sizes = vec![0; self.groups.places_end()];
        for group in &self.group_of {
            self.sizes[*group] += 1;
        }
        Ok(())
    }
}

/// Groups and the table's key; what the aggregates read, and the number.
fn stored_schema(plan: &Plan) -> SchemaRef {
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

impl Operator for TableFinal {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let rows = self.without_failing(rows, out)?;
        self.held_rows += rows.len();
        self.held.push(self.plan.keyed(&rows, &self.stored)?);
        if self.held_rows > HELD_ROWS_MAX
            && let Some(rows) = self.reduce()?
        {
            self.held.push(rows);
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(rows) = self.reduce()? else {
            return Ok(());
        };
        let stored = Arc::clone(&self.stored);
        let columns = rows.batch.columns();
        let (live, columns) = columns.split_last().expect("rows end with whether they are live");
        let live: Vec<bool> = live.as_boolean().values().iter().collect();
        let (keys, values) = columns.split_at(self.plan.member_keys());
        let mut values = values.to_vec();
        let first = self.next;
        self.next += rows.len() as i64;
        values.push(Arc::new(Int64Array::from_iter_values(first..self.next)));
        let values = nulled(&values, &live)?;

        // Touched groups in the order of their first row, and what they were.
        let group_places = self.groups.places(&keys[..self.plan.groups])?;
        self.sizes.resize(self.groups.places_end(), 0);
        let (mut touched, mut first_rows, mut dense) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = vec![usize::MAX; self.groups.places_end()];
        for (row, &group) in (0_u32..).zip(&group_places) {
            if seen[group] == usize::MAX {
                seen[group] = touched.len();
                touched.push(group);
                first_rows.push(row);
            }
            dense.push(seen[group]);
        }
        let had: Vec<bool> = touched.iter().map(|group| self.sizes[*group] > 0).collect();
        let before = match self.plan.changes_used {
            true => Some(nulled(&self.results(&touched)?, &had)?),
            false => None,
        };
        self.set(keys, &values, &live)?;
        let logged = RecordBatch::try_new(stored, [keys, &values].concat())?;
        (out.publish)(&self.changelog.encode_with_deletions(&logged, &live)?)?;

        let has: Vec<bool> = touched.iter().map(|group| self.sizes[*group] > 0).collect();
        let first_rows = arrow::array::UInt32Array::from(first_rows);
        let mut columns: Vec<ArrayRef> = keys[..self.plan.groups]
            .iter()
            .map(|key| take(key, &first_rows, None))
            .collect::<Result<_, _>>()?;
        columns.extend(self.results(&touched)?);
        let times: ArrayRef = Arc::new(latest(rows.times(), &dense, touched.len()));
        let batch = RecordBatch::try_new(self.plan.spec.output_schema(), columns)?;
        let change = Change {
            rows: Rows::with_array(batch, times),
            had,
            live: has,
            keys: self.plan.groups,
            before,
        };
        change.emit(out)?;
        self.compact()
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let restoring = self.restoring.get_or_insert_with(|| self.changelog.restoring());
        match self.changelog.decode_with_deletions(restoring, key, value)? {
            Some(rows) => self.load(rows),
            None => Ok(()),
        }
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        let Some(mut restoring) = self.restoring.take() else {
            return Ok(());
        };
        match self.changelog.finish_with_deletions(&mut restoring)? {
            Some(rows) => self.load(rows),
            None => Ok(()),
        }
    }

    fn state_size(&self) -> (usize, usize) {
        (self.members.len(), self.members.size_bytes())
    }
}

impl Plan {
    /// Groups and the table's key.
    fn member_keys(&self) -> usize {
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
