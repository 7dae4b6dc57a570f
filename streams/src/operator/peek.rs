//! Batches shown to a closure.
use super::{Operator, OperatorError, Output};
use crate::rows::Rows;
use crate::typed::BatchClosure;

/// Shows each batch, and passes it on.
pub(super) struct Peek {
    see: BatchClosure,
}

impl Peek {
    pub(super) fn new(see: BatchClosure) -> Self {
        Self { see }
    }
}

impl Operator for Peek {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.see.call(&rows.batch)?;
        out.push(rows);
        Ok(())
    }
}
