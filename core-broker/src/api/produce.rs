//! Produce (0): appends record batches and answers once they are durable.
//!
//! A record's way: the batch is a slice of the request's frame, goes to `Partition::append` without a copy, and
//! the answer waits for the high watermark. Appending happens when the request is started, waiting later, so
//! that the requests which a producer has in flight share one fsync.
//!
//! Versions: 3 and later. 0 to 2 are advertised because librdkafka switches compression off without them (its
//! check of version 0); whoever really sends them is refused by `produce_legacy`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TransactionalId};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since, until};
use super::{Fault, Request, Started, in_place, produce_legacy, text};
use crate::broker::BrokerState;
use crate::ids::{Offset, ProducerEpoch, ProducerId, TopicId};
use crate::log::batch::{BatchError, BatchHeader, Compression, RecordBatch};
use crate::log::{AppendError, Appended, Origin, Partition, Verification, VerificationGuard};
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

/// Most bytes that the batches of one request may decompress to: what a request of full batches needs, and no more
/// than a second of work.
const DECOMPRESSED_BYTES_MAX: usize = 512 << 20;
/// Compressed batches up to this are first tried on the connection's own thread.
const INLINE_COMPRESSED_BYTES_MAX: usize = 64 << 10;
/// How far they are decompressed there.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// Why one partition's batch was not appended.
#[derive(Clone)]
struct Refusal {
    code: ErrorCode,
    reason: String,
    /// The records at fault, by their places in the batch, if it is not the whole.
    records: Vec<i32>,
}

impl Refusal {
    fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            records: Vec::new(),
        }
    }

    fn of(error: AppendError) -> Self {
        let refusal = Self::new(ErrorCode::from(&error), error.to_string());
        match error {
            AppendError::TimestampOutOfRange { records, .. } => Self { records, ..refusal },
            _ => refusal,
        }
    }
}

/// A partition's answer that waits for the disk.
struct Waiting {
    topic: usize,
    partition: usize,
    log: Arc<Partition>,
    end: Offset,
}

/// Kafka's number of the API.
const KEY: i16 = 0;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    if request.answer.version < 3 {
        return produce_legacy::refuse(&request);
    }
    let body: ProduceRequest = request.decode()?;
    let acknowledged = body.acks != 0;
    let mut appending = Appending::new(&request.broker, &body, request.answer.version);
    let mut response = ProduceResponse::default();
    let mut waiting = Vec::new();
    response.responses.reserve_exact(body.topic_data.len());
    for asked in body.topic_data {
        let topic = appending.find(&asked);
        let mut answer = TopicProduceResponse::default()
            .with_name(asked.name)
            .with_topic_id(asked.topic_id);
        answer
            .partition_responses
            .reserve_exact(asked.partition_data.len());
        for data in asked.partition_data {
            let result = PartitionProduceResponse::default().with_index(data.index);
            let appended = appending.append(topic.as_deref(), data.index, data.records);
            let result = match appended.inspect_err(|_| request.broker.metrics.refused_partition(KEY)) {
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
        return Some(Refusal::new(ErrorCode::InvalidRequiredAcks, reason));
    }
    None
}

/// The batches of one request on their way into the logs.
struct Appending<'a> {
    broker: &'a BrokerState,
    by_id: bool,
    /// Whose transaction the batches are part of.
    transactional_id: Option<TransactionalId>,
    /// What all of them are answered.
    refusal: Option<Refusal>,
    /// Partitions so far, if the request has more than one.
    seen: Option<HashSet<(TopicId, i32)>>,
    /// What may still be decompressed.
    budget: usize,
}

impl<'a> Appending<'a> {
    fn new(broker: &'a BrokerState, body: &ProduceRequest, version: i16) -> Self {
        let partitions: usize = body.topic_data.iter().map(|t| t.partition_data.len()).sum();
        Self {
            broker,
            by_id: version >= 13,
            transactional_id: body.transactional_id.clone(),
            refusal: refusal_of_all(body),
            seen: (partitions > 1).then(HashSet::new),
            budget: DECOMPRESSED_BYTES_MAX,
        }
    }

    fn find(&self, asked: &TopicProduceData) -> Option<Arc<Topic>> {
        if self.by_id {
            self.broker.topics.by_id(TopicId(asked.topic_id.into_bytes()))
        } else {
            self.broker.topics.get(&asked.name)
        }
    }

