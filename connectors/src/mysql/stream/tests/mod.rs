//! Logs of real servers, and logs that are made here event by event.
mod cuts;
mod made;
mod server;
mod transactions;
mod xa;
