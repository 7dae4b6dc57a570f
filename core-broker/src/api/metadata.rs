//! Metadata (3): the broker, its topics and their partitions; creates topics that a client asks for.

use std::collections::HashSet;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, between, since};
use super::{Fault, Request, Started, blocking, operations, text};
use crate::broker::BrokerState;
use crate::ids::TopicId;
use crate::topic::{self, Overrides, Topic, TopicError, internal};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 9,
    fields: &[
        all(Kind::Array(&[since(10, Kind::Fixed(16)), all(Kind::Text)])),
        since(4, Kind::Fixed(1)),
        between(8, 10, Kind::Fixed(1)),
        since(8, Kind::Fixed(1)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: MetadataRequest = request.decode()?;
    let version = request.answer.version;
    let names = match &body.topics {
        None => None,
        Some(list) if list.is_empty() && version == 0 => None,
        Some(list) => Some(list),
    };
    let topic_operations = if body.include_topic_authorized_operations {
        operations::TOPIC
    } else {
        operations::NOT_ASKED
    };
    let cluster_operations = if body.include_cluster_authorized_operations {
        operations::CLUSTER
    } else {
        operations::NOT_ASKED
    };
    let node = BrokerId(request.broker.config.node_id);
    let (host, port) = request.broker.advertised(&request.peer);
    let mut response = MetadataResponse::default()
        .with_brokers(vec![
            MetadataResponseBroker::default()
                .with_node_id(node)
                .with_host(host)
                .with_port(port),
        ])
        .with_cluster_id(Some(request.broker.cluster_id.clone()))
        .with_controller_id(node)
        .with_cluster_authorized_operations(cluster_operations);
    let Some(names) = names else {
        let all = request.broker.topics.all();
        response.topics = all
            .iter()
            .map(|topic| describe(topic, node, topic_operations))
            .collect();
        return request.answer.ready(&response);
    };
    let missing = describe_named(&request.broker, names, topic_operations, &mut response.topics);
    let create = body.allow_auto_topic_creation && request.broker.config.auto_create_topics_enable;
    if missing.is_empty() || !create {
        return request.answer.ready(&response);
    }
    Started::later(async move {
        for (at, name) in missing {
            let broker = std::sync::Arc::clone(&request.broker);
            let created = blocking(move || create_topic(&broker, &name)).await?;
            match created {
                Ok(topic) => response.topics[at] = describe(&topic, node, topic_operations),
                Err(error) => response.topics[at].error_code = ErrorCode::from(&error).code(),
            }
        }
        request.answer.reply(&response)
    })
}

/// Describes each topic asked for; gives the places and names of those that do not exist.
fn describe_named(
    broker: &BrokerState,
    names: &[MetadataRequestTopic],
    operations: i32,
    topics: &mut Vec<MetadataResponseTopic>,
) -> Vec<(usize, StrBytes)> {
    let node = BrokerId(broker.config.node_id);
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    for asked in names {
        // As Kafka answers: each topic once. Repeated names would make a small request's answer large.
        if !seen.insert((&asked.name, asked.topic_id)) {
            continue;
        }
        let described = match find(broker, asked.name.as_ref(), asked.topic_id) {
            Ok(topic) => describe(&topic, node, operations),
            Err(unknown) => {
                if let Some(name) = &unknown.name {
                    missing.push((topics.len(), name.0.clone()));
                }
                unknown
            }
        };
        topics.push(described);
    }
    missing
}

/// Finds a topic by name or, from version 10 on, by id; what is not there comes back as its answer.
fn find(
    broker: &BrokerState,
    name: Option<&TopicName>,
    id: uuid::Uuid,
) -> Result<std::sync::Arc<Topic>, MetadataResponseTopic> {
    let unknown = |code: ErrorCode| {
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(name.cloned())
            .with_topic_id(id)
            .with_topic_authorized_operations(operations::NOT_ASKED)
    };
    match name {
        // Java's clients send an empty name with an id.
        Some(name) if id.is_nil() => match broker.topics.get(name) {
            Some(topic) => Ok(topic),
            None if topic::name::parse(name).is_err() => Err(unknown(ErrorCode::InvalidTopicException)),
            None => Err(unknown(ErrorCode::UnknownTopicOrPartition)),
        },
        _ => broker
            .topics
            .by_id(TopicId(id.into_bytes()))
            .ok_or_else(|| unknown(ErrorCode::UnknownTopicId).with_name(None)),
    }
}

fn create_topic(broker: &BrokerState, name: &StrBytes) -> Result<std::sync::Arc<Topic>, TopicError> {
    if &**name == internal::CONSUMER_OFFSETS {
        return internal::consumer_offsets(&broker.topics);
    }
    if &**name == internal::TRANSACTION_STATE {
        return internal::transaction_state(&broker.topics);
    }
    if topic::name::is_internal(name) {
        return Err(TopicError::Unknown(name.to_string()));
    }
    match broker.topics.create(name, None, Overrides::new()) {
        // Another client was faster.
        Err(TopicError::Exists(name)) => broker
            .topics
            .get(name.as_str())
            .ok_or_else(|| TopicError::Unknown(name.to_string())),
        created => created,
    }
}

fn describe(topic: &Topic, node: BrokerId, topic_operations: i32) -> MetadataResponseTopic {
    let count = topic.partitions().len() as i32;
    let partitions = (0..count).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(uuid::Uuid::from_bytes(topic.id.0))
        .with_is_internal(topic.internal)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(topic_operations)
}
