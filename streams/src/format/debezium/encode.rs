//! Rows to envelopes.
use std::io::Write;

use crate::format::FormatError;
use crate::format::custom::{EncodeRow, OutputBatch, OutputRows, RecordEncoder};
use crate::format::json_encoder::JsonEncoder;
use crate::rows::NO_TIME;

/// Writes envelopes.
pub(super) struct EnvelopeEncoder {
    keys: usize,
    /// The columns of the row.
    columns: Vec<usize>,
}

/// Those of one batch.
struct EnvelopeRows<'a> {
    key: JsonEncoder<'a>,
    after: JsonEncoder<'a>,
    /// The rows as they were.
    before: Option<JsonEncoder<'a>>,
    batch: &'a OutputBatch,
}

impl EnvelopeEncoder {
    pub(super) fn new(rows: &OutputRows<'_>) -> Self {
        // A table's key is part of its row.
        let columns = 0..rows.schema.fields().len();
        Self {
            keys: rows.keys,
            columns: columns.filter(|column| Some(*column) != rows.key).collect(),
        }
    }
}

impl RecordEncoder for EnvelopeEncoder {
    fn writes_keys(&self) -> bool {
        true
    }

    fn batch<'a>(&'a mut self, batch: &'a OutputBatch) -> Result<Box<dyn EncodeRow + 'a>, FormatError> {
        let columns = || self.columns.iter().copied();
        let before = batch.before.as_ref();
        Ok(Box::new(EnvelopeRows {
            key: JsonEncoder::new(&batch.rows, 0..self.keys)?,
            after: JsonEncoder::new(&batch.rows, columns())?,
            before: before
                .map(|before| JsonEncoder::new(&before.rows, columns()))
                .transpose()?,
            batch,
        }))
    }
}

impl EncodeRow for EnvelopeRows<'_> {
    fn key(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        self.key.object(row, out);
        Ok(true)
    }

    fn value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let flags = self.batch.before.as_ref();
        let (had, has) = flags.map_or((false, true), |flags| {
            (flags.had.value(row), flags.has.value(row))
        });
        out.extend_from_slice(b"{\"before\":");
        match self.before.as_mut().filter(|_| had) {
            Some(before) => before.object(row, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        match has {
            true => self.after.object(row, out),
            false => out.extend_from_slice(b"null"),
        }
        let op = match (had, has) {
            (false, _) => "c",
            (true, true) => "u",
            (true, false) => "d",
        };
        let written = match self.batch.times[row] {
            NO_TIME => write!(out, ",\"op\":\"{op}\",\"ts_ms\":null}}"),
            time => write!(out, ",\"op\":\"{op}\",\"ts_ms\":{time}}}"),
        };
        written.expect("writing to a vector does not fail");
        Ok(true)
    }
}
