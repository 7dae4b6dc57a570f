//! Rows to records of a topic.
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::{FailedContent, FailedRow, Limits, Operator, OperatorError, Output};
use crate::format::{BeforeRows, FormatError, OutputBatch, OutputFormat, RecordEncoder, RowEncoder};
use crate::plan::SinkRows;
use crate::rows::Rows;
use crate::sink::{Destination, RecordBuffer};

/// Encodes rows and hands the records over in pieces of bounded size.
pub(super) struct SinkStep {
    format: OutputFormat,
    /// Writes the values, if the format is not of this crate.
    custom: Option<Box<dyn RecordEncoder>>,
    records: RecordBuffer,
    topic: Arc<str>,
    bytes_max: usize,
    record_bytes_max: usize,
    rows: SinkRows,
}

impl SinkStep {
    pub(super) fn new(
        topic: Arc<str>,
        format: OutputFormat,
        rows: SinkRows,
        limits: &Limits,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            custom: format.custom(&topic)?,
            format,
            records: RecordBuffer::new(Destination::ByKey(Arc::clone(&topic))),
            topic,
            bytes_max: limits.output_bytes_max,
            record_bytes_max: limits.record_bytes_max,
            rows,
        })
    }
}

impl Operator for SinkStep {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let batch;
        let mut encoder = match &mut self.custom {
            Some(custom) => {
                batch = output_batch(&rows, self.format.schema(), self.rows)?;
                self.format.custom_rows(custom.as_mut(), &batch)?
            }
            None => self.format.encoder(&rows.batch)?,
        };
        let flags = match (self.rows, rows.batch.columns()) {
            (SinkRows::Changes, [.., had, has]) => Some((had.as_boolean(), has.as_boolean())),
            _ => None,
        };
        for row in 0..rows.len() {
            let time = rows.times()[row];
            let is_gone = flags.is_some_and(|(_, has)| !has.value(row));
            // Of what neither was nor is, there is nothing that an envelope could say.
            let is_nothing = is_gone && flags.is_some_and(|(had, _)| !had.value(row));
            let mut written = 0;
            if self.rows != SinkRows::Deletions && !is_nothing {
                written += record(&mut encoder, false, (row, time), &rows, &mut self.records, out)?;
            }
            if self.rows == SinkRows::Deletions || is_gone {
                written += record(&mut encoder, true, (row, time), &rows, &mut self.records, out)?;
            }
            out.failed.extend(refuse_too_large(
                &mut self.records,
                written,
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

/// Appends a record of a row, and says how many it appended: none if the row cannot be written.
fn record(
    encoder: &mut RowEncoder<'_>,
    deletes: bool,
    (row, time): (usize, i64),
    rows: &Rows,
    records: &mut RecordBuffer,
    out: &mut Output<'_>,
) -> Result<usize, OperatorError> {
    let written = match deletes {
        false => encoder.encode(row, time, records),
        true => encoder.encode_deletion(row, time, records),
    };
    match written {
        Ok(()) => Ok(1),
        Err(cause @ FormatError::Unwritable { .. }) => {
            out.failed.push(FailedRow {
                part: 0,
                row: FailedContent::Row(rows.slice(row, 1)),
                cause: cause.into(),
            });
            Ok(0)
        }
        Err(other) => Err(other.into()),
    }
}

/// What a format that is not of this crate is given.
fn output_batch(rows: &Rows, schema: &SchemaRef, which: SinkRows) -> Result<OutputBatch, OperatorError> {
    let times = rows.times().to_vec();
    if which != SinkRows::Changes {
        return Ok(OutputBatch::of(rows.batch.clone(), times));
    }
    // New rows, old rows, whether there was one, and whether there is one.
    let columns = rows.batch.columns();
    let (new, rest) = columns.split_at(schema.fields().len());
    let (old, flags) = rest.split_at(schema.fields().len());
    let fields = schema.fields().iter();
    let nullable: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let nullable = Arc::new(Schema::new(nullable));
    let before = BeforeRows::new(
        RecordBatch::try_new(Arc::clone(&nullable), old.to_vec())?,
        flags[0].as_boolean().clone(),
        flags[1].as_boolean().clone(),
    );
    Ok(OutputBatch::of(RecordBatch::try_new(nullable, new.to_vec())?, times).with_before(before))
}

/// Takes the last records out again, which are `count` of one row, if the client would not take one of them.
fn refuse_too_large(
    records: &mut RecordBuffer,
    count: usize,
    topic: &Arc<str>,
    bytes_max: usize,
) -> Option<FailedRow> {
    let first = records.len() - count;
    let too_large = (first..records.len()).find(|record| records.get(*record).size() > bytes_max)?;
    let record = records.get(too_large);
    let bytes = record.size();
    let mut alone = RecordBuffer::new(records.destination().clone());
    alone.push_bytes(record.time, record.key, record.value);
    (0..count).for_each(|_| records.pop());
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
