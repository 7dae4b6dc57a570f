//! A stream of rows.
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;

use super::{Deduplicated, DistinctCounts, GroupedStream, JoinsStream, On, OutputTopic, SharedPlan, Table};
use crate::format::Format;
use crate::plan::{ErrorPolicy, Node, NodeId};
use crate::time::WatermarkStrategy;
use crate::typed::BatchClosure;

/// A stream of rows, every one of which stands for itself.
///
/// Cheap to clone; several steps may hang on one stream, each sees all of its rows.
#[derive(Debug, Clone)]
pub struct Stream {
    plan: SharedPlan,
    node: NodeId,
}

impl Stream {
    pub(super) fn new(plan: SharedPlan, node: NodeId) -> Self {
        Self { plan, node }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn plan(&self) -> &SharedPlan {
        &self.plan
    }

    pub(crate) fn then(&self, node: Node) -> Self {
        Self {
            plan: self.plan.clone(),
            node: self.plan.add(node),
        }
    }

    /// Has `node` in the place of the one that it comes from.
    pub(super) fn replace(&self, node: Node) {
        self.plan.change(|plan| plan.nodes[self.node.0] = node);
    }

    /// Each row with the row that `table` has for its key: the stream's columns, then the table's. Rows for which there is none are dropped,
    /// or kept with [`Lookup::left`](crate::Lookup::left). Keys are all of the table's key columns; one that has the same name on both sides is one
    /// column. Null is no key.
    ///
    /// The table is as it is at the end of the epoch in which the row comes. A later change of the table does not change what was joined.
    /// Rows do not wait for a table that is behind, as when a job starts that has not read it yet: they are joined with what there is.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("greet");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// visits.join(&users, on("user", "id")).select([col("page"), col("name")]).to("greetings", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("users", TestRecord::new("Ann").key("7"))?;
    /// driver.pipe("visits", TestRecord::new("home").key("7"))?;
    /// driver.pipe("visits", TestRecord::new("home").key("8"))?;
    /// driver.commit()?;
    /// let greetings = driver.read("greetings");
    /// assert_eq!(greetings.len(), 1);
    /// assert_eq!(greetings[0].as_text().1, r#"{"page":"home","name":"Ann"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    ///
    /// A table that is an aggregate over another one may keep its rows for lookups from the first one on: that one has to come before the table has
    /// rows, else the job is [refused](crate::StreamsError::BeginsLater).
    ///
    /// Another stream of the same job is the right side of a join in which rows with equal keys meet that are near each other in event time:
    /// [`within`](crate::StreamJoin::within) follows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, join_window, json, on, text};
    /// let app = Streams::new("clicks");
    /// let shown = app.stream("shown", text("page").with_key("ad"));
    /// let clicked = app.stream("clicked", text("user").with_key("ad"));
    /// let both = shown.join(&clicked, on("ad", "ad")).within("clicks", join_window(Duration::from_secs(600)));
    /// both.to("clicks-by-page", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn join<R: JoinsStream>(&self, right: &R, on: On) -> R::Join {
        right.join_to(self, on)
    }

