//! The boundary to DataFusion's accumulators.
//!
//! Owns: the compiled form of one `group_by(…).aggregate(…)` ([`AggregateSpec`]) and the delta of one epoch
//! ([`Delta`]): keys interned to group numbers and one accumulator an aggregate, driven directly, without executing a
//! plan. Does not own: state that outlives an epoch (`state`), or bytes (`format`).
//!
//! Invariants: strings and binaries in keys are views, whatever the input's encoding, so that equal keys are equal
//! in every batch; group numbers are the positions of keys in the order of their first appearance.
//!
//! DataFusion's `state` and `evaluate` both consume an accumulator. Whoever needs the partial state and the
//! result merges the state into a second set.
mod delta;
mod fold;
mod spec;
#[cfg(test)]
mod tests;
mod top;

pub use fold::fold;

pub(crate) use delta::{Delta, UpdateError};
pub(crate) use spec::AggregateSpec;
pub(crate) use top::{TopRows, ranked};

pub(crate) use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
pub(crate) use datafusion::physical_plan::aggregates::group_values::GroupValues;
