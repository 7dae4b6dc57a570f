//! A minimal, crash-safe, single-node broker that speaks the Kafka wire protocol.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ids;
pub mod log;
