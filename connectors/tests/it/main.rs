//! MySQL and MariaDB as they are: real servers, which `tests/mysql/server` fetches and starts. Without them these tests fail.
#![allow(clippy::unwrap_used)]
mod client;
mod describe;
mod log;
mod servers;
mod sink;
