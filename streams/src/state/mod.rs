//! State that outlives an epoch.
//!
//! Owns: the resident table of a keyed step ([`ResidentTable`]): keys interned once, one growing vector a state
//! column, within its share of the memory ([`StateMemory`]); and the form of its changelog ([`Changelog`]), which is the durable truth. Does not own: reading and writing that
//! topic (`runtime`, `sink`). Windows have a table each ([`WindowStore`]) and a changelog of their own form ([`WindowLog`]); so have the states of custom operators ([`KeyedStore`]).
//!
//! Invariant: a table changes only at the end of an epoch, by merging that epoch's delta: stored first, then
//! delta, so that aggregates that depend on order see the order of the log.
mod changelog;
mod column;
mod generation;
mod keyed_store;
mod memory;
mod owner;
mod resident;
mod row_table;
mod window_log;
mod window_store;
#[cfg(test)]
mod window_tests;

pub use changelog::StateError;
pub(crate) use changelog::{Changelog, Restoring};
pub(crate) use keyed_store::{KeyBytes, KeyChange, KeyedStore};
pub(crate) use memory::{Share, StateMemory};
pub(crate) use owner::{Owner, OwnerNames};
pub(crate) use resident::{Before, Found, ResidentTable};
pub(crate) use row_table::RowTable;
pub(crate) use window_log::WindowLog;
pub(crate) use window_store::{WindowError, WindowStore};
