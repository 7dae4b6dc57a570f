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

/// Deletes the offsets of topics that exist.
pub async fn handle(
    manager: &GroupManager,
    topic_exists: impl Fn(&str) -> bool,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let exists: Vec<bool> = request
        .topics
        .iter()
        .map(|topic| topic_exists(topic.name.as_str()))
        .collect();
    let known = request.topics.iter().zip(&exists).filter(|(_, exists)| **exists);
    let partitions: Vec<TopicPartition> = known
        .flat_map(|(topic, _)| {
            let name = TopicName::from(topic.name.as_str());
            topic
                .partitions
                .iter()
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
    let topics = request.topics.into_iter().zip(exists).map(|(topic, exists)| {
        let partition = |p: &OffsetDeleteRequestPartition| {
            let code = match exists {
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
        let exists = |topic: &str| broker.topics.get(topic).is_some();
        request.answer.reply(&handle(&broker.groups, exists, body).await)
    })
}
