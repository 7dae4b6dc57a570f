//! Streams joined with what has the same keys.
use std::ops::Deref;
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::{
    Deduplicated, DistinctCounts, ForeignJoin, GlobalLookup, GlobalTable, JoinedStream, SharedPlan, Stream,
    StreamJoin, Table, Top, TypedStream, VersionedJoin, VersionedLookup, VersionedTable,
};
use crate::expr::prelude::col;
use crate::plan::{ErrorPolicy, JoinKind, LookupNode, Node, NodeId, TableJoinNode};

/// What is equal in rows that belong together. Made by [`on`].
#[derive(Debug, Clone)]
pub struct On(pub(super) Vec<(Expr, Expr)>);

/// One side of what is equal: the name of a column, or an expression.
pub trait JoinKey {
    /// It as an expression.
    fn into_expr(self) -> Expr;
}

impl JoinKey for Expr {
    fn into_expr(self) -> Expr {
        self
    }
}

impl JoinKey for &str {
    fn into_expr(self) -> Expr {
        col(self)
    }
}

impl JoinKey for String {
    fn into_expr(self) -> Expr {
        col(self)
    }
}

/// Rows belong together if `left` of the one side and `right` of the other are equal; null is equal to nothing. Each is a column's name
/// or an expression.
///
/// ```
/// use millstream_streams::{col, lower, on};
/// let same_user = on("bidder", "id");
/// let same_item = on("shop", "shop").and(lower(col("code")), "item");
/// ```
pub fn on(left: impl JoinKey, right: impl JoinKey) -> On {
    On(vec![(left.into_expr(), right.into_expr())])
}

impl On {
    /// And these as well.
    ///
    /// ```
    /// let same_item = millstream_streams::on("shop", "shop").and("code", "item");
    /// ```
    #[must_use]
    pub fn and(mut self, left: impl JoinKey, right: impl JoinKey) -> Self {
        self.0.push((left.into_expr(), right.into_expr()));
        self
    }
}

/// What a stream can be joined with: a table or a global table, whose row for the key is looked up, or another stream, whose rows are met within a window of
/// event time.
pub trait JoinsStream: Sealed {
    /// The join, which may have to be told more.
    type Join;

    #[doc(hidden)]
    fn join_to(&self, left: &Stream, on: On) -> Self::Join;
}

mod sealed {
    /// Only this crate's streams and tables are joined.
    pub trait Sealed {}
}
use sealed::Sealed;

macro_rules! joined_as {
    ($join:ty: $($kind:ty),+ => $make:expr) => {$(
        impl Sealed for $kind {}
        impl JoinsStream for $kind {
            type Join = $join;

            fn join_to(&self, left: &Stream, on: On) -> $join {
                $make(left, self, on)
            }
        }
    )+};
}

joined_as!(Lookup: Table, TableJoin, ForeignJoin, DistinctCounts, Top => |left: &Stream, table: &Table, on| Lookup::new(left.plan(), left, table, on));
joined_as!(GlobalLookup: GlobalTable => |left: &Stream, table: &GlobalTable, on| GlobalLookup::new(left.plan(), left, table, on));
joined_as!(StreamJoin: Stream, Lookup, GlobalLookup, JoinedStream, Deduplicated, VersionedLookup => |left: &Stream, right: &Stream, on| StreamJoin::new(left, right, on));
joined_as!(VersionedJoin: VersionedTable => VersionedJoin::new);

impl<T> Sealed for TypedStream<T> {}

impl<T> JoinsStream for TypedStream<T> {
    type Join = StreamJoin;

    fn join_to(&self, left: &Stream, on: On) -> StreamJoin {
        StreamJoin::new(left, self, on)
    }
}

/// A table's key: one column. Several, or expressions, are given as a list.
///
/// ```
/// use millstream_streams::{Streams, json_schema, key, DataType, Field, Schema, json};
/// let users = json_schema(Schema::new(vec![Field::new("name", DataType::Utf8, true)])).with_key("id");
/// let app = Streams::new("users");
/// app.table("users", users, key("id")).to("users-now", json());
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn key(column: impl Into<String>) -> Vec<Expr> {
    vec![col(column)]
}

