//! TxnOffsetCommit (28): a group's positions are stored as part of a transaction (KIP-98, KIP-447).
//!
//! Version 5 belongs to a newer transaction protocol (KIP-890, part two) and is not advertised.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started};
use crate::group::{self, GroupManager, OffsetToCommit, TransactionalCommit, TransactionalProducer};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicName, TopicPartition};

/// Stores the offsets of partitions that exist, and waits until they are durable; they count once the transaction
/// is committed.
pub async fn handle(
    manager: &GroupManager,
    partitions_of: impl Fn(&str) -> i32,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let counts: Vec<i32> = request
        .topics
        .iter()
        .map(|topic| partitions_of(topic.name.as_str()))
        .collect();
    let offsets = request.topics.iter().zip(&counts).flat_map(|(topic, count)| {
        let name = TopicName::from(topic.name.as_str());
        topic
            .partitions
            .iter()
            .filter(|p| (0..*count).contains(&p.partition_index))
            .map(move |partition| decode(name.clone(), partition))
    });
    let commit = TransactionalCommit {
        group: request.group_id.as_str().into(),
        producer: TransactionalProducer {
            transactional_id: request.transactional_id.as_str().into(),
            id: ProducerId(request.producer_id.0),
            epoch: ProducerEpoch(request.producer_epoch),
        },
        generation: request.generation_id,
        member_id: request.member_id.as_str().into(),
        instance: request.group_instance_id.as_ref().map(|id| id.as_str().into()),
        offsets: offsets.collect(),
    };
    let response = manager.commit_transactional(commit).await;
    let mut results = response.iter().flatten();
    let topics = request.topics.into_iter().zip(counts).map(|(topic, count)| {
        let mut code = |partition: i32| match &response {
            _ if !(0..count).contains(&partition) => ResponseError::UnknownTopicOrPartition.code(),
            Err(error) => error.code(),
            Ok(_) => results.next().map_or(0, group::result_code),
        };
        let partition = |p: &TxnOffsetCommitRequestPartition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(code(p.partition_index))
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn decode(topic: TopicName, partition: &TxnOffsetCommitRequestPartition) -> OffsetToCommit {
    let epoch = partition.committed_leader_epoch;
    let metadata = partition.committed_metadata.as_ref();
    OffsetToCommit {
        partition: TopicPartition::new(topic, partition.partition_index),
        offset: Offset(partition.committed_offset),
        leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
        metadata: metadata.map_or("", |text| text.as_str()).into(),
    }
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[
        all(Kind::Text),
        all(Kind::Text),
        all(Kind::Fixed(8)),
        all(Kind::Fixed(2)),
        since(3, Kind::Fixed(4)),
        since(3, Kind::Text),
        since(3, Kind::Text),
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Array(&[
                all(Kind::Fixed(4)),
                all(Kind::Fixed(8)),
                since(2, Kind::Fixed(4)),
                all(Kind::Text),
            ])),
        ])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: TxnOffsetCommitRequest = request.decode()?;
    Started::later(async move {
        let broker = &request.broker;
        let partitions_of = |topic: &str| broker.topics.partition_count(topic);
        request
            .answer
            .reply(&handle(&broker.groups, partitions_of, body).await)
    })
}
