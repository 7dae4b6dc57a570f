//! Tables as a log describes them.
use super::{Table, TableId};
use crate::mysql::binlog::TableMap;

/// Why a table is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The log does not say the names of its columns.
    #[error(
        "{table}: the log does not say what its columns are: SET GLOBAL binlog_row_metadata = FULL on the server"
    )]
    Unnamed {
        /// `database.table`.
        table: TableId,
    },
    /// Another number of columns.
    #[error("{table}: {described} columns are described where the log has {logged}")]
    Columns {
        /// `database.table`.
        table: TableId,
        /// Those of the description.
        described: usize,
        /// Those of the log.
        logged: usize,
    },
    /// A column that is another.
    #[error("{table}.{column}: its {what} is {described} by its description, {logged} by the log")]
    Column {
        /// `database.table`.
        table: TableId,
        /// The column's name.
        column: String,
        /// What differs.
        what: &'static str,
        /// The description's.
        described: String,
        /// The log's.
        logged: String,
    },
}

impl Table {
    /// A table as a log with `binlog_row_metadata=FULL` describes it: without defaults, comments and declared types, which it does not
    /// have ([`Self::merged`] adds them).
    ///
    /// # Errors
    /// [`TableError::Unnamed`] with other logs.
    pub fn from_log(map: &TableMap) -> Result<Self, TableError> {
        let _ = map;
        todo!()
    }

    /// Whether rows of `map` are rows of this table: the same columns, as far as the log says what they are.
    ///
    /// # Errors
    /// [`TableError`] with what differs.
    pub fn agrees_with(&self, map: &TableMap) -> Result<(), TableError> {
        let _ = map;
        todo!()
    }

    /// A table of the log with what only the server's description has (declared types, defaults, comments, what is generated), for the
    /// columns whose name and type are the same in both.
    #[must_use]
    pub fn merged(self, described: &Self) -> Self {
        let _ = described;
        todo!()
    }
}
