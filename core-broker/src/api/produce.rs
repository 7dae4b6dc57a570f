//! Produce (0): appends record batches and answers once they are durable.
//!
//! A record's way: the batch is a slice of the request's frame, goes to `Partition::append` without a copy, and
//! the answer waits for the high watermark. Appending happens when the request is started, waiting later, so
//! that the requests which a producer has in flight share one fsync.
//!
//! Versions: 3 and later. 0 to 2 are advertised because librdkafka switches compression off without them (its
//! check of version 0); whoever really sends them is refused by `produce_legacy`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since, until};
use super::{Fault, Request, Started, produce_legacy, text};
use crate::broker::BrokerState;
use crate::ids::{Offset, TopicId};
use crate::log::batch::RecordBatch;
use crate::log::{Appended, Origin, Partition};
use crate::topic::Topic;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 9,
    fields: &[
        since(3, Kind::Text),
        all(Kind::Fixed(2)),
        all(Kind::Fixed(4)),
        all(Kind::Array(&[
            until(12, Kind::Text),
            since(13, Kind::Fixed(16)),
            all(Kind::Array(&[all(Kind::Fixed(4)), all(Kind::Bytes)])),
        ])),
    ],
};

/// Least time to wait for the disk, whatever the client says: its timeout is meant for replicas, and a batch that
/// is reported as late although it is stored gets written twice.
const DISK_WAIT_MIN: Duration = Duration::from_secs(5);

/// Why one partition's batch was not appended.
struct Refusal {
    code: ErrorCode,
    reason: String,
}

/// A partition's answer that waits for the disk.
struct Waiting {
    topic: usize,
    partition: usize,
    log: Arc<Partition>,
    end: Offset,
}

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    if request.answer.version < 3 {
        return produce_legacy::refuse(&request);
    }
    let body: ProduceRequest = request.decode()?;
    let acknowledged = body.acks != 0;
    let refusal = refusal_of_all(&body);
    let mut response = ProduceResponse::default();
    let mut waiting = Vec::new();
    response.responses.reserve_exact(body.topic_data.len());
    for asked in body.topic_data {
        let topic = find(&request.broker, &asked, request.answer.version);
        let mut answer = TopicProduceResponse::default()
            .with_name(asked.name)
            .with_topic_id(asked.topic_id);
        answer
            .partition_responses
            .reserve_exact(asked.partition_data.len());
        for data in asked.partition_data {
            let appended = match &refusal {
                Some(refusal) => Err(Refusal {
                    code: refusal.code,
                    reason: refusal.reason.clone(),
                }),
                None => append(topic.as_deref(), data.index, data.records, request.answer.version),
            };
            let result = PartitionProduceResponse::default().with_index(data.index);
            let result = match appended {
                Ok((log, appended)) => {
                    let end = appended.last_offset.plus(1);
                    if acknowledged && log.high_watermark() < end {
                        let (topic, partition) = (response.responses.len(), answer.partition_responses.len());
                        waiting.push(Waiting {
                            topic,
                            partition,
                            log: Arc::clone(log),
                            end,
                        });
                    }
                    result
                        .with_base_offset(appended.base_offset.0)
                        .with_log_append_time_ms(appended.log_append_time.map_or(-1, |t| t.0))
                        .with_log_start_offset(appended.log_start_offset.0)
                }
                Err(refusal) if acknowledged => refused(result, refusal),
                Err(refusal) => {
                    let name = topic
                        .as_ref()
                        .map_or_else(|| answer.name.to_string(), |t| t.name.to_string());
                    let partition = format!("{name}-{}", data.index);
                    return Err(Fault::Unacknowledged {
                        partition,
                        reason: refusal.reason,
                    });
                }
            };
            answer.partition_responses.push(result);
        }
        response.responses.push(answer);
    }
    if !acknowledged {
        return Ok(Started::Silent);
    }
    if waiting.is_empty() {
        return request.answer.ready(&response);
    }
    let patience = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0)).max(DISK_WAIT_MIN);
    let answer = request.answer;
    Started::later(async move {
        wait(&mut response, waiting, patience).await;
        answer.reply(&response)
    })
}

