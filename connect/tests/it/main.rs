//! Tasks of sources and sinks on a real cluster, with connectors that do what a test wants.
//!
//! Each test has a broker of its own in this process. With `MILLSTREAM_TEST_BOOTSTRAP` set, all use the cluster there instead.
#![allow(clippy::unwrap_used)]
mod distributed;
mod harness;
mod logs;
mod plugins;
mod rest;
mod sink_cases;
mod sink_promises;
mod sinks;
mod source_cases;
mod sources;
mod stalls;
mod standalone;
