//! A table: the latest row of every key.
use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::{Expr, SortExpr};

use super::{ForeignJoin, OutputTopic, SharedPlan, Stream, TableJoin, Top, VersionedTable};
use crate::format::Format;
use crate::plan::{ErrorPolicy, Node, NodeId, SuppressNode, TableMapNode, TopNode, TopOf};

/// How long changes of a table wait. Made by [`until`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until(Duration);

/// Changes of a key wait until the event time of the first of them is so long ago; see [`Table::suppress`].
///
/// ```
/// use std::time::Duration;
/// let a_minute = millstream_streams::until(Duration::from_secs(60));
/// ```
pub fn until(limit: Duration) -> Until {
    Until(limit)
}

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
    /// It follows from the table's changes, so that it has to be there from the start: a job in which the table has rows already is
    /// [refused](crate::StreamsError::BeginsLater), and has to be reset (`millstream streams reset`). So is one in which the aggregate is looked up
    /// for the first time, where it did not keep its rows.
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

    /// The `most` first rows of each key in the order of `order`, of those that the table has now: see
    /// [`GroupedStream::top`](crate::GroupedStream::top). A row that changes or goes makes room for the next.
    ///
    /// So all rows of a group are kept, and each epoch goes over all rows of the groups that it touches, before and after: with one group of all
    /// rows, as below, over the whole table. Where groups are large, let the commit interval be longer, or keep what cannot be among the first out
    /// of the table by a [`filter`](Table::filter). As an [`aggregate`](Self::aggregate), it has to be there from the start.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("scores");
    /// let player = cast(col("player"), DataType::Utf8).alias("player");
    /// let scores = app.stream("scores", text("points").with_key("player")).to_table("scores", [player]);
    /// scores
    ///     .group_by([lit("all").alias("of")])
    ///     .top("best", 1, [col("points").sort(false, false)])
    ///     .to("best", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for (player, points) in [("ann", "9"), ("bob", "7")] {
    ///     driver.pipe("scores", TestRecord::new(points).key(player))?;
    ///     driver.commit()?;
    /// }
    /// driver.pipe("scores", TestRecord::null().key("ann"))?;
    /// driver.commit()?;
    /// let best: Vec<_> = driver.read("best").iter().map(|record| record.as_text().1.to_owned()).collect();
    /// assert_eq!(best, [r#"{"player":"ann","points":"9"}"#, r#"{"player":"bob","points":"7"}"#]);
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
            of: TopOf::Table,
            most,
            order: order.into_iter().collect(),
            ties: false,
        };
        Top::new(&self.plan, self.input, top)
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
    /// Rows without event time are no versions: they are dropped, deletions among them, and counted as late. So the records of a topic need
    /// timestamps, and a column that says the time must not be null. (The same topic as a plain table keeps them.)
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

    /// Each row with the row of `other` whose key is `keys` of this one: a table with this table's key. It has this table's columns, then those of
    /// `other` that are not the same. Rows for which `other` has none are not there, unless [`ForeignJoin::left`]; null is nobody's key.
    ///
    /// The rows of both tables are in other partitions: what this one asks for goes through `<app>-<name>-subscriptions-repartition`, and the answers
    /// come back through `<app>-<name>-answers-repartition`. So a result comes epochs after its row. A row that asks for another key is
    /// in the join as it was until that one has answered. Event time does not come this way: no window can be behind.
    ///
    /// What rows ask for follows from their changes, so that the join has to be there from the start: a job that has run without it is
    /// [refused](crate::StreamsError::BeginsLater), and has to be reset (`millstream streams reset`). As for aggregates over tables, use
    /// [`Guarantee::ExactlyOnce`](crate::Guarantee::ExactlyOnce) where a process may die.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let orders = app.table("orders", text("customer").with_key("order"), key("order"));
    /// let customers = app.table("customers", text("name").with_key("id"), key("id"));
    /// orders.join_by("buyers", &customers, [col("customer")]).select([col("order"), col("name")]).to("out", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("orders", TestRecord::new("7").key("o1"))?;
    /// driver.pipe("customers", TestRecord::new("Ann").key("7"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("out")[0].as_text().1, r#"{"name":"Ann"}"#);
    /// driver.pipe("customers", TestRecord::new("Anna").key("7"))?; // all of her orders change
    /// driver.commit()?;
    /// assert_eq!(driver.read("out")[0].as_text().1, r#"{"name":"Anna"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn join_by(
        &self,
        name: impl Into<String>,
        other: &Self,
        keys: impl IntoIterator<Item = Expr>,
    ) -> ForeignJoin {
        ForeignJoin::new(&self.plan, self, other, name.into(), keys.into_iter().collect())
    }

    /// The rows for which `predicate` is true: a table. A row that changes so that it no longer holds is deleted from it, one that changes so that
    /// it does is there; nothing is kept for it. So another predicate, of a job that has run, is heard of by rows that change: reset the job if those that
    /// do not are to follow it.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("stock");
    /// let number = Field::new("left", DataType::Int64, true);
    /// let stock = app.table("stock", json_schema(Schema::new(vec![number])).with_key("item"), key("item"));
    /// stock.filter(col("left").lt(lit(10))).to("scarce", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("stock", TestRecord::new(r#"{"left":3}"#).key("nails"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("scarce")[0].as_text().1, r#"{"left":3}"#);
    /// driver.pipe("stock", TestRecord::new(r#"{"left":500}"#).key("nails"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("scarce")[0].value, None);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn filter(&self, predicate: Expr) -> Self {
        self.mapped(TableMapNode::Filter(predicate))
    }

    /// Exactly these columns, behind those of the key: a table. The columns of the key have to be among them, as they are or under
    /// another name.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, key, text, upper};
    /// let app = Streams::new("users");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// users.select([col("id").alias("user"), upper(col("name")).alias("name")]).to("loud-users", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn select(&self, exprs: impl IntoIterator<Item = Expr>) -> Self {
        self.mapped(TableMapNode::Select(exprs.into_iter().collect()))
    }

    /// All columns, with the column `name` added or replaced, which is none of the key: a table.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, key, length, text};
    /// let app = Streams::new("users");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// users.with_column("letters", length(col("name"))).to("measured-users", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn with_column(&self, name: impl Into<String>, expr: Expr) -> Self {
        let name = name.into();
        self.mapped(TableMapNode::WithColumn { name, expr })
    }

    /// The rows that are new or have changed, once an epoch each: a stream. It does not say which keys are gone.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, count_all, json, key, text};
    /// let app = Streams::new("users");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// let changes = users.changes().group_by([col("id")]);
    /// changes.aggregate("changes", [count_all().alias("n")]).to("changes-per-user", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn changes(&self) -> Stream {
        Stream::new(self.plan.clone(), self.map(TableMapNode::Changes))
    }

    fn mapped(&self, make: TableMapNode) -> Self {
        Self::new(self.plan.clone(), self.map(make))
    }

    fn map(&self, make: TableMapNode) -> NodeId {
        self.plan.add(Node::Keyed {
            inputs: vec![self.node],
            make: Arc::new(make),
        })
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

    /// The same table with fewer changes: those of a key within a time become one, the last, which goes on when the time is over in event time. A key that comes and goes meanwhile was
    /// never there.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one: `<application id>-<name>-changelog`. For results of
    /// windows that come once, see [`WindowedStream::suppress`](crate::WindowedStream::suppress).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, TestDriver, TestRecord, col, count_all, json, text, until};
    /// let app = Streams::new("calm");
    /// app.stream("lines", text("line"))
    ///     .group_by([col("line")])
    ///     .aggregate("counts", [count_all().alias("n")])
    ///     .suppress("each-minute", until(Duration::from_secs(60)))
    ///     .to("line-counts", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for (line, at) in [("a", 0), ("a", 30_000), ("b", 60_000)] {
    ///     driver.pipe("lines", TestRecord::new(line).at(at))?;
    ///     driver.commit()?;
    /// }
    /// let records = driver.read("line-counts");
    /// assert_eq!(records.len(), 1);
    /// assert_eq!(records[0].as_text(), ("a", r#"{"n":2}"#));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn suppress(&self, name: impl Into<String>, until: Until) -> Self {
        let node = self.plan.add(Node::Keyed {
            inputs: vec![self.node],
            make: Arc::new(SuppressNode {
                name: name.into(),
                limit: until.0,
            }),
        });
        Self::new(self.plan.clone(), node)
    }

    /// What becomes of rows on which the step before this call fails: a key or an argument of an aggregate, a predicate, a column. A row
    /// that fails is not in the table from then on.
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