    fn append<'t>(
        &mut self,
        topic: Option<&'t Topic>,
        partition: i32,
        records: Option<Bytes>,
    ) -> Result<(&'t Arc<Partition>, Appended), Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let log = self.log(topic, partition)?;
        let records = records.filter(|r| !r.is_empty()).ok_or_else(|| {
            let reason =
                "a produce request carries exactly one record batch for each partition, there is none";
            Refusal::new(ErrorCode::InvalidRecord, reason)
        })?;
        let header = RecordBatch::parse(&records).ok().map(|batch| *batch.header());
        let guard = match header.filter(|header| header.is_transactional() && !header.is_control()) {
            Some(header) => self.verify(log, &header)?,
            None => None,
        };
        let compressed = header.is_some_and(|header| header.compression() != Ok(Compression::None))
            || log.config().compression.is_some();
        let appended = if compressed {
            self.append_compressed(log, records, guard)
        } else {
            log.append_verified(records, Origin::Client, guard, &mut self.budget)
        };
        appended.map(|appended| (log, appended)).map_err(|error| {
            tracing::debug!(partition = %log.topic_partition(), %error, "batch refused");
            Refusal::of(error)
        })
    }

    /// The transaction coordinator's word, if a batch would begin a transaction in the partition: a late batch of a
    /// transaction that has ended must not (KIP-890).
    fn verify(&self, log: &Partition, header: &BatchHeader) -> Result<Option<VerificationGuard>, Refusal> {
        let (id, epoch) = (
            ProducerId(header.producer_id),
            ProducerEpoch(header.producer_epoch),
        );
        let Some(transactional_id) = &self.transactional_id else {
            let reason = "records of a transaction need the transactional id in the request";
            return Err(Refusal::new(
                ErrorCode::TransactionalIdAuthorizationFailed,
                reason,
            ));
        };
        let Verification::Needed(guard) = log.verification(id, epoch) else {
            return Ok(None);
        };
        let transactions = &self.broker.transactions;
        let verified = transactions.verify_now(transactional_id, id, epoch, log.topic_partition());
        verified.map_err(|error| {
            let code = match error.write_error() {
                // Producers try again on this one, and not on the others.
                ErrorCode::ConcurrentTransactions
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
                code => code,
            };
            Refusal::new(code, error.to_string())
        })?;
        Ok(Some(guard))
    }

    /// The log of a partition that clients may write to, the first time it is asked for.
    fn log<'t>(&mut self, topic: Option<&'t Topic>, partition: i32) -> Result<&'t Arc<Partition>, Refusal> {
        let Some(topic) = topic else {
            let code = match self.by_id {
                true => ErrorCode::UnknownTopicId,
                false => ErrorCode::UnknownTopicOrPartition,
            };
            return Err(Refusal::new(code, "the topic does not exist"));
        };
        if topic.internal {
            let reason = format!("only the broker writes to topic {}", topic.name);
            return Err(Refusal::new(ErrorCode::InvalidTopicException, reason));
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert((topic.id, partition))
        {
            let reason = format!("the request names {}-{partition} more than once", topic.name);
            return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
        }
        topic.partition(partition).ok_or_else(|| {
            let last = topic.partitions().len() - 1;
            let reason = format!("topic {} has partitions 0 to {last}", topic.name);
            Refusal::new(ErrorCode::UnknownTopicOrPartition, reason)
        })
    }

    /// Small batches are checked at once; what takes longer must not hold up other connections.
    fn append_compressed(
        &mut self,
        log: &Partition,
        records: Bytes,
        guard: Option<VerificationGuard>,
    ) -> Result<Appended, AppendError> {
        if records.len() <= INLINE_COMPRESSED_BYTES_MAX {
            let room = self.budget.min(INLINE_BYTES_MAX);
            let mut left = room;
            match log.append_verified(records.clone(), Origin::Client, guard, &mut left) {
                Err(AppendError::InvalidRecord {
                    source: BatchError::TooLargeDecompressed { .. },
                    ..
                }) if room < self.budget => {}
                done => {
                    self.budget -= room - left;
                    return done;
                }
            }
        }
        in_place(|| log.append_verified(records, Origin::Client, guard, &mut self.budget))
    }
}

/// Waits until every batch is durable; what is not is marked in the answer.
async fn wait(response: &mut ProduceResponse, waiting: Vec<Waiting>, patience: Duration) {
    let deadline = tokio::time::Instant::now() + patience;
    for one in waiting {
        let refusal = match tokio::time::timeout_at(deadline, one.log.wait_durable(one.end)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => Refusal::new(ErrorCode::from(&error), error.to_string()),
            Err(_) => Refusal::new(
                ErrorCode::RequestTimedOut,
                format!(
                    "{} is not on disk after {} ms",
                    one.log.topic_partition(),
                    patience.as_millis()
                ),
            ),
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
    let record = |place: i32| BatchIndexAndErrorMessage::default().with_batch_index(place);
    result
        .with_record_errors(refusal.records.into_iter().map(record).collect())
        .with_error_code(refusal.code.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(Some(text(refusal.reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::BatchBuilder;

    fn compressed(bytes: usize) -> Bytes {
        let mut batch = BatchBuilder::new();
        batch.push(1, None, Some(&vec![0; bytes]), &[]);
        batch.build_compressed(Compression::Zstd)
    }

    /// A few kilobytes can decompress to gigabytes: the batches of a request share one limit.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_request_decompresses_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let broker = super::super::tests::state(dir.path());
        let topic = broker
            .topics
            .create("t", Some(5), crate::topic::Overrides::new())
            .unwrap();
        let mut appending = Appending::new(&broker, &ProduceRequest::default(), 9);
        appending.budget = 5 << 20;
        let mut put = |partition, bytes| {
            let appended = appending.append(Some(&topic), partition, Some(compressed(bytes)));
            let code = appended.map(drop).map_err(|refusal| refusal.code);
            (code, appending.budget)
        };
        // In place, on a thread that may take its time, and at last not at all.
        let (small, left) = put(0, 1000);
        assert_eq!(small, Ok(()));
        assert!((4 << 20..5 << 20).contains(&left), "{left}");
        let (large, left) = put(1, 3 << 20);
        assert_eq!(large, Ok(()));
        assert!((1 << 20..2 << 20).contains(&left), "{left}");
        assert_eq!(put(2, 3 << 20), (Err(ErrorCode::MessageTooLarge), 0));
        assert_eq!(put(3, 10), (Err(ErrorCode::MessageTooLarge), 0));
    }
}
