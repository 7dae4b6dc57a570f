//! Rows as they are to the partitions of their keys.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};

use super::shipper::{Each, Shipper};
use super::{Limits, Operator, OperatorError, Output};
use crate::format::{Placement, RecordBytes, ShuffledRows};
use crate::plan::Repartition as Plan;
use crate::rows::Rows;

/// Gathers rows and writes them to the repartition topic when the epoch ends or memory asks.
pub(super) struct Repartition {
    plan: Plan,
    held: HeldRows,
    limits: Limits,
}

/// Rows with their keys until they are shipped.
pub(super) struct HeldRows {
    codec: Arc<ShuffledRows>,
    shipper: Shipper,
    bytes_max: RecordBytes,
    keys: Vec<RecordBatch>,
    sent: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl HeldRows {
    pub(super) fn new(
        codec: &Arc<ShuffledRows>,
        topic: &Arc<str>,
        keys: usize,
        partitions: usize,
        limits: &Limits,
    ) -> Self {
        let placement = Placement::new(keys, partitions);
        Self {
            codec: Arc::clone(codec),
            shipper: Shipper::new(Arc::clone(topic), placement, limits.shuffle_record_bytes_max),
            bytes_max: limits.rows_bytes_max(),
            keys: Vec::new(),
            sent: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Holds rows, placed by `keys`.
    pub(super) fn hold(&mut self, keys: Vec<ArrayRef>, rows: &Rows) -> Result<(), OperatorError> {
        let fields = keys.iter().enumerate();
        let fields: Vec<Field> = fields
            .map(|(number, key)| Field::new(format!("k{number}"), key.data_type().clone(), true))
            .collect();
        let sent = self.codec.sent(rows)?;
        self.keys
            .push(RecordBatch::try_new(Arc::new(Schema::new(fields)), keys)?);
        self.rows += sent.num_rows();
        self.bytes += sent.get_array_memory_size();
        self.sent.push(sent);
        Ok(())
    }

    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.rows > limits.batch_rows_max || self.bytes > limits.partial_bytes_max
    }

    pub(super) fn ship(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (Some(keys), Some(sent)) = (self.keys.first(), self.sent.first()) else {
            return Ok(());
        };
        let keys = concat_batches(&keys.schema(), &self.keys)?;
        let sent = concat_batches(&sent.schema(), &self.sent)?;
        (self.rows, self.bytes) = (0, 0);
        self.keys.clear();
        self.sent.clear();
        // One row may be larger than the pieces that batches are cut in.
        let encode = |rows: &[u32], _, each: Each<'_>| self.codec.encode(&sent, rows, self.bytes_max, each);
        self.shipper.ship(&keys, self.codec.header(), encode, out)
    }
}

impl Repartition {
    pub(super) fn new(plan: &Plan, partitions: usize, limits: Limits) -> Self {
        Self {
            held: HeldRows::new(&plan.rows, &plan.topic, plan.keys.len(), partitions, &limits),
            plan: plan.clone(),
            limits,
        }
    }
}

impl Operator for Repartition {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let keys = self.plan.keys.iter();
        let keys: Vec<ArrayRef> = keys
            .map(|key| key.evaluate(&rows.batch).map_err(OperatorError::of_rows))
            .collect::<Result<_, _>>()?;
        let keys = keys
            .into_iter()
            .map(Placement::key_column)
            .collect::<Result<_, _>>()?;
        let rows = match rows.watermarks() {
            None if self.plan.timed => rows.with_watermarks_from(out.settled().millis()),
            _ => rows,
        };
        self.held.hold(keys, &rows)?;
        match self.held.is_full(&self.limits) {
            true => self.held.ship(out),
            false => Ok(()),
        }
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.held.ship(out)
    }
}
