//! What a stream is told.
use crate::mysql::config::{FailureMode, Filters, Selection};

use super::held::HeldLimits;

/// What a stream is told.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// What is captured.
    pub filters: Filters,
    /// Whose transactions count (`gtid.source.includes`).
    pub gtid_sources: Selection,
    /// The server writes names in small letters, whatever statements say (`lower_case_table_names` is not 0).
    pub lower_case_names: bool,
    /// Statements are told with their rows (`include.query`).
    pub queries: bool,
    /// What is done where the log lacks rows.
    pub failures: FailureMode,
    /// Another stream has told what is before the place, or will tell it: what is not known from there is no loss.
    pub ahead: bool,
    /// The most bytes of one event.
    pub event_bytes: usize,
    /// The bytes of a transaction that are held back until its end is known: it may be rolled back. One with more is told in parts.
    pub hold_bytes: usize,
    /// What prepared XA transactions may take.
    pub held: HeldLimits,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            filters: Filters::default(),
            gtid_sources: Selection::All,
            lower_case_names: false,
            queries: false,
            failures: FailureMode::Fail,
            ahead: false,
            event_bytes: 1 << 30,
            hold_bytes: 16 << 20,
            held: HeldLimits::with_memory(16 << 20),
        }
    }
}
