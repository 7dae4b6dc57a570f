//! Rows as records: Debezium's envelopes, keys, source blocks and types, so that its consumers keep working.
//!
//! [`Records`] holds what all records of a source share, [`TableRecords`] what is compiled once for a table; from then on a row costs its
//! values. Rows come from a log ([`TableRecords::change`]) or from a `SELECT` ([`TableRecords::read`]); the same row gives the same values
//! either way. Around rows there are [`Transactions`], [`Heartbeats`] and [`SchemaChanges`].
//!
//! * `records`, `naming`, `schemas`: topics, names of schemas, and the schemas that no table decides.
//! * `origin`, `moment`: where and when a change happened.
//! * `table`, `envelope`, `headers`: what is compiled for a table, and the records that it makes.
//! * `partial`: schemas of rows that an image does not hold whole.
//! * `column`, `declared`: what is compiled for a column: type, schema, conversion, mask, default.
//! * `transaction`, `heartbeat`, `schema_change`: records beside rows.
//!
//! Does not know connections, offsets, nor what order events have; the time is an argument.
mod changed;
mod column;
mod declared;
mod envelope;
mod error;
#[cfg(test)]
pub(in crate::mysql) mod fixtures;
mod headers;
mod heartbeat;
mod key;
mod moment;
pub(crate) mod naming;
mod origin;
mod partial;
mod read;
mod records;
mod schema_change;
mod schemas;
mod table;
mod transaction;

#[cfg(test)]
mod tests;

pub use changed::ChangedRows;
pub use error::RecordError;
pub use heartbeat::Heartbeats;
pub use moment::Moment;
pub use origin::{Origin, Snapshot};
pub use read::ReadRows;
pub use records::{Connector, Records};
pub use schema_change::{SchemaChange, SchemaChanges, TableChange};
pub use table::{TableRecords, select_expression};
pub use transaction::{InTransaction, Transactions};
