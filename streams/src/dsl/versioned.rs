//! Tables that keep what they had, and streams that are joined with what a table had at their time.
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::{On, SharedPlan, Stream, Table};
use crate::plan::{ErrorPolicy, LookupNode, Node, NodeId, Side, VersionedLookupNode};

/// A table that keeps the versions of its rows. Made by [`Table::versioned`]; all that can be done with a [`Table`] can be done with it, which is
/// with the version that is last in event time.
#[derive(Debug, Clone)]
pub struct VersionedTable {
    table: Table,
}

impl VersionedTable {
    pub(super) fn new(table: Table) -> Self {
        Self { table }
    }
}

impl Deref for VersionedTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

/// A stream that is to be joined with a table of versions. Made by [`Stream::join`]; [`as_of`](Self::as_of) gives the step its name.
#[derive(Debug, Clone)]
#[must_use = "it is a join only with .as_of(name)"]
pub struct VersionedJoin {
    plan: SharedPlan,
    inputs: [NodeId; 2],
    on: On,
}

impl VersionedJoin {
    pub(super) fn new(left: &Stream, right: &VersionedTable, on: On) -> Self {
        Self {
            plan: left.plan().clone(),
            inputs: [left.node(), right.node()],
            on,
        }
    }

    /// Each row with the row that the table had for its key at the row's event time: the stream's columns, then the table's. Rows for which
    /// there was none are dropped, or kept with [`left`](VersionedLookup::left).
    ///
    /// A row waits until event time is beyond its own, so that the table has all that it had then; with [`grace`](VersionedLookup::grace) as
    /// much longer. What comes out does not hang on which of both was read first. Rows of the table that come later than that
    /// change only what comes behind them.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one: the rows that wait are kept, and
    /// in the topic `<application id>-<name>-changelog`. A row that is larger than a record there may be (`message.max.bytes` of the producer) is an
    /// error of that row, which a policy can skip. A stream that is not partitioned by the key goes through
    /// `<application id>-<name>-left-repartition`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let sold = app.stream("sold", text("buyer").with_key("what"));
    /// sold.join(&prices, on("what", "item")).as_of("sold-for").select([col("buyer"), col("price")]).to("receipts", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for (price, at) in [("2.50", 1_000), ("2.90", 5_000)] {
    ///     driver.pipe("prices", TestRecord::new(price).key("tea").at(at))?;
    /// }
    /// driver.pipe("sold", TestRecord::new("Ann").key("tea").at(4_999))?;
    /// driver.pipe("sold", TestRecord::new("Bob").key("tea").at(5_000))?; // waits for what may still change at his time
    /// driver.commit()?;
    /// let receipts = driver.read("receipts");
    /// assert_eq!(receipts.len(), 1);
    /// assert_eq!(receipts[0].as_text().1, r#"{"buyer":"Ann","price":"2.50"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn as_of(self, name: impl Into<String>) -> VersionedLookup {
        let lookup = LookupNode {
            on: self.on.0,
            left: false,
            name: Some(name.into()),
        };
        let make = VersionedLookupNode {
            lookup,
            grace: Duration::ZERO,
        };
        let inputs = self.inputs.to_vec();
        let node = self.plan.add(Node::Keyed {
            inputs: inputs.clone(),
            make: Arc::new(make.clone()),
        });
        VersionedLookup {
            stream: Stream::new(self.plan.clone(), node),
            plan: self.plan,
            inputs,
            make,
        }
    }
}

/// The rows of a stream with those that a table had at their time. Made by [`VersionedJoin::as_of`]; all that can be done with a [`Stream`] can be
/// done with it.
#[derive(Debug, Clone)]
pub struct VersionedLookup {
    plan: SharedPlan,
    stream: Stream,
    inputs: Vec<NodeId>,
    make: VersionedLookupNode,
}

impl Deref for VersionedLookup {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl VersionedLookup {
    /// Keeps rows for which the table had none, with null in its columns. Those whose key is null come at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let sold = app.stream("sold", text("buyer").with_key("what"));
    /// sold.join(&prices, on("what", "item")).as_of("sold-for").left().to("receipts", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left(self) -> Self {
        self.with(|make| make.lookup.left = true)
    }

    /// How much later rows of the stream and of the table may come, in event time; rows wait as much longer. None unless told. The table has to keep
    /// its versions for that time at least.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let sold = app.stream("sold", text("buyer").with_key("what"));
    /// sold.join(&prices, on("what", "item")).as_of("sold-for").grace(Duration::from_secs(5)).to("receipts", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        self.with(|make| make.grace = grace)
    }

    /// The rows of the stream that came too late, as they were: their partition's watermark was beyond their time and grace, or they have no
    /// event time. They come nowhere else. Without this step they are only counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let sold = app.stream("sold", text("buyer").with_key("what"));
    /// let sold_for = sold.join(&prices, on("what", "item")).as_of("sold-for");
    /// sold_for.to("receipts", json());
    /// sold_for.late().to("receipts-to-write", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn late(&self) -> Stream {
        let node = self.plan.add(Node::Side {
            of: self.stream.node(),
            side: Side::Late,
        });
        Stream::new(self.plan.clone(), node)
    }

    /// What becomes of rows on which a key fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{DataType, Streams, cast, col, json, key, on, skip, text};
    /// let app = Streams::new("shop");
    /// let prices = app.table("prices", text("price").with_key("item"), key("item")).versioned(Duration::from_secs(3600));
    /// let item = cast(cast(col("line"), DataType::Int64), DataType::Utf8View);
    /// let priced = app.stream("lines", text("line")).join(&prices, on(item, "item")).as_of("priced");
    /// priced.on_error(skip()).to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        let stream = self.stream.on_error(policy);
        Self { stream, ..self }
    }

    fn with(mut self, change: impl FnOnce(&mut VersionedLookupNode)) -> Self {
        change(&mut self.make);
        let node = Node::Keyed {
            inputs: self.inputs.clone(),
            make: Arc::new(self.make.clone()),
        };
        self.stream.replace(node);
        self
    }
}
