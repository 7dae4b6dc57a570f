//! MySQL and MariaDB as they are: real servers, which `tests/mysql/server` fetches and starts. Without them these tests fail.
#![allow(clippy::unwrap_used)]
mod check;
mod ddl;
mod describe;
mod dump;
mod log;
mod login;
mod marks;
mod servers;
mod sink;
mod snapshot;
mod source;
mod statements;
