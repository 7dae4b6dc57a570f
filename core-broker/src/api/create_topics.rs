//! CreateTopics (19).

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::describe_configs::topic_value;
use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;
use crate::topic::config::TOPIC_KEYS;
use crate::topic::{Overrides, TopicError, name};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 5,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Fixed(4)),
            all(Kind::Fixed(2)),
            all(Kind::Array(&[all(Kind::Fixed(4)), all(Kind::FixedArray(4))])),
            all(Kind::Array(&[all(Kind::Text), all(Kind::Text)])),
        ])),
        all(Kind::Fixed(4)),
        all(Kind::Fixed(1)),
    ],
};

struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::new(ErrorCode::from(&error), error.to_string())
    }
}

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: CreateTopicsRequest = request.decode()?;
    Started::later(async move {
        let mut times: HashMap<_, u32> = HashMap::new();
        for topic in &body.topics {
            *times.entry(topic.name.clone()).or_default() += 1;
        }
        let mut response = CreateTopicsResponse::default();
        for topic in body.topics {
            let repeated = match times.get_mut(&topic.name) {
                // Answered once, when it first came.
                Some(0) => continue,
                Some(count) => std::mem::take(count) > 1,
                None => false,
            };
            if repeated {
                let message = "the topic is there more than once in the request";
                let refusal = Refusal::new(ErrorCode::InvalidRequest, message);
                response.topics.push(refused(
                    CreatableTopicResult::default().with_name(topic.name),
                    refusal,
                ));
                continue;
            }
            let broker = Arc::clone(&request.broker);
            let validate_only = body.validate_only;
            response
                .topics
                .push(blocking(move || create(&broker, topic, validate_only)).await?);
        }
        request.answer.reply(&response)
    })
}

fn create(broker: &BrokerState, topic: CreatableTopic, validate_only: bool) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic.name.clone());
    match try_create(broker, &topic, validate_only, result.clone()) {
        Ok(result) => result,
        Err(refusal) => refused(result, refusal),
    }
}

fn try_create(
    broker: &BrokerState,
    topic: &CreatableTopic,
    validate_only: bool,
    result: CreatableTopicResult,
) -> Result<CreatableTopicResult, Refusal> {
    if name::is_internal(&topic.name) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            format!(
                "topic {} is created by the broker itself when it is needed",
                &*topic.name
            ),
        ));
    }
    let partitions = partitions(broker, topic)?;
    let mut overrides = Overrides::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("topic config {} has no value", &*config.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        };
        if overrides
            .insert(config.name.to_string(), value.to_string())
            .is_some()
        {
            let message = format!("topic config {} is given twice", &*config.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
    }
    let (count, id, overrides) = if validate_only {
        broker.topics.check_new(&topic.name, partitions, &overrides)?;
        (
            partitions.unwrap_or(broker.config.num_partitions),
            [0; 16],
            overrides,
        )
    } else {
        let created = broker.topics.create(&topic.name, partitions, overrides)?;
        (
            created.partitions().len() as i32,
            created.id.0,
            created.overrides.clone(),
        )
    };
    let configs = TOPIC_KEYS.iter().map(|key| {
        let (value, source) = topic_value(broker, &overrides, key);
        CreatableTopicConfigs::default()
            .with_name(text(key.name))
            .with_value(Some(text(value)))
            .with_config_source(source)
    });
    Ok(result
        .with_error_message(None)
        .with_topic_id(uuid::Uuid::from_bytes(id))
        .with_num_partitions(count)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect())))
}

/// The number of partitions asked for: by count, by assignment, or the default.
fn partitions(broker: &BrokerState, topic: &CreatableTopic) -> Result<Option<i32>, Refusal> {
    let node = broker.config.node_id;
    if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | 1) {
            let message = format!(
                "replication factor {}: this is a single node, use 1 or -1",
                topic.replication_factor
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        return Ok((topic.num_partitions != -1).then_some(topic.num_partitions));
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "with an assignment, partitions and replication factor must both be -1";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
    indexes.sort_unstable();
    let whole = indexes
        .iter()
        .zip(0..)
        .all(|(index, expected)| *index == expected);
    let here = topic
        .assignments
        .iter()
        .all(|a| a.broker_ids.len() == 1 && a.broker_ids[0].0 == node);
    if !whole || !here {
        let message = format!(
            "an assignment must name partitions 0, 1, … once each, with broker {node} as only replica"
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(Some(i32::try_from(indexes.len()).unwrap_or(i32::MAX)))
}

fn refused(result: CreatableTopicResult, refusal: Refusal) -> CreatableTopicResult {
    result
        .with_error_code(refusal.code.code())
        .with_error_message(Some(text(refusal.message)))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}
