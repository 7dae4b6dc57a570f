//! Transactions (KIP-98): who may write to several partitions at once, and how that ends everywhere.
//!
//! Why: records of several partitions and offsets of groups must count together or not at all. The coordinator keeps
//! one state per transactional id; a decision is on disk before anybody hears of it, and markers carry it to every
//! partition of the transaction.
//!
//! A request comes in through `api/*` → [`TransactionManager`] (lock, limits) → `coordinator` (the rules, without IO)
//! → a record for `__transaction_state` → back into the coordinator once durable → the answer → markers
//! (`markers`) → a last record that says that all is done.
//!
//! Owns: transactional ids, their producer ids and epochs, `__transaction_state` and its records. Does not own: what
//! a marker does to a log (`log`) or to a group's offsets (`group`), the making of producer ids (`producer_id`).
//! Invariants: what is answered is on disk; replaying the log gives the durable state; a transaction whose end is on
//! disk is carried through, over any number of crashes.

mod config;
mod coordinator;
mod error;
mod log_store;
mod manager;
mod marker;
mod markers;
mod metadata;
mod record;
mod store;

pub use config::TransactionConfig;
pub use error::TransactionError;
pub(crate) use log_store::TransactionLogStore;
pub(crate) use manager::Verifier;
pub use manager::{
    InitializeRequest, TransactionDescription, TransactionFilter, TransactionListing, TransactionManager,
};
pub use marker::TransactionMarker;
pub(crate) use markers::Markers;
pub use metadata::TransactionState;

#[cfg(test)]
mod tests;
