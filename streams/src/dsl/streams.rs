//! The job as a whole.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::Expr;

use super::{GlobalTable, SharedPlan, Stream, Table};
use crate::config::{Guarantee, StreamsConfig};
use crate::error::StreamsError;
use crate::expr::column_names;
use crate::format::Format;
use crate::plan::{GlobalSource, Node, Plan, SourceTable, Topology};
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
        let node = self.plan.add(Node::Source {
            topic: topic.into(),
            format: format.into(),
        });
        Stream::new(self.plan.clone(), node)
    }

    /// The records of `topic` as a table: the last of each key, the columns `keys`, which come first. What cannot be read, and rows on which a key
    /// fails, follow the table's [`on_error`](super::Table::on_error).
    ///
    /// What deletes a key is said by the format: with Debezium's, a change that deletes; with all others, a row that has no value beside its
    /// key, which is what a record without a value is if the key is read with [`Format::with_key`].
    ///
    /// The step is named after the topic. Where the topic is partitioned by the key (which is one column that is the record's key, as
    /// it is or as text), it is read where it is; else the rows go through a repartition topic. Partitioned means as Java's producers do it:
    /// with librdkafka that is `partitioner=murmur2_random`.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, key, text};
    /// let app = Streams::new("users");
    /// let users = app.table("users", text("name").with_key("id"), key("id"));
    /// users.to("users-now", json());
    /// assert_eq!(app.build()?.internal_topics(), ["users-users-changelog"]);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn table(
        &self,
        topic: impl Into<String>,
        format: impl Into<Format>,
        keys: impl IntoIterator<Item = Expr>,
    ) -> Table {
        let (topic, keys): (String, Vec<Expr>) = (topic.into(), keys.into_iter().collect());
        let (format, deleted, unavailable) = as_table(format.into(), &keys);
        let make = SourceTable {
            name: topic.clone(),
            keys,
            deleted,
            unavailable,
            stays: false,
        };
        let source = self.plan.add(Node::Source { topic, format });
        let node = self.plan.add(Node::Keyed {
            inputs: vec![source],
            make: Arc::new(make),
        });
        Table::new(self.plan.clone(), node)
    }

    /// The records of `topic` as a table that each process of the job has whole: streams look rows up in it by any key, wherever they are partitioned.
    /// What deletes a key is said as with [`table`](Self::table).
    ///
    /// The job starts when the table is read to the end that its topic had; from then on changes come as they are read, which is no part of the job's
    /// transactions, and so a row that is worked on again may meet another one. The topic is read anew by each start, and all of it is in memory.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let countries = app.global_table("countries", text("name").with_key("code"), key("code"));
    /// app.stream("visits", text("country")).join(&countries, on("country", "code")).select([col("name")]).to("out", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("countries", TestRecord::new("Kenya").key("KE"))?;
    /// driver.pipe("visits", TestRecord::new("KE"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("out")[0].as_text().1, r#"{"name":"Kenya"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn global_table(
        &self,
        topic: impl Into<String>,
        format: impl Into<Format>,
        keys: impl IntoIterator<Item = Expr>,
    ) -> GlobalTable {
        let keys: Vec<Expr> = keys.into_iter().collect();
        let (format, deleted, unavailable) = as_table(format.into(), &keys);
        GlobalTable::new(GlobalSource {
            topic: topic.into(),
            format,
            keys,
            deleted,
            unavailable,
            on_error: None,
        })
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

/// The format of a table with these keys, the column that says what is deleted, and what stands for values that a record does not say.
fn as_table(format: Format, keys: &[Expr]) -> (Format, Option<String>, Vec<String>) {
    let read: BTreeSet<String> = keys.iter().flat_map(column_names).collect();
    let read: Vec<String> = read.into_iter().collect();
    match format.as_table(&read) {
        Some((format, deleted, unavailable)) => (format, Some(deleted), unavailable),
        None => (format, None, Vec::new()),
    }
}
