//! What is stored of snapshots: small, whatever the number of tables.
//!
//! Tables are read in the order of their names. So it is enough to say which table was begun last, and which of those up to it
//! are not done: never more than there are readers.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::mysql::schema::TableId;

/// How far the snapshots of a source are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotState {
    /// Those that are not done, in the order in which they are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// Whether those that signals asked for wait (`pause-snapshot`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Who asked for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// The source's beginning: all that is captured.
    Initial,
    /// A signal.
    Incremental {
        /// The signal's id.
        id: String,
        /// Expressions that are all of `database.table`.
        tables: Vec<String>,
    },
}

/// A snapshot that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who asked for it.
    #[serde(rename = "by")]
    pub kind: RunKind,
    /// The last table that was begun, in the order of names; all before it, and itself, are done unless they stand in `open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<TableId>,
    /// Tables that were begun and are not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<TableState>,
    /// Rows that were told.
    #[serde(default)]
    pub rows: u64,
}

/// How far a table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table.
    pub table: TableId,
    /// The key of the last row that was told or passed, column by column; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Vec<String>>,
}

impl SnapshotState {
    /// That of a source which is to begin with a snapshot.
    #[must_use]
    pub fn initial() -> Self {
        let run = Run {
            kind: RunKind::Initial,
            begun: None,
            open: Vec::new(),
            rows: 0,
        };
        Self {
            runs: vec![run],
            paused: false,
        }
    }

    /// Whether the initial snapshot is not done yet.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.runs.iter().any(|run| run.kind == RunKind::Initial)
    }

    /// As it stands in offsets; nothing when there is nothing left to read.
    #[must_use]
    pub fn to_fields(&self) -> Option<Map<String, Json>> {
        if self.runs.is_empty() && !self.paused {
            return None;
        }
        match serde_json::to_value(self) {
            Ok(Json::Object(fields)) => Some(fields),
            _ => unreachable!("a struct of texts and numbers is an object"),
        }
    }

    /// What [`SnapshotState::to_fields`] gave.
    ///
    /// # Errors
    /// With fields that are no state.
    pub fn from_fields(fields: &Map<String, Json>) -> Result<Self, serde_json::Error> {
        serde_json::from_value(Json::Object(fields.clone()))
    }
}
