//! DeleteRecords (21): records before an offset are deleted; the new log start is durable before the answer.

use std::sync::Arc;

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking};
use crate::broker::BrokerState;
use crate::ids::Offset;

/// What a partition without an answer has as its first offset.
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Array(&[all(Kind::Fixed(4 + 8))])),
        ])),
        all(Kind::Fixed(4)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DeleteRecordsRequest = request.decode()?;
    Started::later(async move {
        let broker = Arc::clone(&request.broker);
        let response = blocking(move || delete(&broker, body)).await?;
        request.answer.reply(&response)
    })
}

fn delete(broker: &BrokerState, body: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut wanted = Vec::new();
    let mut refused = Vec::new();
    for asked in &body.topics {
        let topic = broker.topics.get(&asked.name);
        for partition in &asked.partitions {
            let log = topic
                .as_ref()
                .and_then(|t| t.partition(partition.partition_index));
            refused.push(match (&topic, log) {
                // What groups and transactions remember is not for clients to delete.
                (Some(topic), _) if topic.internal => Some(ErrorCode::InvalidTopicException),
                (_, None) => Some(ErrorCode::UnknownTopicOrPartition),
                (_, Some(log)) => {
                    wanted.push((Arc::clone(log), Offset(partition.offset)));
                    None
                }
            });
        }
    }
    // One write of the checkpoint for all of them.
    let mut deleted = broker.logs.delete_records(&wanted).into_iter();
    let mut refused = refused.into_iter();
    let topics = body.topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|partition| {
            let answer = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(NO_LOW_WATERMARK);
            if let Some(code) = refused.next().flatten() {
                return answer.with_error_code(code.code());
            }
            match deleted.next() {
                Some(Ok(low_watermark)) => answer.with_low_watermark(low_watermark.0),
                Some(Err(error)) => {
                    tracing::debug!(topic = asked.name.as_str(), partition = partition.partition_index, %error,
                        "records not deleted");
                    answer.with_error_code(ErrorCode::from(&error).code())
                }
                None => answer.with_error_code(ErrorCode::UnknownServerError.code()),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(partitions.collect())
            .with_name(asked.name.clone())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}
