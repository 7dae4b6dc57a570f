//! DeleteTopics (20): by name or, from version 6 on, by id.

use std::sync::Arc;

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since, until};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;
use crate::ids::{TopicId, TopicName as Name};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        since(6, Kind::Array(&[all(Kind::Text), all(Kind::Fixed(16))])),
        until(5, Kind::TextArray),
        all(Kind::Fixed(4)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DeleteTopicsRequest = request.decode()?;
    Started::later(async move {
        let named = body
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState::default().with_name(Some(name)));
        let mut response = DeleteTopicsResponse::default();
        for topic in named.chain(body.topics) {
            let broker = Arc::clone(&request.broker);
            let (result, deleted) = blocking(move || delete(&broker, topic)).await?;
            // A topic of the same name must not be read from the old one's offsets.
            if let Some(topic) = deleted
                && let Err(error) = request.broker.groups.forget_topic(&topic).await
            {
                tracing::warn!(%topic, %error, "offsets of the deleted topic stay until the next start");
            }
            response.responses.push(result);
        }
        request.answer.reply(&response)
    })
}

/// The answer, and the topic's name if it was deleted.
fn delete(broker: &BrokerState, asked: DeleteTopicState) -> (DeletableTopicResult, Option<Name>) {
    let result = DeletableTopicResult::default()
        .with_name(asked.name.clone())
        .with_topic_id(asked.topic_id);
    let refused = |result: DeletableTopicResult, code: ErrorCode, message: String| {
        let result = result
            .with_error_code(code.code())
            .with_error_message(Some(text(message)));
        (result, None)
    };
    if !broker.config.delete_topic_enable {
        return refused(
            result,
            ErrorCode::TopicDeletionDisabled,
            "delete.topic.enable is false".into(),
        );
    }
    let topic = match &asked.name {
        Some(name) => broker.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        None => {
            let id = TopicId(asked.topic_id.into_bytes());
            broker.topics.by_id(id).ok_or(ErrorCode::UnknownTopicId)
        }
    };
    let topic = match topic {
        Ok(topic) => topic,
        Err(code) => return refused(result, code, "the topic does not exist".into()),
    };
    let result = result
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(uuid::Uuid::from_bytes(topic.id.0));
    if topic.internal {
        let message = format!("topic {} belongs to the broker", topic.name);
        return refused(result, ErrorCode::InvalidTopicException, message);
    }
    match broker.topics.delete(topic.name.as_str()) {
        Ok(()) => (result, Some(topic.name.clone())),
        Err(error) => refused(result, ErrorCode::from(&error), error.to_string()),
    }
}