/// The rows of a stream with those that a table has for their keys: a stream. Made by [`Stream::join`].
#[derive(Debug, Clone)]
pub struct Lookup {
    stream: Stream,
    inputs: Vec<NodeId>,
    make: LookupNode,
}

impl Lookup {
    pub(super) fn new(plan: &SharedPlan, stream: &Stream, table: &Table, On(on): On) -> Self {
        let make = LookupNode {
            on,
            left: false,
            name: None,
        };
        let inputs = vec![stream.node(), table.node()];
        let node = plan.add(Node::Keyed {
            inputs: inputs.clone(),
            make: Arc::new(make.clone()),
        });
        let stream = Stream::new(plan.clone(), node);
        Self { stream, inputs, make }
    }

    /// Keeps rows for which the table has none, with null in its columns.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("greet");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// let visits = app.stream("visits", text("page").with_key("user"));
    /// visits.join(&users, on("user", "id")).left().select([col("page"), col("name")]).to("greetings", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("visits", TestRecord::new("home").key("7"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("greetings")[0].as_text().1, r#"{"page":"home","name":null}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left(self) -> Self {
        self.with(|make| make.left = true)
    }

    /// A name, legal and unique like a topic's. Needed where the stream is not in the partitions of the key, because the topic by which it
    /// gets there is named after it.
    ///
    /// ```
    /// use millstream_streams::{DataType, Field, Schema, Streams, json, json_schema, key, on, text};
    /// let app = Streams::new("shop");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// let bid = json_schema(Schema::new(vec![Field::new("bidder", DataType::Utf8, true)]));
    /// app.stream("bids", bid).join(&users, on("bidder", "id")).named("bidders").to("bids-with-names", json());
    /// assert!(app.build()?.internal_topics().contains(&"shop-bidders-left-repartition"));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|make| make.name = Some(name))
    }

    /// What becomes of rows on which a key fails.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, json, key, on, skip, text};
    /// let app = Streams::new("shop");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// let lines = app.stream("lines", text("line"));
    /// let user = cast(cast(col("line"), DataType::Int64), DataType::Utf8View);
    /// lines.join(&users, on(user, "id")).named("users-of-lines").on_error(skip()).to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        let stream = self.stream.on_error(policy);
        Self { stream, ..self }
    }

    fn with(mut self, change: impl FnOnce(&mut LookupNode)) -> Self {
        change(&mut self.make);
        let node = Node::Keyed {
            inputs: self.inputs.clone(),
            make: Arc::new(self.make.clone()),
        };
        self.stream.replace(node);
        self
    }
}

impl Deref for Lookup {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

/// Two tables as one, by their keys: a table. Made by [`Table::join`].
#[derive(Debug, Clone)]
pub struct TableJoin {
    table: Table,
    inputs: Vec<NodeId>,
}

impl TableJoin {
    pub(super) fn new(plan: &SharedPlan, left: &Table, right: &Table) -> Self {
        let inputs = vec![left.node(), right.node()];
        let node = plan.add(joined(&inputs, JoinKind::Inner));
        let table = Table::new(plan.clone(), node);
        Self { table, inputs }
    }

    /// All keys of the left table, with null where the right one has no row.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, key, text};
    /// let app = Streams::new("shop");
    /// let names = app.table("names", text("name").with_key("id"), key("id"));
    /// let cities = app.table("cities", text("city").with_key("id"), key("id"));
    /// names.join(&cities).left().to("users", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left(self) -> Self {
        self.of(JoinKind::Left)
    }

    /// The keys of both tables, with null where one has no row.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let names = app.table("names", text("name").with_key("id"), key("id"));
    /// let cities = app.table("cities", text("city").with_key("id"), key("id"));
    /// names.join(&cities).outer().to("users", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("cities", TestRecord::new("Bonn").key("7"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("users")[0].as_text().1, r#"{"name":null,"city":"Bonn"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer(self) -> Self {
        self.of(JoinKind::Outer)
    }

    fn of(self, kind: JoinKind) -> Self {
        self.table.replace(joined(&self.inputs, kind));
        self
    }
}

fn joined(inputs: &[NodeId], kind: JoinKind) -> Node {
    Node::Keyed {
        inputs: inputs.to_vec(),
        make: Arc::new(TableJoinNode { kind }),
    }
}

impl Deref for TableJoin {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}