/// What is wrong with the request as a whole.
fn refusal_of_all(body: &ProduceRequest) -> Option<Refusal> {
    if !matches!(body.acks, -1..=1) {
        let reason = format!("acks is {}, it must be -1, 0 or 1", body.acks);
        return Some(Refusal {
            code: ErrorCode::InvalidRequiredAcks,
            reason,
        });
    }
    let id = body.transactional_id.as_ref()?;
    let reason = format!(
        "transactional id {:?}: {}",
        &**id,
        super::find_coordinator::NO_TRANSACTIONS
    );
    Some(Refusal {
        code: ErrorCode::TransactionalIdAuthorizationFailed,
        reason,
    })
}

fn find(broker: &BrokerState, asked: &TopicProduceData, version: i16) -> Option<Arc<Topic>> {
    if version >= 13 {
        broker.topics.by_id(TopicId(asked.topic_id.into_bytes()))
    } else {
        broker.topics.get(&asked.name)
    }
}

fn append(
    topic: Option<&Topic>,
    partition: i32,
    records: Option<Bytes>,
    version: i16,
) -> Result<(&Arc<Partition>, Appended), Refusal> {
    let Some(topic) = topic else {
        let code = if version >= 13 {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        };
        return Err(Refusal {
            code,
            reason: "the topic does not exist".into(),
        });
    };
    if topic.internal {
        let reason = format!("only the broker writes to topic {}", topic.name);
        return Err(Refusal {
            code: ErrorCode::InvalidTopicException,
            reason,
        });
    }
    let Some(log) = topic.partition(partition) else {
        let reason = format!(
            "topic {} has partitions 0 to {}",
            topic.name,
            topic.partitions().len() - 1
        );
        return Err(Refusal {
            code: ErrorCode::UnknownTopicOrPartition,
            reason,
        });
    };
    let records = records.filter(|r| !r.is_empty()).ok_or_else(|| Refusal {
        code: ErrorCode::InvalidRecord,
        reason: "a produce request carries exactly one record batch for each partition, there is none".into(),
    })?;
    if RecordBatch::parse(&records).is_ok_and(|batch| batch.header().is_transactional()) {
        let reason = super::find_coordinator::NO_TRANSACTIONS.to_owned();
        return Err(Refusal {
            code: ErrorCode::InvalidTxnState,
            reason,
        });
    }
    match log.append(records, Origin::Client) {
        Ok(appended) => Ok((log, appended)),
        Err(error) => {
            tracing::debug!(partition = %log.topic_partition(), %error, "batch refused");
            Err(Refusal {
                code: ErrorCode::from(&error),
                reason: error.to_string(),
            })
        }
    }
}

/// Waits until every batch is durable; what is not is marked in the answer.
async fn wait(response: &mut ProduceResponse, waiting: Vec<Waiting>, patience: Duration) {
    let deadline = tokio::time::Instant::now() + patience;
    for one in waiting {
        let refusal = match tokio::time::timeout_at(deadline, one.log.wait_durable(one.end)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => Refusal {
                code: ErrorCode::from(&error),
                reason: error.to_string(),
            },
            Err(_) => Refusal {
                code: ErrorCode::RequestTimedOut,
                reason: format!(
                    "{} is not on disk after {} ms",
                    one.log.topic_partition(),
                    patience.as_millis()
                ),
            },
        };
        let results = response
            .responses
            .get_mut(one.topic)
            .map(|t| &mut t.partition_responses);
        if let Some(result) = results.and_then(|r| r.get_mut(one.partition)) {
            *result = refused(
                PartitionProduceResponse::default().with_index(result.index),
                refusal,
            );
        }
    }
}

fn refused(result: PartitionProduceResponse, refusal: Refusal) -> PartitionProduceResponse {
    result
        .with_error_code(refusal.code.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(Some(text(refusal.reason)))
}
