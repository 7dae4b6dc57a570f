//! What Millstream's streams and connectors need of librdkafka and its binding does not offer: partitions read in batches, waiting until
//! one of several queues has something, producing to a topic without looking it up for each record; and having the allocator give
//! memory back.
//!
//! Owns: handles of queues and topics, and messages taken from queues. Does not own: clients. What is safe here is so under one rule
//! that the types do not enforce: **a queue or a topic is dropped before its client** ([`BatchConsumer`] keeps it by itself).
//!
//! This is the only unsafe code of streams and connect. What it relies on: a message lives until it is destroyed, which is done once; a
//! queue's callback is called with the queue's lock held, and taking it away takes that lock too.
#![allow(unsafe_code)]
mod batch;
mod consumer;
mod group;
mod members;
mod memory;
mod queue;
mod topic;

pub use batch::{Batch, HeaderLookup, Record};
pub use consumer::BatchConsumer;
pub use group::delete_group_offsets;
pub use members::{GroupMember, GroupMembers, group_members};
pub use memory::give_back_freed;
pub use queue::{Bell, Queue};
pub use topic::{ProducerTopic, Queued};
