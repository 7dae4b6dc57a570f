//! Clock seam of the log.
use std::fmt::Debug;

use crate::ids::Timestamp;

/// Source of wall-clock time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}
