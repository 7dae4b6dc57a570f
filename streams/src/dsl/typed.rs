//! A stream of structs.
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::Stream;
use crate::plan::{ErrorPolicy, Node, ProcessNode};
use crate::typed::{Processor, Row, Stage, TypedStage, any_processor, guard, guard_fallible};

/// A stream whose rows closures see as structs of the type `T`. Made by [`Stream::typed`].
///
/// It is a [`Stream`] as well: what comes behind typed steps, such as `group_by` or `to`, works on the columns of `T`, one a field.
/// Consecutive typed steps make structs of the rows once, and columns of the structs once; filters and peeks alone leave the columns as
/// they are.
///
/// A row on which a closure fails or panics follows the step's policy ([`on_error`](Self::on_error)): the job fails unless told. A row
/// that is no `T` is a failure of the first closure. Whatever was made of a row that fails is taken out with it.
///
/// ```
/// use millstream_streams::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Bid { auction: i64, cents: i64 }
/// #[derive(Serialize, Deserialize)]
/// struct Priced { auction: i64, euros: f64 }
///
/// let app = Streams::new("bids");
/// let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
/// let priced = bids
///     .filter(|bid| bid.cents > 0)
///     .map(|bid| Priced { auction: bid.auction, euros: bid.cents as f64 / 100.0 });
/// let [big, rest] = priced.branch(["big", "rest"], |priced| usize::from(priced.euros < 1e6));
/// big.to("big-bids", json());
/// rest.group_by([col("auction")]).aggregate("best", [max(col("euros")).alias("best")]).to("best-bids", json());
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub struct TypedStream<T> {
    stream: Stream,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for TypedStream<T> {
    fn clone(&self) -> Self {
        Self::new(self.stream.clone())
    }
}

impl<T> fmt::Debug for TypedStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl<T> Deref for TypedStream<T> {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl<T> TypedStream<T> {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            row: PhantomData,
        }
    }

    /// The stream of columns, whose steps take expressions.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Line { line: Option<String> }
    /// let lines = Streams::new("wc").stream("lines", text("line")).typed::<Line>();
    /// let short = lines.filter(|line| line.line.is_some()).rows().filter(length(col("line")).lt(lit(80)));
    /// ```
    pub fn rows(&self) -> Stream {
        self.stream.clone()
    }

    /// What becomes of rows on which the closure before this call fails or panics; behind [`Stream::typed`], as there.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Line { line: String }
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Number { number: i64 }
    /// let app = Streams::new("numbers");
    /// app.stream("lines", text("line"))
    ///     .typed::<Line>()
    ///     .try_map(|line| line.line.parse().map(|number| Number { number }))
    ///     .on_error(dead_letter("no-numbers"))
    ///     .to("numbers", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        Self::new(self.stream.on_error(policy))
    }

    fn then<U>(&self, stage: Arc<dyn Stage>) -> TypedStream<U> {
        let input = self.stream.node();
        TypedStream::new(self.stream.then(Node::Typed { input, stage }))
    }
}

