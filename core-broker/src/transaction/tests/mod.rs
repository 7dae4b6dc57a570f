//! The coordinator by tables, the manager over an in-memory log, and both over crashes.

mod log_store;
mod manager;
mod memory;
mod rules;
mod simulation;

use std::sync::Arc;

use super::coordinator::Producer;
use super::*;
use crate::group::TransactionalProducer;
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};

fn producer(id: i64, epoch: i16) -> Producer {
    Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
    }
}

fn named(transactional_id: &str, (id, epoch): (ProducerId, ProducerEpoch)) -> TransactionalProducer {
    TransactionalProducer {
        transactional_id: transactional_id.into(),
        id,
        epoch,
    }
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

fn request(transactional_id: &str) -> InitializeRequest {
    InitializeRequest {
        transactional_id: transactional_id.into(),
        timeout_ms: 1_000,
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
    }
}
