//! A stream by key.
use datafusion::logical_expr::Expr;

use super::{SharedPlan, Table};
use crate::plan::{Node, NodeId};

/// A stream whose rows are grouped by key columns. Made by [`Stream::group_by`](crate::Stream::group_by).
#[derive(Debug, Clone)]
pub struct GroupedStream {
    plan: SharedPlan,
    input: NodeId,
    keys: Vec<Expr>,
}

impl GroupedStream {
    pub(super) fn new(plan: SharedPlan, input: NodeId, keys: Vec<Expr>) -> Self {
        Self { plan, input, keys }
    }

    /// A table with one row a key: the key columns, then the aggregates.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one:
    /// `<application id>-<name>-repartition`.
    ///
    /// ```
    /// use millstream_streams::{Streams, avg, col, count_all, length, max, text};
    /// let lines = Streams::new("stats").stream("lines", text("line")).with_column("len", length(col("line")));
    /// let stats = lines
    ///     .group_by([col("line")])
    ///     .aggregate("per-line", [count_all().alias("n"), max(col("len")).alias("longest"), avg(col("len"))]);
    /// ```
    pub fn aggregate(&self, name: impl Into<String>, aggregates: impl IntoIterator<Item = Expr>) -> Table {
        let node = self.plan.add(Node::Aggregate {
            input: self.input,
            name: name.into(),
            keys: self.keys.clone(),
            aggregates: aggregates.into_iter().collect(),
        });
        Table::new(self.plan.clone(), node)
    }
}
