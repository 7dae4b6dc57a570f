//! Jobs on a real cluster.
//!
//! The cluster is the one at `MILLSTREAM_TEST_BOOTSTRAP` if that is set, e.g. an Apache Kafka.
#![allow(clippy::unwrap_used)]
mod client;
mod failures;
mod rebalance;
mod word_count;
