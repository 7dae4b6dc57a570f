//! Kafka Connect's REST API.
mod config;

pub use config::{HeaderAction, HeaderRule, RestConfig};
