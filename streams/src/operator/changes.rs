//! What a table's step emits: the new rows, the keys deleted, and each change as a pair of what was and what is.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::to_table::nulled;
use super::{OperatorError, Output};
use crate::rows::Rows;
use crate::state::RowTable;

/// The output of rows that are there now.
pub(super) const ROWS: usize = 0;
/// The output of pairs of rows, for those who take back what a row contributed.
pub(super) const CHANGES: usize = 1;
/// The output of keys that are gone, or have no row.
pub(super) const DELETIONS: usize = 2;

/// The columns of pairs: the new row, the old one, whether there was one, and whether there is one.
pub(crate) fn pair_schema(schema: &Schema) -> SchemaRef {
    let named = |prefix: &str, field: &Arc<Field>| {
        let name = format!("{prefix}{}", field.name());
        Field::new(name, field.data_type().clone(), true)
    };
    let fields = schema.fields();
    let mut pair: Vec<Field> = fields.iter().map(|field| named("$new.", field)).collect();
    pair.extend(fields.iter().map(|field| named("$old.", field)));
    pair.push(Field::new("$had", DataType::Boolean, false));
    pair.push(Field::new("$has", DataType::Boolean, false));
    Arc::new(Schema::new(pair))
}

/// What an epoch changed in a table, a row a key.
pub(super) struct Change {
    /// The rows as they are now, with the keys first; of deleted ones only the keys count.
    pub(super) rows: Rows,
    pub(super) had: Vec<bool>,
    pub(super) live: Vec<bool>,
    pub(super) keys: usize,
    /// The columns behind the keys as they were, if somebody asks; null where there was no row.
    pub(super) before: Option<Vec<ArrayRef>>,
}

impl Change {
    /// Emits what has changed. Where epochs may be repeated, it is said of a key without a row as well that it has none: a row that came
    /// may have been told of, and be gone now that it comes again with what deletes it, before the state knew of it.
    pub(super) fn emit(self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let live = BooleanArray::from(self.live.clone());
        let pairs = self.had.iter().zip(&self.live);
        let gone: BooleanArray = pairs
            .map(|(had, live)| Some((*had || out.repeats) && !live))
            .collect();
        if let Some(before) = &self.before {
            let (keys, values) = self.rows.batch.columns().split_at(self.keys);
            let mut columns = keys.to_vec();
            columns.extend(nulled(values, &self.live)?);
            columns.extend_from_slice(keys);
            columns.extend_from_slice(before);
            columns.push(Arc::new(BooleanArray::from(self.had.clone())));
            columns.push(Arc::new(live.clone()));
            let pairs = RecordBatch::try_new(pair_schema(&self.rows.batch.schema()), columns)?;
            let changed: BooleanArray = self
                .had
                .iter()
                .zip(&self.live)
                .map(|(had, live)| Some(*had || *live || out.repeats))
                .collect();
            let pairs = self.rows.with_batch(pairs);
            out.push_to(CHANGES, pairs.filter(&changed)?);
        }
        if gone.true_count() > 0 {
            let (keys, values) = self.rows.batch.columns().split_at(self.keys);
            let mut columns = keys.to_vec();
            columns.extend(
                values
                    .iter()
                    .map(|column| new_null_array(column.data_type(), column.len())),
            );
            let schema = self.rows.batch.schema();
            let nullable = schema
                .fields()
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true));
            let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
            let deleted = self.rows.with_batch(RecordBatch::try_new(nullable, columns)?);
            out.push_to(DELETIONS, deleted.filter(&gone)?);
        }
        out.push_to(ROWS, self.rows.filter(&live)?);
        Ok(())
    }
}

/// The first `columns` value columns of the rows at `places`, null where there is none.
pub(super) fn gathered(
    table: &RowTable,
    places: &[usize],
    had: &[bool],
    columns: usize,
) -> Result<Vec<ArrayRef>, OperatorError> {
    let known: Vec<usize> = places
        .iter()
        .zip(had)
        .filter_map(|(place, had)| had.then_some(*place))
        .collect();
    let mut next = 0..;
    let positions: UInt32Array = had
        .iter()
        .map(|had| if *had { next.next() } else { None })
        .collect();
    let column = |number: usize| {
        let known = table.gather_column(number, &known)?;
        Ok(take(&known, &positions, None)?)
    };
    (0..columns).map(column).collect()
}

/// One side of pairs: the rows for which `flags` hold, with the columns from `from` on.
pub(super) fn side(
    pairs: &RecordBatch,
    from: usize,
    schema: &SchemaRef,
    flags: &BooleanArray,
) -> Result<RecordBatch, OperatorError> {
    let columns = pairs.columns()[from..from + schema.fields().len()].to_vec();
    let fields = schema.fields().iter();
    let nullable: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns)?;
    Ok(filter_record_batch(&batch, flags)?)
}
