//! Group state in the partitions of `__consumer_offsets`.
//!
//! Owns: turning keyed records into batches and back; that offsets are only held back for a transaction that is
//! under way. Does not own: the topic (`topic::internal`), what the records mean (`group::record`), which
//! transactions there are (`transaction`).

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::error::GroupError;
use super::store::{KeyedRecord, LogWrite, OffsetsLog, Replayed, TransactionalProducer, Visit};
use crate::ids::{ProducerId, TopicPartition};
use crate::log::batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, RecordBatch};
use crate::log::{AppendError, Clock, Origin, Partition, Verification};
use crate::topic::keyed::for_each_batch;
use crate::topic::{Topic, TopicRegistry, internal};

/// Knows which partitions the transactions under way include: the transaction coordinator.
pub(crate) trait TransactionVerifier: Send + Sync {
    /// Refuses a partition that is not part of the producer's ongoing transaction. Must not wait for the disk.
    fn verify(
        &self,
        producer: &TransactionalProducer,
        partition: &TopicPartition,
    ) -> Result<(), (ResponseError, String)>;
}

/// The real store of group state.
pub(crate) struct LogStore {
    topics: Arc<TopicRegistry>,
    clock: Arc<dyn Clock>,
    /// Comes later than the store, because the transaction coordinator writes markers through it.
    verifier: OnceLock<Arc<dyn TransactionVerifier>>,
}

fn failed(error: impl std::fmt::Display) -> GroupError {
    GroupError::Storage {
        reason: error.to_string(),
    }
}

impl LogStore {
    /// A store in the topics of one broker.
    pub fn new(topics: Arc<TopicRegistry>, clock: Arc<dyn Clock>) -> Self {
        Self {
            topics,
            clock,
            verifier: OnceLock::new(),
        }
    }

    /// Names who knows the transactions under way; until then no offset can be part of one. Only the first call counts.
    pub fn verify_with(&self, verifier: Arc<dyn TransactionVerifier>) {
        // The first one stays: there is one transaction coordinator.
        let _ = self.verifier.set(verifier);
    }

    fn verify(&self, producer: &TransactionalProducer, log: &Partition) -> Result<(), GroupError> {
        let verified = match self.verifier.get() {
            Some(verifier) => verifier.verify(producer, log.topic_partition()),
            None => Err((
                ResponseError::InvalidTxnState,
                "no transaction is under way".to_owned(),
            )),
        };
        verified.map_err(|(error, reason)| GroupError::Transaction {
            producer: producer.id,
            error,
            reason,
        })
    }

    fn records(&self, mut batch: BatchBuilder, records: &[KeyedRecord]) -> Result<Bytes, GroupError> {
        let now = self.clock.now().0;
        for (key, value) in records {
            batch.push(now, Some(key), value.as_deref(), &[]);
        }
        batch.build().map_err(failed)
    }

    async fn topic(&self) -> Result<Arc<Topic>, GroupError> {
        if let Some(topic) = self.topics.get(internal::CONSUMER_OFFSETS) {
            return Ok(topic);
        }
        let topics = Arc::clone(&self.topics);
        let created = tokio::task::spawn_blocking(move || internal::consumer_offsets(&topics));
        created.await.map_err(failed)?.map_err(failed)
    }
}

#[async_trait]
impl OffsetsLog for LogStore {
    fn partition_count(&self) -> i32 {
        match self.topics.get(internal::CONSUMER_OFFSETS) {
            Some(topic) => topic.partitions().len() as i32,
            None => self.topics.broker().offsets_topic_num_partitions,
        }
    }

    async fn prepare(&self) -> Result<(), GroupError> {
        self.topic().await.map(drop)
    }

    async fn append(&self, partition: i32, write: LogWrite) -> Result<(), GroupError> {
        let topic = self.topic().await?;
        let log = topic
            .partition(partition)
            .ok_or_else(|| failed(format!("there is no partition {partition}")))?;
        let appended = match &write {
            LogWrite::Plain(records) => {
                let batch = self.records(BatchBuilder::new(), records)?;
                log.append(batch, Origin::Coordinator).map_err(failed)?
            }
            LogWrite::Transactional { producer, records } => {
                let guard = match log.verification(producer.id, producer.epoch) {
                    Verification::Needed(guard) => Some(guard),
                    Verification::NotNeeded => None,
                };
                self.verify(producer, log)?;
                // Without sequences: the coordinator does not send twice.
                let batch = BatchBuilder::new()
                    .producer(producer.id.0, producer.epoch.0, -1)
                    .transactional();
                let batch = self.records(batch, records)?;
                log.append_verified(
                    batch,
                    Origin::Coordinator,
                    guard,
                    &mut DECOMPRESSED_BYTES_MAX.clone(),
                )
                .map_err(|error| refused(producer.id, &error))?
            }
            LogWrite::Marker(marker) => log
                .append_marker(*marker)
                .map_err(|error| refused(marker.producer_id, &error))?,
        };
        log.wait_durable(appended.last_offset.plus(1))
            .await
            .map_err(failed)
    }

    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), GroupError> {
        let topic = self.topics.get(internal::CONSUMER_OFFSETS);
        match topic.as_ref().and_then(|topic| topic.partition(partition)) {
            Some(log) => for_each_batch(log, failed, |batch| replay_batch(batch, visit)),
            None => Ok(()),
        }
    }
}

/// A stale producer or coordinator is to blame itself; all else is the log's failure.
fn refused(producer: ProducerId, error: &AppendError) -> GroupError {
    let code = match error {
        AppendError::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::InvalidTransactionState { .. } => ResponseError::InvalidTxnState,
        AppendError::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
        _ => return failed(error),
    };
    GroupError::Transaction {
        producer,
        error: code,
        reason: error.to_string(),
    }
}

fn replay_batch(batch: &RecordBatch<'_>, visit: &mut Visit<'_>) -> Result<(), GroupError> {
    let header = batch.header();
    let producer = ProducerId(header.producer_id);
    let transaction = (header.is_transactional() && header.has_producer()).then_some(producer);
    if header.is_control() {
        return match batch.end_marker().map_err(failed)? {
            Some(end) => visit(Replayed::Marker {
                producer,
                commit: end.commit,
            }),
            None => Ok(()),
        };
    }
    let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)?;
    for record in records.iter() {
        let record = record.map_err(failed)?;
        let Some(key) = record.key else { continue };
        visit(Replayed::Record {
            key,
            value: record.value,
            transaction,
        })?;
    }
    Ok(())
}
