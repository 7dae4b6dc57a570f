//! MySQL and MariaDB as they are: real servers, which `tests/mysql/server` fetches and starts. Without them these tests fail.
#![allow(clippy::unwrap_used)]
mod describe;
mod log;
mod login;
mod servers;
mod sink;
mod statements;
