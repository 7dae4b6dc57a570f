//! What libraries in C can do and nobody offers in Rust: librdkafka's queues of single partitions, read in batches, and waiting until one
//! of several queues has something; producing to a topic without looking it up for each record; having the allocator give memory back.
//!
//! Owns: handles of queues and topics, and messages taken from queues. Does not own: clients; a handle is to be dropped before its client.
//!
//! This is the crate's only unsafe code. What it relies on: a message lives until it is destroyed, which is done once; a
//! queue's callback is called with the queue's lock held, and taking it away takes that lock too.
#![allow(unsafe_code)]
mod batch;
mod memory;
mod queue;
mod topic;

pub(crate) use batch::{Batch, Record};
pub(crate) use memory::give_back_freed;
pub(crate) use queue::{Bell, Queue};
pub(crate) use topic::ProducerTopic;
