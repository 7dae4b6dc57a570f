//! Rows to the windows they belong to.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::{WindowKind, Windows, millis};
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::time::Watermark;

/// The column with the first millisecond of a window.
pub(crate) const WINDOW_START: &str = "window_start";
/// The column with the first millisecond behind a window.
pub(crate) const WINDOW_END: &str = "window_end";

/// The type of both.
pub(crate) fn window_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The rows of a batch, by window.
pub(crate) struct Assigned {
    /// A row for each window that a row belongs to and that is open; [`WINDOW_START`] is the last column.
    pub(crate) rows: Rows,
    /// The rows of the batch that no open window takes.
    pub(crate) late: Option<BooleanArray>,
}

impl Windows {
    /// `schema` with the column of the window's start.
    pub(crate) fn assigned_schema(&self, schema: &Schema) -> SchemaRef {
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(WINDOW_START, window_type(), false)));
        Arc::new(Schema::new(fields))
    }

    /// Where the windows begin that a row belongs to. Those that rows make are not known before all rows are: there it is the row's own time.
    fn starts(&self, time: EventTime) -> impl Iterator<Item = EventTime> {
        let (first, advance) = match *self.kind() {
            WindowKind::Hopping { size, advance } => {
                let (size, advance) = (millis(size), millis(advance));
                let last = time - time.rem_euclid(advance);
                // The first window that begins after the row's time less the size; as in Kafka Streams, none begins before 1970.
                let earlier = (size - 1 - time.rem_euclid(advance)).div_euclid(advance) * advance;
                ((last - earlier).max(0), advance)
            }
            WindowKind::Session { .. } | WindowKind::Sliding { .. } => (time, 1),
        };
        std::iter::successors(Some(first), move |start| start.checked_add(advance))
            .take_while(move |start| *start <= time)
    }

    /// Assigns rows to windows. A row is judged by its own watermark or by `least`, whichever is later. `schema` is that of
    /// [`Self::assigned_schema`].
    pub(crate) fn assign(
        &self,
        rows: &Rows,
        least: Watermark,
        schema: &SchemaRef,
    ) -> Result<Assigned, ArrowError> {
        let watermarks = rows.watermarks();
        let mut starts: Vec<i64> = Vec::with_capacity(rows.len());
        let mut sources: Vec<u32> = Vec::with_capacity(rows.len());
        let mut late: Vec<usize> = Vec::new();
        for (row, &time) in rows.times().iter().enumerate() {
            let watermark = watermarks.map_or(least, |marks| least.max(Watermark::at(marks[row])));
            let before = starts.len();
            if time > NO_TIME {
                for start in self.starts(time) {
                    if !self.is_closed(start, watermark) {
                        starts.push(start);
                        sources.push(u32::try_from(row).map_err(too_many)?);
                    }
                }
            }
            if starts.len() == before {
                late.push(row);
            }
        }
        let is_late = (!late.is_empty()).then(|| {
            let mut flags = vec![false; rows.len()];
            late.iter().for_each(|&row| flags[row] = true);
            BooleanArray::from(flags)
        });
        Ok(Assigned {
            rows: exploded(rows, starts, &sources, schema)?,
            late: is_late,
        })
    }
}

/// The rows at `sources`, each with a window.
fn exploded(
    rows: &Rows,
    starts: Vec<EventTime>,
    sources: &[u32],
    schema: &SchemaRef,
) -> Result<Rows, ArrowError> {
    let starts: ArrayRef = Arc::new(TimestampMillisecondArray::from(starts).with_timezone("UTC"));
    let each_once = sources.len() == rows.len()
        && sources
            .iter()
            .enumerate()
            .all(|(row, &source)| row == source as usize);
    if each_once {
        let mut columns = rows.batch.columns().to_vec();
        columns.push(starts);
        return Ok(rows.with_batch(RecordBatch::try_new(Arc::clone(schema), columns)?));
    }
    let indices = UInt32Array::from(sources.to_vec());
    let taken = rows.batch.columns().iter();
    let mut columns: Vec<ArrayRef> = taken
        .map(|column| take(column, &indices, None))
        .collect::<Result<_, _>>()?;
    columns.push(starts);
    rows.derived(RecordBatch::try_new(Arc::clone(schema), columns)?, sources)
}

