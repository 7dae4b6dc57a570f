//! The numbers of the types of events.

/// A statement: DDL, BEGIN, and what statements log of themselves.
pub const QUERY: u8 = 2;
/// The end of a log before a server stops.
pub const STOP: u8 = 3;
/// The log goes on in another file.
pub const ROTATE: u8 = 4;
/// What a file begins with.
pub const FORMAT_DESCRIPTION: u8 = 15;
/// A transaction is committed.
pub const XID: u8 = 16;
/// A statement that loads a file (`binlog_format=STATEMENT`).
pub const EXECUTE_LOAD_QUERY: u8 = 18;
/// The table of rows that follow.
pub const TABLE_MAP: u8 = 19;
/// Inserted rows, before MySQL 5.6 and in MariaDB.
pub const WRITE_ROWS_V1: u8 = 23;
/// Updated rows, before MySQL 5.6 and in MariaDB.
pub const UPDATE_ROWS_V1: u8 = 24;
/// Deleted rows, before MySQL 5.6 and in MariaDB.
pub const DELETE_ROWS_V1: u8 = 25;
/// The server lost events.
pub const INCIDENT: u8 = 26;
/// A sign of life.
pub const HEARTBEAT: u8 = 27;
/// What replicas may pass over.
pub const IGNORABLE: u8 = 28;
/// The statement that changed the rows (`binlog_rows_query_log_events`).
pub const ROWS_QUERY: u8 = 29;
/// Inserted rows.
pub const WRITE_ROWS: u8 = 30;
/// Updated rows.
pub const UPDATE_ROWS: u8 = 31;
/// Deleted rows.
pub const DELETE_ROWS: u8 = 32;
/// A transaction with a GTID begins.
pub const GTID: u8 = 33;
/// A transaction without one begins.
pub const ANONYMOUS_GTID: u8 = 34;
/// The GTIDs of all files before this.
pub const PREVIOUS_GTIDS: u8 = 35;
/// For group replication.
pub const TRANSACTION_CONTEXT: u8 = 36;
/// For group replication.
pub const VIEW_CHANGE: u8 = 37;
/// An XA transaction is prepared.
pub const XA_PREPARE: u8 = 38;
/// Updated rows with JSON by its changes.
pub const PARTIAL_UPDATE_ROWS: u8 = 39;
/// A compressed transaction.
pub const TRANSACTION_PAYLOAD: u8 = 40;
/// A sign of life with positions beyond 32 bits.
pub const HEARTBEAT_V2: u8 = 41;
/// A transaction with a tagged GTID begins.
pub const GTID_TAGGED: u8 = 42;

/// MariaDB: the statement that changed the rows.
pub const ANNOTATE_ROWS: u8 = 160;
/// MariaDB: what InnoDB has of the log.
pub const BINLOG_CHECKPOINT: u8 = 161;
/// MariaDB: a transaction begins.
pub const MARIADB_GTID: u8 = 162;
/// MariaDB: the GTIDs of all files before this.
pub const MARIADB_GTID_LIST: u8 = 163;
/// MariaDB: everything behind this is encrypted.
pub const START_ENCRYPTION: u8 = 164;
/// MariaDB: [`QUERY`], compressed.
pub const QUERY_COMPRESSED: u8 = 165;
/// MariaDB: [`WRITE_ROWS_V1`], compressed.
pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
/// MariaDB: [`UPDATE_ROWS_V1`], compressed.
pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
/// MariaDB: [`DELETE_ROWS_V1`], compressed.
pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
/// MariaDB: [`WRITE_ROWS`], compressed.
pub const WRITE_ROWS_COMPRESSED: u8 = 169;
/// MariaDB: [`UPDATE_ROWS`], compressed.
pub const UPDATE_ROWS_COMPRESSED: u8 = 170;
/// MariaDB: [`DELETE_ROWS`], compressed.
pub const DELETE_ROWS_COMPRESSED: u8 = 171;
