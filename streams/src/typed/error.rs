//! How a closure fails on a row.
use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;

/// A row that a closure could not work on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClosureError {
    /// The closure said so.
    #[error("the closure failed: {cause}")]
    Failed {
        /// Its error.
        cause: String,
    },
    /// The closure panicked.
    #[error("the closure panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The row is no such struct.
    #[error("the row is no {row_type}: {cause}")]
    Unfit {
        /// The struct.
        row_type: String,
        /// What does not fit.
        cause: String,
    },
    /// The closure's struct has no columns.
    #[error("{row_type} cannot be written as columns: {cause}")]
    Unwritable {
        /// The struct.
        row_type: String,
        /// Why not.
        cause: String,
    },
    /// The state of a processor has no JSON, or none that is the state again.
    #[error("the state {state_type} cannot be kept as JSON: {cause}")]
    StateUnwritable {
        /// The state's type.
        state_type: String,
        /// Why not.
        cause: String,
    },
    /// A timer that scheduled one that would fire at once, and so for ever.
    #[error(
        "the timer at {at_ms} scheduled one at {scheduled_ms}, which is not later, so that they would never end; schedule a later one"
    )]
    EndlessTimer {
        /// The time of the timer that fired.
        at_ms: i64,
        /// The time that it asked for.
        scheduled_ms: i64,
    },
    /// A closure that chooses between branches named one that there is not.
    #[error("the closure chose branch number {chosen} of {branches}; they count from 0")]
    NoSuchBranch {
        /// Its choice.
        chosen: usize,
        /// How many there are.
        branches: usize,
    },
}

/// Calls a closure; a panic becomes an error.
pub(crate) fn guard<R>(call: impl FnOnce() -> R) -> Result<R, ClosureError> {
    // What a closure has half changed when it panics is its own; it sees the next row all the same, as after an error.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| ClosureError::Panicked {
        message: panic_message(&*panic),
    })
}

/// Calls a closure that may fail.
pub(crate) fn guard_fallible<R, E: Display>(call: impl FnOnce() -> Result<R, E>) -> Result<R, ClosureError> {
    guard(call)?.map_err(|cause| ClosureError::Failed {
        cause: cause.to_string(),
    })
}

/// What a panic says, if it says something.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
