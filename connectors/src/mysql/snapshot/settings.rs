//! What a snapshot is told, and what it says of itself.
use std::borrow::Cow;
use std::sync::Arc;

use crate::mysql::config::{Filters, Selection as Choice, SnapshotConfig};
use crate::mysql::schema::{Table, TableId};
use crate::mysql::stream::{Gtids, LogPosition};

/// What a snapshot is told.
#[derive(Clone)]
pub struct Settings {
    /// How it reads.
    pub config: SnapshotConfig,
    /// What is captured.
    pub filters: Filters,
    /// Whose transactions the stream tells, by the UUIDs of servers.
    pub gtid_sources: Choice,
    /// The most bytes of keys that are kept of changes to a table while a chunk of it is read; the stream waits for the chunk then.
    pub window_bytes: usize,
    /// What is selected of a table.
    pub selector: Selector,
}

impl Settings {
    /// A place without the transactions that are not told: a server need not have them.
    pub(super) fn counted<'a>(&self, position: &'a LogPosition) -> Cow<'a, LogPosition> {
        match (&position.gtids, &self.gtid_sources) {
            (_, Choice::All) | (None | Some(Gtids::Mariadb(_)), _) => Cow::Borrowed(position),
            (Some(Gtids::Mysql(set)), sources) => Cow::Owned(LogPosition {
                gtids: Some(Gtids::Mysql(set.of_sources(|uuid| sources.has(uuid)))),
                ..LogPosition::at(position.file.clone(), position.position)
            }),
        }
    }
}

/// Says what is selected of a table, or why that cannot be.
pub type Selector = Arc<dyn Fn(&Table) -> Result<Selection, String> + Send + Sync>;

/// What is selected of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Expressions, with commas between them.
    pub list: String,
    /// How many.
    pub cells: usize,
}

/// How much the records of a change tell of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All that is captured of the row after it.
    Whole,
    /// Not all: a partial image, or no record at all (`skipped.operations`). If a chunk has the row, it is read again.
    Part,
}

/// A change of tables themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// It may have other columns now.
    Altered(TableId),
    /// It is gone.
    Dropped(TableId),
    /// It is called otherwise.
    Renamed {
        /// Its name before.
        from: TableId,
        /// Its name now.
        to: TableId,
    },
    /// It was emptied.
    Truncated(TableId),
    /// Any table of this database may have changed.
    Database(String),
    /// Any table may have changed.
    Everything,
}

impl TableChange {
    /// Whether a table may have become another.
    pub(super) fn touches(&self, table: &TableId) -> bool {
        match self {
            Self::Altered(id) | Self::Dropped(id) | Self::Truncated(id) => id == table,
            Self::Renamed { from, to } => from == table || to == table,
            Self::Database(name) => **name == *table.database,
            Self::Everything => true,
        }
    }
}

/// Why a snapshot cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The server does not answer any more; beginning anew may help.
    #[error("the snapshot's connection to the server: {0}")]
    Disconnected(String),
    /// The server, or what it is asked for, does not allow it; a setting has to change.
    #[error("the snapshot of {table}: {message}")]
    Refused {
        /// The table.
        table: TableId,
        /// Why, and what to do.
        message: String,
    },
    /// The server refuses what concerns no single table.
    #[error("the snapshot: {0}")]
    Denied(String),
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Tables that are done.
    pub tables_done: u64,
    /// Tables of all.
    pub tables: u64,
    /// Rows that were told.
    pub rows_told: u64,
    /// Rows that there are, by the server's estimates; nothing before it was asked.
    pub rows: Option<u64>,
}
