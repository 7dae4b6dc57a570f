//! The topology as data: what was asked for ([`Plan`], [`Node`]) and what will run ([`Topology`]).
//!
//! Owns: names, validation, schema propagation, the split into sub-topologies at repartition topics, the
//! description. Does not own: how a step runs (`operator`), or the cluster (`runtime`).
//!
//! Invariants: a node's input has a smaller number than the node, so numbers are a topological order; every
//! path ends in a sink; step names are unique, because they become store and topic names; a sub-topology
//! is connected to another only through a topic.
mod aggregates;
mod build;
mod checks;
mod describe;
mod error;
mod name;
mod node;
mod policy;
mod process;
mod stateless;
mod tables;
#[cfg(test)]
mod tests;
mod times;
mod topology;
mod typed;
mod unite;
mod windows;

pub use error::PlanError;
pub(crate) use name::fault as name_fault;
pub use policy::{ErrorPolicy, dead_letter, fail, skip};
pub use topology::Topology;

pub(crate) use node::{Node, NodeId, Plan};
pub(crate) use topology::{
    Announces, ChangelogTopic, Decode, Input, InputTime, Part, ProcessPlan, Repartition, RepartitionTopic,
    Shuffle, SinkRows, Step, StepId, StepKind, SubTopology, TableFinal, TablePartial, ToTable, TypedClosures,
    WatermarkStep, WindowFinal, WindowPartial, WindowedSpec,
};
