//! The resident table of a keyed step.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use datafusion::common::Result;

use super::column::{StateColumn, new_column};
use crate::aggregate::{AggregateSpec, EmitTo, GroupValues};
use crate::rows::{EventTime, Rows};

/// All keys of one task with their partial states, in memory.
pub(crate) struct ResidentTable {
    spec: Arc<AggregateSpec>,
    keys: Box<dyn GroupValues>,
    columns: Vec<Box<dyn StateColumn>>,
    groups: Vec<usize>,
}

/// What an epoch changed, a row a key.
pub(crate) struct Applied {
    /// Keys and states.
    pub(crate) states: RecordBatch,
    /// Keys and results, each at the latest event time of the rows behind it.
    pub(crate) results: Rows,
}

impl ResidentTable {
    pub(crate) fn new(spec: Arc<AggregateSpec>) -> Result<Self> {
        let schema = spec.state_schema();
        let states = schema.fields().iter().skip(spec.key_count());
        let columns = states.map(|field| new_column(field.data_type())).collect();
        Ok(Self {
            keys: spec.new_keys()?,
            columns,
            groups: Vec::new(),
            spec,
        })
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Roughly the memory in use.
    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.size()
            + self
                .columns
                .iter()
                .map(|column| column.size_bytes())
                .sum::<usize>()
    }

    /// Sets the states of keys, as the changelog has them: the last of each key counts.
    pub(crate) fn load(&mut self, states: &RecordBatch) -> Result<()> {
        let (keys, states) = states.columns().split_at(self.spec.key_count());
        self.keys.intern(keys, &mut self.groups)?;
        for (column, state) in self.columns.iter_mut().zip(states) {
            column.scatter(&self.groups, state)?;
        }
        Ok(())
    }

    /// Merges the delta of an epoch (each key once); gives the new state and the new result of every key in it.
    pub(crate) fn apply(&mut self, delta: &RecordBatch) -> Result<Applied> {
        let states = self.merge(delta)?;
        Ok(Applied {
            results: self.results(&states)?,
            states,
        })
    }

    /// Merges the delta of an epoch (each key once).
    pub(crate) fn add(&mut self, delta: &RecordBatch) -> Result<()> {
        self.merge(delta).map(drop)
    }

    /// All keys with their states; the table is empty afterwards.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.keys.len();
        if rows == 0 {
            return Ok(None);
        }
        // Fresh ones: see `Delta::take`.
        let mut keys = std::mem::replace(&mut self.keys, self.spec.new_keys()?);
        let every_row: Vec<usize> = (0..rows).collect();
        let mut columns = keys.emit(EmitTo::All)?;
        let schema = self.spec.state_schema();
        for (column, field) in self
            .columns
            .iter_mut()
            .zip(&schema.fields()[self.spec.key_count()..])
        {
            columns.push(column.gather(&every_row)?);
            *column = new_column(field.data_type());
        }
        Ok(Some(RecordBatch::try_new(schema, columns)?))
    }

    /// The results of `states`, in which each key is once.
    pub(crate) fn results(&self, states: &RecordBatch) -> Result<Rows> {
        let rows = states.num_rows();
        let (keys, states) = states.columns().split_at(self.spec.key_count());
        let every_row: Vec<usize> = (0..rows).collect();
        let mut finished = self.spec.new_accumulators()?;
        self.spec.merge(&mut finished, states, &every_row, rows)?;
        let mut results = keys.to_vec();
        for accumulator in &mut finished {
            results.push(accumulator.evaluate(EmitTo::All)?);
        }
        let times = states.last().expect("states end with the time");
        Ok(Rows::with_array(
            RecordBatch::try_new(self.spec.output_schema(), results)?,
            Arc::clone(times),
        ))
    }

    /// Merges `delta`; gives the new state of every key in it.
    fn merge(&mut self, delta: &RecordBatch) -> Result<RecordBatch> {
        let rows = delta.num_rows();
        let (keys, states) = delta.columns().split_at(self.spec.key_count());
        let known = self.keys.len();
        self.keys.intern(keys, &mut self.groups)?;
        let every_row: Vec<usize> = (0..rows).collect();

        // Stored first, then delta.
        let mut merged = self.spec.new_accumulators()?;
        let mut times = latest_times(states).to_vec();
        let (mut stored_rows, mut stored_groups) = (Vec::new(), Vec::new());
        for (row, &group) in self
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| **group < known)
        {
            stored_rows.push(row);
            stored_groups.push(group);
        }
        // Until an accumulator meets a null, it takes every group below the total for one with a value. So what is stored gets the
        // first numbers: a new key with nothing but nulls must not come out as a sum of 0.
        let mut numbers = every_row.clone();
        let new_rows = every_row.iter().filter(|row| self.groups[**row] >= known);
        for (number, row) in stored_rows.iter().chain(new_rows).enumerate() {
            numbers[*row] = number;
        }
        if !stored_rows.is_empty() {
            let stored = self
                .columns
                .iter()
                .map(|column| column.gather(&stored_groups))
                .collect::<Result<Vec<_>>>()?;
            let count = stored_rows.len();
            self.spec
                .merge(&mut merged, &stored, &every_row[..count], count)?;
            for (row, stored) in stored_rows.iter().zip(latest_times(&stored)) {
                times[*row] = times[*row].max(*stored);
            }
        }
        self.spec.merge(&mut merged, states, &numbers, rows)?;

        let mut states: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for accumulator in &mut merged {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        if numbers != every_row {
            let numbers = UInt64Array::from_iter_values(numbers.into_iter().map(|number| number as u64));
            for state in &mut states {
                *state = take(state, &numbers, None)?;
            }
        }
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        states.push(times);
        for (column, state) in self.columns.iter_mut().zip(&states) {
            column.scatter(&self.groups, state)?;
        }

        // `state` consumed the accumulators: results come from a second set.
        RecordBatch::try_new(self.spec.state_schema(), [keys, &states].concat()).map_err(Into::into)
    }
}

/// The last of the state columns.
fn latest_times(states: &[ArrayRef]) -> &[EventTime] {
    let times = states.last().expect("states end with the time");
    times.as_primitive::<Int64Type>().values()
}
