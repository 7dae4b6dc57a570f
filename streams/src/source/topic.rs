//! All partitions of a topic from their beginnings, without a group: a global table.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::SourceError;
use super::kafka::{ends_reading, input_record, read_error};
use crate::task::InputRecord;
use millstream_client::BatchConsumer;

/// The longest wait for what a topic is.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// A reader of one topic.
pub(crate) struct TopicReader {
    consumer: BatchConsumer<DefaultConsumerContext>,
    /// Partitions of which the end was not seen yet.
    behind: BTreeSet<i32>,
    /// When something came last, be it an end.
    heard: Instant,
}

impl TopicReader {
    /// Begins to read `topic` with a client that is told where partitions end.
    pub(crate) fn start(config: &ClientConfig, topic: &Arc<str>) -> Result<Self, SourceError> {
        let failed = |error: KafkaError| read_error(&error);
        let mut config = config.clone();
        // What was deleted before it was read is no part of the table.
        config.set("auto.offset.reset", "earliest");
        let mut consumer = config.create().and_then(BatchConsumer::new).map_err(failed)?;
        let metadata = consumer
            .client()
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)
            .map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions());
        let behind: BTreeSet<i32> = partitions.map(|partition| partition.id()).collect();
        let mut list = TopicPartitionList::new();
        for partition in &behind {
            list.add_partition_offset(topic, *partition, Offset::Beginning)
                .map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(Self {
            consumer,
            behind,
            heard: Instant::now(),
        })
    }

    /// Hands at most `max` records to `each`; waits up to `wait` for the first. Gives how many there were.
    pub(crate) fn poll<E: From<SourceError>>(
        &mut self,
        mut wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&InputRecord<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut records = 0;
        while records < max {
            match self.consumer.next(wait) {
                Some(Ok(record)) => {
                    each(&input_record(&record))?;
                    records += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.behind.remove(&partition);
                    self.heard = Instant::now();
                }
                Some(Err(error)) if ends_reading(&error) => return Err(read_error(&error).into()),
                Some(Err(error)) => tracing::warn!(%error, "reading a global table"),
                None => break,
            }
            wait = Duration::ZERO;
        }
        if records > 0 {
            self.heard = Instant::now();
        }
        Ok(records)
    }

    /// Whether each partition was once read to its end.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.behind.is_empty()
    }

    /// For how long nothing came.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.elapsed()
    }
}