impl<T: Row> TypedStream<T> {
    /// The rows for which `keep` is true.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Bid { price: i64 }
    /// # let app = Streams::new("bids");
    /// # let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
    /// bids.filter(|bid| bid.price > 0).to("real-bids", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn filter(&self, keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.then(TypedStage::keeping("filter", move |row: &T| guard(|| keep(row))))
    }

    /// Shows every row to `see`, for logs, counters or tests. A row that is read again after a failure is shown again.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Bid { price: i64 }
    /// # let app = Streams::new("bids");
    /// # let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
    /// bids.peek(|bid| eprintln!("{}", bid.price)).to("same-bids", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn peek(&self, see: impl Fn(&T) + Send + Sync + 'static) -> Self {
        let see = move |row: &T| guard(|| see(row)).map(|()| true);
        self.then(TypedStage::keeping("peek", see))
    }

    /// One row of another type for each.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Bid { price: i64 }
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Price { euros: f64 }
    /// # let app = Streams::new("bids");
    /// # let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
    /// bids.map(|bid| Price { euros: bid.price as f64 }).to("prices", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn map<U: Row>(&self, map: impl Fn(T) -> U + Send + Sync + 'static) -> TypedStream<U> {
        self.then(TypedStage::making("map", move |row, pass| {
            pass(guard(|| map(row))?);
            Ok(())
        }))
    }

    /// One row of another type for each; an error is the step's, and its policy decides.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Bid { price: String }
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Price { euros: f64 }
    /// # let app = Streams::new("bids");
    /// # let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
    /// bids.try_map(|bid| bid.price.parse().map(|euros| Price { euros })).on_error(skip()).to("prices", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn try_map<U: Row, E: fmt::Display>(
        &self,
        map: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> TypedStream<U> {
        self.then(TypedStage::making("try_map", move |row, pass| {
            pass(guard_fallible(|| map(row))?);
            Ok(())
        }))
    }

    /// Any number of rows of another type for each, all at its event time.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Order { items: Vec<String> }
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Item { item: String }
    /// # let app = Streams::new("orders");
    /// # let orders = app.stream("orders", json_schema(schema_of::<Order>()?)).typed::<Order>();
    /// orders.flat_map(|order| order.items.into_iter().map(|item| Item { item })).to("items", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn flat_map<U: Row, I: IntoIterator<Item = U>>(
        &self,
        map: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> TypedStream<U> {
        self.then(TypedStage::making("flat_map", move |row, pass| {
            // Whole, because the closure may do its work, and panic, only as the items are asked for.
            let items: Vec<U> = guard(|| map(row).into_iter().collect())?;
            items.into_iter().for_each(pass);
            Ok(())
        }))
    }

    /// An operator of one's own, with state and timers of each key. Rows go through a repartition topic to the task of their key, where
    /// they come in the order of their partitions; `make` makes the processor of each task.
    ///
    /// `name` is the step's name, legal and unique like a topic's, because it becomes one. State and timers have a changelog, as those of
    /// an aggregate: they are where the task comes to run, and an epoch that is not committed leaves nothing of them. They are kept in
    /// memory, by key; a processor should delete what it no longer needs.
    ///
    /// # Time
    /// A timer fires once, when the task's watermark has reached it: behind all rows of earlier times but late ones, and before
    /// whatever comes behind that watermark. Timers fire in the order of time. Rows come in the order of the log, not of time: behind a
    /// row of a time there may be one of an earlier time, until the watermark has passed it. Nothing is late here; a processor to which
    /// this matters compares [`time`](crate::ProcessContext::time) and [`watermark`](crate::ProcessContext::watermark).
    ///
    /// What is emitted for a row has its time, and is late for a window below if the row would be. What a timer emits has the timer's time,
    /// and is in time, unless it was scheduled when the watermark had passed it already.
    ///
    /// # Errors
    /// A row or timer on which the processor fails or panics follows the step's policy ([`on_error`](Self::on_error)) and changes
    /// nothing. A state that cannot be kept, or an emitted row that has no columns, fails the job.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Order { order: i64, paid: bool }
    /// #[derive(Serialize, Deserialize)]
    /// struct Unpaid { order: i64 }
    ///
    /// /// Orders that are not paid within a minute. The state is the order with its deadline.
    /// struct Reminders;
    ///
    /// impl Processor for Reminders {
    ///     type In = Order;
    ///     type Out = Unpaid;
    ///     type State = (i64, i64);
    ///     type Error = Infallible;
    ///
    ///     fn process(&mut self, row: Order, context: &mut ProcessContext<'_, (i64, i64), Unpaid>) -> Result<(), Infallible> {
    ///         let time = context.time().unwrap_or(0);
    ///         match (row.paid, context.get().copied()) {
    ///             (false, _) => {
    ///                 context.set((row.order, time + 60_000));
    ///                 context.schedule(time + 60_000);
    ///             }
    ///             // What is paid too late may come before the timer that says so.
    ///             (true, Some((_, deadline))) if time < deadline => {
    ///                 context.delete();
    ///                 context.cancel(deadline);
    ///             }
    ///             _ => {}
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn on_timer(&mut self, _: i64, context: &mut ProcessContext<'_, (i64, i64), Unpaid>) -> Result<(), Infallible> {
    ///         if let Some(&(order, _)) = context.get() {
    ///             context.emit(Unpaid { order });
    ///         }
    ///         context.delete();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let app = Streams::new("shop");
    /// app.stream("orders", json_schema(schema_of::<Order>()?))
    ///     .typed::<Order>()
    ///     .process("reminders", [col("order")], || Reminders)
    ///     .to("unpaid", json());
    ///
    /// let mut driver = TestDriver::new(&app)?;
    /// for (at, order, paid) in [(0, 1, false), (10_000, 2, false), (20_000, 1, true), (70_500, 2, true)] {
    ///     let row = format!(r#"{{"order":{order},"paid":{paid}}}"#);
    ///     driver.pipe("orders", TestRecord::new(row).at(at))?;
    /// }
    /// driver.commit()?;
    /// let unpaid = driver.read("unpaid");
    /// assert_eq!((unpaid.len(), unpaid[0].as_text().1), (1, r#"{"order":2}"#));
    /// assert_eq!(unpaid[0].timestamp, Some(70_000));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn process<P: Processor<In = T>>(
        &self,
        name: impl Into<String>,
        keys: impl IntoIterator<Item = Expr>,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> TypedStream<P::Out> {
        let process = ProcessNode {
            name: name.into(),
            keys: keys.into_iter().collect(),
            processor: any_processor(make),
        };
        TypedStream::new(self.stream.then(Node::Keyed {
            inputs: vec![self.stream.node()],
            make: Arc::new(process),
        }))
    }

    /// As many streams as there are names: `choose` says which of them a row goes to, counting from 0. Another number is an error of
    /// the row. What goes a way that nobody follows is dropped.
    ///
    /// ```
    /// # use millstream_streams::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Bid { price: i64 }
    /// # let app = Streams::new("bids");
    /// # let bids = app.stream("bids", json_schema(schema_of::<Bid>()?)).typed::<Bid>();
    /// let [big, rest] = bids.branch(["big", "rest"], |bid| if bid.price > 1000 { 0 } else { 1 });
    /// big.to("big-bids", json());
    /// # drop(rest);
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn branch<const N: usize>(
        &self,
        names: [&str; N],
        choose: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> [Self; N] {
        let names = names.map(str::to_owned).to_vec();
        let branch: Self = self.then(TypedStage::branching(names, choose));
        std::array::from_fn(|port| {
            let input = branch.stream.node();
            Self::new(branch.stream.then(Node::Way { input, port }))
        })
    }
}

impl Stream {
    /// The rows as structs, for steps that are closures.
    ///
    /// Each field of `T` reads the column of its name; columns that it does not name stay with the row until a closure makes a new one.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Line { line: Option<String> }
    /// let app = Streams::new("wc");
    /// let lines = app.stream("lines", text("line")).typed::<Line>();
    /// lines.filter(|line| line.line.as_deref().is_some_and(|line| line.len() > 80)).to("long-lines", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn typed<T: Row>(&self) -> TypedStream<T> {
        TypedStream::new(self.clone())
    }
}