fn too_many(_: std::num::TryFromIntError) -> ArrowError {
    ArrowError::InvalidArgumentError("a batch has more than 2^32 rows".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Int64Type, TimestampMillisecondType};
    use proptest::prelude::*;

    use super::super::{hopping, tumbling};
    use super::*;

    fn assign(windows: &Windows, times: &[i64], watermark: Watermark) -> (Vec<(i64, i64)>, Vec<bool>) {
        let column: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
        let batch = RecordBatch::try_from_iter([("t", column)]).unwrap();
        let schema = windows.assigned_schema(&batch.schema());
        let assigned = windows
            .assign(&Rows::new(batch, times.to_vec()), watermark, &schema)
            .unwrap();
        let rows = &assigned.rows.batch;
        let t = rows.column(0).as_primitive::<Int64Type>().values();
        let starts = rows.column(1).as_primitive::<TimestampMillisecondType>().values();
        assert_eq!(assigned.rows.times(), &**t);
        let late = assigned
            .late
            .map_or(vec![false; times.len()], |late| late.values().iter().collect());
        (t.iter().copied().zip(starts.iter().copied()).collect(), late)
    }

    #[test]
    fn rows_fall_into_windows() {
        let ten = tumbling(Duration::from_millis(10)).grace(Duration::from_millis(5));
        let (rows, late) = assign(&ten, &[0, 9, 10, 25], Watermark::NONE);
        assert_eq!(rows, [(0, 0), (9, 0), (10, 10), (25, 20)]);
        assert_eq!(late, [false; 4]);
        let (rows, late) = assign(&ten, &[9, NO_TIME, 10], Watermark::at(15));
        assert_eq!((rows, late), (vec![(10, 10)], vec![true, true, false]));
        let (rows, _) = assign(&ten, &[9], Watermark::at(14));
        assert_eq!(rows, [(9, 0)], "grace is not over");
        let overlapping = hopping(Duration::from_millis(10), Duration::from_millis(4));
        let (rows, late) = assign(&overlapping, &[9, 8], Watermark::at(14));
        assert_eq!(
            rows,
            [(9, 8), (8, 8)],
            "what one of the windows takes is not late"
        );
        assert_eq!(late, [false, false]);
    }

    #[test]
    fn windows_that_cannot_be_are_named() {
        let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
        for bad in [
            tumbling(Duration::ZERO),
            hopping(second, Duration::ZERO),
            tumbling(Duration::from_micros(1500)),
            hopping(ms(5), ms(6)),
            hopping(Duration::from_secs(11), ms(1)),
            tumbling(Duration::MAX),
            tumbling(second).grace(Duration::MAX),
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
        assert_eq!(hopping(second, ms(100)).grace(ms(1)).fault(), None);
    }

    proptest! {
        #[test]
        fn every_window_that_spans_a_time_and_no_other(
            time in 0..100_000_i64, size in 1..500_u64, advance in 1..500_u64, watermark in 0..100_000_i64,
        ) {
            prop_assume!(advance <= size);
            let windows = hopping(Duration::from_millis(size), Duration::from_millis(advance));
            let (rows, late) = assign(&windows, &[time], Watermark::at(watermark));
            let (size, advance) = (size as i64, advance as i64);
            let spans = (0..=time / advance).map(|n| n * advance)
                .filter(|start| *start <= time && time < start + size && start + size > watermark);
            let expected: Vec<(i64, i64)> = spans.map(|start| (time, start)).collect();
            prop_assert_eq!(late[0], expected.is_empty());
            prop_assert_eq!(rows, expected);
        }
    }
}
