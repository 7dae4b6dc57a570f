//! DescribeProducers (61): which producers a partition remembers, and where their transactions began (KIP-664).

use std::collections::HashSet;

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::log::{Partition, ProducerInfo};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 0,
    fields: &[all(Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))]))],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeProducersRequest = request.decode()?;
    let mut seen = HashSet::new();
    let topics = body.topics.into_iter().map(|mut asked| {
        let topic = request.broker.topics.get(&asked.name);
        // Each once: a partition's answer may be far larger than its number.
        asked
            .partition_indexes
            .retain(|index| seen.insert((asked.name.clone(), *index)));
        let describe_one = |index: &i32| {
            let log = topic.as_ref().and_then(|topic| topic.partition(*index));
            describe(*index, log.map(AsRef::as_ref))
        };
        let partitions = asked.partition_indexes.iter().map(describe_one).collect();
        TopicResponse::default()
            .with_name(asked.name)
            .with_partitions(partitions)
    });
    let response = DescribeProducersResponse::default().with_topics(topics.collect());
    request.answer.ready(&response)
}

fn describe(index: i32, log: Option<&Partition>) -> PartitionResponse {
    let answer = PartitionResponse::default().with_partition_index(index);
    let Some(log) = log else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    let state = |producer: ProducerInfo| {
        ProducerState::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(i32::from(producer.producer_epoch))
            .with_last_sequence(producer.last_sequence)
            .with_last_timestamp(producer.last_timestamp)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction_start)
    };
    answer.with_active_producers(log.producers().into_iter().map(state).collect())
}
