//! Group state in the partitions of `__consumer_offsets`.
//!
//! Owns: turning keyed records into batches and back. Does not own: the topic (`topic::internal`), what the records
//! mean (`group::record`).

use std::sync::Arc;

use async_trait::async_trait;

use super::error::GroupError;
use super::store::{KeyedRecord, OffsetsLog, Visit};
use crate::ids::Offset;
use crate::log::batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, RecordBatches};
use crate::log::{Clock, Origin, Partition};
use crate::topic::{Topic, TopicRegistry, internal};

/// Bytes of the log read at a time when group state is replayed.
const REPLAY_BYTES: usize = 4 << 20;

/// The real store of group state.
pub(crate) struct LogStore {
    topics: Arc<TopicRegistry>,
    clock: Arc<dyn Clock>,
}

fn failed(error: impl std::fmt::Display) -> GroupError {
    GroupError::Storage {
        reason: error.to_string(),
    }
}

impl LogStore {
    /// A store in the topics of one broker.
    pub fn new(topics: Arc<TopicRegistry>, clock: Arc<dyn Clock>) -> Self {
        Self { topics, clock }
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

    async fn append(&self, partition: i32, records: Vec<KeyedRecord>) -> Result<(), GroupError> {
        let topic = self.topic().await?;
        let log = topic
            .partition(partition)
            .ok_or_else(|| failed(format!("there is no partition {partition}")))?;
        let now = self.clock.now().0;
        let mut batch = BatchBuilder::new();
        for (key, value) in &records {
            batch.push(now, Some(key), value.as_deref(), &[]);
        }
        let appended = log
            .append(batch.build().map_err(failed)?, Origin::Coordinator)
            .map_err(failed)?;
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
            if batch.header().is_control() {
                continue;
            }
            let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)?;
            for record in records.iter() {
                let record = record.map_err(failed)?;
                if let Some(key) = record.key {
                    visit(key, record.value)?;
                }
            }
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
