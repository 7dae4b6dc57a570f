//! Rows as they are, on repartition topics.
//!
//! A record is as in [`ShuffleCodec`], but the first byte of its header is 3, and behind the rows' columns there are two more: the
//! event time, and the watermark before the row, both in milliseconds.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{FormatError, RecordBytes, ShuffleCodec};
use crate::rows::Rows;

/// The first byte of the header.
pub(crate) const ROWS_VERSION: u8 = 3;

/// No column of a user has such a name.
const TIME: &str = "$time";
const WATERMARK: &str = "$watermark";

/// Encodes and decodes rows of one schema.
#[derive(Debug)]
pub(crate) struct ShuffledRows {
    schema: SchemaRef,
    sent: SchemaRef,
    codec: ShuffleCodec,
}

impl ShuffledRows {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(TIME, DataType::Int64, false)));
        fields.push(Arc::new(Field::new(WATERMARK, DataType::Int64, true)));
        let sent = Arc::new(Schema::new(fields));
        let fingerprint = super::fingerprint(&sent, 0, &[]);
        Self {
            codec: ShuffleCodec::new(Arc::clone(&sent), fingerprint),
            schema: Arc::clone(schema),
            sent,
        }
    }

    /// The columns of the rows.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The header of every record.
    pub(crate) fn header(&self) -> [u8; 9] {
        let mut header = self.codec.header();
        header[0] = ROWS_VERSION;
        header
    }

    /// The rows as they are sent: with their times.
    pub(crate) fn sent(&self, rows: &Rows) -> Result<RecordBatch, FormatError> {
        let (times, watermarks) = rows.time_columns();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.sent.fields().len());
        for (column, field) in rows.batch.columns().iter().zip(self.sent.fields()) {
            columns.push(cast(column, field.data_type())?);
        }
        columns.push(Arc::clone(times));
        columns.push(match watermarks {
            Some(watermarks) => Arc::clone(watermarks),
            None => new_null_array(&DataType::Int64, rows.len()),
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.sent), columns)?)
    }

    /// Encodes the given rows of what [`Self::sent`] gave, as [`ShuffleCodec::encode_counted`] does.
    pub(crate) fn encode(
        &self,
        sent: &RecordBatch,
        rows: &[u32],
        bytes_max: RecordBytes,
        each: &mut dyn FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.codec
            .encode_counted(sent, rows, bytes_max, &mut |_, value| each(value))
    }

    /// The rows of a record.
    pub(crate) fn decode(&self, header: &[u8], value: Option<&[u8]>) -> Result<Rows, FormatError> {
        let mut header = header.to_vec();
        if let Some(version) = header.first_mut() {
            *version = self.codec.header()[0];
        }
        let sent = self.codec.decode(Some(&header), value)?;
        let mut columns = sent.columns().to_vec();
        let (watermarks, times) = (columns.pop(), columns.pop());
        let (Some(watermarks), Some(times)) = (watermarks, times) else {
            return Err(FormatError::Damaged {
                reason: "it has no event times".to_owned(),
            });
        };
        if times.null_count() > 0 {
            return Err(FormatError::Damaged {
                reason: "an event time is missing".to_owned(),
            });
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let watermarks = (watermarks.null_count() == 0).then_some(watermarks);
        let rows = Rows::with_array(batch, Arc::clone(&times));
        Ok(rows.at(times, watermarks))
    }
}