    /// The rows of which none with the same `keys` has passed whose event time is at most `within` before or behind theirs: of copies, the one
    /// that comes first. Null is a key as any other. Copies meet if they come from one partition, or if they are in the order in which they come
    /// through the repartition topic: which of those in several partitions is first, is open. A stream whose topic is partitioned by the
    /// `keys` does not go through one, and producers spread records without a key over all partitions: such rows meet those of their own
    /// partition alone. Where they have to meet all, [`repartition`](Self::repartition) the stream by the keys first.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one: the keys that passed are kept in memory and in the
    /// topic `<application id>-<name>-changelog` as long as a row in time could ask for them. A stream that is not partitioned by its
    /// keys goes through `<application id>-<name>-repartition`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("once");
    /// app.stream("orders", text("order").with_key("id"))
    ///     .deduplicate("once", [col("id")], Duration::from_secs(600))
    ///     .to("orders-once", text("order"));
    /// let mut driver = TestDriver::new(&app)?;
    /// for (id, at) in [("7", 1_000), ("8", 2_000), ("7", 3_000), ("7", 700_000)] {
    ///     driver.pipe("orders", TestRecord::new(format!("order {id}")).key(id).at(at))?;
    /// }
    /// driver.commit()?;
    /// let once: Vec<_> = driver.read("orders-once").iter().map(|record| record.timestamp).collect();
    /// assert_eq!(once, [Some(1_000), Some(2_000), Some(700_000)]);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn deduplicate(
        &self,
        name: impl Into<String>,
        keys: impl IntoIterator<Item = Expr>,
        within: Duration,
    ) -> Deduplicated {
        Deduplicated::new(self, name.into(), keys.into_iter().collect(), within)
    }

    /// How many different values each key has: a table of the key columns and `count`. Null is no value.
    ///
    /// [`count_distinct`](crate::count_distinct) says the same, and keeps the values of a key in one record of its changelog, which is
    /// right for some hundreds of them. Here each value is a record of its own, so that there may be as many as there is room for; the
    /// step has two repartition topics and two changelogs, of `name` and `<name>-values`.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("visits");
    /// app.stream("visits", text("user").with_key("page"))
    ///     .select([cast(col("page"), DataType::Utf8).alias("page"), col("user")])
    ///     .count_distinct_of("users", [col("page")], col("user"))
    ///     .alias("users")
    ///     .to("users-by-page", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for user in ["ann", "bob", "ann"] {
    ///     driver.pipe("visits", TestRecord::new(user).key("home"))?;
    /// }
    /// driver.commit()?;
    /// assert_eq!(driver.read("users-by-page")[0].as_text(), ("home", r#"{"users":2}"#));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn count_distinct_of(
        &self,
        name: impl Into<String>,
        keys: impl IntoIterator<Item = Expr>,
        value: Expr,
    ) -> DistinctCounts {
        DistinctCounts::new(self, name.into(), keys.into_iter().collect(), value)
    }

    /// One row, with one column, for each element of the list that `expr` gives. Null and empty lists give none.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, split_words, text};
    /// let words = Streams::new("wc").stream("lines", text("line")).flat_map(split_words(col("line")).alias("word"));
    /// ```
    pub fn flat_map(&self, expr: Expr) -> Self {
        self.then(Node::FlatMap {
            input: self.node,
            expr,
        })
    }

    /// The rows for which `predicate` is true; false and null drop a row.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, length, lit, text};
    /// let long = Streams::new("wc").stream("lines", text("line")).filter(length(col("line")).gt(lit(80)));
    /// ```
    pub fn filter(&self, predicate: Expr) -> Self {
        self.then(Node::Filter {
            input: self.node,
            predicate,
        })
    }

    /// The rows by the first of `predicates` that is true, and those for which none is: false and null go on to the next. What goes
    /// a way that nobody follows is dropped.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, length, lit, text};
    /// let app = Streams::new("by-length");
    /// let lines = app.stream("lines", text("line")).with_column("length", length(col("line")));
    /// let ([empty, short], long) = lines.branch([col("length").eq(lit(0)), col("length").lt(lit(80))]);
    /// short.to("short-lines", json());
    /// long.to("long-lines", json());
    /// # drop(empty);
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn branch<const N: usize>(&self, predicates: [Expr; N]) -> ([Self; N], Self) {
        let branch = self.then(Node::Branch {
            input: self.node,
            predicates: predicates.into(),
        });
        let way = |port| {
            branch.then(Node::Way {
                input: branch.node,
                port,
            })
        };
        (std::array::from_fn(way), way(N))
    }

    /// The rows of this stream and of another one of the same job with the same columns, in no order between the two.
    ///
    /// Where windows or timers below wait for event time, a stream from before a repartition topic cannot be merged with one from behind
    /// it ([`PlanError::CircularTime`](crate::PlanError::CircularTime)): give both a [`repartition`](Self::repartition).
    ///
    /// ```
    /// use millstream_streams::{Streams, json, text};
    /// let app = Streams::new("both");
    /// let all = app.stream("lines", text("line")).merge(&app.stream("more-lines", text("line")));
    /// all.to("all-lines", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn merge(&self, other: &Self) -> Self {
        self.then(Node::Merge {
            inputs: vec![self.node, other.node],
        })
    }

    /// Exactly these columns.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, lower, text};
    /// let lowered = Streams::new("wc").stream("lines", text("line")).select([lower(col("line")).alias("line")]);
    /// ```
    pub fn select(&self, exprs: impl IntoIterator<Item = Expr>) -> Self {
        self.then(Node::Select {
            input: self.node,
            exprs: exprs.into_iter().collect(),
        })
    }

    /// All columns, with the column `name` added or replaced.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, length, text};
    /// let measured = Streams::new("wc").stream("lines", text("line")).with_column("len", length(col("line")));
    /// ```
    pub fn with_column(&self, name: impl Into<String>, expr: Expr) -> Self {
        self.then(Node::WithColumn {
            input: self.node,
            name: name.into(),
            expr,
        })
    }

    /// Shows every batch of rows to `see`, for logs, counters or tests; a panic in it fails the job. Rows that are read again after a
    /// failure are shown again.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, text};
    /// let app = Streams::new("copy");
    /// app.stream("lines", text("line")).peek(|batch| eprintln!("{} lines", batch.num_rows())).to("same-lines", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn peek(&self, see: impl Fn(&RecordBatch) + Send + Sync + 'static) -> Self {
        self.then(Node::Peek {
            input: self.node,
            see: BatchClosure::new(see),
        })
    }

    /// The same rows, those of one key in one partition of the topic `<application id>-<name>-repartition`. Rows keep their event time.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, text};
    /// let app = Streams::new("by-user");
    /// let lines = app.stream("lines", text("line").with_key("user")).repartition("by-user", [col("user")]);
    /// lines.to("lines-by-user", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn repartition(&self, name: impl Into<String>, keys: impl IntoIterator<Item = Expr>) -> Self {
        self.then(Node::Repartition {
            input: self.node,
            name: name.into(),
            keys: keys.into_iter().collect(),
        })
    }

    /// A table of the last row of each key, its key columns first. A row with nothing but its key deletes it, as records without
    /// a value do.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, text};
    /// let app = Streams::new("profiles");
    /// let users = app.stream("users", text("name").with_key("id")).to_table("users", [col("id")]);
    /// users.to("users-now", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn to_table(&self, name: impl Into<String>, keys: impl IntoIterator<Item = Expr>) -> Table {
        self.table(name.into(), keys.into_iter().collect(), None)
    }

    /// As [`to_table`](Self::to_table), but the rows for which `deleted` is true delete their key, and no others.
    ///
    /// ```
    /// use millstream_streams::{DataType, Field, Schema, Streams, col, json, json_schema, lit};
    /// let schema = Schema::new(["id", "name", "op"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec());
    /// let app = Streams::new("profiles");
    /// let changes = app.stream("user-changes", json_schema(schema));
    /// changes.to_table_deleting("users", [col("id")], col("op").eq(lit("delete"))).to("users-now", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn to_table_deleting(
        &self,
        name: impl Into<String>,
        keys: impl IntoIterator<Item = Expr>,
        deleted: Expr,
    ) -> Table {
        self.table(name.into(), keys.into_iter().collect(), Some(deleted))
    }

    fn table(&self, name: String, keys: Vec<Expr>, deleted: Option<Expr>) -> Table {
        let node = self.plan.add(Node::ToTable {
            input: self.node,
            name,
            keys,
            deleted,
        });
        Table::new(self.plan.clone(), node)
    }

    /// The event time of the stream, and how late its rows may be. Belongs to each stream of a topic, before
    /// [`merge`](Self::merge).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, bounded, col, text};
    /// let lines = Streams::new("wc").stream("lines", text("line").with_timestamp("at"));
    /// let timed = lines.watermark(bounded(col("at"), Duration::from_secs(4)).idle_after(Duration::from_secs(30)));
    /// ```
    pub fn watermark(&self, strategy: WatermarkStrategy) -> Self {
        self.then(Node::Watermark {
            input: self.node,
            strategy,
        })
    }

    /// The rows by key; an aggregate follows. Null is a key like any other.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, text};
    /// let by_line = Streams::new("wc").stream("lines", text("line")).group_by([col("line")]);
    /// ```
    pub fn group_by(&self, keys: impl IntoIterator<Item = Expr>) -> GroupedStream {
        GroupedStream::new(self.plan.clone(), self.node, keys.into_iter().collect())
    }

    /// Writes every row as a record of `topic`.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, text};
    /// Streams::new("wc").stream("lines", text("line")).to("lines-as-json", json());
    /// ```
    pub fn to(&self, topic: impl Into<String>, format: impl Into<Format>) -> OutputTopic {
        OutputTopic::new(&self.plan, self.node, topic.into(), format.into())
    }

    /// What becomes of rows that the step before this call cannot work on; behind [`Streams::stream`](crate::Streams::stream), of
    /// records that cannot be read.
    ///
    /// An expression that fails on a batch is evaluated on parts of it, until the rows that it fails on stand alone; the others go on.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, dead_letter, json, skip, text};
    /// let app = Streams::new("numbers");
    /// app.stream("lines", text("line"))
    ///     .with_column("number", cast(col("line"), DataType::Int64))
    ///     .on_error(dead_letter("no-numbers"))
    ///     .to("numbers", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        self.plan.change(|plan| plan.on_error(self.node, policy));
        self.clone()
    }
}
