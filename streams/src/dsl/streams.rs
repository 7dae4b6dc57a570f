//! The job as a whole.
use std::collections::BTreeSet;
use std::time::Duration;

use datafusion::logical_expr::Expr;

use super::{SharedPlan, Stream, Table};
use crate::config::{Guarantee, StreamsConfig};
use crate::error::StreamsError;
use crate::expr::column_names;
use crate::format::Format;
use crate::plan::{Node, NodeId, Plan, Topology};
use crate::runtime::{self, StreamsHandle};

/// A job: an application id and the streams declared on it.
///
/// Clones and all streams made from it share one plan.
#[derive(Debug, Clone)]
pub struct Streams {
    plan: SharedPlan,
}

impl Streams {
    /// A job named `application_id`: the consumer group, and the prefix of internal topics.
    ///
    /// Processes that use the same id share the work.
    ///
    /// ```
    /// let app = millstream_streams::Streams::new("word-count");
    /// ```
    pub fn new(application_id: impl Into<String>) -> Self {
        Self {
            plan: SharedPlan::new(Plan::new(application_id.into())),
        }
    }

    /// How long an epoch lasts; 200 ms unless told, at most an hour. `commit.interval.ms` in the configuration overrides it.
    ///
    /// A shorter epoch shows results sooner and repeats less after a crash; a longer one merges more rows per key.
    ///
    /// ```
    /// use std::time::Duration;
    /// let app = millstream_streams::Streams::new("word-count").commit_every(Duration::from_secs(1));
    /// ```
    pub fn commit_every(self, interval: Duration) -> Self {
        self.plan.change(|plan| plan.commit_interval = Some(interval));
        self
    }

    /// What holds when a process or a broker dies: [`Guarantee::AtLeastOnce`] unless told. `processing.guarantee` in the
    /// configuration overrides it.
    ///
    /// ```
    /// use millstream_streams::{Guarantee, Streams};
    /// let app = Streams::new("word-count").guarantee(Guarantee::ExactlyOnce);
    /// ```
    pub fn guarantee(self, guarantee: Guarantee) -> Self {
        self.plan.change(|plan| plan.guarantee = Some(guarantee));
        self
    }

    /// The records of `topic`, read as `format`.
    ///
    /// ```
    /// use millstream_streams::{Streams, text};
    /// let lines = Streams::new("word-count").stream("lines", text("line"));
    /// ```
    pub fn stream(&self, topic: impl Into<String>, format: impl Into<Format>) -> Stream {
        let node = self.source(topic.into(), format.into());
        Stream::new(self.plan.clone(), node)
    }

    fn source(&self, topic: String, format: Format) -> NodeId {
        self.plan.add(Node::Source { topic, format })
    }

    /// The records of `topic` as a table, whose key is `keys`: the last row of each key, by the order in the topic. The topic is the
    /// table's name.
    ///
    /// What deletes a row is said by the format: with Debezium's, a change that deletes; with all others, a row without any value beside
    /// its key, which is what a record without a value is if the key is read with [`Format::with_key`].
    /// Rows go through a repartition topic by key, as with [`Stream::to_table`], so that they need not be placed by it.
    ///
    /// A policy behind it, [`Table::on_error`], is for records that cannot be read, too.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("profiles");
    /// let user = Schema::new(vec![Field::new("town", DataType::Utf8, true)]);
    /// app.table("users", json_schema(user).with_key("user"), [cast(col("user"), DataType::Utf8).alias("user")])
    ///     .group_by([col("town")])
    ///     .aggregate("towns", [count_all().alias("users")])
    ///     .to("towns", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("users", TestRecord::new(r#"{"town":"Ulm"}"#).key("ann"))?;
    /// driver.pipe("users", TestRecord::new(r#"{"town":"Ulm"}"#).key("bob"))?;
    /// driver.pipe("users", TestRecord::null().key("ann"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("towns").last().unwrap().as_text(), ("Ulm", r#"{"users":1}"#));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn table(
        &self,
        topic: impl Into<String>,
        format: impl Into<Format>,
        keys: impl IntoIterator<Item = Expr>,
    ) -> Table {
        let (topic, format) = (topic.into(), format.into());
        let keys: Vec<Expr> = keys.into_iter().collect();
        let read: BTreeSet<String> = keys.iter().flat_map(column_names).collect();
        let read: Vec<String> = read.into_iter().collect();
        let (format, deleted, unavailable) = match format.as_table(&read) {
            Some((format, deleted, unavailable)) => (format, Some(deleted), unavailable),
            None => (format, None, Vec::new()),
        };
        let input = self.source(topic.clone(), format);
        let node = self.plan.add(Node::SourceTable {
            input,
            name: topic,
            keys,
            deleted,
            unavailable,
        });
        Table::new(self.plan.clone(), node)
    }

    /// Validates the job without a cluster.
    ///
    /// # Errors
    /// [`StreamsError::Plan`] names the step and what is wrong with it.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, raw, text};
    /// let app = Streams::new("copy");
    /// app.stream("in", text("line")).filter(col("lin").is_not_null()).to("out", text("line"));
    /// let error = app.build().unwrap_err().to_string();
    /// assert_eq!(error, "filter: there is no column \"lin\", only line; did you mean \"line\"?");
    /// ```
    pub fn build(&self) -> Result<Topology, StreamsError> {
        Ok(self.plan.change(|plan| plan.build())?)
    }

    /// Starts the job: reaches the cluster, checks and creates topics, starts the worker threads.
    ///
    /// # Errors
    /// A faulty plan or configuration, no cluster within [`StreamsConfig::connect_timeout`], a missing source topic, or an
    /// internal topic with another partition count than the job needs.
    ///
    /// ```no_run
    /// use millstream_streams::{Streams, StreamsConfig, text};
    /// let app = Streams::new("copy");
    /// app.stream("in", text("line")).to("out", text("line"));
    /// let job = app.start(StreamsConfig::new("localhost:9092"))?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn start(&self, config: StreamsConfig) -> Result<StreamsHandle, StreamsError> {
        runtime::start(self.build()?, config)
    }
}
