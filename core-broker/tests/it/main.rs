//! The broker as a client sees it: raw bytes over a socket, and requests encoded by `kafka-protocol`.
#![allow(clippy::unwrap_used)]

mod client;
mod configs;
mod damage;
mod describe_topic_partitions;
mod disk_full;
mod fetch;
mod fetch_sessions;
mod groups;
mod history;
mod lifecycle;
mod metrics;
mod produce;
mod protocol;
mod retention;
mod topics;
mod transactions;
