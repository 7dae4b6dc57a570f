//! Streams that are aggregated together by key.
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::{SharedPlan, Table, WindowedTable};
use crate::plan::{CogroupNode, CogroupPart, Node, NodeId};
use crate::window::{Emit, Windows};

/// Streams by key with the aggregates of each, which together become one table. Made by
/// [`GroupedStream::with`](crate::GroupedStream::with).
#[derive(Debug, Clone)]
pub struct CogroupedStream {
    plan: SharedPlan,
    inputs: Vec<NodeId>,
    parts: Vec<CogroupPart>,
}

/// The same by key and window. Made by [`CogroupedStream::window`].
#[derive(Debug, Clone)]
pub struct WindowedCogroup {
    streams: CogroupedStream,
    windows: Windows,
    emit: Emit,
}

impl CogroupedStream {
    pub(super) fn new(plan: SharedPlan, input: NodeId, keys: Vec<Expr>, aggregates: Vec<Expr>) -> Self {
        Self {
            plan,
            inputs: vec![input],
            parts: vec![CogroupPart { keys, aggregates }],
        }
    }

    /// These streams, and those of `other`, which are of the same job and grouped by as many keys of the same kinds.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let user = || cast(col("user"), DataType::Utf8).alias("user");
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// let orders = app.stream("orders", text("article").with_key("user"));
    /// visits
    ///     .group_by([user()])
    ///     .with([count_all().alias("visits")])
    ///     .cogroup(orders.group_by([user()]).with([count_all().alias("orders"), last(col("article")).alias("last")]))
    ///     .aggregate("users")
    ///     .to("users", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("visits", TestRecord::new("home").key("ann"))?;
    /// driver.pipe("visits", TestRecord::new("vases").key("ann"))?;
    /// driver.pipe("orders", TestRecord::new("vase").key("ann"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("users")[0].as_text(), ("ann", r#"{"visits":2,"orders":1,"last":"vase"}"#));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn cogroup(mut self, other: Self) -> Self {
        self.inputs.extend(other.inputs);
        self.parts.extend(other.parts);
        self
    }

    /// A table with one row a key: the key columns, named as in the first stream, then the aggregates of all streams. A stream that has no rows
    /// of a key has what its aggregates say of no rows: 0 or null.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("shop");
    /// let (visits, orders) = (app.stream("visits", text("page").with_key("user")), app.stream("orders", text("article").with_key("by")));
    /// let visits = visits.group_by([col("user")]).with([count_all().alias("visits")]);
    /// let both = visits.cogroup(orders.group_by([col("by")]).with([count_all().alias("orders")]));
    /// both.aggregate("users").to("users", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn aggregate(&self, name: impl Into<String>) -> Table {
        Table::new(self.plan.clone(), self.add(name.into(), None))
    }

    /// The rows by key and window of event time, as with [`GroupedStream::window`](crate::GroupedStream::window).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("shop");
    /// let (visits, orders) = (app.stream("visits", text("page").with_key("user")), app.stream("orders", text("article").with_key("user")));
    /// let visits = visits.group_by([col("user")]).with([count_all().alias("visits")]);
    /// visits
    ///     .cogroup(orders.group_by([col("user")]).with([count_all().alias("orders")]))
    ///     .window(tumbling(Duration::from_secs(3600)))
    ///     .emit(OnWindowClose)
    ///     .aggregate("users-by-hour")
    ///     .to("users-by-hour", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn window(&self, windows: Windows) -> WindowedCogroup {
        WindowedCogroup {
            streams: self.clone(),
            windows,
            emit: Emit::default(),
        }
    }

    fn add(&self, name: String, windows: Option<(Windows, Emit)>) -> NodeId {
        let make = CogroupNode {
            name,
            parts: self.parts.clone(),
            windows,
        };
        self.plan.add(Node::Keyed {
            inputs: self.inputs.clone(),
            make: Arc::new(make),
        })
    }
}

impl WindowedCogroup {
    /// When results are written; [`Emit::OnUpdate`] unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("shop");
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// let visits = visits.group_by([col("user")]).with([count_all().alias("visits")]);
    /// let final_only = visits.window(tumbling(Duration::from_secs(60))).emit(OnWindowClose);
    /// ```
    #[must_use]
    pub fn emit(mut self, emit: Emit) -> Self {
        self.emit = emit;
        self
    }

    /// A table with one row a key and window: the key columns, `window_start`, `window_end`, then the aggregates of all streams. Its
    /// late rows have the key columns, `$input` with the number of the stream from 0 on, and of stream number n the columns that its aggregates read
    /// as `$n.column`.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("shop");
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// let visits = visits.group_by([col("user")]).with([count_all().alias("visits")]);
    /// visits.window(tumbling(Duration::from_secs(60))).aggregate("visits").to("visits-by-minute", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn aggregate(&self, name: impl Into<String>) -> WindowedTable {
        let windows = (self.windows.clone(), self.emit);
        let node = self.streams.add(name.into(), Some(windows));
        WindowedTable::new(self.streams.plan.clone(), node)
    }
}
