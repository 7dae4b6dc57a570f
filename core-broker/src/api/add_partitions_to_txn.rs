//! AddPartitionsToTxn (24): partitions that a producer is about to write to become part of its transaction.
//!
//! Versions 4 and 5 are for brokers that ask each other, and for a newer transaction protocol (KIP-890, part two).

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::group::TransactionalProducer;
use crate::ids::{ProducerEpoch, ProducerId, TopicName, TopicPartition};
use crate::topic::internal;
use crate::transaction::TransactionManager;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(8)),
        all(Kind::Fixed(2)),
        all(Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))])),
    ],
};

/// First version whose clients know PRODUCER_FENCED.
pub(crate) const FENCED_SINCE: i16 = 2;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: AddPartitionsToTxnRequest = request.decode()?;
    Started::later(async move {
        let broker = &request.broker;
        let partitions_of = |topic: &str| broker.topics.partition_count(topic);
        let answer = handle(&broker.transactions, partitions_of, request.answer.version, body).await;
        request.answer.reply(&answer)
    })
}

/// Adds the partitions if every one of them exists; otherwise none.
pub(crate) async fn handle(
    manager: &TransactionManager,
    partitions_of: impl Fn(&str) -> i32,
    version: i16,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics;
    let count = |topic: &AddPartitionsToTxnTopic| match topic.name.as_str() {
        internal::TRANSACTION_STATE => 0,
        name => partitions_of(name),
    };
    let counts: Vec<i32> = topics.iter().map(count).collect();
    let named = topics.iter().zip(&counts);
    let all_exist = named
        .clone()
        .all(|(topic, count)| topic.partitions.iter().all(|p| (0..*count).contains(p)));
    let code = if all_exist {
        let partitions: Vec<TopicPartition> = named
            .clone()
            .flat_map(|(topic, _)| {
                let name = TopicName::from(topic.name.as_str());
                let of_topic = topic.partitions.iter();
                of_topic.map(move |p| TopicPartition::new(name.clone(), *p))
            })
            .collect();
        let producer = TransactionalProducer {
            transactional_id: request.v3_and_below_transactional_id.as_str().into(),
            id: ProducerId(request.v3_and_below_producer_id.0),
            epoch: ProducerEpoch(request.v3_and_below_producer_epoch),
        };
        match manager.add_partitions(&producer, &partitions).await {
            Ok(()) => NONE,
            Err(error) => {
                tracing::debug!(transactional_id = %producer.transactional_id, %error, "partitions not added");
                error.response_error_in(version, FENCED_SINCE).code()
            }
        }
    } else {
        ErrorCode::OperationNotAttempted.code()
    };
    let results = topics.iter().zip(&counts).map(|(topic, count)| {
        let partition = |index: &i32| {
            let exists = (0..*count).contains(index);
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(if exists {
                    code
                } else {
                    ErrorCode::UnknownTopicOrPartition.code()
                })
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}
