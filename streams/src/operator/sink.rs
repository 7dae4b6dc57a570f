//! Rows to records of a topic.
use std::sync::Arc;

use super::{FailedContent, FailedRow, Limits, Operator, OperatorError, Output};
use crate::format::OutputFormat;
use crate::rows::Rows;
use crate::sink::{Destination, RecordBuffer};

/// Encodes rows and hands the records over in pieces of bounded size.
pub(super) struct SinkStep {
    format: OutputFormat,
    records: RecordBuffer,
    topic: Arc<str>,
    bytes_max: usize,
    record_bytes_max: usize,
    /// The rows are keys that are gone.
    deletions: bool,
}

impl SinkStep {
    pub(super) fn new(topic: Arc<str>, format: OutputFormat, deletions: bool, limits: &Limits) -> Self {
        Self {
            format,
            records: RecordBuffer::new(Destination::ByKey(Arc::clone(&topic))),
            topic,
            bytes_max: limits.output_bytes_max,
            record_bytes_max: limits.record_bytes_max,
            deletions,
        }
    }
}

impl Operator for SinkStep {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let mut encoder = self.format.encoder(&rows.batch)?;
        for (row, &time) in rows.times().iter().enumerate() {
            match self.deletions {
                false => encoder.encode(row, time, &mut self.records),
                true => encoder.encode_deletion(row, time, &mut self.records),
            }
            out.failed.extend(refuse_too_large(
                &mut self.records,
                &self.topic,
                self.record_bytes_max,
            ));
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

/// Takes the last record out again if the client would not take it.
fn refuse_too_large(records: &mut RecordBuffer, topic: &Arc<str>, bytes_max: usize) -> Option<FailedRow> {
    let record = records.get(records.len() - 1);
    let bytes = record.size();
    if bytes <= bytes_max {
        return None;
    }
    let mut alone = RecordBuffer::new(records.destination().clone());
    alone.push_bytes(record.time, record.key, record.value);
    records.pop();
    Some(FailedRow {
        part: 0,
        row: FailedContent::Record(alone),
        cause: OperatorError::RecordTooLarge {
            topic: Arc::clone(topic),
            bytes,
            bytes_max,
        },
    })
}
