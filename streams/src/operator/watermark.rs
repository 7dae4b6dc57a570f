//! Event time of the rows of a source.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use super::{Operator, OperatorError, Output};
use crate::plan::WatermarkStep;
use crate::rows::{NO_TIME, Rows};

/// Sets the times of rows, and the watermark before each.
pub(super) struct Watermark(WatermarkStep);

impl Watermark {
    pub(super) fn new(plan: WatermarkStep) -> Self {
        Self(plan)
    }
}

impl Operator for Watermark {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let times = match &self.0.time {
            None => millis(rows.time_columns().0)?,
            Some(time) => millis(&time.evaluate(&rows.batch).map_err(OperatorError::of_rows)?)?,
        };
        let watermarks = self.0.tracks.and_then(|(input, strategy)| {
            out.observe(input, strategy, times.as_primitive::<Int64Type>().values())
        });
        out.push(rows.at(times, watermarks));
        Ok(())
    }
}

/// The latest event time, some 100 million years from now: what is beyond stands for something else than a time, and would
/// make all that follows late.
const LATEST: i64 = i64::MAX / 4;

/// Milliseconds since 1970; no time for null, for times before 1970, which Kafka's records cannot have, and beyond [`LATEST`].
fn millis(times: &ArrayRef) -> Result<ArrayRef, OperatorError> {
    let millis = match times.data_type() {
        DataType::Timestamp(_, zone) => {
            let unit = DataType::Timestamp(TimeUnit::Millisecond, zone.clone());
            cast(&cast(times, &unit)?, &DataType::Int64)?
        }
        _ => cast(times, &DataType::Int64)?,
    };
    let values = millis.as_primitive::<Int64Type>();
    if millis.null_count() == 0
        && values
            .values()
            .iter()
            .all(|time| (NO_TIME..=LATEST).contains(time))
    {
        return Ok(millis);
    }
    let checked = values.iter().map(|time| match time {
        Some(time) if (0..=LATEST).contains(&time) => time,
        _ => NO_TIME,
    });
    Ok(Arc::new(Int64Array::from_iter_values(checked)))
}
