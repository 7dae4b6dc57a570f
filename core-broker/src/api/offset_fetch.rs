//! OffsetFetch (9): a group's stored positions are read; of several groups from v8 on.

use std::collections::HashSet;

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, all, between, since, until};
use super::{Fault, Request, Started};
use crate::group::{self, CommittedOffset, FetchOffsetsRequest, GroupError, GroupManager, TopicOffsets};
use crate::ids::TopicName;

/// First version that asks for several groups.
const GROUPS_VERSION: i16 = 8;
/// First version with an error code for the whole answer.
const TOP_ERROR_VERSION: i16 = 2;

/// Reads the offsets.
#[must_use]
pub fn handle(manager: &GroupManager, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if version >= GROUPS_VERSION {
        several(manager, request)
    } else {
        one(manager, version, request)
    }
}

fn one(manager: &GroupManager, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|t| (TopicName::from(t.name.as_str()), t.partition_indexes))
            .collect()
    });
    let fetch = FetchOffsetsRequest {
        group: request.group_id.as_str().into(),
        topics,
        require_stable: request.require_stable,
    };
    match manager.fetch_offsets(&fetch) {
        Ok(topics) => {
            OffsetFetchResponse::default().with_topics(topics.into_iter().map(encode_one).collect())
        }
        Err(error) if version >= TOP_ERROR_VERSION => {
            OffsetFetchResponse::default().with_error_code(error.code())
        }
        Err(error) => {
            let topic = |(topic, partitions): (TopicName, Vec<i32>)| {
                let refused = |partition| (partition, Err(error.clone()));
                let partitions = partitions.into_iter().map(refused).collect();
                encode_one(TopicOffsets { topic, partitions })
            };
            OffsetFetchResponse::default()
                .with_topics(fetch.topics.into_iter().flatten().map(topic).collect())
        }
    }
}

fn several(manager: &GroupManager, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut groups = Vec::new();
    // All offsets of a group once: they may be far larger than its name.
    let mut seen = HashSet::new();
    for group in request.groups {
        if group.topics.is_none() && !seen.insert(group.group_id.clone()) {
            continue;
        }
        let topics = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (TopicName::from(t.name.as_str()), t.partition_indexes))
                .collect()
        });
        let id = group.group_id.as_str().into();
        let fetch = FetchOffsetsRequest {
            group: id,
            topics,
            require_stable: request.require_stable,
        };
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
        groups.push(match manager.fetch_offsets(&fetch) {
            Ok(topics) => answer.with_topics(topics.into_iter().map(encode_of_several).collect()),
            Err(error) => answer.with_error_code(error.code()),
        });
    }
    OffsetFetchResponse::default().with_groups(groups)
}

/// Offset, leader epoch and metadata as they go over the wire.
fn stored(offset: Result<Option<CommittedOffset>, GroupError>) -> (i64, i32, Option<StrBytes>) {
    match offset.ok().flatten() {
        Some(stored) => (
            stored.offset.0,
            stored.leader_epoch.map_or(-1, |epoch| epoch.0),
            Some(StrBytes::from_string(stored.metadata.to_string())),
        ),
        None => (-1, -1, Some(StrBytes::default())),
    }
}

fn encode_one(topic: TopicOffsets) -> OffsetFetchResponseTopic {
    let partition = |(index, offset)| {
        let error_code = group::result_code(&offset);
        let (offset, epoch, metadata) = stored(offset);
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(metadata)
            .with_error_code(error_code)
    };
    OffsetFetchResponseTopic::default()
        .with_name(wire_name(&topic.topic))
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

fn encode_of_several(topic: TopicOffsets) -> OffsetFetchResponseTopics {
    let partition = |(index, offset)| {
        let error_code = group::result_code(&offset);
        let (offset, epoch, metadata) = stored(offset);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_error_code(error_code)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(metadata)
    };
    OffsetFetchResponseTopics::default()
        .with_name(wire_name(&topic.topic))
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

fn wire_name(topic: &TopicName) -> WireTopicName {
    WireTopicName(StrBytes::from_string(topic.to_string()))
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 6,
    fields: &[
        until(7, Kind::Text),
        until(7, Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))])),
        since(
            8,
            Kind::Array(&[
                all(Kind::Text),
                since(9, Kind::Text),
                since(9, Kind::Fixed(4)),
                between(8, 9, Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))])),
            ]),
        ),
        since(7, Kind::Fixed(1)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: OffsetFetchRequest = request.decode()?;
    request
        .answer
        .ready(&handle(&request.broker.groups, request.answer.version, body))
}
