//! A table: the latest row of every key.
use super::SharedPlan;
use crate::format::Format;
use crate::plan::{Node, NodeId};

/// A table, one row a key, changing with every epoch.
#[derive(Debug, Clone)]
pub struct Table {
    plan: SharedPlan,
    node: NodeId,
}

impl Table {
    pub(super) fn new(plan: SharedPlan, node: NodeId) -> Self {
        Self { plan, node }
    }

    /// Writes every changed row, once an epoch, as a record of `topic` keyed by the table's key.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, count_all, json, text};
    /// let app = Streams::new("wc");
    /// app.stream("lines", text("line"))
    ///     .group_by([col("line")])
    ///     .aggregate("counts", [count_all().alias("n")])
    ///     .to("line-counts", json());
    /// ```
    pub fn to(&self, topic: impl Into<String>, format: Format) {
        self.plan.add(Node::Sink {
            input: self.node,
            topic: topic.into(),
            format,
        });
    }
}
