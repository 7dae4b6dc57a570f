//! What changed in tables, and what did not, by key.
//!
//! What changed comes as a pair of what was and what is; what did not is looked up in its table, and is both.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, interleave, take};
use arrow::datatypes::{FieldRef, Schema};

use super::portion::{Looks, portion};
use super::{OperatorError, Tables};
use crate::rows::{NO_TIME, Rows, column_bytes, row_bytes};
use crate::state::RowTable;

/// A side of the join for some keys.
pub(super) struct Side {
    pub(super) now: Vec<bool>,
    pub(super) had: Vec<bool>,
    pub(super) values: Vec<ArrayRef>,
    pub(super) before: Vec<ArrayRef>,
    pub(super) times: Vec<i64>,
}

impl Side {
    /// Roughly what it takes.
    pub(super) fn bytes(&self) -> usize {
        self.values.iter().chain(&self.before).map(column_bytes).sum()
    }
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
fn distinct_keys(
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

/// What an epoch changed in two tables, by key; it is worked on some keys at a time.
pub(super) struct Changed {
    keys: Vec<ArrayRef>,
    pub(super) pairs: [Option<Pairs>; 2],
    said: [Said; 2],
    /// The first key that is left.
    next: usize,
}

/// The pairs of one side by key.
struct Said {
    /// Pairs, by their keys, in the order in which they came.
    rows: Vec<u32>,
    /// Where those of each key begin, and the last ones end.
    starts: Vec<usize>,
    /// What each pair takes.
    bytes: Vec<usize>,
}

impl Said {
    /// `key_of` says of each pair which of `keys` it is of.
    fn new(pairs: Option<&Pairs>, key_of: &[usize], keys: usize) -> Self {
        let mut rows: Vec<u32> = (0..).take(key_of.len()).collect();
        rows.sort_by_key(|row| key_of[*row as usize]);
        let mut starts = vec![0; keys + 1];
        key_of.iter().for_each(|key| starts[key + 1] += 1);
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let bytes = pairs.map_or(Vec::new(), |pairs| row_bytes(&pairs.batch));
        Self { rows, starts, bytes }
    }

    fn of(&self, key: usize) -> &[u32] {
        &self.rows[self.starts[key]..self.starts[key + 1]]
    }
}

impl Changed {
    /// The rows of both sides, which begin with columns of the key, these; none if there are no rows.
    pub(super) fn of(fields: &[FieldRef], rows: &[Vec<Rows>; 2]) -> Result<Option<Self>, OperatorError> {
        let pairs = [Pairs::of(&rows[0])?, Pairs::of(&rows[1])?];
        if pairs.iter().all(Option::is_none) {
            return Ok(None);
        }
        let (keys, key_of) = distinct_keys(fields, &pairs)?;
        let said = [0, 1].map(|side: usize| Said::new(pairs[side].as_ref(), &key_of[side], keys[0].len()));
        Ok(Some(Self {
            keys,
            pairs,
            said,
            next: 0,
        }))
    }

    /// The next keys, no more than are to be looked up at once, nor than what changed of them is one batch; none if nothing is left.
    pub(super) fn next(&mut self, looks: &Looks) -> Option<Range<usize>> {
        let left = self.next..self.keys[0].len();
        if left.is_empty() {
            return None;
        }
        let bytes = |side: usize, key: usize| {
            let said = &self.said[side];
            said.of(key).last().map_or(0, |row| said.bytes[*row as usize])
        };
        let sizes = left.take(looks.keys_max());
        let (count, _) = portion(sizes.map(|key| bytes(0, key).saturating_add(bytes(1, key))));
        let keys = self.next..self.next + count;
        self.next = keys.end;
        Some(keys)
    }

    /// Some of the keys.
    pub(super) fn keys(&self, keys: &Range<usize>) -> Vec<ArrayRef> {
        let slices = self.keys.iter().map(|key| key.slice(keys.start, keys.len()));
        slices.collect()
    }

    /// The last pair of each of some keys.
    pub(super) fn last(&self, side: usize, keys: &Range<usize>) -> Vec<Option<u32>> {
        let last = |key| self.said[side].of(key).last().copied();
        keys.clone().map(last).collect()
    }

    /// The pairs of some keys, each with the number of its key among these.
    pub(super) fn all(&self, side: usize, keys: &Range<usize>) -> Vec<(u32, usize)> {
        let all = keys.clone().enumerate().flat_map(|(number, key)| {
            let rows = self.said[side].of(key).iter();
            rows.map(move |row| (*row, number))
        });
        all.collect()
    }
}

/// What a side of `width` columns, which is table number `side` of those that the step reads, has, and had, for `keys`; `last` is for each of them the
/// pair that says it, if it changed.
pub(super) fn side(
    side: usize,
    width: usize,
    keys: &[ArrayRef],
    pairs: Option<&Pairs>,
    last: &[Option<u32>],
    tables: &mut Tables<'_>,
) -> Result<Side, OperatorError> {
    let others = (0..).zip(last).filter(|(_, pair)| pair.is_none());
    let others: UInt32Array = others.map(|(key, _)| Some(key)).collect();
    let asked = keys.iter().map(|key| take(key, &others, None));
    let asked: Vec<ArrayRef> = asked.collect::<Result<_, _>>()?;
    let seen = match others.is_empty() {
        true => None,
        false => Some(tables.look_up(side, &asked)?),
    };
    // Behind the pairs comes what was looked up.
    let first = pairs.map_or(0, |pairs| pairs.batch.num_rows() as u32);
    let mut next = first..;
    let places: Vec<u32> = last
        .iter()
        .map(|place| place.or_else(|| next.next()).unwrap_or_default())
        .collect();
    let flags = |from_end: usize| -> Vec<bool> {
        let pairs = pairs.map(|pairs| pairs.flags(from_end));
        let flag = |place: &u32| match (pairs, &seen) {
            (Some(pairs), _) if *place < first => pairs.value(*place as usize),
            (_, Some(seen)) => seen.there[(*place - first) as usize],
            (_, None) => false,
        };
        places.iter().map(flag).collect()
    };
    let is_pair = |place: &u32| *place < first;
    let behind = usize::from(pairs.is_some());
    let sources: Vec<(usize, usize)> = places
        .iter()
        .map(|place| match is_pair(place) {
            true => (0, *place as usize),
            false => (behind, (*place - first) as usize),
        })
        .collect();
    let columns = |from: usize| -> Result<Vec<ArrayRef>, OperatorError> {
        let column = |number: usize| {
            let mut parts: Vec<&dyn Array> = Vec::with_capacity(2);
            parts.extend(pairs.map(|pairs| &**pairs.batch.column(from + keys.len() + number)));
            parts.extend(seen.as_ref().map(|seen| &*seen.values[number]));
            Ok(interleave(&parts, &sources)?)
        };
        (0..width - keys.len()).map(column).collect()
    };
    let time = |place: &u32| match (pairs, &seen) {
        (Some(pairs), _) if *place < first => pairs.times[*place as usize],
        (_, Some(seen)) => seen.times.value((*place - first) as usize),
        (_, None) => NO_TIME,
    };
    Ok(Side {
        now: flags(1),
        had: flags(2),
        values: columns(0)?,
        before: columns(width)?,
        times: places.iter().map(time).collect(),
    })
}
