//! Envelopes to rows.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StructArray};
use arrow::compute::interleave;
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::SchemaRef;

use super::{NAME, UNAVAILABLE};
use crate::format::FormatError;
use crate::format::custom::{DecodedRecords, EncodedRecord, RecordDecoder};
use crate::format::json_rows::JsonRows;

/// Envelopes, until their rows are taken.
pub(super) struct Envelopes {
    columns: SchemaRef,
    envelopes: SchemaRef,
    /// The columns of the key, if a table is read.
    table: Option<Vec<String>>,
    values: JsonRows,
    /// The number of the record of each value.
    records: Vec<usize>,
    /// The records pushed.
    count: usize,
}

/// One of the parts of a batch of envelopes: those that stand alone, or in a payload.
struct Part {
    before: StructArray,
    after: StructArray,
    op: StringArray,
    /// For each row whether it changes the key of the table.
    moves: Option<BooleanArray>,
}

/// Where a row of the output comes from.
#[derive(Clone, Copy)]
struct Source {
    /// The number of the array among all parts' rows before and after.
    array: usize,
    row: usize,
    deletes: bool,
}

impl Envelopes {
    pub(super) fn new(columns: SchemaRef, envelopes: SchemaRef, table: Option<Vec<String>>) -> Self {
        Self {
            values: JsonRows::new(Arc::clone(&envelopes)),
            columns,
            envelopes,
            table,
            records: Vec::new(),
            count: 0,
        }
    }

    /// The envelopes that stand alone, and those that are payloads.
    fn parts(&self, columns: Vec<ArrayRef>) -> Result<[Part; 2], FormatError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.envelopes), columns)?;
        let part = |columns: &[ArrayRef]| {
            let (before, after) = (columns[0].as_struct().clone(), columns[1].as_struct().clone());
            let keys = self.table.as_deref();
            let moves = keys.map(|keys| moves(&before, &after, keys)).transpose()?;
            Ok::<_, FormatError>(Part {
                op: columns[2].as_string::<i32>().clone(),
                before,
                after,
                moves,
            })
        };
        Ok([
            part(batch.columns())?,
            part(batch.column(3).as_struct().columns())?,
        ])
    }

    /// The rows of an envelope, at most two.
    fn sources(&self, parts: &[Part; 2], row: usize) -> Result<[Option<Source>; 2], String> {
        let (number, part): (usize, _) = match parts[1].op.is_valid(row) {
            true => (2, &parts[1]),
            false => (0, &parts[0]),
        };
        if part.op.is_null(row) {
            return Err("it is no envelope of a change, because it has no \"op\"".to_owned());
        }
        let op = part.op.value(row);
        let source = |array, deletes| {
            Some(Source {
                array: number + array,
                row,
                deletes,
            })
        };
        match op {
            "d" if part.before.is_null(row) => Err(
                "it deletes a row and does not say which: its \"before\" is null (in PostgreSQL, give the table a REPLICA IDENTITY)"
                    .to_owned(),
            ),
            "d" => Ok([source(0, true), None]),
            "c" | "r" | "u" if part.after.is_null(row) => {
                Err(format!("its \"op\" is {op:?}, and its \"after\" is null"))
            }
            "c" | "r" | "u" => {
                self.check(&part.after, row)?;
                let moved = part.moves.as_ref().is_some_and(|moves| moves.value(row));
                let old = (op == "u" && moved).then(|| source(0, true)).flatten();
                Ok([old, source(1, false)])
            }
            "t" => Err("it truncates the table, which cannot be said of its rows; delete them, or set skipped.operations=t in the connector".to_owned()),
            other => Err(format!("its \"op\" is {other:?}; there are c, r, u and d")),
        }
    }

    /// Whether a row after a change has what it must have.
    fn check(&self, after: &StructArray, row: usize) -> Result<(), String> {
        let columns = self.columns.fields().iter().zip(after.columns());
        for (field, values) in columns {
            if !field.is_nullable() && values.is_null(row) {
                return Err(format!("the row has no value in column {:?}", field.name()));
            }
        }
        Ok(())
    }

    /// The rows as columns.
    fn gather(&self, parts: &[Part; 2], sources: &[Source]) -> Result<Vec<ArrayRef>, FormatError> {
        let images = [
            &parts[0].before,
            &parts[0].after,
            &parts[1].before,
            &parts[1].after,
        ];
        let places: Vec<(usize, usize)> = sources.iter().map(|source| (source.array, source.row)).collect();
        let gathered = (0..self.columns.fields().len()).map(|column| {
            let arrays = images.map(|image| image.column(column).as_ref());
            interleave(&arrays, &places)
        });
        let mut columns = gathered.collect::<Result<Vec<_>, _>>()?;
        columns.push(match self.table {
            Some(_) => {
                let deleted = sources.iter().map(|source| Some(source.deletes));
                Arc::new(deleted.collect::<BooleanArray>())
            }
            None => {
                let ops = sources
                    .iter()
                    .map(|source| Some(parts[source.array / 2].op.value(source.row)));
                Arc::new(ops.collect::<StringArray>())
            }
        });
        Ok(columns)
    }
}

