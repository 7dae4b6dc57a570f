//! Jobs on a real cluster.
//!
//! Each test has a broker of its own in this process. With `MILLSTREAM_TEST_BOOTSTRAP` set, all use the cluster there
//! instead, e.g. an Apache Kafka.
#![allow(clippy::unwrap_used)]
mod at_most_once;
mod checkpoints;
mod client;
mod debezium;
mod errors;
mod exactly_once;
mod failures;
mod http;
mod joins;
mod queries;
mod rebalance;
mod restore;
mod standby;
mod tables;
mod windows;
mod word_count;
