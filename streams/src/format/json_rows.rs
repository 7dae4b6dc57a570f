//! The values of records as JSON, parsed together.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;

use super::FormatError;

/// The values of records as they came: they are parsed together, and in ever smaller parts if that fails.
pub(crate) struct JsonRows {
    schema: SchemaRef,
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

/// The columns of all values that fit, and which of them do not.
type Parsed = (Vec<ArrayRef>, Vec<(usize, FormatError)>);

impl JsonRows {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// A null value is an object without members.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(value.unwrap_or(b"{}"));
        self.ends.push(self.bytes.len());
    }

    /// The rows of the values pushed since the last call.
    pub(crate) fn take(&mut self) -> Result<Parsed, FormatError> {
        if self.ends.is_empty() {
            let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
            return Ok((empty.columns().to_vec(), Vec::new()));
        }
        let (mut batches, mut unfit) = (Vec::new(), Vec::new());
        self.parse_parts(0..self.ends.len(), &mut batches, &mut unfit);
        self.bytes.clear();
        self.ends.clear();
        let batch = match &batches[..] {
            [batch] => batch.clone(),
            _ => concat_batches(&self.schema, &batches)?,
        };
        Ok((batch.columns().to_vec(), unfit))
    }

    fn parse_parts(
        &self,
        values: Range<usize>,
        batches: &mut Vec<RecordBatch>,
        unfit: &mut Vec<(usize, FormatError)>,
    ) {
        match self.parse(values.clone()) {
            Ok(batch) => batches.push(batch),
            Err(cause) if values.len() == 1 => unfit.push((values.start, cause)),
            Err(_) => {
                let middle = values.start + values.len() / 2;
                self.parse_parts(values.start..middle, batches, unfit);
                self.parse_parts(middle..values.end, batches, unfit);
            }
        }
    }

    fn parse(&self, values: Range<usize>) -> Result<RecordBatch, FormatError> {
        let invalid = |reason: &str| FormatError::Json {
            reason: reason.to_owned(),
        };
        // Room for one more, so that a value that holds two objects is noticed.
        let builder = ReaderBuilder::new(Arc::clone(&self.schema)).with_batch_size(values.len() + 1);
        let mut decoder = builder.build_decoder()?;
        let mut start = values.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        for (rows, place) in values.enumerate() {
            let value = &self.bytes[start..self.ends[place]];
            start = self.ends[place];
            let consumed = decoder.decode(value).map_err(|error| invalid(&reason(&error)))?;
            if decoder.has_partial_record() {
                return Err(invalid("it is cut short"));
            }
            if consumed != value.len() || decoder.len() != rows + 1 {
                return Err(invalid("it is not one object"));
            }
        }
        let batch = decoder.flush().map_err(|error| invalid(&reason(&error)))?;
        batch.ok_or_else(|| invalid("it is empty"))
    }
}

/// What Arrow says, without the name of its error's kind.
fn reason(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(reason) => reason.clone(),
        other => other.to_string(),
    }
}
