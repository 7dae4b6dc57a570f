//! How far a source is, as it is stored. Names of fields are Debezium's where they mean the same, and what Debezium stored is understood.
//!
//! `file`, `pos` and `gtids` say where the transaction begins that is to be read next. Of that transaction `event` events, from its BEGIN on,
//! and behind them `row` rows, of whichever tables and events, are delivered already. Debezium counts the events before the one that it was in and
//! the rows in that event; ours has no `event`, and `row` counts from the transaction's beginning, so that it also holds where another server
//! logged the same rows in events of another size. Either is read by the same rule.
use std::collections::BTreeMap;

use bytestring::ByteString;
use serde_json::{Map, Value as Json};

use super::stream::LogPosition;

/// How far a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct Offset {
    /// The transaction that is to be delivered next begins here.
    pub position: LogPosition,
    /// Where the log has to be read from: before [`Offset::position`] if XA transactions are prepared that are not finished there.
    pub read_from: Option<LogPosition>,
    /// How many of the next transaction's events, from BEGIN on, are delivered.
    pub event: u64,
    /// How many rows behind them are.
    pub row: u64,
    /// The transaction that they are of: its id.
    pub transaction: Option<ByteString>,
    /// How many records of it there were by table, where transactions are told of (`provide.transaction.metadata`).
    pub orders: BTreeMap<String, u64>,
    /// The server that it was read from.
    pub server_uuid: Option<String>,
    /// The server that committed the last transaction first.
    pub server_id: Option<u32>,
    /// When the last statement began, in seconds since 1970.
    pub ts_sec: Option<u64>,
    /// The snapshot's state, which is the snapshot's own; nothing once it is done.
    pub snapshot: Option<Map<String, Json>>,
}
