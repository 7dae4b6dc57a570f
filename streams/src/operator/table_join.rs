//! Two tables joined by their keys.
//!
//! What changed on one side comes as a pair of what was and what is; what did not is looked up there, and is both. So the join knows what
//! its own row was without keeping it.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::Schema;

use super::changes::Change;
use super::to_table::nulled;
use super::{Operator, OperatorError, Output, Seen, Tables};
use crate::plan::TableJoinPlan;
use crate::rows::Rows;
use crate::state::RowTable;

/// What changed on both sides in the running epoch.
pub(crate) struct TableJoin {
    plan: TableJoinPlan,
    pairs: [Vec<Rows>; 2],
}

/// A side of the join for some keys.
struct Side {
    now: Vec<bool>,
    had: Vec<bool>,
    values: Vec<ArrayRef>,
    before: Vec<ArrayRef>,
    times: Vec<i64>,
}

/// Pairs of one side.
struct Pairs {
    batch: RecordBatch,
    times: Vec<i64>,
}

impl Pairs {
    fn of(rows: &[Rows]) -> Result<Option<Self>, OperatorError> {
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let batch = concat_batches(first.batch.schema_ref(), rows.iter().map(|rows| &rows.batch))?;
        let times = rows.iter().flat_map(|rows| rows.times().iter().copied());
        let times = times.collect();
        Ok(Some(Self { batch, times }))
    }

    /// Whether there was a row, or is one: column number `from_end` from the end.
    fn flags(&self, from_end: usize) -> &BooleanArray {
        let columns = self.batch.columns();
        columns[columns.len() - from_end].as_boolean()
    }
}

impl TableJoin {
    pub(crate) fn new(plan: TableJoinPlan) -> Self {
        Self {
            plan,
            pairs: Default::default(),
        }
    }

    /// The keys that changed on either side, each once, and for each pair of both sides the number of its key.
    fn keys(&self, pairs: &[Option<Pairs>; 2]) -> Result<(Vec<ArrayRef>, [Vec<usize>; 2]), OperatorError> {
        let fields = &self.plan.schema.fields()[..self.plan.keys];
        let key_schema = Arc::new(Schema::new(fields.to_vec()));
        let mut places = RowTable::new(key_schema, Arc::new(Schema::empty()))?;
        let (mut parts, mut groups) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (side, pairs) in pairs.iter().enumerate() {
            let Some(pairs) = pairs else {
                continue;
            };
            let keys = &pairs.batch.columns()[..self.plan.keys];
            let known = places.places_end();
            groups[side] = places.places(keys)?;
            let mut next = known;
            let mut first: Vec<u32> = Vec::new();
            for (row, group) in (0..).zip(&groups[side]) {
                if *group == next {
                    first.push(row);
                    next += 1;
                }
            }
            let first = UInt32Array::from(first);
            let keys = keys.iter().map(|key| take(key, &first, None));
            parts.push(keys.collect::<Result<Vec<ArrayRef>, _>>()?);
        }
        let column = |number: usize| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| &*part[number]).collect();
            concat(&parts)
        };
        let keys = (0..self.plan.keys).map(column).collect::<Result<_, _>>()?;
        Ok((keys, groups))
    }

    /// What one side has, and had, for `keys`.
    fn side(
        &self,
        side: usize,
        keys: &[ArrayRef],
        pairs: Option<&Pairs>,
        groups: &[usize],
        tables: &mut Tables<'_>,
    ) -> Result<Side, OperatorError> {
        let total = keys[0].len();
        let mut places: Vec<Option<u32>> = vec![None; total];
        for (row, group) in (0..).zip(groups) {
            places[*group] = Some(row);
        }
        let others: UInt32Array = (0..total as u32)
            .filter(|key| places[*key as usize].is_none())
            .collect();
        let asked = keys.iter().map(|key| take(key, &others, None));
        let asked: Vec<ArrayRef> = asked.collect::<Result<_, _>>()?;
        let seen = match others.is_empty() {
            true => None,
            false => Some(tables.look_up(side, &asked)?),
        };
        // Behind the pairs comes what was looked up.
        let first = pairs.map_or(0, |pairs| pairs.batch.num_rows() as u32);
        let mut next = first..;
        let places: Vec<u32> = places
            .into_iter()
            .map(|place| place.or_else(|| next.next()).unwrap_or_default())
            .collect();
        let flags = |from_end: usize| -> Vec<bool> {
            let pairs = pairs
                .iter()
                .flat_map(|pairs| pairs.flags(from_end).values().iter());
            let seen = seen.iter().flat_map(|seen| seen.there.iter().copied());
            let all: Vec<bool> = pairs.chain(seen).collect();
            places.iter().map(|place| all[*place as usize]).collect()
        };
        let taken = UInt32Array::from(places.clone());
        let width = self.plan.sides[side].fields().len();
        let columns = |from: usize| -> Result<Vec<ArrayRef>, OperatorError> {
            let column = |number: usize| {
                let mut parts: Vec<&dyn Array> = Vec::with_capacity(2);
                parts.extend(pairs.map(|pairs| &**pairs.batch.column(from + self.plan.keys + number)));
                parts.extend(seen.as_ref().map(|seen| &*seen.values[number]));
                Ok(take(&concat(&parts)?, &taken, None)?)
            };
            (0..width - self.plan.keys).map(column).collect()
        };
        let times = pairs.iter().flat_map(|pairs| pairs.times.iter().copied());
        let seen_times = seen.iter().flat_map(|seen| seen.times.values().iter().copied());
        let times: Vec<i64> = times.chain(seen_times).collect();
        Ok(Side {
            now: flags(1),
            had: flags(2),
            values: columns(0)?,
            before: columns(width)?,
            times: places.iter().map(|place| times[*place as usize]).collect(),
        })
    }

    fn has(&self, left: &[bool], right: &[bool]) -> Vec<bool> {
        let pairs = left.iter().zip(right);
        pairs
            .map(|(left, right)| self.plan.kind.has(*left, *right))
            .collect()
    }
}

impl Operator for TableJoin {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.pairs[usize::from(port)].push(rows);
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let [left, right] = std::mem::take(&mut self.pairs);
        let pairs = [Pairs::of(&left)?, Pairs::of(&right)?];
        if pairs.iter().all(Option::is_none) {
            return Ok(());
        }
        let (keys, groups) = self.keys(&pairs)?;
        let mut side = |side: usize| {
            let pairs = pairs[side].as_ref();
            self.side(side, &keys, pairs, &groups[side], &mut out.tables)
        };
        let (left, right) = (side(0)?, side(1)?);
        let (live, had) = (self.has(&left.now, &right.now), self.has(&left.had, &right.had));
        let times = left.times.iter().zip(&right.times);
        let times: Vec<i64> = times.map(|(left, right)| *left.max(right)).collect();
        let columns = [keys, left.values, right.values].concat();
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        let before = match self.plan.changes_used {
            true => Some(nulled(&[left.before, right.before].concat(), &had)?),
            false => None,
        };
        let change = Change {
            rows: Rows::new(batch, times),
            had,
            live,
            keys: self.plan.keys,
            before,
        };
        change.emit(out)
    }

    fn look_up(&mut self, keys: &[ArrayRef], tables: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let left = tables.look_up(0, keys)?;
        let right = tables.look_up(1, keys)?;
        let there = self.has(&left.there, &right.there);
        let values = nulled(&[left.values, right.values].concat(), &there)?;
        let times = left.times.values().iter().zip(right.times.values());
        let times = Int64Array::from_iter_values(times.map(|(left, right)| *left.max(right)));
        Ok(Seen { there, values, times })
    }
}
