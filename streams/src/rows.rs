//! Rows on their way through a sub-topology: columns, and the event time of each row.
//!
//! Steps that judge what is late also need the watermark that the row's partition had before it; rows of aggregates have none.
//!
//! Why beside the columns: every row has one, whatever a step selects; steps that make several rows of one, or one of several,
//! say what becomes of it.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, OffsetSizeTrait, RecordBatch, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{filter, filter_record_batch, take};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;

/// Milliseconds since 1970, or [`NO_TIME`].
pub(crate) type EventTime = i64;

/// The time of a row that has none: the record was written without one.
pub(crate) const NO_TIME: EventTime = -1;

/// What says where a value of any length lies, at least.
const VALUE_BYTES: usize = 4;

/// A batch of rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// As many as there are rows.
    times: ArrayRef,
    /// As many as there are rows, if event time matters to a step below.
    watermarks: Option<ArrayRef>,
}

impl Rows {
    /// `times` has a time for each row.
    pub(crate) fn new(batch: RecordBatch, times: Vec<EventTime>) -> Self {
        Self::with_array(batch, Arc::new(Int64Array::from(times)))
    }

    /// `times` is a column of 64-bit integers without nulls, as long as the batch.
    pub(crate) fn with_array(batch: RecordBatch, times: ArrayRef) -> Self {
        debug_assert_eq!(batch.num_rows(), times.len());
        Self {
            batch,
            times,
            watermarks: None,
        }
    }

    /// The same columns at other times. `watermarks` has for each row the watermark before it.
    pub(crate) fn at(self, times: ArrayRef, watermarks: Option<ArrayRef>) -> Self {
        debug_assert_eq!(self.batch.num_rows(), times.len());
        Self {
            batch: self.batch,
            times,
            watermarks,
        }
    }

    /// Roughly what the columns take, without what other rows of the same buffers do.
    pub(crate) fn size_bytes(&self) -> usize {
        let columns = self.batch.columns().iter();
        columns.map(column_bytes).sum()
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The event time of each row.
    pub(crate) fn times(&self) -> &[EventTime] {
        self.times.as_primitive::<Int64Type>().values()
    }

    /// The watermark of the row's partition before each row, in milliseconds.
    pub(crate) fn watermarks(&self) -> Option<&[EventTime]> {
        let watermarks = self.watermarks.as_ref()?;
        Some(watermarks.as_primitive::<Int64Type>().values())
    }

    /// The same rows; those that have no watermarks are given this one.
    pub(crate) fn with_watermarks_from(mut self, watermark: EventTime) -> Self {
        let rows = self.len();
        self.watermarks
            .get_or_insert_with(|| Arc::new(Int64Array::from(vec![watermark; rows])));
        self
    }

    /// The times and the watermarks as columns.
    pub(crate) fn time_columns(&self) -> (&ArrayRef, Option<&ArrayRef>) {
        (&self.times, self.watermarks.as_ref())
    }

    /// The same rows with other columns.
    pub(crate) fn with_batch(&self, batch: RecordBatch) -> Self {
        debug_assert_eq!(self.len(), batch.num_rows());
        Self {
            batch,
            ..self.clone()
        }
    }

    /// Rows made of these: `batch` has for each of its rows one here, at the position in `sources`.
    pub(crate) fn derived(&self, batch: RecordBatch, sources: &[u32]) -> Result<Self, ArrowError> {
        debug_assert_eq!(batch.num_rows(), sources.len());
        let sources = UInt32Array::from(sources.to_vec());
        let watermarks = self.watermarks.as_ref();
        Ok(Self {
            batch,
            times: take(&self.times, &sources, None)?,
            watermarks: watermarks.map(|marks| take(marks, &sources, None)).transpose()?,
        })
    }

    /// `length` rows from number `start` on.
    pub(crate) fn slice(&self, start: usize, length: usize) -> Self {
        Self {
            batch: self.batch.slice(start, length),
            times: self.times.slice(start, length),
            watermarks: self.watermarks.as_ref().map(|marks| marks.slice(start, length)),
        }
    }

    /// The rows for which `keep` is true.
    pub(crate) fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        Ok(Self {
            batch: filter_record_batch(&self.batch, keep)?,
            times: filter(&self.times, keep)?,
            watermarks: self
                .watermarks
                .as_ref()
                .map(|marks| filter(marks, keep))
                .transpose()?,
        })
    }
}

