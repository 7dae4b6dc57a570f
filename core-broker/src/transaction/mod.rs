//! Transactions (KIP-98): what the coordinator of a transaction and the logs it touches have in common.

mod marker;

pub use marker::TransactionMarker;
