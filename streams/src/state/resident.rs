//! The resident table of a keyed step.
//!
//! Without a limit it holds all keys. With one, it keeps two generations: keys that are touched come into the young one, and when
//! that has its share, the old one is dropped and the young one becomes old. What was dropped is in the local store: only
//! epochs that are committed are ever dropped, because room is made before an epoch's first key comes in.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::Int64Type;
use datafusion::common::Result;

use super::generation::Generation;
use super::memory::Share;
use crate::aggregate::{AggregateSpec, EmitTo};
use crate::rows::{EventTime, Rows};

/// The keys of one task with their partial states, in memory.
pub(crate) struct ResidentTable {
    spec: Arc<AggregateSpec>,
    young: Generation,
    /// Keys of which the young generation may have newer states.
    old: Option<Generation>,
    /// Keys were dropped, or never loaded.
    partial: bool,
    share: Share,
    /// The number of each key of the epoch in the young generation.
    groups: Vec<usize>,
}

/// What an epoch changed, a row a key.
pub(crate) struct Applied {
    /// Keys and states.
    pub(crate) states: RecordBatch,
    /// Keys and results, each at the latest event time of the rows behind it.
    pub(crate) results: Rows,
}

/// States of some rows of a delta as they were before it.
pub(crate) struct Before {
    /// The rows.
    pub(crate) rows: Vec<usize>,
    /// Their states.
    pub(crate) states: Vec<ArrayRef>,
}

/// What memory knows of the keys of a delta.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) before: Vec<Before>,
    /// Rows whose keys are not in memory and may be elsewhere.
    pub(crate) missing: Vec<usize>,
}

impl ResidentTable {
    pub(crate) fn new(spec: Arc<AggregateSpec>, share: Share) -> Result<Self> {
        Ok(Self {
            young: Generation::new(&spec)?,
            old: None,
            partial: false,
            share,
            groups: Vec::new(),
            spec,
        })
    }

    /// A table that keeps all of its keys.
    pub(crate) fn unbounded(spec: Arc<AggregateSpec>) -> Result<Self> {
        Self::new(spec, Share::of(&Arc::default()))
    }

