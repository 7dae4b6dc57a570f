//! Global transaction ids: MySQL's (`uuid:number`, since 8.4 `uuid:tag:number`) and MariaDB's (`domain-server-sequence`).
mod intervals;
pub mod mariadb;
mod mysql;

pub use mysql::{Gtid, GtidSet, Source};

/// A text that is no GTID, or no set of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}: {reason}")]
pub struct ParseGtidError {
    text: String,
    kind: &'static str,
    reason: &'static str,
}

impl ParseGtidError {
    pub(crate) fn new(text: &str, kind: &'static str, reason: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            kind,
            reason,
        }
    }
}
