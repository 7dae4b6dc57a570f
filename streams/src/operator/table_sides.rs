//! What changed in tables, and what did not, by key.
//!
//! What changed comes as a pair of what was and what is; what did not is looked up in its table, and is both.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::{FieldRef, Schema};

use super::{OperatorError, Tables};
use crate::rows::Rows;
use crate::state::RowTable;

/// A side of the join for some keys.
pub(super) struct Side {
    pub(super) now: Vec<bool>,
    pub(super) had: Vec<bool>,
    pub(super) values: Vec<ArrayRef>,
    pub(super) before: Vec<ArrayRef>,
    pub(super) times: Vec<i64>,
}

/// Pairs of one side.
pub(super) struct Pairs {
    pub(super) batch: RecordBatch,
    pub(super) times: Vec<i64>,
}

impl Pairs {
    pub(super) fn of(rows: &[Rows]) -> Result<Option<Self>, OperatorError> {
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

/// The keys, of these columns, that changed on either side, each once, and for each pair of both sides the number of its key.
pub(super) fn distinct_keys(
    fields: &[FieldRef],
    pairs: &[Option<Pairs>; 2],
) -> Result<(Vec<ArrayRef>, [Vec<usize>; 2]), OperatorError> {
    let key_schema = Arc::new(Schema::new(fields.to_vec()));
    let mut places = RowTable::new(key_schema, Arc::new(Schema::empty()))?;
    let (mut parts, mut groups) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (side, pairs) in pairs.iter().enumerate() {
        let Some(pairs) = pairs else {
            continue;
        };
        let keys = &pairs.batch.columns()[..fields.len()];
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
    let keys = (0..fields.len()).map(column).collect::<Result<_, _>>()?;
    Ok((keys, groups))
}

/// What a side of `width` columns, which is table number `side` of those that the step reads, has, and had, for `keys`; `groups` are the numbers of
/// the keys of its pairs.
pub(super) fn side(
    side: usize,
    width: usize,
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
    let columns = |from: usize| -> Result<Vec<ArrayRef>, OperatorError> {
        let column = |number: usize| {
            let mut parts: Vec<&dyn Array> = Vec::with_capacity(2);
            parts.extend(pairs.map(|pairs| &**pairs.batch.column(from + keys.len() + number)));
            parts.extend(seen.as_ref().map(|seen| &*seen.values[number]));
            Ok(take(&concat(&parts)?, &taken, None)?)
        };
        (0..width - keys.len()).map(column).collect()
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
