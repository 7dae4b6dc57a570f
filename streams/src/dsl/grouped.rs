//! A stream by key.
use datafusion::logical_expr::Expr;

use super::{SharedPlan, Table, WindowedStream};
use crate::plan::{Node, NodeId};
use crate::window::Windows;

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

    /// The rows by key and window of event time. The stream's event time is that of
    /// [`Stream::watermark`](crate::Stream::watermark), or else the timestamp of its records.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, col, text, tumbling};
    /// let lines = Streams::new("stats").stream("lines", text("line"));
    /// let per_minute = lines.group_by([col("line")]).window(tumbling(Duration::from_secs(60)));
    /// ```
    pub fn window(&self, windows: Windows) -> WindowedStream {
        WindowedStream::new(self.plan.clone(), self.input, self.keys.clone(), windows)
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
