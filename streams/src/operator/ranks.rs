//! A row for each of the first rows of a key, from the rows of a key in one; what has stayed where it was is no change.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, UInt32Array,
};
use arrow::compute::take;

use super::changes::Change;
use super::{Operator, OperatorError, Output};
use crate::aggregate::ranked;
use crate::format::{FormatError, RowCodec, RowReader};
use crate::plan::RanksPlan;
use crate::rows::Rows;

/// Takes apart what an aggregate keeps.
pub(crate) struct Ranks {
    plan: RanksPlan,
    codec: RowCodec,
}

/// A row for each of the rows of a key, from what the aggregate says of keys.
pub(super) fn apart(plan: &RanksPlan, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
    let (rows, _) = Ranks::new(plan.clone()).all(rows)?;
    Ok(rows)
}

/// Rows taken apart, with the row that each comes from.
struct Apart {
    sources: Vec<u32>,
    ranks: Vec<i64>,
    reader: RowReader,
}

impl Apart {
    fn new(codec: &RowCodec) -> Self {
        Self {
            sources: Vec::new(),
            ranks: Vec::new(),
            reader: codec.reader(),
        }
    }

    fn push(&mut self, source: usize, place: usize, columns: &[u8]) -> Result<(), FormatError> {
        self.sources.push(source as u32);
        self.ranks.push(place as i64 + 1);
        self.reader.push(columns)
    }
}

/// The columns of each row of a key, as bytes; none without a state.
fn rows_of(states: &BinaryArray, row: usize, is_there: bool) -> Result<Vec<&[u8]>, FormatError> {
    let state = match is_there && states.is_valid(row) {
        true => states.value(row),
        false => &[],
    };
    ranked(state).map(|row| Ok(row?.1)).collect()
}

impl Ranks {
    pub(crate) fn new(plan: RanksPlan) -> Self {
        Self {
            codec: RowCodec::new(plan.columns.iter().cloned()),
            plan,
        }
    }

    /// The rows as they are emitted, and where each of them comes from.
    fn batch(&self, keys: &[ArrayRef], apart: Apart) -> Result<(RecordBatch, Vec<u32>), OperatorError> {
        let Apart {
            sources,
            ranks,
            mut reader,
        } = apart;
        let taken = UInt32Array::from(sources.clone());
        let keys = keys.iter().map(|key| take(key, &taken, None));
        let mut columns: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        columns.push(Arc::new(Int64Array::from(ranks)));
        columns.extend(self.shown(&mut reader)?);
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        Ok((batch, sources))
    }

    fn shown(&self, reader: &mut RowReader) -> Result<Vec<ArrayRef>, OperatorError> {
        let columns = reader.finish()?;
        let shown = self.plan.shown.iter();
        Ok(shown.map(|column| Arc::clone(&columns[*column])).collect())
    }

    /// All rows of all keys, and where each of them comes from.
    fn all(&self, rows: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), OperatorError> {
        let mut apart = Apart::new(&self.codec);
        let states = rows.column(self.plan.keys).as_binary();
        for row in 0..rows.num_rows() {
            for (place, columns) in rows_of(states, row, true)?.into_iter().enumerate() {
                apart.push(row, place, columns)?;
            }
        }
        self.batch(&rows.columns()[..self.plan.keys], apart)
    }

    /// All rows of all keys.
    fn results(&self, rows: &Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (batch, sources) = self.all(&rows.batch)?;
        out.push(rows.derived(batch, &sources)?);
        Ok(())
    }

    /// What has changed at each rank. Where epochs may be repeated, it is said as well of ranks that nobody has: somebody may have had them then.
    fn changes(&self, pairs: &Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (keys, columns) = (self.plan.keys, pairs.batch.columns());
        let (new, old) = (columns[keys].as_binary(), columns[2 * keys + 1].as_binary());
        let flags = |column: usize| -> &BooleanArray { columns[column].as_boolean() };
        let (had_rows, has_rows) = (flags(2 * keys + 2), flags(2 * keys + 3));
        let (mut apart, mut before) = (Apart::new(&self.codec), self.codec.reader());
        let (mut had, mut live) = (Vec::new(), Vec::new());
        // A row of nulls: a zero a column.
        let nulls = vec![0; self.plan.columns.len()];
        let least = if out.repeats { self.plan.may_go } else { 0 };
        for row in 0..pairs.len() {
            let new = rows_of(new, row, has_rows.value(row))?;
            let old = rows_of(old, row, had_rows.value(row))?;
            for place in 0..new.len().max(old.len()).max(least) {
                let (new, old) = (new.get(place).copied(), old.get(place).copied());
                if new == old && new.is_some() {
                    continue;
                }
                apart.push(row, place, new.unwrap_or(&nulls))?;
                if self.plan.changes_used {
                    before.push(old.unwrap_or(&nulls))?;
                }
                had.push(old.is_some());
                live.push(new.is_some());
            }
        }
        if had.is_empty() {
            return Ok(());
        }
        let (batch, sources) = self.batch(&columns[..keys], apart)?;
        let change = Change {
            rows: pairs.derived(batch, &sources)?,
            had,
            live,
            keys: keys + 1,
            before: match self.plan.changes_used {
                true => Some(self.shown(&mut before)?),
                false => None,
            },
        };
        change.emit(out)
    }
}

impl Operator for Ranks {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        match self.plan.of_table {
            true => self.changes(&rows, out),
            false => self.results(&rows, out),
        }
    }
}
