//! What the steps of a task have done, and where the task stands.
use std::time::Duration;

/// A task of this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskMetrics {
    /// How far it is in event time, in milliseconds since 1970, if a step waits for that.
    pub watermark: Option<i64>,
    /// Its steps, in the order of [`Topology::describe`](crate::Topology::describe)'s numbers.
    pub steps: Vec<StepMetrics>,
    /// Its stores.
    pub stores: Vec<StoreMetrics>,
    /// The partitions it reads.
    pub inputs: Vec<InputMetrics>,
}

/// A step of a task, since the task came to this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StepMetrics {
    /// What the step is called in the topology.
    pub name: String,
    /// Rows it took; of an aggregate behind a repartition topic, partial states.
    pub rows_in: u64,
    /// Rows it gave to the steps below.
    pub rows_out: u64,
    /// Time it took, without the steps below.
    pub busy: Duration,
}

/// A store of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreMetrics {
    /// The topic of its changelog.
    pub changelog: String,
    /// Keys in memory.
    pub keys: u64,
    /// Bytes of memory, roughly.
    pub bytes: u64,
}

/// A partition that a task reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InputMetrics {
    /// The topic.
    pub topic: String,
    /// The next record to read, once one was read.
    pub position: Option<i64>,
    /// Records behind the end, up to a second old.
    pub lag: u64,
}
