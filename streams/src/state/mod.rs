//! State that outlives an epoch.
//!
//! Owns: what steps keep in memory, within their share of it ([`StateMemory`]), and the form of its changelog, which is the durable truth.
//! Does not own: reading and writing that topic (`runtime`, `sink`), and the local stores that have what memory has not (`store`).
//!
//! * Keyed aggregates: [`ResidentTable`], keys interned once, one growing vector a state column; [`Changelog`].
//! * Tables: [`RowStore`], rows that are set and deleted; aggregates over them: [`GroupStore`], whole groups of rows.
//! * Windows: [`WindowStore`], a table each, and a changelog of their own form ([`WindowLog`]).
//! * Sessions and sliding windows: [`GroupStore`] again, and [`TimeIndex`], which says what is due.
//! * Joins of two streams, and rows that pass once: [`JoinStore`], rows by spans of time and key, and a changelog of their own form ([`BucketLog`]).
//! * Those who ask from outside the job: [`StoredRows`], from local stores.
//! * Custom operators: [`KeyedStore`], a struct a key.
//!
//! Invariants: a table changes only at the end of an epoch, by merging that epoch's delta: stored first, then
//! delta, so that aggregates that depend on order see the order of the log. Memory forgets what is committed, or what the running epoch
//! does not ask for again; the next epoch finds it in the local store.
mod bucket_log;
mod bytes_column;
mod changelog;
mod column;
mod generation;
mod group_store;
mod join_span;
mod join_store;
#[cfg(test)]
mod join_tests;
mod keyed_store;
mod meaning;
#[cfg(test)]
mod measurements;
mod members;
mod memory;
mod owner;
mod pieces;
mod resident;
mod residents;
mod row_log;
mod row_store;
mod row_table;
mod stored_rows;
mod time_buckets;
mod time_index;
mod window_log;
mod window_store;
#[cfg(test)]
mod window_tests;

pub(crate) use bucket_log::{BucketLog, SideLog};
pub use changelog::StateError;
pub(crate) use changelog::{Changelog, Restoring};
pub(crate) use group_store::GroupStore;
pub(crate) use join_store::{Came, JoinStore, JoinStoreError, Pair, Place};
pub(crate) use keyed_store::{KeyBytes, KeyChange, KeyedStore};
pub(crate) use meaning::types_of;
pub(crate) use memory::{Share, StateMemory};
pub(crate) use owner::{Owner, OwnerNames};
pub(crate) use resident::{Before, Found, ResidentTable};
pub(crate) use row_log::{LoggedRows, RowStoreError};
pub(crate) use row_store::RowStore;
pub(crate) use row_table::RowTable;
pub(crate) use stored_rows::StoredRows;
pub(crate) use time_buckets::{KeyError, KeyExprs, Keys};
pub(crate) use time_index::{RowKey, TimeIndex};
pub(crate) use window_log::WindowLog;
pub(crate) use window_store::{WindowError, WindowStore};
