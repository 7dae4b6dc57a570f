//! DescribeTopicPartitions (75): topics and their partitions in pages, for clients that would get too much at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::describe_topic_partitions_request::Cursor;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor as NextCursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use uuid::Uuid;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, operations, text};
use crate::broker::BrokerState;
use crate::topic::{self, Topic};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 0,
    fields: &[
        all(Kind::Array(&[all(Kind::Text)])),
        all(Kind::Fixed(4)),
        all(Kind::Optional(&[all(Kind::Text), all(Kind::Fixed(4))])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeTopicPartitionsRequest = request.decode()?;
    let response = describe(&request.broker, &body).unwrap_or_else(|Invalid| {
        let refused = body.topics.iter().map(|asked| {
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(ErrorCode::InvalidRequest.code())
                .with_name(Some(asked.name.clone()))
        });
        DescribeTopicPartitionsResponse::default().with_topics(refused.collect())
    });
    request.answer.ready(&response)
}

/// The cursor does not fit the list of topics.
#[derive(Debug)]
struct Invalid;

/// A topic that is described: as it is, or a name without topic.
enum Described {
    Known(Arc<Topic>),
    Unknown(TopicName),
}

impl Described {
    fn name(&self) -> TopicName {
        match self {
            Self::Known(topic) => TopicName(text(&topic.name)),
            Self::Unknown(name) => name.clone(),
        }
    }
}

fn describe(
    broker: &BrokerState,
    body: &DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, Invalid> {
    let node = BrokerId(broker.config.node_id);
    let limit = broker.config.max_request_partition_size_limit;
    let mut room = usize::try_from(body.response_partition_limit.min(limit)).map_or(1, |limit| limit.max(1));
    let (topics, first) = topics(broker, body)?;
    let mut response = DescribeTopicPartitionsResponse::default();
    for (at, described) in topics.into_iter().enumerate() {
        let from = if at == 0 { first } else { 0 };
        if room == 0 {
            response.next_cursor = Some(cursor(described.name(), 0));
            break;
        }
        match described {
            Described::Unknown(name) => response.topics.push(unknown(name)),
            Described::Known(topic) => {
                let count = topic.partitions().len();
                let end = count.min(from.saturating_add(room));
                response.topics.push(page(&topic, node, from..end));
                if end < count {
                    response.next_cursor = Some(cursor(TopicName(text(&topic.name)), end));
                    break;
                }
                room -= end.saturating_sub(from);
            }
        }
    }
    Ok(response)
}

/// The topics asked for from the cursor on, by name, and the partition of the first one to begin with.
fn topics(
    broker: &BrokerState,
    body: &DescribeTopicPartitionsRequest,
) -> Result<(Vec<Described>, usize), Invalid> {
    let start = match &body.cursor {
        None => None,
        Some(Cursor {
            topic_name,
            partition_index,
            ..
        }) => Some((
            topic_name,
            usize::try_from(*partition_index).map_err(|_| Invalid)?,
        )),
    };
    let reached = |name: &str| start.is_none_or(|(first, _)| name >= &***first);
    let topics: Vec<Described> = if body.topics.is_empty() {
        let all = broker.topics.all().into_iter();
        all.filter(|topic| reached(topic.name.as_str()))
            .map(Described::Known)
            .collect()
    } else {
        let names: BTreeSet<&TopicName> = body.topics.iter().map(|asked| &asked.name).collect();
        if start.is_some_and(|(first, _)| !names.contains(first)) {
            return Err(Invalid);
        }
        names
            .into_iter()
            .filter(|name| reached(name))
            .map(|name| match broker.topics.get(name) {
                Some(topic) => Described::Known(topic),
                None => Described::Unknown(name.clone()),
            })
            .collect()
    };
    // The topic of the cursor may have been deleted since the last page.
    let begins = topics.first().map(Described::name);
    let first = match (start, begins) {
        (Some((name, partition)), Some(begins)) if *name == begins => partition,
        _ => 0,
    };
    Ok((topics, first))
}

fn cursor(topic: TopicName, partition: usize) -> NextCursor {
    NextCursor::default()
        .with_topic_name(topic)
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX))
}

fn unknown(name: TopicName) -> DescribeTopicPartitionsResponseTopic {
    let code = match topic::name::parse(&name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_is_internal(topic::name::is_internal(&name))
        .with_name(Some(name))
        .with_topic_authorized_operations(operations::TOPIC)
}

fn page(
    topic: &Topic,
    node: BrokerId,
    range: std::ops::Range<usize>,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = range.map(|index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(node)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
            // Those that could lead although they are not in sync: none without replication.
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(Uuid::from_bytes(topic.id.0))
        .with_is_internal(topic.internal)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(operations::TOPIC)
}
