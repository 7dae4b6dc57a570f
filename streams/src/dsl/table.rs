//! A table: the latest row of every key.
use std::time::Duration;

use datafusion::logical_expr::Expr;

use super::{OutputTopic, SharedPlan, TableJoin, VersionedTable};
use crate::format::Format;
use crate::plan::{ErrorPolicy, Node, NodeId};

/// A table whose rows are grouped by other columns. Made by [`Table::group_by`].
#[derive(Debug, Clone)]
pub struct GroupedTable {
    plan: SharedPlan,
    input: NodeId,
    keys: Vec<Expr>,
}

impl GroupedTable {
    /// A table with one row a key: the key columns, then the aggregates of the rows that the table has now. A row that changes or goes
    /// takes back what it contributed; a group without rows is deleted. Rows count in the order in which they came or last changed.
    ///
    /// Taking back is certain with [`ExactlyOnce`](crate::Guarantee::ExactlyOnce) alone: otherwise a process that dies while a row goes from one group to
    /// another may leave it in both.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("regions");
    /// let users = app.stream("users", text("region").with_key("user")).to_table("users", [col("user")]);
    /// users
    ///     .group_by([col("region")])
    ///     .aggregate("users-per-region", [count_all().alias("users")])
    ///     .to("users-per-region", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("users", TestRecord::new("north").key("ann"))?;
    /// driver.pipe("users", TestRecord::new("south").key("ann"))?; // she moved
    /// driver.commit()?;
    /// assert_eq!(driver.read("users-per-region")[0].as_text(), ("south", r#"{"users":1}"#));
    /// driver.pipe("users", TestRecord::null().key("ann"))?; // and left
    /// driver.commit()?;
    /// assert_eq!(driver.read("users-per-region")[0], TestRecord::null().key("south").partition(0));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn aggregate(&self, name: impl Into<String>, aggregates: impl IntoIterator<Item = Expr>) -> Table {
        let node = self.plan.add(Node::TableAggregate {
            input: self.input,
            name: name.into(),
            keys: self.keys.clone(),
            aggregates: aggregates.into_iter().collect(),
        });
        Table::new(self.plan.clone(), node)
    }
}

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

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Has `node` in the place of the one that it comes from.
    pub(super) fn replace(&self, node: Node) {
        self.plan.change(|plan| plan.nodes[self.node.0] = node);
    }

    /// The rows of both tables with equal keys as one: this table's columns, then those behind the key of `other`. Keys that both have are
    /// there, or more with [`TableJoin::left`] and [`TableJoin::outer`]. It changes with either, once an epoch, and keeps nothing of
    /// its own.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let names = app.table("names", text("name").with_key("id"), key("id"));
    /// let cities = app.table("cities", text("city").with_key("id"), key("id"));
    /// names.join(&cities).to("users", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("names", TestRecord::new("Ann").key("7"))?;
    /// driver.pipe("cities", TestRecord::new("Bonn").key("7"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("users")[0].as_text().1, r#"{"name":"Ann","city":"Bonn"}"#);
    /// driver.pipe("names", TestRecord::null().key("7"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("users")[0].value, None);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn join(&self, other: &Self) -> TableJoin {
        TableJoin::new(&self.plan, self, other)
    }

    /// Keeps the versions of the table's rows: what each key had, from each row's event time to that of the next one. A stream that is
    /// [joined](super::Stream::join) with it meets what was there at its own time, as far back as `history` behind event time; rows that
    /// ask for more than their grace are late anyway. Only the tables of [`Streams::table`](super::Streams::table),
    /// [`Stream::to_table`](super::Stream::to_table) and `to_table_deleting` keep versions.
    ///
    /// The table itself is the version of each key that is last in event time: rows that come later, and are older, do not change it. It
    /// has a part in event time: where its topics stand still, rows that wait for it wait until they are idle.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let sold = app.stream("sold", text("buyer").with_key("what"));
    /// sold.join(&prices, on("what", "item")).as_of("sold-for").to("receipts", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn versioned(&self, history: Duration) -> VersionedTable {
        self.plan.change(|plan| plan.histories.insert(self.node, history));
        VersionedTable::new(self.clone())
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
    pub fn to(&self, topic: impl Into<String>, format: impl Into<Format>) -> OutputTopic {
        OutputTopic::new(&self.plan, self.node, topic.into(), format.into())
    }

    /// The rows of the table by other columns; an aggregate over the rows that the table has follows.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, count_all, json, text};
    /// let app = Streams::new("regions");
    /// let users = app.stream("users", text("region").with_key("user")).to_table("users", [col("user")]);
    /// users
    ///     .group_by([col("region")])
    ///     .aggregate("users-per-region", [count_all().alias("users")])
    ///     .to("users-per-region", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn group_by(&self, keys: impl IntoIterator<Item = Expr>) -> GroupedTable {
        GroupedTable {
            plan: self.plan.clone(),
            input: self.node,
            keys: keys.into_iter().collect(),
        }
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
