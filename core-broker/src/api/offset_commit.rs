//! OffsetCommit (8): a group's positions are stored.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::shape::{Kind, Shape, all, since, until};
use super::{Fault, Request, Started};
use crate::group::{self, CommitRequest, GroupManager, OffsetToCommit};
use crate::ids::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition};

/// Stores the offsets of partitions that exist, and waits until they are durable.
pub async fn handle(
    manager: &GroupManager,
    partitions_of: impl Fn(&str) -> i32,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
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
    let commit = CommitRequest {
        group: request.group_id.as_str().into(),
        generation: request.generation_id_or_member_epoch,
        member_id: request.member_id.as_str().into(),
        instance: request.group_instance_id.as_ref().map(|id| id.as_str().into()),
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms >= 0),
        offsets: offsets.collect(),
    };
    let response = manager.commit(commit).await;
    let mut results = response.iter().flatten();
    let topics = request.topics.into_iter().zip(counts).map(|(topic, count)| {
        let mut code = |partition: i32| match &response {
            _ if !(0..count).contains(&partition) => ResponseError::UnknownTopicOrPartition.code(),
            Err(error) => error.code(),
            Ok(_) => results.next().map_or(0, group::result_code),
        };
        let partition = |p: &OffsetCommitRequestPartition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(code(p.partition_index))
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        OffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn decode(topic: TopicName, partition: &OffsetCommitRequestPartition) -> OffsetToCommit {
    let epoch = partition.committed_leader_epoch;
    OffsetToCommit {
        partition: TopicPartition {
            topic,
            partition: PartitionId(partition.partition_index),
        },
        offset: Offset(partition.committed_offset),
        leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
        metadata: partition
            .committed_metadata
            .as_ref()
            .map_or("", |text| text.as_str())
            .into(),
    }
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 8,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        all(Kind::Text),
        since(7, Kind::Text),
        until(4, Kind::Fixed(8)),
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Array(&[
                all(Kind::Fixed(4)),
                all(Kind::Fixed(8)),
                since(6, Kind::Fixed(4)),
                all(Kind::Text),
            ])),
        ])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: OffsetCommitRequest = request.decode()?;
    Started::later(async move {
        let broker = &request.broker;
        let partitions_of = |topic: &str| broker.topics.partition_count(topic);
        request
            .answer
            .reply(&handle(&broker.groups, partitions_of, body).await)
    })
}
