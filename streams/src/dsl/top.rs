//! The first rows of each key.
use std::ops::Deref;
use std::sync::Arc;

use super::{SharedPlan, Table, WindowedTable};
use crate::plan::{Node, NodeId, TopNode};

/// The first rows of each key in an order, as a table. Made by [`GroupedStream::top`](crate::GroupedStream::top) and
/// [`GroupedTable::top`](crate::GroupedTable::top); all that can be done with a [`Table`] can be done with it.
#[derive(Debug, Clone)]
pub struct Top {
    plan: SharedPlan,
    table: Table,
    top: TopNode,
}

/// The first rows of each key and window in an order. Made by [`WindowedStream::top`](crate::WindowedStream::top); all that can be done with a
/// [`WindowedTable`] can be done with it.
#[derive(Debug, Clone)]
pub struct WindowedTop {
    plan: SharedPlan,
    table: WindowedTable,
    top: TopNode,
}

fn add(plan: &SharedPlan, input: NodeId, top: &TopNode) -> NodeId {
    plan.add(Node::Keyed {
        inputs: vec![input],
        make: Arc::new(top.clone()),
    })
}

/// `top` in the place of what `node` was.
fn replace(plan: &SharedPlan, node: NodeId, top: &TopNode) {
    let top = Arc::new(top.clone());
    plan.change(|plan| {
        if let Node::Keyed { make, .. } = &mut plan.nodes[node.0] {
            *make = top;
        }
    });
}

impl Top {
    pub(super) fn new(plan: &SharedPlan, input: NodeId, top: TopNode) -> Self {
        let node = add(plan, input, &top);
        Self {
            plan: plan.clone(),
            table: Table::new(plan.clone(), node),
            top,
        }
    }

    /// And those rows that are equal in the order to the last of them, however many.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("results");
    /// let races = app.stream("results", text("millis").with_key("race"));
    /// let times = races.with_column("millis", cast(col("millis"), DataType::Int64));
    /// // Two may have won.
    /// let winners = times.group_by([col("race")]).top("winners", 1, [col("millis").sort(true, false)]).with_ties();
    /// winners.to("winners", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn with_ties(mut self) -> Self {
        self.top.ties = true;
        replace(&self.plan, self.table.node(), &self.top);
        self
    }
}

impl Deref for Top {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl WindowedTop {
    pub(super) fn new(plan: &SharedPlan, input: NodeId, top: TopNode) -> Self {
        let node = add(plan, input, &top);
        Self {
            plan: plan.clone(),
            table: WindowedTable::new(plan.clone(), node),
            top,
        }
    }

    /// And those rows that are equal in the order to the last of them, however many. For results that are written when windows close
    /// ([`OnWindowClose`](crate::Emit::OnWindowClose)): what is no tie any more could not be taken back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("bids");
    /// let bids = app.stream("bids", text("price").with_key("auction"));
    /// let bids = bids.with_column("price", cast(col("price"), DataType::Int64));
    /// bids.group_by([lit("all").alias("of")])
    ///     .window(tumbling(Duration::from_secs(10)))
    ///     .emit(OnWindowClose)
    ///     .top("highest", 1, [col("price").sort(false, false)])
    ///     .with_ties()
    ///     .to("highest-bids", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn with_ties(mut self) -> Self {
        self.top.ties = true;
        replace(&self.plan, self.table.node(), &self.top);
        self
    }
}

impl Deref for WindowedTop {
    type Target = WindowedTable;

    fn deref(&self) -> &WindowedTable {
        &self.table
    }
}
