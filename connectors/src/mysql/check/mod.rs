//! What a server, an account and tables lack for their changes to be captured, with the statements that mend it.
//!
//! A judgement over what was asked before ([`ask()`]): it asks nothing itself. The connector stops at its start with all
//! [errors](Severity::Error) at once, and is not even made with those of the server; `millstream mysql check` prints everything.
mod ask;
mod privileges;
mod settings;
mod tables;

#[cfg(test)]
mod tests;

pub use ask::ask;

use std::fmt;

use millstream_connect::plugin::PluginError;

use crate::mysql::client::server::Facts;
use crate::mysql::config::{SnapshotMode, SourceConfig};
use crate::mysql::schema::describe::Descriptions;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing can be captured, or not what was asked for.
    Error,
    /// It can, with a drawback.
    Warning,
    /// It is good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// What follows from it.
    pub why: String,
    /// Statements for the server, or lines for its configuration, that mend it.
    pub remedies: Vec<String>,
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            severity,
            what: what.into(),
            why: why.into(),
            remedies: Vec::new(),
        }
    }

    fn error(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Error, what, why)
    }

    fn warning(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, why)
    }

    fn note(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Note, what, why)
    }

    fn mended_by(mut self, statement: impl Into<String>) -> Self {
        self.remedies.push(statement.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        match self.remedies.is_empty() {
            true => Ok(()),
            false => write!(f, "; {}", self.remedies.join("; ")),
        }
    }
}

/// What is to be done with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// The replica's number.
    pub server_id: Option<u32>,
    /// Whether tables are read, and not only their changes.
    pub snapshot: bool,
    /// Whether records have statements.
    pub include_query: bool,
}

impl From<&SourceConfig> for Intent {
    fn from(config: &SourceConfig) -> Self {
        Self {
            server_id: Some(config.stream.server_id),
            // Signals can ask for snapshots later.
            snapshot: !matches!(
                config.snapshot.mode,
                SnapshotMode::NoData | SnapshotMode::Never | SnapshotMode::Recovery
            ) || config.filters.signal_table.is_some(),
            include_query: config.records.include_query,
        }
    }
}

/// Everything that is not as it should be, errors first. `tables` are those that are to be captured.
#[must_use]
pub fn check(facts: &Facts, tables: &Descriptions, intent: Intent) -> Vec<Finding> {
    let mut findings = settings::check(facts, intent);
    findings.extend(privileges::check(facts, tables, intent));
    findings.extend(tables::check(facts, tables, intent));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What is not as it should be with the server and what the account may do there, whatever the tables; errors first.
#[must_use]
pub fn check_server(facts: &Facts, intent: Intent) -> Vec<Finding> {
    let mut findings = settings::check(facts, intent);
    findings.extend(privileges::server(facts));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// All errors of it as one; nothing if there is none.
///
/// ```
/// use millstream_connectors::mysql::check::failure;
///
/// assert!(failure(&[]).is_none());
/// ```
#[must_use]
pub fn failure(findings: &[Finding]) -> Option<PluginError> {
    let errors: Vec<String> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(Finding::to_string)
        .collect();
    match errors.len() {
        0 => None,
        _ => Some(PluginError::user_config(errors.join("; "))),
    }
}

/// Names for a sentence: no more than a few of them.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
