//! A Streams DSL with columnar execution on Arrow and DataFusion.
//!
//! A job is an application id, a topology and some threads. Processes with the same application id share the
//! partitions of the topics through a Kafka consumer group; there is no cluster to run. Records become Arrow
//! batches, steps are DataFusion expressions or kernels over batches, and keyed steps aggregate before and after
//! an internal repartition topic.
//!
//! ```no_run
//! use std::time::Duration;
//! use millstream_streams::{StreamsConfig, Streams, col, count_all, json, lower, split_words, text};
//!
//! let app = Streams::new("word-count").commit_every(Duration::from_millis(200));
//! app.stream("lines", text("line"))
//!     .flat_map(split_words(col("line")).alias("word"))
//!     .select([lower(col("word")).alias("word")])
//!     .group_by([col("word")])
//!     .aggregate("counts", [count_all().alias("n")])
//!     .to("word-counts", json());
//!
//! let job = app.start(StreamsConfig::new("localhost:9092"))?;
//! job.drain(Duration::from_secs(60))?; // everything that is in `lines` now is counted
//! job.stop(Duration::from_secs(10))?;
//! # Ok::<(), millstream_streams::StreamsError>(())
//! ```
//!
//! # Errors
//! A record that cannot be read, or a row that an expression or closure fails on, fails the job, unless the step has a policy:
//! `.on_error(skip())`, or `.on_error(dead_letter("topic"))` behind it ([`ErrorPolicy`]).
//!
//! # Closures and functions of one's own
//! [`Stream::typed`] gives rows to closures as serde structs, [`TypedStream::process`] to operators with state and timers, [`fold`] makes an aggregate of closures, and [`udf`] is the way to DataFusion's
//! user-defined functions.
//!
//! # Layout
//! In the order of one record's way:
//!
//! | module | role |
//! |---|---|
//! | `dsl` | what the user writes: [`Streams`], [`Stream`], [`GroupedStream`], [`Table`]; builds a plan |
//! | `plan` | the topology as data: nodes, validation, sub-topologies, repartition topics, [`Topology::describe`] |
//! | `expr` | the boundary to DataFusion's expressions, and the kernels it lacks |
//! | `source` | the seam to the consumer: records in, offsets committed, assignment changes |
//! | `typed` | closures over rows as serde structs |
//! | `format` | bytes ↔ Arrow: text, raw, JSON, CSV, Debezium's envelopes, the seam for other formats; shuffled batches; key encoding and placement |
//! | `operator` | one file an operator: batches in, batches out |
//! | `aggregate` | the boundary to DataFusion's accumulators: specification and the delta of one epoch |
//! | `time` | watermarks: of partitions, of tasks, and through repartition topics |
//! | `window` | windows of event time, and which of them a row belongs to |
//! | `state` | resident columnar state, merged once per key and epoch, and its changelog |
//! | `store` | local stores: checkpoints of changelogs on disk |
//! | `task` | sans-IO: one sub-topology on one partition; epochs and restoring |
//! | `sink` | the seam to the producer: records out, delivery confirmed |
//! | `runtime` | threads, rebalances, commits, draining, metrics, questions to stores |
//! | `testing` | a topology without a broker: [`TestDriver`] |
//!
//! # Guarantee
//! An epoch's outputs, the changes of state (on changelog topics) and the input's offsets belong together. With
//! [`Guarantee::ExactlyOnce`] they are one Kafka transaction: a crash leaves all of them or none. With
//! [`Guarantee::AtLeastOnce`] offsets are committed after everything else is acknowledged: rows of the epoch that a crash cut
//! short are counted again. With [`Guarantee::AtMostOnce`] they are committed before: rows of that epoch are lost. A task rebuilds its
//! state from the changelog wherever it comes to run; where it ran before, from its local copy (`state.dir`, see [`StreamsConfig`]) and
//! the rest of the changelog.
#![warn(missing_docs)]
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aggregate;
mod config;
mod dsl;
mod error;
mod expr;
mod format;
mod operator;
mod plan;
#[cfg(test)]
mod random_topologies;
mod rows;
mod runtime;
mod sink;
mod source;
mod state;
mod store;
mod suggest;
mod task;
mod testing;
mod time;
mod typed;
pub mod udf;
mod window;

/// What a program that writes a topology imports: `use millstream_streams::prelude::*`.
pub mod prelude {
    pub use crate::aggregate::fold;
    pub use crate::config::Guarantee::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
    pub use crate::dsl::{
        CogroupedStream, Deduplicated, DistinctCounts, ForeignJoin, GlobalLookup, GlobalTable, GroupedStream,
        GroupedTable, JoinedStream, Lookup, On, OutputTopic, Stream, StreamJoin, Streams, Table, TableJoin,
        Top, TypedStream, Until, VersionedJoin, VersionedLookup, VersionedTable, WindowedCogroup,
        WindowedStream, WindowedTable, WindowedTop, key, on, until,
    };
    pub use crate::expr::prelude::*;
    pub use crate::format::{csv, debezium_json, json, json_schema, raw, text};
    pub use crate::plan::{ErrorPolicy, dead_letter, fail, skip};
    pub use crate::time::{WatermarkStrategy, bounded, record_time};
    pub use crate::typed::{ProcessContext, Processor, schema_of};
    pub use crate::window::{
        Emit::{self, OnUpdate, OnWindowClose},
        JoinWindow, Windows, hopping, join_window, session, sliding, tumbling,
    };
    pub use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
}

pub use aggregate::fold;
pub use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
pub use config::{ConfigError, Guarantee, StreamsConfig};
pub use dsl::{
    CogroupedStream, Deduplicated, DistinctCounts, ForeignJoin, GlobalLookup, GlobalTable, GroupedStream,
    GroupedTable, JoinKey, JoinedStream, JoinsStream, Lookup, On, OutputTopic, Stream, StreamJoin, Streams,
    Table, TableJoin, Top, TypedStream, Until, VersionedJoin, VersionedLookup, VersionedTable,
    WindowedCogroup, WindowedStream, WindowedTable, WindowedTop, key, on, until,
};
pub use error::{ErrorKind, StreamsError};
pub use expr::is_word_char;
pub use expr::prelude::*;
pub use format::{
    BeforeRows, Csv, DecodedRecords, EncodeRow, EncodedRecord, Format, FormatError, OutputBatch, OutputRows,
    RecordDecoder, RecordEncoder, RecordFormat, TableFormat, csv, debezium_json, json, json_schema, raw,
    text,
};
pub use operator::OperatorError;
pub use plan::{ErrorPolicy, PlanError, Topology, dead_letter, fail, skip};
pub use runtime::{
    JobState, MetricsSnapshot, QueryError, StandbyMetrics, StoreView, StreamsHandle, SubTopologyMetrics,
};
pub use sink::SinkError;
pub use source::SourceError;
pub use state::StateError;
pub use store::{LocalStoreError, default_state_dir, delete_local_state, local_state};
pub use task::{InputMetrics, StepMetrics, StoreMetrics, TaskError, TaskMetrics};
pub use testing::{TestDriver, TestRecord};
pub use time::{WatermarkStrategy, bounded, record_time};
pub use typed::{ClosureError, ProcessContext, Processor, Row, schema_of};
pub use window::{Emit, JoinWindow, Windows, hopping, join_window, session, sliding, tumbling};
