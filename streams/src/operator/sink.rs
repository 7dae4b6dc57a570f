//! Rows to records of a topic.
use std::sync::Arc;

use super::{Operator, OperatorError, Output};
use crate::format::OutputFormat;
use crate::rows::Rows;
use crate::sink::{Destination, RecordBuffer};

/// Encodes rows and hands the records over in pieces of bounded size.
pub(super) struct SinkStep {
    format: OutputFormat,
    records: RecordBuffer,
    bytes_max: usize,
}

impl SinkStep {
    pub(super) fn new(topic: Arc<str>, format: OutputFormat, bytes_max: usize) -> Self {
        Self {
            format,
            records: RecordBuffer::new(Destination::ByKey(topic)),
            bytes_max,
        }
    }
}

impl Operator for SinkStep {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let mut encoder = self.format.encoder(&rows.batch)?;
        for (row, &time) in rows.times().iter().enumerate() {
            encoder.encode(row, time, &mut self.records);
            if self.records.bytes() >= self.bytes_max {
                (out.publish)(&self.records)?;
                self.records.clear();
            }
        }
        if self.records.len() > 0 {
            (out.publish)(&self.records)?;
            self.records.clear();
        }
        Ok(())
    }
}
