//! Rows that are late, or may be, on their way to where their windows are kept.
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};

use super::shipper::{Each, Shipper};
use super::{Limits, OperatorError, Output};
use crate::format::{RecordBytes, ShuffledRows};
use crate::plan::WindowedSpec;
use crate::rows::Rows;

/// They travel as they are; until they are shipped, they are here.
pub(super) struct LateRows {
    codec: Arc<ShuffledRows>,
    bytes_max: RecordBytes,
    held: Vec<LateBatch>,
    rows: usize,
}

pub(super) struct LateBatch {
    keys: RecordBatch,
    /// The rows as they are sent.
    sent: RecordBatch,
}

impl LateRows {
    pub(super) fn new(codec: &Arc<ShuffledRows>, limits: &Limits) -> Self {
        Self {
            codec: Arc::clone(codec),
            bytes_max: limits.rows_bytes_max(),
            held: Vec::new(),
            rows: 0,
        }
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Rows ready to be held: what fails because of one of them fails here.
    pub(super) fn prepared(&self, windowed: &WindowedSpec, rows: &Rows) -> Result<LateBatch, OperatorError> {
        Ok(LateBatch {
            keys: keys_of(windowed, &rows.batch)?,
            sent: self.codec.sent(rows)?,
        })
    }

    pub(super) fn hold(&mut self, batch: LateBatch) {
        self.rows += batch.sent.num_rows();
        self.held.push(batch);
    }

    pub(super) fn ship(&mut self, shipper: &Shipper, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.rows = 0;
        for LateBatch { keys, sent } in std::mem::take(&mut self.held) {
            let encode =
                |rows: &[u32], _, each: Each<'_>| self.codec.encode(&sent, rows, self.bytes_max, each);
            shipper.ship(&keys, self.codec.header(), encode, out)?;
        }
        Ok(())
    }
}

/// The keys of rows without a window.
fn keys_of(windowed: &WindowedSpec, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
    let keys = windowed
        .spec
        .evaluate_keys_but_last(rows)
        .map_err(OperatorError::of_rows)?;
    let fields = keys.iter().enumerate();
    let fields: Vec<Field> = fields
        .map(|(number, key)| Field::new(format!("k{number}"), key.data_type().clone(), true))
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), keys)?)
}
