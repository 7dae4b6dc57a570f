//! Rows on their way through a sub-topology: columns, and the event time of each row.
//!
//! Why beside the columns: every row has one, whatever a step selects; steps that make several rows of one, or one of several,
//! say what becomes of it.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

/// Milliseconds since 1970, or [`NO_TIME`].
pub(crate) type EventTime = i64;

/// The time of a row that has none: the record was written without one.
pub(crate) const NO_TIME: EventTime = -1;

/// A batch of rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// As many as there are rows.
    times: ArrayRef,
}

impl Rows {
    /// `times` has a time for each row.
    pub(crate) fn new(batch: RecordBatch, times: Vec<EventTime>) -> Self {
        Self::with_array(batch, Arc::new(Int64Array::from(times)))
    }

    /// `times` is a column of 64-bit integers without nulls, as long as the batch.
    pub(crate) fn with_array(batch: RecordBatch, times: ArrayRef) -> Self {
        debug_assert_eq!(batch.num_rows(), times.len());
        Self { batch, times }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The event time of each row.
    pub(crate) fn times(&self) -> &[EventTime] {
        self.times.as_primitive::<Int64Type>().values()
    }

    /// The same rows with other columns.
    pub(crate) fn with_batch(&self, batch: RecordBatch) -> Self {
        Self::with_array(batch, Arc::clone(&self.times))
    }

    /// `length` rows from number `start` on.
    pub(crate) fn slice(&self, start: usize, length: usize) -> Self {
        Self {
            batch: self.batch.slice(start, length),
            times: self.times.slice(start, length),
        }
    }

    /// The rows for which `keep` is true.
    pub(crate) fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        Ok(Self {
            batch: filter_record_batch(&self.batch, keep)?,
            times: filter(&self.times, keep)?,
        })
    }
}
