//! What cannot become a record.
use crate::mysql::binlog::Damage;

/// Why there is no record of something, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A value that is not what its column holds.
    #[error("{column} at {place}: {damage}; {remedy}")]
    Value {
        /// `database.table.column`.
        column: String,
        /// Where in the log, or that it is of a snapshot.
        place: String,
        /// What is wrong.
        damage: Damage,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A row with more or fewer values than the table has columns.
    #[error(
        "{table} at {place}: a row of {found} values where the table has {expected} columns; the description of the table is not that of \
         this place of the log: SET GLOBAL binlog_row_metadata = FULL on the server, or restart with snapshot.mode=recovery"
    )]
    Columns {
        /// `database.table`.
        table: String,
        /// Where.
        place: String,
        /// Columns of the table.
        expected: usize,
        /// Values of the row.
        found: usize,
    },
    /// A key whose column the row does not hold.
    #[error(
        "{column} at {place}: it is part of the record's key, but the row does not hold it: SET GLOBAL binlog_row_image = FULL on the server"
    )]
    AbsentKey {
        /// `database.table.column`.
        column: String,
        /// Where.
        place: String,
    },
    /// `message.key.columns` names what the table has not.
    #[error("message.key.columns: {table} has no column {column}; name columns that it has")]
    UnknownKey {
        /// `database.table`.
        table: String,
        /// The name.
        column: String,
    },
    /// Two columns whose names become the same.
    #[error(
        "{table}: two columns are named {name} once names are adjusted; leave one out (column.exclude.list), or set field.name.adjustment.mode=none"
    )]
    RepeatedField {
        /// `database.table`.
        table: String,
        /// The name.
        name: String,
    },
    /// A hash that is not known.
    #[error(
        "column.mask.hash: {algorithm} is not known; there are MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512"
    )]
    UnknownHash {
        /// Its name.
        algorithm: String,
    },
}
