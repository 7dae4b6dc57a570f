//! Rows to the first of several ways whose predicate is true.
use arrow::array::{Array, BooleanArray};
use arrow::compute::{and, and_not, prep_null_mask_filter};
use datafusion::common::cast::as_boolean_array;

use super::{Operator, OperatorError, Output};
use crate::expr::CompiledExpr;
use crate::rows::Rows;

/// Each predicate has the output of its number, and what is left has the one behind them.
pub(super) struct Branch {
    predicates: Vec<CompiledExpr>,
}

impl Branch {
    pub(super) fn new(predicates: Vec<CompiledExpr>) -> Self {
        Self { predicates }
    }
}

impl Operator for Branch {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let mut left = BooleanArray::from(vec![true; rows.len()]);
        for (port, predicate) in self.predicates.iter().enumerate() {
            let holds = predicate.evaluate(&rows.batch).map_err(OperatorError::of_rows)?;
            let holds = as_boolean_array(&holds)?;
            // Null is not true.
            let holds = match holds.null_count() {
                0 => holds.clone(),
                _ => prep_null_mask_filter(holds),
            };
            out.push_to(port, rows.filter(&and(&left, &holds)?)?);
            left = and_not(&left, &holds)?;
        }
        out.push_to(self.predicates.len(), rows.filter(&left)?);
        Ok(())
    }
}
