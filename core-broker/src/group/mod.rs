//! Consumer groups: membership, rebalances and committed offsets.
//!
//! Why: a group's members must agree on who reads what, and its offsets must outlive them all. This is Kafka's
//! classic group protocol, complete with static members (KIP-345) and member ids handed out first (KIP-394).
//! Assignments and subscriptions are opaque, so eager and cooperative consumers and Connect workers all fit.
//!
//! A request comes in through `api/*` → [`GroupManager`] (lock, limits) → `coordinator` (the rules, without IO)
//! → effects → `shard` (answers, ordered writes) → [`OffsetsLog`] → back into the coordinator once durable.
//!
//! Owns: groups, their generations and members, committed offsets, those that an open transaction holds back,
//! `__consumer_offsets` and its records. Does not own: the topic's creation and files, sockets, the wire structs,
//! the course of transactions.
//! Invariants: what is answered is on disk; replaying the log gives the durable state; see `coordinator`.

mod config;
mod coordinator;
mod durable;
mod error;
mod join;
mod leave;
mod log_store;
mod manager;
mod member;
mod message;
mod names;
mod offsets;
mod partition;
mod rebalance;
mod record;
mod roster;
mod shard;
mod store;
mod sync;
mod time;
mod validate;

pub use config::GroupConfig;
pub use error::GroupError;
pub(crate) use error::result_code;
pub(crate) use log_store::{LogStore, TransactionVerifier};
pub use manager::GroupManager;
pub use message::*;
pub use names::{GroupId, InstanceId, MemberId};
pub use partition::partition_for;
pub use store::{KeyedRecord, LogWrite, OffsetsLog, Replayed, TransactionalProducer, Visit};

#[cfg(test)]
pub(crate) mod tests;
