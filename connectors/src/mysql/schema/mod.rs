//! What tables are: names, types and keys, wherever that is known from.
//!
//! A [`Table`] comes from a table map of a log with `binlog_row_metadata=FULL`, or from `information_schema`, or from both: the log
//! says what rows hold at that place, the server's descriptions add what the log never has (defaults, comments, MariaDB's own types).
pub mod ddl;
pub mod describe;
mod from_log;
mod stored;
pub mod structure;

pub use from_log::TableError;
pub use structure::{Index, Structure};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mysql::binlog;

/// A table's name. It is stored as a pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct TableId {
    /// Its database.
    pub database: Arc<str>,
    /// Its own name.
    pub table: Arc<str>,
}

impl TableId {
    /// The table `table` of `database`.
    #[must_use]
    pub fn new(database: &str, table: &str) -> Self {
        Self {
            database: database.into(),
            table: table.into(),
        }
    }
}

impl From<(String, String)> for TableId {
    fn from((database, table): (String, String)) -> Self {
        Self::new(&database, &table)
    }
}

impl From<TableId> for (String, String) {
    fn from(id: TableId) -> Self {
        (id.database.to_string(), id.table.to_string())
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub id: TableId,
    /// Its columns, in its order.
    pub columns: Vec<Column>,
    /// Its primary key, or the first unique key without nullable columns that stands for it: indexes of columns, in the key's order.
    pub key: Vec<usize>,
    /// What it is for.
    pub comment: Option<String>,
    /// The character set of columns that say none, where that is known.
    pub charset: Option<String>,
    /// What statements that change it build on, where that is known.
    pub structure: Option<Structure>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// How its values stand in logs: type, sign, collation, labels.
    pub log: binlog::Column,
    /// Its type as the server writes it, where that is known: `decimal(10,2)`, `int unsigned`, `uuid`.
    pub declared: Option<String>,
    /// What it has where nothing is said: the literal's text, without quotes, or `CURRENT_TIMESTAMP` with its digits. Nothing where it is
    /// another expression.
    pub default: Option<String>,
    /// Whether the server makes its values.
    pub generated: bool,
    /// Whether the server counts its values up (`AUTO_INCREMENT`).
    pub auto_increment: bool,
    /// What it is for.
    pub comment: Option<String>,
}
