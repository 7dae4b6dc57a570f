//! A stream by key and window.
use datafusion::logical_expr::{Expr, SortExpr};

use super::{OutputTopic, SharedPlan, Stream, WindowedTop};
use crate::format::Format;
use crate::plan::{ErrorPolicy, Node, NodeId, Side, TopNode, TopOf};
use crate::window::{Emit, Windows};

/// A stream whose rows are grouped by key columns and windows of event time. Made by
/// [`GroupedStream::window`](crate::GroupedStream::window).
#[derive(Debug, Clone)]
pub struct WindowedStream {
    plan: SharedPlan,
    input: NodeId,
    keys: Vec<Expr>,
    windows: Windows,
    emit: Emit,
}

impl WindowedStream {
    pub(super) fn new(plan: SharedPlan, input: NodeId, keys: Vec<Expr>, windows: Windows) -> Self {
        Self {
            plan,
            input,
            keys,
            windows,
            emit: Emit::default(),
        }
    }

    /// When results are written; [`Emit::OnUpdate`] unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Emit, Streams, col, text, tumbling};
    /// let lines = Streams::new("stats").stream("lines", text("line"));
    /// let final_only = lines.group_by([col("line")]).window(tumbling(Duration::from_secs(60))).emit(Emit::OnWindowClose);
    /// ```
    pub fn emit(mut self, emit: Emit) -> Self {
        self.emit = emit;
        self
    }

    /// Results are written once, when their window closes: [`emit(Emit::OnWindowClose)`](Self::emit), by the name that Kafka Streams has for it,
    /// `suppress(untilWindowCloses(…))`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, col, sliding, text};
    /// let lines = Streams::new("stats").stream("lines", text("line"));
    /// let final_only = lines.group_by([col("line")]).window(sliding(Duration::from_secs(60))).suppress();
    /// ```
    pub fn suppress(self) -> Self {
        self.emit(Emit::OnWindowClose)
    }

    /// A table with one row a key and window: the key columns, `window_start`, `window_end`, then the aggregates.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Emit, Streams, bounded, col, count_all, json, json_schema, tumbling};
    /// # use std::sync::Arc;
    /// # use millstream_streams::{DataType, Field, Schema};
    /// # let schema = Schema::new(vec![Field::new("page", DataType::Utf8, true), Field::new("at", DataType::Int64, true)]);
    /// let app = Streams::new("page-views");
    /// let views = app.stream("views", json_schema(schema)).watermark(bounded(col("at"), Duration::from_secs(4)));
    /// let per_page = views
    ///     .group_by([col("page")])
    ///     .window(tumbling(Duration::from_secs(10)).grace(Duration::from_secs(5)))
    ///     .emit(Emit::OnWindowClose)
    ///     .aggregate("per-page", [count_all().alias("views")]);
    /// per_page.to("views-per-page", json());
    /// per_page.late().to("late-views", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn aggregate(
        &self,
        name: impl Into<String>,
        aggregates: impl IntoIterator<Item = Expr>,
    ) -> WindowedTable {
        let node = self.plan.add(Node::Window {
            input: self.input,
            name: name.into(),
            keys: self.keys.clone(),
            windows: self.windows.clone(),
            emit: self.emit,
            aggregates: aggregates.into_iter().collect(),
        });
        WindowedTable::new(self.plan.clone(), node)
    }

    /// The `most` first rows of each key and window in the order of `order`: the key columns, `window_start`, `window_end`, `rank`, then all
    /// other columns. See [`GroupedStream::top`](crate::GroupedStream::top). In session windows, of rows that are equal in the order the one of
    /// the earlier part of the session is first, even if it came later: a row that joins two sessions does not say in which order theirs came.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("payments");
    /// let payments = app.stream("payments", text("amount").with_key("card"));
    /// payments
    ///     .with_column("amount", cast(col("amount"), DataType::Int64))
    ///     .group_by([col("card")])
    ///     .window(tumbling(Duration::from_secs(3600)))
    ///     .emit(OnWindowClose)
    ///     .top("largest", 3, [col("amount").sort(false, false)])
    ///     .to("largest-payments", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn top(
        &self,
        name: impl Into<String>,
        most: usize,
        order: impl IntoIterator<Item = SortExpr>,
    ) -> WindowedTop {
        let top = TopNode {
            name: name.into(),
            keys: self.keys.clone(),
            of: TopOf::Windows(self.windows.clone(), self.emit),
            most,
            order: order.into_iter().collect(),
            ties: false,
        };
        WindowedTop::new(&self.plan, self.input, top)
    }
}

/// A table of one row a key and window, and the rows that came too late for it.
#[derive(Debug, Clone)]
pub struct WindowedTable {
    plan: SharedPlan,
    node: NodeId,
}

impl WindowedTable {
    pub(super) fn new(plan: SharedPlan, node: NodeId) -> Self {
        Self { plan, node }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// Its results, as rows: each once when its window closes, or each time it changes, as [`WindowedStream::emit`] says. Of sessions that have become
    /// another one nothing is said here; [`to`](Self::to) deletes them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, col, count_all, json, lit, text, tumbling};
    /// let app = Streams::new("busy");
    /// let lines = app.stream("lines", text("line")).group_by([col("line")]);
    /// let counts = lines.window(tumbling(Duration::from_secs(60))).aggregate("counts", [count_all().alias("n")]);
    /// counts.results().filter(col("n").gt(lit(100))).to("busy-lines", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn results(&self) -> Stream {
        Stream::new(self.plan.clone(), self.node)
    }

    /// The rows that came when all of their windows were closed, as they were before the aggregate. Without this step they are
    /// only counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, col, count_all, json, text, tumbling};
    /// let app = Streams::new("with-late");
    /// let lines = app.stream("lines", text("line")).group_by([col("line")]);
    /// let counts = lines.window(tumbling(Duration::from_secs(60))).aggregate("counts", [count_all().alias("n")]);
    /// counts.to("counts", json());
    /// counts.late().to("late-lines", text("line"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn late(&self) -> Stream {
        let node = self.plan.add(Node::Side {
            of: self.node,
            side: Side::Late,
        });
        Stream::new(self.plan.clone(), node)
    }

    /// Writes every result as a record of `topic`, keyed by the table's key and window.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, col, count_all, hopping, json, text};
    /// let app = Streams::new("wc");
    /// app.stream("lines", text("line"))
    ///     .group_by([col("line")])
    ///     .window(hopping(Duration::from_secs(60), Duration::from_secs(10)))
    ///     .aggregate("counts", [count_all().alias("n")])
    ///     .to("line-counts", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn to(&self, topic: impl Into<String>, format: impl Into<Format>) -> OutputTopic {
        self.results().to(topic, format)
    }

    /// What becomes of rows on which a key or an argument of the aggregate fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{DataType, Streams, cast, col, json, skip, sum, text, tumbling};
    /// let app = Streams::new("sums");
    /// app.stream("lines", text("line"))
    ///     .group_by([col("line")])
    ///     .window(tumbling(Duration::from_secs(60)))
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
