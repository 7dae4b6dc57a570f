//! What is stored of snapshots: small, whatever the number of tables.
//!
//! Tables are read in the order of their names. So it is enough to say which table was begun last, and which of those up to it
//! are not done: hardly more than there are readers.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::key::Place;
use crate::mysql::schema::TableId;

/// How far the snapshots of a source are.
///
/// ```
/// use millstream_connectors::mysql::snapshot::SnapshotState;
///
/// let state = SnapshotState::initial();
/// let fields = state.to_fields().unwrap();
/// assert_eq!(serde_json::to_string(&fields).unwrap(), r#"{"runs":[{"by":"initial","rows":0}]}"#);
/// assert_eq!(SnapshotState::from_fields(&fields).unwrap(), state);
/// assert_eq!(SnapshotState::default().to_fields(), None);
/// ```
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
    Incremental(Box<Asked>),
}

/// What a signal asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The signal's id.
    pub id: String,
    /// Expressions that are all of `database.table`.
    pub tables: Vec<String>,
    /// Expressions for tables, each with a condition in SQL that its rows have to meet; the first that matches rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<(String, String)>,
    /// The column in whose order rows are read instead of the key's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surrogate: Option<String>,
    /// Whether its records say `true`, as those of an initial snapshot do, instead of `incremental` (`"type": "blocking"`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocking: bool,
    /// Expressions for tables that are not wanted any more (`stop-snapshot`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
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
    /// Names whose tables went away before all of them was told: what is called so next is read, whatever it was before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vacant: Vec<TableId>,
    /// Rows that were told.
    #[serde(default)]
    pub rows: u64,
}

/// The most names of tables that went away; those that did so first are forgotten.
const VACANT_MAX: usize = 50;

/// How far a table is. One without a key has no place: it begins again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table.
    pub table: TableId,
    /// The end of the last chunk that was told, column by column of its key; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Place>,
    /// In which order that is its place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// Keys of rows that are to be read again, wherever they stand: changes gave them these keys, but did not tell all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Place>,
    /// Rows that were told.
    #[serde(default)]
    pub rows: u64,
}

impl TableState {
    /// A table that is begun.
    pub(super) fn new(table: TableId) -> Self {
        Self {
            table,
            last: None,
            order: String::new(),
            again: Vec::new(),
            rows: 0,
        }
    }

    /// It is read from its first row on.
    pub(super) fn begin_again(&mut self) {
        self.last = None;
        self.again.clear();
    }
}

impl Run {
    /// One that was not begun.
    pub(super) fn new(kind: RunKind) -> Self {
        Self {
            kind,
            begun: None,
            open: Vec::new(),
            vacant: Vec::new(),
            rows: 0,
        }
    }

    /// A table went away, and not all of it was told.
    pub(super) fn vacated(&mut self, table: &TableId) {
        self.vacant.retain(|other| other != table);
        if self.vacant.len() == VACANT_MAX {
            self.vacant.remove(0);
        }
        self.vacant.push(table.clone());
    }

    /// Another table is called so now; whether the one that was went away untold.
    pub(super) fn occupied(&mut self, table: &TableId) -> bool {
        let before = self.vacant.len();
        self.vacant.retain(|other| other != table);
        self.vacant.len() < before
    }
}

impl SnapshotState {
    /// That of a source which is to begin with a snapshot.
    #[must_use]
    pub fn initial() -> Self {
        Self {
            runs: vec![Run::new(RunKind::Initial)],
            paused: false,
        }
    }

    /// Whether the initial snapshot is not done yet.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.runs.iter().any(|run| run.kind == RunKind::Initial)
    }

    /// Whether there is one that a signal asked for.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.runs.iter().any(|run| run.kind != RunKind::Initial)
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
