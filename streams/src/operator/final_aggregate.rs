//! The aggregate after the shuffle: merges partial states, keeps the table, emits each touched key once an epoch.
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::state::ResidentTable;

/// A table and the delta of the running epoch.
pub(super) struct FinalAggregate {
    delta: Delta,
    table: ResidentTable,
}

impl FinalAggregate {
    pub(super) fn new(spec: Arc<AggregateSpec>) -> Result<Self, OperatorError> {
        Ok(Self {
            delta: Delta::new(Arc::clone(&spec))?,
            table: ResidentTable::new(spec)?,
        })
    }
}

impl Operator for FinalAggregate {
    fn process(&mut self, batch: RecordBatch, _: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(self.delta.merge(&batch)?)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(delta) = self.delta.take()? {
            out.batches.push(self.table.apply(&delta)?);
        }
        Ok(())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.table.len(), self.table.size_bytes())
    }
}
