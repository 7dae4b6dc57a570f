//! What the user asked for, one node a call of the DSL.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::Expr;

use crate::config::Guarantee;
use crate::format::Format;
use crate::time::WatermarkStrategy;
use crate::window::{Emit, Windows};

use super::{ErrorPolicy, NodePlan};
use crate::typed::{BatchClosure, Stage};

/// The position of a node in its plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

/// What comes out of a node besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Rows that came too late.
    Late,
    /// Rows of the left side of a join that came too late.
    LateLeft,
    /// Those of the right side.
    LateRight,
}

/// One step as written.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Reads a topic.
    Source { topic: String, format: Format },
    /// One row for each element of a list.
    FlatMap { input: NodeId, expr: Expr },
    /// The rows for which the predicate is true.
    Filter { input: NodeId, predicate: Expr },
    /// The rows by the first predicate that is true; what follows hangs on [`Node::Way`]s.
    Branch { input: NodeId, predicates: Vec<Expr> },
    /// The rows that went one way at a branch.
    Way { input: NodeId, port: usize },
    /// The rows of all inputs, which have the same columns.
    Merge { inputs: Vec<NodeId> },
    /// Exactly these columns.
    Select { input: NodeId, exprs: Vec<Expr> },
    /// All columns, one of them new or replaced.
    WithColumn { input: NodeId, name: String, expr: Expr },
    /// Batches shown to a closure.
    Peek { input: NodeId, see: BatchClosure },
    /// Rows shown to a closure as structs.
    Typed { input: NodeId, stage: Arc<dyn Stage> },
    /// What is a file of its own.
    Keyed {
        inputs: Vec<NodeId>,
        make: Arc<dyn NodePlan>,
    },
    /// One row for each key: a table.
    Aggregate {
        input: NodeId,
        name: String,
        keys: Vec<Expr>,
        aggregates: Vec<Expr>,
    },
    /// The rows by key in other partitions.
    Repartition {
        input: NodeId,
        name: String,
        keys: Vec<Expr>,
    },
    /// The last row of each key: a table.
    ToTable {
        input: NodeId,
        name: String,
        keys: Vec<Expr>,
        /// The rows that delete their key; else those without any value.
        deleted: Option<Expr>,
    },
    /// One row for each key, from the rows that a table has: a table.
    TableAggregate {
        input: NodeId,
        name: String,
        keys: Vec<Expr>,
        aggregates: Vec<Expr>,
    },
    /// Event time, and how far a source has come in it.
    Watermark {
        input: NodeId,
        strategy: WatermarkStrategy,
    },
    /// One row for each key and window.
    Window {
        input: NodeId,
        name: String,
        keys: Vec<Expr>,
        windows: Windows,
        emit: Emit,
        aggregates: Vec<Expr>,
    },
    /// What else comes out of a node, as the rows that were too late for it.
    Side { of: NodeId, side: Side },
    /// Writes a topic.
    Sink {
        input: NodeId,
        topic: String,
        format: Format,
    },
}

impl Node {
    /// The nodes that it hangs on.
    pub(super) fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Source { .. } => &[],
            Self::Merge { inputs } | Self::Keyed { inputs, .. } => inputs,
            Self::FlatMap { input, .. }
            | Self::Branch { input, .. }
            | Self::Way { input, .. }
            | Self::Filter { input, .. }
            | Self::Select { input, .. }
            | Self::WithColumn { input, .. }
            | Self::Peek { input, .. }
            | Self::Typed { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Repartition { input, .. }
            | Self::ToTable { input, .. }
            | Self::TableAggregate { input, .. }
            | Self::Watermark { input, .. }
            | Self::Window { input, .. }
            | Self::Side { of: input, .. }
            | Self::Sink { input, .. } => std::slice::from_ref(input),
        }
    }
}

/// A job as written: its nodes in the order of their making.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) application_id: String,
    pub(crate) commit_interval: Option<Duration>,
    pub(crate) guarantee: Option<Guarantee>,
    pub(crate) nodes: Vec<Node>,
    /// What becomes of errors, of the nodes that say so.
    pub(crate) policies: BTreeMap<NodeId, ErrorPolicy>,
    /// For how long tables are to keep versions of their rows.
    pub(crate) histories: BTreeMap<NodeId, Duration>,
}

impl Plan {
    pub(crate) fn new(application_id: String) -> Self {
        Self {
            application_id,
            commit_interval: None,
            guarantee: None,
            nodes: Vec::new(),
            policies: BTreeMap::new(),
            histories: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Says what becomes of errors of `node`; of a way out of a branch, of the branch; of a table that is a topic, of the topic as well.
    pub(crate) fn on_error(&mut self, node: NodeId, policy: ErrorPolicy) {
        if let Node::Keyed { inputs, make } = &self.nodes[node.0]
            && make.is_one_with_its_inputs()
        {
            let inputs = inputs.iter().map(|input| (*input, policy.clone()));
            self.policies.extend(inputs);
        }
        let node = match self.nodes[node.0] {
            Node::Way { input, .. } => input,
            _ => node,
        };
        self.policies.insert(node, policy);
    }
}
