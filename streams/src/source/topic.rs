//! All partitions of a topic from their beginnings, without a group: a global table.
use std::collections::{BTreeMap, BTreeSet};
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
/// The pause between two looks for a topic that a broker does not know yet.
const METADATA_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two looks for new partitions.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// How long such a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// A reader of one topic.
pub(crate) struct TopicReader {
    consumer: BatchConsumer<DefaultConsumerContext>,
    topic: Arc<str>,
    /// All partitions that are read.
    partitions: BTreeSet<i32>,
    /// The offset behind the last record that was handed on of each, if any was.
    next: BTreeMap<i32, i64>,
    /// When to look for new ones.
    look_at: Instant,
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
        let started = Instant::now();
        let partitions = loop {
            let there = partitions(&consumer, topic, METADATA_TIMEOUT).map_err(failed)?;
            if !there.is_empty() {
                break there;
            }
            // A topic without partitions would be a table without rows.
            if started.elapsed() > METADATA_TIMEOUT {
                return Err(SourceError::Read {
                    cause: format!("the cluster has no partitions of the global table {topic}"),
                    remedy: "; see whether the topic is there and has leaders",
                });
            }
            std::thread::sleep(METADATA_PAUSE);
        };
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)
                .map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(Self {
            consumer,
            topic: Arc::clone(topic),
            behind: partitions.clone(),
            partitions,
            next: BTreeMap::new(),
            look_at: Instant::now() + LOOK_PAUSE,
            heard: Instant::now(),
        })
    }

    /// Reads partitions that the topic was given meanwhile as well, from their beginnings.
    fn look_for_partitions(&mut self) -> Result<(), SourceError> {
        if Instant::now() < self.look_at {
            return Ok(());
        }
        self.look_at = Instant::now() + LOOK_PAUSE;
        let there = match partitions(&self.consumer, &self.topic, LOOK_TIMEOUT) {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(%error, topic = &*self.topic, "looking for new partitions of a global table");
                return Ok(());
            }
        };
        let new: Vec<i32> = there.difference(&self.partitions).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        tracing::info!(topic = &*self.topic, partitions = ?new, "a global table has new partitions");
        self.behind.extend(&new);
        self.partitions.extend(new);
        self.assign_anew().map_err(|error| read_error(&error))
    }

    /// Reads all partitions on from where they are. Without a group, a client takes them only all at once.
    fn assign_anew(&mut self) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            // What the client has read beyond that is read again.
            let next = self.next.get(partition);
            let offset = next.map_or(Offset::Beginning, |next| Offset::Offset(*next));
            list.add_partition_offset(&self.topic, *partition, offset)?;
        }
        self.consumer.assign(&list)
    }

    /// Hands at most `max` records to `each`; waits up to `wait` for the first. Gives how many there were.
    pub(crate) fn poll<E: From<SourceError>>(
        &mut self,
        mut wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&InputRecord<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        self.look_for_partitions()?;
        let mut records = 0;
        while records < max {
            match self.consumer.next(wait) {
                Some(Ok(record)) => {
                    let record = input_record(&record);
                    each(&record)?;
                    self.next.insert(record.partition, record.offset + 1);
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

/// The partitions of `topic`; none as long as the broker that was asked does not know it.
fn partitions(
    consumer: &BatchConsumer<DefaultConsumerContext>,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeSet<i32>, KafkaError> {
    let metadata = consumer.client().fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().filter(|found| found.error().is_none());
    let partitions = found.flat_map(|found| found.partitions());
    Ok(partitions.map(|partition| partition.id()).collect())
}
