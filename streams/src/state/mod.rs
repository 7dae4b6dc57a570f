//! State that outlives an epoch.
//!
//! Owns: the resident table of a keyed step ([`ResidentTable`]): keys interned once, one growing vector a state
//! column. Does not own: its durability. The truth is the repartition topic, from which a task rebuilds the table when
//! it is created; a changelog and checkpoints will stand behind the same `apply`.
//!
//! Invariant: a table changes only at the end of an epoch, by merging that epoch's delta: stored first, then
//! delta, so that aggregates that depend on order see the order of the log.
mod column;
mod resident;

pub(crate) use resident::ResidentTable;
