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
mod cogroup;
#[cfg(test)]
mod cogroup_tests;
mod count_distinct;
mod deduplicate;
mod describe;
mod error;
mod follows;
mod foreign;
#[cfg(test)]
mod foreign_tests;
mod global;
#[cfg(test)]
mod global_tests;
mod join_kind;
mod kept_rows;
mod keyed;
#[cfg(test)]
mod keyed_tests;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod name;
mod node;
mod partitioning;
#[cfg(test)]
mod partitioning_tests;
#[cfg(test)]
mod parts_tests;
mod policy;
mod process;
mod sessions;
mod signed;
mod sliding;
mod start_order;
mod state_order;
mod stateless;
mod step_kind;
mod stream_join;
mod suppress;
mod table_join;
#[cfg(test)]
mod table_join_tests;
mod table_map;
#[cfg(test)]
mod table_map_tests;
mod tables;
#[cfg(test)]
mod tests;
mod times;
mod top;
mod topology;
mod typed;
mod unite;
mod uses;
mod versions;
#[cfg(test)]
mod versions_tests;
mod windows;

pub use error::PlanError;
pub(crate) use name::fault as name_fault;
pub use policy::{ErrorPolicy, dead_letter, fail, skip};
pub use topology::Topology;

pub(crate) use cogroup::{CogroupNode, CogroupPart};
pub(crate) use count_distinct::CountDistinctNode;
pub(crate) use deduplicate::{DeduplicateNode, DeduplicatePlan};
pub(crate) use follows::Follower;
pub(crate) use foreign::{ForeignNode, ForeignResultPlan, ForeignSidePlan, SubscriberPlan};
pub(crate) use global::{GlobalLookupNode, GlobalSource, GlobalTable};
pub(crate) use join_kind::JoinKind;
pub(crate) use keyed::{NodePlan, StepPlan};
pub(crate) use lookup::{LookupNode, LookupPlan};
pub(crate) use node::{Node, NodeId, Plan, Side};
pub(crate) use process::{ProcessNode, ProcessPlan};
pub(crate) use sessions::{SessionFinalPlan, SessionPartialPlan};
pub(crate) use signed::{SignedFinalPlan, SignedPartialPlan, Total};
pub(crate) use sliding::SlidingFinalPlan;
pub(crate) use state_order::StateOrder;
pub(crate) use stream_join::{JoinColumn, StreamJoin, StreamJoinNode};
pub(crate) use suppress::{SuppressNode, SuppressPlan};
pub(crate) use table_join::{TableJoinNode, TableJoinPlan};
pub(crate) use table_map::{TableMapNode, TableMapPlan};
pub(crate) use tables::SourceTable;
pub(crate) use top::{RanksPlan, TopNode, TopOf};
pub(crate) use topology::{
    Announces, ChangelogTopic, Decode, Edge, Input, InputTime, Pace, Part, Repartition, RepartitionTopic,
    Shuffle, SinkRows, Step, StepId, StepKind, SubTopology, TableFinal, TablePartial, ToTable, TypedClosures,
    WatermarkStep, WindowFinal, WindowPartial, WindowedSpec,
};
pub(crate) use versions::{VersionedLookupNode, VersionedLookupPlan, VersionsPlan};
