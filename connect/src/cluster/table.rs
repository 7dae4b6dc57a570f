//! A compacted topic that is read as a whole: the last value of each key.
//!
//! Each reading goes on behind the last one and ends where the log ended when it began, so that whoever wrote before sees it. With
//! transactions it waits until those before that end are decided: what was committed behind an open one would be missed else.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use millstream_client::BatchConsumer;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::plugin::PluginError;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks for the ends of open transactions.
const DECIDED_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait for records at a time.
const WAIT: Duration = Duration::from_millis(100);

/// Takes a key, and its value unless it was deleted.
pub(crate) type EachChange<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// Reads a compacted topic.
pub(crate) struct TopicTable {
    topic: String,
    reader: BatchConsumer<DefaultConsumerContext>,
    /// Sees the log's end, decided or not.
    observer: BaseConsumer,
    /// Where the next reading begins, by partition.
    positions: HashMap<i32, i64>,
}

impl TopicTable {
    /// A table of `topic`; `client` is a consumer's configuration.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub(crate) fn new(client: &ClientConfig, topic: &str, committed_only: bool) -> Result<Self, PluginError> {
        let isolation = if committed_only {
            "read_committed"
        } else {
            "read_uncommitted"
        };
        let mut reading = client.clone();
        reading
            // Required by the client library; nothing is committed.
            .set("group.id", format!("{topic}-reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation);
        let mut observing = reading.clone();
        observing.set("isolation.level", "read_uncommitted");
        let made: KafkaResult<_> = (|| {
            Ok((
                BatchConsumer::new(reading.create()?)?,
                observing.create::<BaseConsumer>()?,
            ))
        })();
        let (reader, observer) = made.map_err(|error| failed(topic, &error))?;
        Ok(Self {
            topic: topic.to_owned(),
            reader,
            observer,
            positions: HashMap::new(),
        })
    }

    /// Gives every change since the last reading to `each`: a key, and its value unless it was deleted.
    ///
    /// # Errors
    /// When the cluster does not answer within `patience`, or denies it.
    pub(crate) fn read_to_end(
        &mut self,
        patience: Duration,
        each: &mut EachChange<'_>,
    ) -> Result<(), PluginError> {
        let until = Instant::now() + patience;
        let topic = self.topic.clone();
        let behind = self.behind(until)?;
        if behind.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, begin) in &behind {
            let listed = list.add_partition_offset(&topic, *partition, Offset::Offset(*begin));
            listed.map_err(|error| failed(&topic, &error))?;
        }
        self.reader
            .assign(&list)
            .map_err(|error| failed(&topic, &error))?;
        let read = self.read(behind.len(), until, each);
        let _ = self.reader.unassign();
        read
    }

    fn read(
        &mut self,
        mut open: usize,
        until: Instant,
        each: &mut EachChange<'_>,
    ) -> Result<(), PluginError> {
        while open > 0 {
            match self.reader.next(WAIT) {
                Some(Ok(record)) => {
                    self.positions.insert(record.partition(), record.offset() + 1);
                    // A record without a key says nothing here.
                    if let Some(key) = record.key() {
                        each(key, record.value());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) if is_hopeless(&error) => return Err(failed(&self.topic, &error)),
                Some(Err(error)) => tracing::warn!(%error, topic = self.topic, "reading a topic to its end"),
                None if Instant::now() > until => return Err(late(&self.topic)),
                None => {}
            }
        }
        Ok(())
    }

    /// The partitions that hold something new, with where to begin; waits until it is decided.
    fn behind(&mut self, until: Instant) -> Result<Vec<(i32, i64)>, PluginError> {
        let topic = self.topic.clone();
        let metadata = self.observer.fetch_metadata(Some(&topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| failed(&topic, &error))?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
            .collect();
        let mut behind = Vec::new();
        for partition in partitions {
            let ends = self.observer.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT);
            let (start, end) = ends.map_err(|error| failed(&topic, &error))?;
            let known = self.positions.get(&partition).copied();
            // A log that ends before what was read is another one: the topic was made anew.
            let begin = known
                .filter(|known| *known <= end)
                .map_or(start, |known| known.max(start));
            if begin >= end {
                continue;
            }
            while self.decided(partition)? < end {
                if Instant::now() > until {
                    return Err(late(&topic));
                }
                std::thread::sleep(DECIDED_PAUSE);
            }
            behind.push((partition, begin));
        }
        Ok(behind)
    }

    /// Where the first open transaction of a partition begins, or its end.
    fn decided(&self, partition: i32) -> Result<i64, PluginError> {
        let client = self.reader.client();
        let ends = client.fetch_watermarks(&self.topic, partition, REQUEST_TIMEOUT);
        Ok(ends.map_err(|error| failed(&self.topic, &error))?.1)
    }
}

fn is_hopeless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    let denied = [
        TopicAuthorizationFailed,
        GroupAuthorizationFailed,
        Authentication,
        UnknownTopicOrPartition,
    ];
    error
        .rdkafka_error_code()
        .is_some_and(|code| denied.contains(&code))
}

fn failed(topic: &str, error: &KafkaError) -> PluginError {
    PluginError::disconnected(format!(
        "reading the topic {topic}: {error}; is the cluster reachable?"
    ))
}

fn late(topic: &str) -> PluginError {
    PluginError::disconnected(format!(
        "reading the topic {topic} to its end takes too long; is a transaction on it left open?"
    ))
}
