//! A stream by key.
use datafusion::logical_expr::{Expr, SortExpr};

use super::{CogroupedStream, SharedPlan, Table, Top, WindowedStream};
use crate::plan::{Node, NodeId, TopNode, TopOf};
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

    /// The stream with what is to be aggregated of it, to be [cogrouped](CogroupedStream::cogroup) with others.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let app = Streams::new("shop");
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// let counted = visits.group_by([col("user")]).with([count_all().alias("visits")]);
    /// ```
    pub fn with(&self, aggregates: impl IntoIterator<Item = Expr>) -> CogroupedStream {
        let aggregates = aggregates.into_iter().collect();
        CogroupedStream::new(self.plan.clone(), self.input, self.keys.clone(), aggregates)
    }

    /// A table of the `most` first rows of each key in the order of `order`: the key columns, `rank`, which counts from 1, then all other columns.
    /// The rank is a part of the table's key. Of rows that are equal in the order, the one that came first is first, and stays.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one. The rows of a key are one record of the
    /// changelog.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("auctions");
    /// let bids = app.stream("bids", text("price").with_key("auction"));
    /// bids.select([cast(col("auction"), DataType::Utf8).alias("auction"), cast(col("price"), DataType::Int64).alias("price")])
    ///     .group_by([col("auction")])
    ///     .top("best", 2, [col("price").sort(false, false)])
    ///     .to("best-bids", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for price in ["30", "10", "20"] {
    ///     driver.pipe("bids", TestRecord::new(price).key("vase"))?;
    /// }
    /// driver.commit()?;
    /// let best: Vec<_> = driver.read("best-bids").iter().map(|record| record.as_text().1.to_owned()).collect();
    /// assert_eq!(best, [r#"{"price":30}"#, r#"{"price":20}"#]);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn top(
        &self,
        name: impl Into<String>,
        most: usize,
        order: impl IntoIterator<Item = SortExpr>,
    ) -> Top {
        let top = TopNode {
            name: name.into(),
            keys: self.keys.clone(),
            of: TopOf::Stream,
            most,
            order: order.into_iter().collect(),
            ties: false,
        };
        Top::new(&self.plan, self.input, top)
    }
}
