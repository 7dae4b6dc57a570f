//! OffsetDelete (47): single offsets of a group are removed (KIP-496).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestPartition;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::group::{self, GroupManager};
use crate::ids::{TopicName, TopicPartition};

/// Deletes the offsets of partitions that exist.
pub async fn handle(
    manager: &GroupManager,
    partitions_of: impl Fn(&str) -> i32,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let counts: Vec<i32> = request
        .topics
        .iter()
        .map(|topic| partitions_of(topic.name.as_str()))
        .collect();
    let partitions: Vec<TopicPartition> = request
        .topics
        .iter()
        .zip(&counts)
        .flat_map(|(topic, count)| {
            let name = TopicName::from(topic.name.as_str());
            topic
                .partitions
                .iter()
                .filter(|p| (0..*count).contains(&p.partition_index))
                .map(move |p| TopicPartition::new(name.clone(), p.partition_index))
        })
        .collect();
    let results = match manager
        .delete_offsets(&request.group_id.as_str().into(), &partitions)
        .await
    {
        Ok(results) => results,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let mut results = results.iter();
    let topics = request.topics.into_iter().zip(counts).map(|(topic, count)| {
        let partition = |p: &OffsetDeleteRequestPartition| {
            let code = match (0..count).contains(&p.partition_index) {
                true => results.next().map_or(0, group::result_code),
                false => ResponseError::UnknownTopicOrPartition.code(),
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(code)
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: i16::MAX,
    fields: &[
        all(Kind::Text),
        all(Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: OffsetDeleteRequest = request.decode()?;
    Started::later(async move {
        let broker = &request.broker;
        let partitions_of = |topic: &str| broker.topics.partition_count(topic);
        request
            .answer
            .reply(&handle(&broker.groups, partitions_of, body).await)
    })
}
