//! The state of transactions in the partitions of `__transaction_state`.
//!
//! Owns: turning records into batches and back. Does not own: the topic (`topic::internal`), what the records mean
//! (`record`).

use std::sync::Arc;

use async_trait::async_trait;

use super::error::TransactionError;
use super::store::{TransactionLog, Visit};
use crate::group::KeyedRecord;
use crate::ids::ProducerId;
use crate::log::batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, RecordBatch};
use crate::log::{Clock, Origin};
use crate::producer_id::ProducerIds;
use crate::topic::keyed::for_each_batch;
use crate::topic::{Topic, TopicRegistry, internal};

/// The real store of the state of transactions.
pub(crate) struct TransactionLogStore {
    topics: Arc<TopicRegistry>,
    producer_ids: Arc<ProducerIds>,
    clock: Arc<dyn Clock>,
}

fn failed(error: impl std::fmt::Display) -> TransactionError {
    TransactionError::Storage {
        reason: error.to_string(),
    }
}

impl TransactionLogStore {
    /// A store in the topics of one broker.
    pub fn new(topics: Arc<TopicRegistry>, producer_ids: Arc<ProducerIds>, clock: Arc<dyn Clock>) -> Self {
        Self {
            topics,
            producer_ids,
            clock,
        }
    }

    async fn topic(&self) -> Result<Arc<Topic>, TransactionError> {
        if let Some(topic) = self.topics.get(internal::TRANSACTION_STATE) {
            return Ok(topic);
        }
        let topics = Arc::clone(&self.topics);
        let created = tokio::task::spawn_blocking(move || internal::transaction_state(&topics));
        created.await.map_err(failed)?.map_err(failed)
    }
}

#[async_trait]
impl TransactionLog for TransactionLogStore {
    fn partition_count(&self) -> i32 {
        match self.topics.get(internal::TRANSACTION_STATE) {
            Some(topic) => topic.partitions().len() as i32,
            None => self.topics.broker().transaction_state_log_num_partitions,
        }
    }

    async fn prepare(&self) -> Result<(), TransactionError> {
        self.topic().await.map(drop)
    }

    async fn append(&self, partition: i32, (key, value): KeyedRecord) -> Result<(), TransactionError> {
        let topic = self.topic().await?;
        let log = topic
            .partition(partition)
            .ok_or_else(|| failed(format!("there is no partition {partition}")))?;
        let mut batch = BatchBuilder::new();
        batch.push(self.clock.now().0, Some(&key), value.as_deref(), &[]);
        let batch = batch.build().map_err(failed)?;
        let appended = log.append(batch, Origin::Coordinator).map_err(failed)?;
        log.wait_durable(appended.last_offset.plus(1))
            .await
            .map_err(failed)
    }

    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), TransactionError> {
        let topic = self.topics.get(internal::TRANSACTION_STATE);
        match topic.as_ref().and_then(|topic| topic.partition(partition)) {
            Some(log) => for_each_batch(log, failed, |batch| replay_batch(batch, visit)),
            None => Ok(()),
        }
    }

    async fn next_producer_id(&self) -> Result<ProducerId, TransactionError> {
        let failed = |reason: String| TransactionError::ProducerIds { reason };
        if let Some(id) = self.producer_ids.next_at_hand() {
            return Ok(id);
        }
        let ids = Arc::clone(&self.producer_ids);
        let made = tokio::task::spawn_blocking(move || ids.next()).await;
        made.map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }
}

fn replay_batch(batch: &RecordBatch<'_>, visit: &mut Visit<'_>) -> Result<(), TransactionError> {
    if batch.header().is_control() {
        return Ok(());
    }
    let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)?;
    for record in records.iter() {
        let record = record.map_err(failed)?;
        if let Some(key) = record.key {
            visit(key, record.value)?;
        }
    }
    Ok(())
}
