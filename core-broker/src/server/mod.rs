//! The network side: listener → connection → frame → header → `api` → reply → sink → outlet.
//!
//! Why: every limit on what a peer can make the broker do stands in this folder. Owns: sockets, framing, the order
//! of answers, idle and stalled peers, the budget of request bytes. Does not own: what a request means (`api`).
//!
//! Invariants: answers leave in request order; no peer makes memory grow by a claimed number; a peer that breaks the
//! protocol loses its connection and nothing else.

pub(crate) mod admission;
pub(crate) mod budget;
mod connection;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod limits;
pub(crate) mod listener;
mod outlet;
mod page_cache;
pub(crate) mod reply;
mod sink;
pub(crate) mod warnings;

pub(crate) use connection::Peer;
