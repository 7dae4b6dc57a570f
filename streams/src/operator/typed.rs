//! Consecutive closures over rows as structs.
use std::sync::Arc;

use super::{Operator, OperatorError, Output};
use crate::rows::Rows;
use crate::typed::RowFunction;

/// Runs the closures; rows on which they fail are set aside one by one.
pub(super) struct Typed {
    run: Arc<RowFunction>,
}

impl Typed {
    pub(super) fn new(run: Arc<RowFunction>) -> Self {
        Self { run }
    }
}

impl Operator for Typed {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        (self.run)(&rows, out)
    }
}
