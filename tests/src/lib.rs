//! What the end-to-end tests and the long harnesses share: running the release binary as a user would, foreign clients,
//! texts to count, independent counts, and the fault harnesses themselves.
//!
//! Nothing here links the crates under test: everything goes through processes and sockets.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test's helper fails by panicking"
)]

pub mod broker;
pub mod cluster;
pub mod connect_worker;
pub mod corpus;
pub mod count;
pub mod kill_connect;
pub mod kill_mysql;
pub mod kill_rounds;
pub mod kill_streams;
pub mod large_files;
pub mod mysql;
pub mod nexmark;
pub mod program;
pub mod random;
pub mod stream_latency;
