//! Logs of real servers, and logs that are made here event by event.
mod cuts;
pub(in crate::mysql) mod made;
mod server;
mod transactions;
mod xa;