/// Whether the row before is there and has another key than the row after.
fn moves(before: &StructArray, after: &StructArray, keys: &[String]) -> Result<BooleanArray, FormatError> {
    let mut moves = vec![false; before.len()];
    for key in keys {
        let (Some(old), Some(new)) = (before.column_by_name(key), after.column_by_name(key)) else {
            continue;
        };
        let differs = distinct(old, new)?;
        let unknown = unavailable(old);
        let rows = moves.iter_mut().enumerate();
        rows.for_each(|(row, moves)| *moves |= before.is_valid(row) && differs.value(row) && !unknown(row));
    }
    Ok(moves.into())
}

/// Whether a value stands for one that Debezium did not know.
fn unavailable(column: &ArrayRef) -> impl Fn(usize) -> bool + '_ {
    let texts = column.as_string_opt::<i32>();
    move |row| texts.is_some_and(|texts| texts.is_valid(row) && UNAVAILABLE.contains(&texts.value(row)))
}

impl RecordDecoder for Envelopes {
    fn push(&mut self, record: &EncodedRecord<'_>) {
        // A record without a value is there for compaction: the envelope before it has said that the row is gone.
        if record.value.is_some() {
            self.values.push(record.value);
            self.records.push(self.count);
        }
        self.count += 1;
    }

    fn take(&mut self) -> Result<DecodedRecords, FormatError> {
        self.count = 0;
        let mut records = std::mem::take(&mut self.records);
        let (columns, unfit) = self.values.take()?;
        let unfit = unfit.into_iter().map(|(place, cause)| {
            let cause = match cause {
                FormatError::Json { reason } => FormatError::unreadable(NAME, reason),
                other => other,
            };
            (records[place], cause)
        });
        let mut decoded = DecodedRecords {
            undecodable: unfit.collect(),
            ..DecodedRecords::default()
        };
        records.retain(|record| {
            let unfit = &decoded.undecodable;
            unfit.binary_search_by_key(record, |(unfit, _)| *unfit).is_err()
        });
        let (parts, mut sources) = (self.parts(columns)?, Vec::with_capacity(records.len()));
        for (row, &record) in records.iter().enumerate() {
            match self.sources(&parts, row) {
                Ok(rows) => {
                    for source in rows.into_iter().flatten() {
                        sources.push(source);
                        decoded.records.push(record);
                    }
                }
                Err(reason) => decoded.unfit(record, FormatError::unreadable(NAME, reason)),
            }
        }
        decoded.undecodable.sort_by_key(|(record, _)| *record);
        decoded.columns = self.gather(&parts, &sources)?;
        Ok(decoded)
    }
}
