//! A minimal, crash-safe, single-node broker that speaks the Kafka wire protocol.
//!
//! Any Kafka client can use it as a server, and any Rust program can start one inside its own process:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! use millstream_broker::{Broker, config::BrokerConfig};
//!
//! # let dir = tempfile::tempdir()?;
//! let config = BrokerConfig { num_partitions: 4, ..BrokerConfig::default() };
//! let broker = Broker::builder().data_dir(dir.path()).listener("127.0.0.1:0").config(config).start().await?;
//! println!("bootstrap.servers={}", broker.address());
//! broker.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layout
//! In the order in which a request meets them:
//! - [`Broker`] (`builder`), [`BrokerHandle`] (`handle`): starting and stopping; [`config`]: Kafka's keys.
//! - `server`: listener → connection → frame → header; every limit on what a peer can do.
//! - `api`: one file a Kafka API, decode → domain → encode; the registry of versions; domain errors → Kafka's codes.
//! - `fetch_session`: what consumers fetch, remembered between their requests.
//! - `topic`: which topics exist and how they are configured; `producer_id`: ids for idempotent producers.
//! - [`log`]: record batches, partitions, the data directory: durable before visible.
//! - [`group`]: consumer groups and their offsets; [`transaction`]: the coordinator of transactions and their markers.
//! - [`metrics`]: counters, and the endpoint for metrics and health.
//! - [`ids`]: the newtypes that all of them share.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod broker;
mod builder;
pub mod config;
mod error;
mod fetch_session;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod group;
mod handle;
pub mod ids;
pub mod log;
pub mod metrics;
mod producer_id;
mod server;
mod topic;
pub mod transaction;

pub use builder::{Broker, BrokerBuilder};
pub use error::{StartError, StopError};
pub use handle::BrokerHandle;
pub use producer_id::ProducerIdError;
pub use topic::{InitialTopic, InitialTopicError, NameError, TopicConfigError, TopicError, TopicFileError};
