//! CreatePartitions (37): raises the number of partitions of a topic.

use std::sync::Arc;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Fixed(4)),
            all(Kind::Array(&[all(Kind::FixedArray(4))])),
        ])),
        all(Kind::Fixed(4)),
        all(Kind::Fixed(1)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: CreatePartitionsRequest = request.decode()?;
    Started::later(async move {
        let mut response = CreatePartitionsResponse::default();
        for topic in body.topics {
            let broker = Arc::clone(&request.broker);
            let validate_only = body.validate_only;
            response
                .results
                .push(blocking(move || add(&broker, topic, validate_only)).await?);
        }
        request.answer.reply(&response)
    })
}

fn add(
    broker: &BrokerState,
    asked: CreatePartitionsTopic,
    validate_only: bool,
) -> CreatePartitionsTopicResult {
    let result = CreatePartitionsTopicResult::default().with_name(asked.name.clone());
    let refused = |code: ErrorCode, message: String| {
        result
            .clone()
            .with_error_code(code.code())
            .with_error_message(Some(text(message)))
    };
    if let Some(topic) = broker.topics.get(&asked.name) {
        if topic.internal {
            return refused(
                ErrorCode::InvalidTopicException,
                format!("topic {} belongs to the broker", topic.name),
            );
        }
        let node = broker.config.node_id;
        let added = i64::from(asked.count) - topic.partitions().len() as i64;
        if let Some(assignments) = &asked.assignments {
            let here = |a: &Vec<kafka_protocol::messages::BrokerId>| a.len() == 1 && a[0].0 == node;
            if assignments.len() as i64 != added || !assignments.iter().all(|a| here(&a.broker_ids)) {
                let message = format!("the assignment must name broker {node} once for each new partition");
                return refused(ErrorCode::InvalidReplicaAssignment, message);
            }
        }
    }
    match broker
        .topics
        .add_partitions(&asked.name, asked.count, validate_only)
    {
        Ok(()) => result,
        Err(error) => refused(ErrorCode::from(&error), error.to_string()),
    }
}
