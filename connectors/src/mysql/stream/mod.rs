//! The stream of changes, sans-IO: raw events go in, transactions come out.
//!
//! The decoder says what single events are; here they become transactions with a place, an order and an end. Rows that were
//! delivered before a restart are passed over, what is not captured is left out before its rows are decoded, rows of XA transactions wait until
//! they are committed, and statements in the log are looked at as far as tables are concerned.
//!
//! Owns: where reading goes on after a restart, down to the row. Does not own: connections, and what records look like.
pub mod ddl;
mod position;
mod rows;
mod step;

pub use position::{Gtids, LogPosition};
pub use rows::{RowsEvent, RowsPlace, RowsReader};
pub use step::{EventOrigin, RowsStep, SchemaChange, Step, Transaction, Truncation};
