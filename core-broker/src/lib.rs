//! A minimal, crash-safe, single-node broker that speaks the Kafka wire protocol.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod group;
pub mod ids;
pub mod log;