    /// How many keys there are in memory; one may be there twice.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.as_ref().map_or(0, Generation::len)
    }

    /// Roughly the memory in use.
    pub(crate) fn size_bytes(&self) -> usize {
        self.young.size_bytes() + self.old.as_ref().map_or(0, Generation::size_bytes)
    }

    /// Whether one more key would be too many for the young generation.
    pub(crate) fn is_full(&self) -> bool {
        self.share.is_full(self.young.size_bytes())
    }

    /// Whether an epoch that takes `bytes` is as much as may come into the young generation at once.
    pub(crate) fn is_full_with(&self, bytes: usize) -> bool {
        self.share.is_full_with(bytes)
    }

    /// Not all keys were loaded.
    pub(crate) fn is_partial(&mut self) {
        self.partial = true;
    }

    /// Makes room if there is a limit. All that is in memory must be committed, and elsewhere as well.
    pub(crate) fn make_room(&mut self) -> Result<()> {
        if self.is_full() {
            let young = std::mem::replace(&mut self.young, Generation::new(&self.spec)?);
            let dropped = self.old.replace(young);
            self.partial |= dropped.is_some_and(|dropped| dropped.len() > 0);
        }
        Ok(())
    }

    /// Takes states as they are, each key once.
    pub(crate) fn load(&mut self, states: &RecordBatch) -> Result<()> {
        let (keys, states) = states.columns().split_at(self.spec.key_count());
        self.young.find(keys, &mut self.groups)?;
        self.young.set(&self.groups, states)
    }

    /// Looks for the keys of an epoch's delta, each there once.
    pub(crate) fn find(&mut self, delta: &RecordBatch) -> Result<Found> {
        self.find_keys(&delta.columns()[..self.spec.key_count()])
    }

    /// Looks for keys, each there once.
    pub(crate) fn find_keys(&mut self, keys: &[ArrayRef]) -> Result<Found> {
        self.young.find(keys, &mut self.groups)?;
        let rows = self.groups.iter().enumerate();
        let (young, others): (Vec<_>, Vec<_>) = rows.partition(|(_, group)| self.young.has(**group));
        let mut found = Found::default();
        if !young.is_empty() {
            let (rows, groups): (Vec<usize>, Vec<usize>) = young.into_iter().unzip();
            let states = self.young.gather(&groups)?;
            found.before.push(Before { rows, states });
        }
        let mut missing: Vec<usize> = others.into_iter().map(|(row, _)| row).collect();
        if let Some(old) = &mut self.old
            && !missing.is_empty()
        {
            let places: UInt64Array = missing.iter().map(|row| *row as u64).collect();
            let keys = keys.iter().map(|key| Ok(take(key, &places, None)?));
            let mut groups = Vec::new();
            old.find(&keys.collect::<Result<Vec<_>>>()?, &mut groups)?;
            let asked = missing.into_iter().zip(groups);
            let (older, others): (Vec<_>, Vec<_>) = asked.partition(|(_, group)| old.has(*group));
            missing = others.into_iter().map(|(row, _)| row).collect();
            if !older.is_empty() {
                let (rows, groups): (Vec<usize>, Vec<usize>) = older.into_iter().unzip();
                let states = old.gather(&groups)?;
                found.before.push(Before { rows, states });
            }
        }
        if self.partial {
            found.missing = missing;
        }
        Ok(found)
    }

    /// Keeps the states of keys that were just looked for in the young generation, where the next who asks finds them; those that have
    /// none are forgotten once they are many.
    pub(crate) fn keep(&mut self, found: &[Before]) -> Result<()> {
        for Before { rows, states } in found {
            let groups: Vec<usize> = rows.iter().map(|row| self.groups[*row]).collect();
            if groups.first().is_some_and(|group| !self.young.has(*group)) {
                self.young.set(&groups, states)?;
            }
        }
        self.old.iter_mut().try_for_each(Generation::forget_misses)?;
        self.young.forget_misses()
    }

    /// Merges the delta of an epoch, whose keys were just looked for, into what was `before` it; gives the new state and the new
    /// result of every key in it.
    pub(crate) fn apply(&mut self, delta: &RecordBatch, before: &[Before]) -> Result<Applied> {
        let states = self.merge(delta, before)?;
        Ok(Applied {
            results: self.results(&states)?,
            states,
        })
    }

    /// As [`apply`](Self::apply), for tables that keep all of their keys.
    pub(crate) fn update(&mut self, delta: &RecordBatch) -> Result<Applied> {
        let before = self.find(delta)?.before;
        self.apply(delta, &before)
    }

    /// Merges the delta of an epoch (each key once), for tables that keep all of their keys.
    pub(crate) fn add(&mut self, delta: &RecordBatch) -> Result<()> {
        let before = self.find(delta)?.before;
        self.merge(delta, &before).map(drop)
    }

    /// All keys with their states; the table is empty afterwards. For tables that keep all of their keys.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.young.len() == 0 {
            return Ok(None);
        }
        // A fresh one: see `Delta::take`.
        let young = std::mem::replace(&mut self.young, Generation::new(&self.spec)?);
        Ok(Some(RecordBatch::try_new(
            self.spec.state_schema(),
            young.into_columns()?,
        )?))
    }

    /// The same, but the table keeps them.
    pub(crate) fn all(&mut self) -> Result<Option<RecordBatch>> {
        let states = self.take()?;
        if let Some(states) = &states {
            self.load(states)?;
        }
        Ok(states)
    }

    /// The states of `keys`, each there once, of those that are in the table.
    pub(crate) fn states_of(&mut self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        let found = self.find_keys(keys)?.before;
        self.keep(&found)?;
        self.with_keys(keys, &found)
    }

    /// Keys with their states.
    pub(crate) fn with_keys(&self, keys: &[ArrayRef], found: &[Before]) -> Result<RecordBatch> {
        let schema = self.spec.state_schema();
        let batches = found.iter().map(|Before { rows, states }| {
            let rows: UInt64Array = rows.iter().map(|row| *row as u64).collect();
            let keys = keys.iter().map(|key| take(key, &rows, None));
            let mut columns = keys.collect::<std::result::Result<Vec<_>, _>>()?;
            columns.extend_from_slice(states);
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(&schema, &batches)?)
    }

    /// The results of `states`, in which each key is once.
    pub(crate) fn results(&self, states: &RecordBatch) -> Result<Rows> {
        let times = states.columns().last().expect("states end with the time");
        Ok(Rows::with_array(self.spec.results(states)?, Arc::clone(times)))
    }

    /// Merges `delta`; gives the new state of every key in it.
    fn merge(&mut self, delta: &RecordBatch, before: &[Before]) -> Result<RecordBatch> {
        let rows = delta.num_rows();
        let (keys, states) = delta.columns().split_at(self.spec.key_count());
        let every_row: Vec<usize> = (0..rows).collect();

        // Stored first, then delta.
        let mut merged = self.spec.new_accumulators()?;
        let mut times = latest_times(states).to_vec();
        // Until an accumulator meets a null, it takes every group below the total for one with a value. So what is stored gets the
        // first numbers: a new key with nothing but nulls must not come out as a sum of 0.
        let mut numbers: Vec<Option<usize>> = vec![None; rows];
        let mut count = 0;
        for Before { rows: stored, states } in before {
            let first = count;
            count += stored.len();
            self.spec
                .merge(&mut merged, states, &every_row[first..count], count)?;
            for (place, (row, stored)) in stored.iter().zip(latest_times(states)).enumerate() {
                times[*row] = times[*row].max(*stored);
                numbers[*row] = Some(first + place);
            }
        }
        let others = numbers.iter_mut().filter(|number| number.is_none());
        others.zip(count..).for_each(|(number, new)| *number = Some(new));
        let numbers: Vec<usize> = numbers.into_iter().flatten().collect();
        self.spec.merge(&mut merged, states, &numbers, rows)?;

        let mut states: Vec<ArrayRef> = Vec::with_capacity(delta.num_columns());
        for accumulator in &mut merged {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        if numbers != every_row {
            let numbers = UInt64Array::from_iter_values(numbers.into_iter().map(|number| number as u64));
            for state in &mut states {
                *state = take(state, &numbers, None)?;
            }
        }
        states.push(Arc::new(Int64Array::from(times)));
        self.young.set(&self.groups, &states)?;

        // `state` consumed the accumulators: results come from a second set.
        RecordBatch::try_new(self.spec.state_schema(), [keys, &states].concat()).map_err(Into::into)
    }
}

/// The last of the state columns.
fn latest_times(states: &[ArrayRef]) -> &[EventTime] {
    let times = states.last().expect("states end with the time");
    times.as_primitive::<Int64Type>().values()
}