/// Roughly what each row of `batch` takes.
pub(crate) fn row_bytes(batch: &RecordBatch) -> Vec<usize> {
    let mut bytes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add_row_bytes(column, &mut bytes);
    }
    bytes
}

/// Adds what each row of `column` takes.
pub(crate) fn add_row_bytes(column: &ArrayRef, bytes: &mut [usize]) {
    let mut add = |lengths: &mut dyn Iterator<Item = usize>| {
        bytes
            .iter_mut()
            .zip(lengths)
            .for_each(|(bytes, length)| *bytes += VALUE_BYTES + length);
    };
    // The length of a value is the lower half of its view.
    let of_view = |view: &u128| *view as u32 as usize;
    match column.data_type() {
        DataType::Utf8 => add(&mut column.as_string::<i32>().offsets().lengths()),
        DataType::LargeUtf8 => add(&mut column.as_string::<i64>().offsets().lengths()),
        DataType::Binary => add(&mut column.as_binary::<i32>().offsets().lengths()),
        DataType::LargeBinary => add(&mut column.as_binary::<i64>().offsets().lengths()),
        DataType::Utf8View => add(&mut column.as_string_view().views().iter().map(of_view)),
        DataType::BinaryView => add(&mut column.as_binary_view().views().iter().map(of_view)),
        DataType::Struct(_) => {
            let within = column.as_struct().columns().iter();
            within.for_each(|column| add_row_bytes(column, bytes));
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            add(&mut list_bytes(list.values(), list.offsets()).into_iter());
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            add(&mut list_bytes(list.values(), list.offsets()).into_iter());
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            add(&mut list_bytes(&entries, map.offsets()).into_iter());
        }
        // Each row takes as much as any other.
        _ => {
            let each = column_bytes(column).div_ceil(column.len().max(1));
            bytes.iter_mut().for_each(|bytes| *bytes += each);
        }
    }
}

/// What the items of each list take.
fn list_bytes<O: OffsetSizeTrait>(items: &ArrayRef, offsets: &OffsetBuffer<O>) -> Vec<usize> {
    let mut bytes = vec![0; items.len()];
    add_row_bytes(items, &mut bytes);
    let ranges = offsets
        .windows(2)
        .map(|ends| ends[0].as_usize()..ends[1].as_usize());
    ranges.map(|range| bytes[range].iter().sum()).collect()
}

/// Roughly what a column takes, without what other rows of the same buffers do.
pub(crate) fn column_bytes(column: &ArrayRef) -> usize {
    let own = column.to_data().get_slice_memory_size().unwrap_or(0);
    // Of views only those themselves are counted.
    let behind = match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    };
    own + behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ListArray, StringArray, StringViewArray, StructArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn each_row_takes_what_its_values_do() {
        let long = "x".repeat(1000);
        let texts = || [Some("ab"), None, Some(long.as_str()), Some("")];
        let lists = [Some(vec![Some(1); 100]), None, Some(vec![]), Some(vec![Some(2)])];
        let columns: [ArrayRef; 3] = [
            Arc::new(StringArray::from_iter(texts())),
            Arc::new(StringViewArray::from_iter(texts())),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
        ];
        let nested: ArrayRef = Arc::new(StructArray::try_from(vec![("t", Arc::clone(&columns[0]))]).unwrap());
        let expected: [&[usize]; 3] = [&[2, 0, 1000, 0], &[2, 0, 1000, 0], &[800, 0, 0, 8]];
        for (column, expected) in columns.iter().zip(expected) {
            let batch = |column: &ArrayRef| {
                RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(column), true)]).unwrap()
            };
            let found = row_bytes(&batch(column));
            let near = |found: &usize, expected: &usize| {
                (expected + 4..expected + 30 + expected / 5).contains(found)
            };
            assert!(
                found
                    .iter()
                    .zip(expected)
                    .all(|(found, expected)| near(found, expected)),
                "{found:?}"
            );
            // Of a slice, only its own rows.
            assert_eq!(row_bytes(&batch(&column.slice(2, 2))), found[2..]);
        }
        let batch = RecordBatch::try_from_iter([("s", nested)]).unwrap();
        assert_eq!(row_bytes(&batch)[..3], [6, 4, 1004]);
    }
}
