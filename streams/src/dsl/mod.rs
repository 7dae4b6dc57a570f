//! What the user writes. Every call adds a node to the plan that all handles of one job share; nothing is checked
//! until the job is built or started, so that code reads as one chain and errors come once, with their place.
//!
//! Owns: the shape of the language. Does not own: validation (`plan`) or execution.
mod cogrouped;
mod deduplicated;
mod distinct_counts;
mod foreign;
mod global;
mod grouped;
mod joined;
mod output_topic;
mod stream;
mod stream_join;
mod streams;
mod table;
mod top;
mod typed;
mod versioned;
mod windowed;

pub use cogrouped::{CogroupedStream, WindowedCogroup};
pub use deduplicated::Deduplicated;
pub use distinct_counts::DistinctCounts;
pub use foreign::ForeignJoin;
pub use global::{GlobalLookup, GlobalTable};
pub use grouped::GroupedStream;
pub use joined::{JoinKey, JoinsStream, Lookup, On, TableJoin, key, on};
pub use output_topic::OutputTopic;
pub use stream::Stream;
pub use stream_join::{JoinedStream, StreamJoin};
pub use streams::Streams;
pub use table::{GroupedTable, Table, Until, until};
pub use top::{Top, WindowedTop};
pub use typed::TypedStream;
pub use versioned::{VersionedJoin, VersionedLookup, VersionedTable};
pub use windowed::{WindowedStream, WindowedTable};

use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::{Node, NodeId, Plan};

/// The plan under construction, shared by all handles of a job.
#[derive(Debug, Clone)]
struct SharedPlan(Arc<Mutex<Plan>>);

impl SharedPlan {
    fn new(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(plan)))
    }

    fn add(&self, node: Node) -> NodeId {
        self.change(|plan| plan.add(node))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
