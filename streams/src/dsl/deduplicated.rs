//! Rows that pass once.
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::Expr;

use super::{SharedPlan, Stream};
use crate::plan::{DeduplicateNode, ErrorPolicy, Node, Side};
use crate::window::join_window;

/// The rows of which a key has one within a span of time. Made by [`Stream::deduplicate`]; all that can be done with a [`Stream`] can be done
/// with it.
#[derive(Debug, Clone)]
pub struct Deduplicated {
    plan: SharedPlan,
    stream: Stream,
    node: DeduplicateNode,
}

impl Deref for Deduplicated {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl Deduplicated {
    pub(super) fn new(input: &Stream, name: String, keys: Vec<Expr>, within: Duration) -> Self {
        let node = DeduplicateNode {
            name,
            keys,
            window: join_window(within),
        };
        let stream = input.then(Node::Keyed {
            inputs: vec![input.node()],
            make: Arc::new(node.clone()),
        });
        Self {
            plan: input.plan().clone(),
            stream,
            node,
        }
    }

    /// How late, in event time, a row may come and still be judged; keys are kept as much longer. None unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("once");
    /// let mins = |minutes: u64| Duration::from_secs(60 * minutes);
    /// let orders = app.stream("orders", text("order").with_key("id"));
    /// orders.deduplicate("once", [col("id")], mins(10)).grace(mins(1)).to("orders-once", text("order"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.node.window = self.node.window.grace(grace);
        let node = Arc::new(self.node.clone());
        self.plan.change(|plan| {
            if let Node::Keyed { make, .. } = &mut plan.nodes[self.stream.node().0] {
                *make = node;
            }
        });
        self
    }

    /// The rows that came too late, as they were: their partition's watermark was beyond their time and the grace, or they have no event time.
    /// Whether they are duplicates is not known any more. Without this step they are only counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("once");
    /// let orders = app.stream("orders", text("order").with_key("id"));
    /// let once = orders.deduplicate("once", [col("id")], Duration::from_secs(600));
    /// once.to("orders-once", text("order"));
    /// once.late().to("late-orders", text("order"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn late(&self) -> Stream {
        self.stream.then(Node::Side {
            of: self.stream.node(),
            side: Side::Late,
        })
    }

    /// What becomes of rows on which a key fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("once");
    /// let orders = app.stream("orders", text("id"));
    /// let id = cast(col("id"), DataType::Int64);
    /// orders.deduplicate("once", [id], Duration::from_secs(600)).on_error(skip()).to("orders-once", text("id"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        self.stream.on_error(policy);
        self.clone()
    }
}
