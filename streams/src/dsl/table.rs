//! A table: the latest row of every key.
use super::{OutputTopic, SharedPlan};
use crate::format::Format;
use crate::plan::{ErrorPolicy, NodeId};

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
    pub fn to(&self, topic: impl Into<String>, format: Format) -> OutputTopic {
        OutputTopic::new(&self.plan, self.node, topic.into(), format)
    }

    /// What becomes of rows on which a key or an argument of the aggregate fails.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, json, skip, sum, text};
    /// let app = Streams::new("sums");
    /// app.stream("lines", text("line"))
    ///     .group_by([col("line")])
    ///     .aggregate("sums", [sum(cast(col("line"), DataType::Int64))])
    ///     .on_error(skip())
    ///     .to("sums", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        self.plan.change(|plan| plan.on_error(self.node, policy));
        self.clone()
    }
}
