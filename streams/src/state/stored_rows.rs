//! The rows of a local store, read beside the step that they are of.
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::SchemaRef;

use super::StateError;
use super::meaning::MEANING_KEY;
use crate::format::{FormatError, RowCodec, RowReader};
use crate::store::StoreReader;

/// Rows that are handed out together.
const BATCH_ROWS: usize = 1024;

/// The form of a changelog whose records are a row each.
#[derive(Debug)]
pub(crate) struct StoredRows {
    topic: Arc<str>,
    schema: SchemaRef,
    keys: RowCodec,
    states: RowCodec,
}

/// Rows that are being decoded.
struct Batch {
    keys: RowReader,
    states: RowReader,
}

impl StoredRows {
    /// Rows of `schema`, whose first `key_count` columns are the key, as the changelog `topic` has them.
    pub(crate) fn new(topic: Arc<str>, schema: SchemaRef, key_count: usize) -> Self {
        let (keys, states) = schema.fields().split_at(key_count);
        Self {
            keys: RowCodec::new(keys.iter().cloned()),
            states: RowCodec::new(states.iter().cloned()),
            topic,
            schema,
        }
    }

    fn damaged(&self, cause: FormatError) -> StateError {
        StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        }
    }

    /// The bytes of the first columns of a key, a row.
    fn bytes(&self, key: &[ArrayRef]) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        let writer = self.keys.key_writer(key).map_err(|cause| self.damaged(cause))?;
        writer.write(0, &mut bytes).map_err(|cause| self.damaged(cause))?;
        Ok(bytes)
    }

    fn batch(&self) -> Batch {
        Batch {
            keys: self.keys.reader(),
            states: self.states.reader(),
        }
    }

    fn finish(&self, batch: &mut Batch) -> Result<RecordBatch, StateError> {
        let finished = || {
            let mut columns = batch.keys.finish()?;
            columns.extend(batch.states.finish()?);
            Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
        };
        let finished: Result<_, FormatError> = { finished }();
        finished.map_err(|cause| self.damaged(cause))
    }

    /// The row of a key, if there is one.
    pub(crate) fn get(
        &self,
        store: &StoreReader,
        key: &[ArrayRef],
    ) -> Result<Option<RecordBatch>, StateError> {
        let bytes = self.bytes(key)?;
        let Some(value) = store.get(&bytes)? else {
            return Ok(None);
        };
        let mut batch = self.batch();
        batch.push(&bytes, &value).map_err(|cause| self.damaged(cause))?;
        self.finish(&mut batch).map(Some)
    }

    /// Hands out the rows whose keys begin with `prefix`, until it is told to stop. Rows that are alike in their first `together` columns
    /// come at once.
    pub(crate) fn scan(
        &self,
        store: &StoreReader,
        prefix: &[ArrayRef],
        together: usize,
        each: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), StateError> {
        let prefix = match prefix.is_empty() {
            true => Vec::new(),
            false => self.bytes(prefix)?,
        };
        let (mut batch, mut held, mut failure, mut more) = (self.batch(), None, Ok(()), true);
        let mut take = |batch: &mut Batch, held: &mut Option<RecordBatch>, ends: bool| {
            let mut rows = self.finish(batch)?;
            if let Some(before) = held.take() {
                rows = concat_batches(&self.schema, [&before, &rows])
                    .map_err(|cause| self.damaged(cause.into()))?;
            }
            let whole = match ends || together == 0 {
                true => rows.num_rows(),
                false => last_together(&rows, together).map_err(|cause| self.damaged(cause))?,
            };
            if whole < rows.num_rows() {
                *held = Some(rows.slice(whole, rows.num_rows() - whole));
            }
            Ok(whole == 0 || each(rows.slice(0, whole)))
        };
        store.scan(&prefix, &mut |key, value| {
            if key == MEANING_KEY {
                return true;
            }
            let taken = match batch.push(key, value) {
                Ok(()) if batch.keys.rows() < BATCH_ROWS => return true,
                Ok(()) => take(&mut batch, &mut held, false),
                Err(cause) => Err(self.damaged(cause)),
            };
            match taken {
                Ok(goes_on) => more = goes_on,
                Err(error) => (failure, more) = (Err(error), false),
            }
            more
        })?;
        failure?;
        if more && (batch.keys.rows() > 0 || held.is_some()) {
            take(&mut batch, &mut held, true)?;
        }
        Ok(())
    }
}

impl Batch {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        self.keys.push(key)?;
        self.states.push(value)
    }
}

/// Where the rows begin that are like the last one in their first columns.
fn last_together(rows: &RecordBatch, columns: usize) -> Result<usize, FormatError> {
    let same = rows.columns()[..columns].iter();
    let same = same.map(|column| make_comparator(column, column, SortOptions::default()));
    let same = same.collect::<Result<Vec<_>, _>>()?;
    let last = rows.num_rows() - 1;
    let unlike = |row: &usize| same.iter().any(|same| same(*row, last) != Ordering::Equal);
    Ok((0..last).rev().find(unlike).map_or(0, |row| row + 1))
}
