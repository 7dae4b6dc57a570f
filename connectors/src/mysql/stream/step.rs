//! What a stream tells, one thing after the other.
use std::sync::Arc;

use bytestring::ByteString;

use super::capture::Captured;
use super::ddl::{SchemaKind, Touched};
use super::rows::RowsEvent;
use crate::mysql::binlog::TableMap;
use crate::mysql::schema::TableId;
use crate::mysql::schema::ddl::Session;

/// A transaction of the log, as far as its records tell of it. Shared by all that is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What it is called: its GTID; without one `file=bin.000003,pos=154`, as Debezium says it.
    pub id: ByteString,
    /// Its GTID.
    pub gtid: Option<ByteString>,
    /// The file that it stands in.
    pub file: ByteString,
    /// Where it begins in it.
    pub position: u64,
    /// The server that committed it first.
    pub server_id: u32,
    /// The session that it was made in.
    pub thread: Option<u32>,
    /// When the server that is read committed it, in microseconds since 1970; MySQL 8.0 and later.
    pub committed_us: Option<u64>,
    /// When the server where it began committed it, in microseconds since 1970; MySQL 8.0 and later.
    pub originally_committed_us: Option<u64>,
}

/// Where an event of a transaction is, and when its statement began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOrigin {
    /// Its transaction.
    pub transaction: Arc<Transaction>,
    /// The file; that of the transaction.
    pub file: ByteString,
    /// Where the event begins; within a compressed transaction, where its payload does.
    pub position: u64,
    /// The server that wrote the event first.
    pub server_id: u32,
    /// When its statement began, in seconds since 1970.
    pub timestamp_s: u32,
    /// The text of the statement that made the rows, where it is in the log (`binlog_rows_query_log_events`,
    /// `binlog_annotate_row_events`) and asked for.
    pub query: Option<ByteString>,
}

/// Rows of one event, of a table that is captured.
#[derive(Debug)]
pub struct RowsStep {
    /// Where they are.
    pub origin: EventOrigin,
    /// Their table; the same one is the same `Arc` as long as it is as before.
    pub table: Arc<TableMap>,
    /// What is done with them.
    pub captured: Captured,
    /// The rows.
    pub rows: RowsEvent,
    /// How many of them were delivered before a restart. They are only told where everything is ([`Stream::tell_all`](super::Stream::tell_all));
    /// otherwise `rows` begins behind them.
    pub delivered: u64,
    /// The ordinal of the first row that was not.
    pub(super) fresh: u64,
}

/// All rows of a table went, by TRUNCATE TABLE.
#[derive(Debug)]
pub struct Truncation {
    /// Where the statement is.
    pub origin: EventOrigin,
    /// The table.
    pub table: TableId,
    /// Whether it becomes a record (`skipped.operations`).
    pub records: bool,
}

/// A statement that changes what tables are.
#[derive(Debug)]
pub struct SchemaChange {
    /// Where the statement is.
    pub origin: EventOrigin,
    /// The database that it ran in; empty for none.
    pub database: ByteString,
    /// Its text.
    pub text: ByteString,
    /// What its session had set.
    pub session: Session,
    /// What it does.
    pub kind: SchemaKind,
    /// Which tables it may touch.
    pub touches: Touched,
    /// Tables that are called otherwise: their names before and now, in the order in which they are renamed.
    pub renames: Vec<(TableId, TableId)>,
}

/// One thing that a stream tells.
#[derive(Debug)]
pub enum Step {
    /// A transaction begins. All transactions are told, also those without rows that are captured.
    Begin {
        /// Where.
        origin: EventOrigin,
        /// Whether a part of it was delivered before a restart.
        resumed: bool,
    },
    /// Changed rows.
    Rows(RowsStep),
    /// A table was emptied.
    Truncate(Truncation),
    /// Tables changed.
    Schema(SchemaChange),
    /// The transaction is committed: the stream's position is behind it.
    Commit(EventOrigin),
    /// A transaction ended of which nothing is told: the stream's position is behind it.
    Moved,
}

impl Step {
    /// The text of the statement that made its rows.
    pub(super) fn query(&self) -> Option<&ByteString> {
        match self {
            Self::Rows(step) => step.origin.query.as_ref(),
            _ => None,
        }
    }
}
