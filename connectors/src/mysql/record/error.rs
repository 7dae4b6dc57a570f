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
    /// A row that gets another key, and is not whole: a reader that takes the old key for deleted could not make the row again.
    #[error(
        "{column} at {place}: the row's key changes, and the log does not hold the whole row, so that a reader would lose what is under the old \
         key: SET GLOBAL binlog_row_image = FULL on the server, for sessions that begin then"
    )]
    PartialMove {
        /// `database.table.column` of a column that is not known.
        column: String,
        /// Where.
        place: String,
    },
    /// Two columns whose names become the same.
    #[error(
        "{table}: two columns have one name once names are adjusted: leave one out (column.exclude.list), or set field.name.adjustment.mode=none"
    )]
    RepeatedField {
        /// `database.table`.
        table: String,
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

impl RecordError {
    /// A value that does not become one of Connect's.
    pub(super) fn of_column(column: String, place: String, damage: Damage) -> Self {
        let remedy = match &damage {
            Damage::UnsaidCharset => "SET GLOBAL binlog_row_metadata = FULL on the server",
            Damage::Invalid {
                what: "a label's number",
                ..
            } => {
                "the labels that are known are not those of this place of the log: SET GLOBAL binlog_row_metadata = FULL on the server"
            }
            _ => {
                "leave the column out (column.exclude.list), or have such values told as NULL (event.processing.failure.handling.mode=warn)"
            }
        };
        Self::Value {
            column,
            place,
            damage,
            remedy,
        }
    }
}
