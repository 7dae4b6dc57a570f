//! The source: joins connection, stream, records and snapshots in a task of Connect.
mod backoff;
mod describe;
mod error;
mod link;
mod start;
mod tables;
