//! The rows for which a predicate is true.
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use datafusion::common::cast::as_boolean_array;

use super::{Operator, OperatorError, Output};
use crate::expr::CompiledExpr;

/// Drops rows whose predicate is false or null.
pub(super) struct Filter {
    predicate: CompiledExpr,
}

impl Filter {
    pub(super) fn new(predicate: CompiledExpr) -> Self {
        Self { predicate }
    }
}

impl Operator for Filter {
    fn process(&mut self, batch: RecordBatch, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let keep = self.predicate.evaluate(&batch)?;
        let kept = filter_record_batch(&batch, as_boolean_array(&keep)?)?;
        if kept.num_rows() > 0 {
            out.batches.push(kept);
        }
        Ok(())
    }
}
