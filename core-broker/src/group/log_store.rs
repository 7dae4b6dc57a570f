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
use crate::ids::{Offset, ProducerId, TopicPartition};
use crate::log::batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, RecordBatch, RecordBatches};
use crate::log::{AppendError, Clock, Origin, Partition};
use crate::topic::{Topic, TopicRegistry, internal};
use crate::transaction::TransactionMarker;

/// Bytes of the log read at a time when group state is replayed.
const REPLAY_BYTES: usize = 4 << 20;

/// Types of control records: how a transaction ended.
const ABORT_MARKER: i16 = 0;
const COMMIT_MARKER: i16 = 1;

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
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the transaction coordinator calls it when it starts")
    )]
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

    fn marker(&self, marker: &TransactionMarker) -> Result<Bytes, GroupError> {
        let kind = if marker.commit {
            COMMIT_MARKER
        } else {
            ABORT_MARKER
        };
        let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
        let value = [&0_i16.to_be_bytes()[..], &marker.coordinator_epoch.to_be_bytes()].concat();
        let mut batch = BatchBuilder::new()
            .producer(marker.producer_id.0, marker.producer_epoch.0, -1)
            .transactional()
            .control();
        batch.push(self.clock.now().0, Some(&key), Some(&value), &[]);
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
        let (batch, producer) = match &write {
            LogWrite::Plain(records) => (self.records(BatchBuilder::new(), records)?, None),
            LogWrite::Transactional { producer, records } => {
                self.verify(producer, log)?;
                // Without sequences: the coordinator does not send twice.
                let batch = BatchBuilder::new()
                    .producer(producer.id.0, producer.epoch.0, -1)
                    .transactional();
                (self.records(batch, records)?, Some(producer.id))
            }
            LogWrite::Marker(marker) => (self.marker(marker)?, Some(marker.producer_id)),
        };
        let appended = log
            .append(batch, Origin::Coordinator)
            .map_err(|error| refused(producer, &error))?;
        log.wait_durable(appended.last_offset.plus(1))
            .await
            .map_err(failed)
    }

    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), GroupError> {
        let topic = self.topics.get(internal::CONSUMER_OFFSETS);
        match topic.as_ref().and_then(|topic| topic.partition(partition)) {
            Some(log) => replay(log, visit),
            None => Ok(()),
        }
    }
}

/// A stale producer is to blame itself; all else is the log's failure.
fn refused(producer: Option<ProducerId>, error: &AppendError) -> GroupError {
    match (producer, error) {
        (Some(producer), AppendError::InvalidProducerEpoch { .. }) => GroupError::Transaction {
            producer,
            error: ResponseError::InvalidProducerEpoch,
            reason: error.to_string(),
        },
        _ => failed(error),
    }
}

fn replay(log: &Partition, visit: &mut Visit<'_>) -> Result<(), GroupError> {
    let end = log.high_watermark();
    let mut next = log.log_start_offset();
    while next < end {
        let bytes = log
            .read(next, REPLAY_BYTES, end, true)
            .map_err(failed)?
            .read()
            .map_err(failed)?;
        let mut last = next;
        for batch in RecordBatches::new(&bytes) {
            let batch = batch.map_err(failed)?;
            last = Offset(batch.header().next_offset());
            replay_batch(&batch, visit)?;
        }
        if last <= next {
            // A batch always ends after it begins; anything else would never end.
            return Err(failed(format!(
                "no batch at offset {next} of {}",
                log.topic_partition()
            )));
        }
        next = last;
    }
    Ok(())
}

fn replay_batch(batch: &RecordBatch<'_>, visit: &mut Visit<'_>) -> Result<(), GroupError> {
    let header = batch.header();
    let producer = ProducerId(header.producer_id);
    let transaction = (header.is_transactional() && header.has_producer()).then_some(producer);
    let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)?;
    for record in records.iter() {
        let record = record.map_err(failed)?;
        let Some(key) = record.key else { continue };
        if !header.is_control() {
            visit(Replayed::Record {
                key,
                value: record.value,
                transaction,
            })?;
        } else if let Some(commit) = marker_kind(key) {
            visit(Replayed::Marker { producer, commit })?;
        }
    }
    Ok(())
}

/// Whether a control record commits or aborts; other kinds are of no interest here.
fn marker_kind(key: &[u8]) -> Option<bool> {
    let kind: [u8; 2] = key.get(2..4)?.try_into().ok()?;
    match i16::from_be_bytes(kind) {
        COMMIT_MARKER => Some(true),
        ABORT_MARKER => Some(false),
        _ => None,
    }
}
