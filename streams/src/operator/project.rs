//! Columns computed from columns.
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Operator, OperatorError, Output};
use crate::expr::CompiledExpr;
use crate::rows::Rows;

/// Evaluates one expression an output column; both `select` and `with_column`.
pub(super) struct Project {
    exprs: Vec<CompiledExpr>,
    schema: SchemaRef,
}

impl Project {
    pub(super) fn new(exprs: Vec<CompiledExpr>, schema: SchemaRef) -> Self {
        Self { exprs, schema }
    }
}

impl Operator for Project {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let columns = self
            .exprs
            .iter()
            .map(|expr| expr.evaluate(&rows.batch).map_err(OperatorError::of_rows))
            .collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        out.push(rows.with_batch(batch));
        Ok(())
    }
}
