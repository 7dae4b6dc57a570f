//! What a decoder answers with.
use std::sync::Arc;

use super::query::{Query, XaPrepare};
use super::rows::Rows;
use super::table_map::TableMap;
use super::transaction::{MariadbStart, TransactionStart};
use crate::mysql::gtid::{GtidSet, mariadb};

/// One event of a log. What is borrowed lives until the decoder goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A file begins, or the stream of it.
    Format {
        /// The server's version.
        server_version: &'a str,
        /// Whether MariaDB wrote it.
        mariadb: bool,
    },
    /// The log goes on in another file.
    Rotate {
        /// The file.
        file: &'a str,
        /// Where in it.
        position: u64,
    },
    /// All transactions of earlier files.
    PreviousGtids(GtidSet),
    /// The last transactions of earlier files, of MariaDB.
    MariadbGtids(mariadb::Position),
    /// A transaction begins.
    Start(TransactionStart),
    /// A transaction of MariaDB begins.
    MariadbStart(MariadbStart),
    /// A statement: DDL, BEGIN, COMMIT of tables without transactions, XA COMMIT.
    Query(Query<'a>),
    /// A statement that loads a file, logged as text: LOAD DATA.
    LoadData(Query<'a>),
    /// The text of the statement whose rows follow.
    RowsQuery(&'a [u8]),
    /// The table of rows that follow; the same one is the same `Arc` as long as it is as before.
    Table(Arc<TableMap>),
    /// Changed rows.
    Rows(Rows<'a>),
    /// The transaction is committed; its number in the storage engine.
    Commit(u64),
    /// An XA transaction is prepared.
    XaPrepare(XaPrepare),
    /// A compressed transaction; what is in it follows.
    Compressed,
    /// The server lives, and has nothing new.
    Heartbeat,
    /// The server stopped, or began anew: this file ends here.
    Stop,
    /// The server says that its log lacks changes.
    Incident {
        /// Its words.
        message: &'a [u8],
    },
    /// What says nothing of rows.
    Other,
}
