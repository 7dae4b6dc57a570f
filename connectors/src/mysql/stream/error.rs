//! What stops a stream.
use std::io;

use super::ddl::Touched;
use crate::mysql::binlog::{DecodeError, Kind, Place};

/// Why a stream does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An event that cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The log has a statement where it should have rows.
    #[error(
        "at {place} the log has a statement instead of the rows that it changed in {}: {statement:?}; SET GLOBAL binlog_format = ROW on the \
         server, and let sessions that set it to STATEMENT or MIXED end; then take a new snapshot of the table, or, if the changed rows do not \
         matter, pass the statement over with event.processing.failure.handling.mode=warn",
        shown(.tables)
    )]
    StatementFormat {
        /// Where it is.
        place: Place,
        /// Its beginning.
        statement: String,
        /// The tables whose rows it may have changed.
        tables: Touched,
    },
    /// The server lost events.
    #[error(
        "at {place} the server says that its log lacks changes: {message}; take a new snapshot, or go on without them with \
         event.processing.failure.handling.mode=warn"
    )]
    Incident {
        /// Where it says so.
        place: Place,
        /// Its words.
        message: String,
    },
    /// A transaction was undone after a part of it was delivered.
    #[error(
        "the log takes back rows of transaction {transaction} at {place}, after {rows} of its rows were delivered; take a new snapshot of the tables \
         that it changed, or raise max.queue.size.in.bytes (now {limit}), the bytes of a transaction that are held back until its end is known"
    )]
    RolledBack {
        /// Its id.
        transaction: String,
        /// Where it was rolled back.
        place: Place,
        /// How many rows were delivered.
        rows: u64,
        /// The bytes that are held back.
        limit: usize,
    },
    /// Too much of XA transactions is prepared.
    #[error(
        "prepared XA transactions hold more than {limit} {what}, the last one {xid}; commit them or roll them back (XA RECOVER lists them)"
    )]
    XaTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
        /// The name of the last one.
        xid: String,
    },
    /// Rows of an XA transaction cannot be kept, or not be read again.
    #[error("keeping rows of prepared XA transactions in {folder}: {error}; make room there, or set TMPDIR")]
    Spill {
        /// The folder of their files.
        folder: String,
        /// What the system says.
        error: io::Error,
    },
    /// The server sent what belongs to no transaction.
    #[error(
        "at {place} there is {what}; the log is not as servers write it, or reading began within a transaction"
    )]
    Order {
        /// Where.
        place: Place,
        /// What was not expected.
        what: &'static str,
    },
}

impl StreamError {
    /// Whether it may help to read the same bytes from the server again.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Decode(error) => error.damage.kind(),
            _ => Kind::Settings,
        }
    }
}

fn shown(tables: &Touched) -> String {
    match tables {
        Touched::Tables(tables) => {
            let names: Vec<_> = tables.iter().map(ToString::to_string).collect();
            names.join(", ")
        }
        Touched::Database(database) => format!("{database}.*"),
        Touched::Everything => "a table that it does not say clearly".to_owned(),
    }
}
