//! How many different values keys have.
use std::ops::Deref;
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::{SharedPlan, Stream, Table};
use crate::plan::{CountDistinctNode, Node};

/// How many different values each key has, as a table. Made by [`Stream::count_distinct_of`]; all that can be done with a [`Table`] can be done
/// with it.
#[derive(Debug, Clone)]
pub struct DistinctCounts {
    plan: SharedPlan,
    table: Table,
    node: CountDistinctNode,
}

impl Deref for DistinctCounts {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl DistinctCounts {
    pub(super) fn new(input: &Stream, name: String, keys: Vec<Expr>, value: Expr) -> Self {
        let node = CountDistinctNode {
            name,
            keys,
            value,
            counts: vec![("count".to_owned(), None)],
        };
        let plan = input.plan().clone();
        let id = plan.add(Node::Keyed {
            inputs: vec![input.node()],
            make: Arc::new(node.clone()),
        });
        Self {
            table: Table::new(plan.clone(), id),
            plan,
            node,
        }
    }

    /// The name of the column that says how many values there are; `count` unless told.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let visits = Streams::new("visits").stream("visits", text("user").with_key("page"));
    /// let users = visits.count_distinct_of("users", [col("page")], col("user")).alias("users");
    /// ```
    pub fn alias(mut self, column: impl Into<String>) -> Self {
        self.node.counts[0].0 = column.into();
        self.replaced()
    }

    /// And a column that says how many values there are in those rows alone for which `rows` is true.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("visits");
    /// app.stream("visits", text("user").with_key("page"))
    ///     .count_distinct_of("users", [col("page")], col("user"))
    ///     .and_where("guests", starts_with(col("user"), lit("guest-")))
    ///     .to("users-by-page", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn and_where(mut self, column: impl Into<String>, rows: Expr) -> Self {
        self.node.counts.push((column.into(), Some(rows)));
        self.replaced()
    }

    /// What was told is in the place of what was before.
    fn replaced(self) -> Self {
        let node = Arc::new(self.node.clone());
        self.plan.change(|plan| {
            if let Node::Keyed { make, .. } = &mut plan.nodes[self.table.node().0] {
                *make = node;
            }
        });
        self
    }
}
