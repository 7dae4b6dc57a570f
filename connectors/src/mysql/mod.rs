//! Change data capture from MySQL and MariaDB.
//!
//! # Layout
//!
//! * [`binlog`]: events of a binary log, from their frames to the values of rows.
//! * [`json`]: MySQL's binary JSON, as text, and with the differences of partial updates applied.
//! * [`gtid`]: sets of global transaction ids, of MySQL and of MariaDB.
//! * [`charset`]: what the bytes of texts say.
//! * [`text`]: values as the server itself prints them.
//! * [`check`]: what a server lacks, and what mends it.
//! * [`client`]: connections to servers: statements, marks, their logs as raw events.
//! * [`config`]: what a source is told.
//! * [`schema`]: what tables are.
//! * [`sink`]: rows of records, written once.
//! * [`record`]: rows as records.
//! * [`snapshot`]: what tables hold already; sans-IO, and connections that read.
//! * [`signal`]: what a running source is asked for.
//! * [`stream`]: transactions, from events; sans-IO.
//! * [`offset`]: how far a source is, as it is stored.
//! * [`record`]: rows as records.
//!
//! What comes in was written by a server, but may be damaged on its way: every length is checked, nothing is allocated because
//! a length says so, and what cannot be decoded is an error with its place in the log, never a skip.
pub mod binlog;
pub mod charset;
pub mod check;
pub mod client;
pub mod config;
pub mod gtid;
pub mod json;
pub mod offset;
pub mod record;
pub mod schema;
pub mod signal;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod stream;
pub mod text;

#[cfg(test)]
mod tests;
