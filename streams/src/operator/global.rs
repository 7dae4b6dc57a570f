//! Global tables as the steps of all tasks read them.
use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;

use super::{OperatorError, Seen};

/// A table that a process has once.
pub(crate) trait GlobalView: Send {
    /// As [`Tables::look_up`](super::Tables::look_up), of what was read so far.
    fn look_up(&mut self, keys: &[ArrayRef]) -> Result<Seen, OperatorError>;
}

/// The same in the hands of its reader and of all that look rows up, each of which has it for as long as that takes.
pub(crate) struct SharedView<T: ?Sized = dyn GlobalView>(pub(crate) Arc<Mutex<T>>);

impl Clone for SharedView {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for SharedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a global table")
    }
}

impl SharedView {
    pub(super) fn look_up(&self, keys: &[ArrayRef]) -> Result<Seen, OperatorError> {
        // Who panicked with it in hand may have changed a part of it.
        let mut table = self.0.lock().map_err(|_| OperatorError::GlobalTable)?;
        table.look_up(keys)
    }
}
