//! Two streams whose rows meet by key.
use std::ops::Deref;
use std::sync::Arc;

use super::{On, SharedPlan, Stream};
use crate::plan::{ErrorPolicy, JoinKind, Node, NodeId, Side, StreamJoinNode};
use crate::window::JoinWindow;

/// Two streams whose rows are to meet by key. Made by [`Stream::join`]; [`within`](Self::within) says how near they must be in event time.
#[derive(Debug, Clone)]
#[must_use = "it is a join only with .within(name, window)"]
pub struct StreamJoin {
    plan: SharedPlan,
    inputs: [NodeId; 2],
    on: On,
}

impl StreamJoin {
    pub(super) fn new(left: &Stream, right: &Stream, on: On) -> Self {
        Self {
            plan: left.plan().clone(),
            inputs: [left.node(), right.node()],
            on,
        }
    }

    /// The pairs of rows whose event times are no further apart than `window` says. Rows without partner are dropped, unless
    /// [`left`](JoinedStream::left) or [`outer`](JoinedStream::outer) follows.
    ///
    /// A pair has the columns of the left row, then those of the right row; keys of one name are one column, and other columns of one name are
    /// refused: rename one with `select`. Its event time is the later one of both.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one: the rows that others may still meet are kept, and
    /// in the topic `<application id>-<name>-changelog`. A row that is larger than a record there may be (`message.max.bytes` of the producer) is an
    /// error of that row, which a policy can skip. Sides that are not partitioned by their keys go through
    /// `<application id>-<name>-left-repartition` and `…-right-repartition`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{DataType, Field, Schema, Streams, bounded, col, join_window, json, json_schema, on};
    /// let schema = |key: &str, time: &str| {
    ///     json_schema(Schema::new(vec![Field::new(key, DataType::Utf8, true), Field::new(time, DataType::Int64, true)]))
    /// };
    /// let lateness = Duration::from_secs(5);
    /// let app = Streams::new("shop");
    /// let orders = app.stream("orders", schema("id", "ordered")).watermark(bounded(col("ordered"), lateness));
    /// let payments = app.stream("payments", schema("order", "paid")).watermark(bounded(col("paid"), lateness));
    /// let hour = join_window(Duration::from_secs(3600)).before(Duration::ZERO);
    /// let paid = orders.join(&payments, on("id", "order")).within("paid", hour).left();
    /// paid.filter(col("paid").is_null()).to("unpaid-orders", json());
    /// paid.late_right().to("late-payments", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn within(self, name: impl Into<String>, window: JoinWindow) -> JoinedStream {
        let join = StreamJoinNode {
            name: name.into(),
            on: self.on.0,
            window,
            kind: JoinKind::Inner,
        };
        let inputs = self.inputs.to_vec();
        let make = Arc::new(join.clone());
        let node = self.plan.add(Node::Keyed { inputs, make });
        JoinedStream {
            stream: Stream::new(self.plan.clone(), node),
            plan: self.plan,
            join,
        }
    }
}

/// The stream of pairs of rows that belong together. Made by [`StreamJoin::within`]; all that can be done with a [`Stream`] can be done with it.
#[derive(Debug, Clone)]
pub struct JoinedStream {
    plan: SharedPlan,
    stream: Stream,
    join: StreamJoinNode,
}

impl Deref for JoinedStream {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl JoinedStream {
    /// Rows of the left side that met none come as well, once, with nulls for the right side: as soon as event time is so far that none can
    /// come any more that is in time. Those whose key is null come at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, join_window, json, on, text};
    /// let app = Streams::new("greetings");
    /// let asked = app.stream("questions", text("question").with_key("user"));
    /// let answered = app.stream("answers", text("answer").with_key("user"));
    /// let minute = join_window(Duration::from_secs(60));
    /// asked.join(&answered, on("user", "user")).within("answered", minute).left().to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn left(self) -> Self {
        self.of_kind(JoinKind::Left)
    }

    /// Rows of both sides that met none come as well; see [`left`](Self::left).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, join_window, json, on, text};
    /// let app = Streams::new("both");
    /// let ours = app.stream("ours", text("our_price").with_key("article"));
    /// let theirs = app.stream("theirs", text("their_price").with_key("article"));
    /// let day = join_window(Duration::from_secs(86_400));
    /// ours.join(&theirs, on("article", "article")).within("prices", day).outer().to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn outer(self) -> Self {
        self.of_kind(JoinKind::Outer)
    }

    fn of_kind(mut self, kind: JoinKind) -> Self {
        self.join.kind = kind;
        let join = Arc::new(self.join.clone());
        self.plan.change(|plan| {
            if let Node::Keyed { make, .. } = &mut plan.nodes[self.stream.node().0] {
                *make = join;
            }
        });
        self
    }

    /// The rows of the left side that came too late, as they were: their partition's watermark was beyond their time and the window's grace, or
    /// they have no event time. They meet none, and come nowhere else. Without this step they are only counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, join_window, json, on, text};
    /// let app = Streams::new("late");
    /// let (one, two) = (app.stream("one", text("x").with_key("k")), app.stream("two", text("y").with_key("k")));
    /// let both = one.join(&two, on("k", "k")).within("both", join_window(Duration::from_secs(60)));
    /// both.to("out", json());
    /// both.late_left().to("late-ones", json());
    /// both.late_right().to("late-twos", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn late_left(&self) -> Stream {
        self.late(Side::LateLeft)
    }

    /// The rows of the right side that came too late; see [`late_left`](Self::late_left).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{Streams, join_window, json, on, text};
    /// let app = Streams::new("late");
    /// let (one, two) = (app.stream("one", text("x").with_key("k")), app.stream("two", text("y").with_key("k")));
    /// let both = one.join(&two, on("k", "k")).within("both", join_window(Duration::from_secs(60)));
    /// both.late_right().to("late-twos", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn late_right(&self) -> Stream {
        self.late(Side::LateRight)
    }

    fn late(&self, side: Side) -> Stream {
        let of = self.stream.node();
        let node = self.plan.add(Node::Side { of, side });
        Stream::new(self.plan.clone(), node)
    }

    /// What becomes of rows on which a key fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream_streams::{DataType, Streams, cast, col, join_window, json, on, skip, text};
    /// let app = Streams::new("numbers");
    /// let (one, two) = (app.stream("one", text("x")), app.stream("two", text("y")));
    /// let number = |column: &str| cast(col(column), DataType::Int64);
    /// let same = one.join(&two, on(number("x"), number("y"))).within("same", join_window(Duration::from_secs(60)));
    /// same.on_error(skip()).to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        self.stream.on_error(policy);
        self.clone()
    }
}
