//! The rows for which a predicate is true.
use datafusion::common::cast::as_boolean_array;

use super::{Operator, OperatorError, Output};
use crate::expr::CompiledExpr;
use crate::rows::Rows;

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
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let keep = self
            .predicate
            .evaluate(&rows.batch)
            .map_err(OperatorError::of_rows)?;
        out.push(rows.filter(as_boolean_array(&keep)?)?);
        Ok(())
    }
}
