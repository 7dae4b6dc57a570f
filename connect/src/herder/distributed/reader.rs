//! Reads a topic from its beginning and for ever: configurations, or statuses.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tracing::warn;

use crate::plugin::PluginError;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_millis(200);

/// What is read, in the order of each partition.
pub(super) enum Read<'a> {
    /// A record: its offset, key, and value unless it deletes.
    Record(i64, &'a str, Option<&'a [u8]>),
    /// Everything that was there when reading began has been read.
    CaughtUp,
}

/// A thread that reads; dropping it ends it.
pub(super) struct Reader {
    stop: Arc<AtomicBool>,
}

impl Reader {
    /// Begins to read `topic`. What open or aborted transactions wrote is left out.
    ///
    /// # Errors
    /// When a client's option is wrong, or the cluster does not answer.
    pub(super) fn start(
        client: &ClientConfig,
        topic: &str,
        mut hear: impl FnMut(Read<'_>) + Send + 'static,
    ) -> Result<Self, PluginError> {
        let failed = |error: &dyn std::fmt::Display| {
            PluginError::disconnected(format!("reading the topic {topic}: {error}"))
        };
        let mut client = client.clone();
        client
            // Required by the client library; nothing is committed.
            .set("group.id", format!("{topic}-reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = client.create().map_err(|error| failed(&error))?;
        let mut list = TopicPartitionList::new();
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| failed(&error))?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let listed = list.add_partition_offset(topic, partition.id(), Offset::Beginning);
            listed.map_err(|error| failed(&error))?;
        }
        consumer.assign(&list).map_err(|error| failed(&error))?;
        let mut behind: BTreeSet<i32> = list
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        let name = topic.to_owned();
        let stop = Arc::<AtomicBool>::default();
        let stopping = Arc::clone(&stop);
        let mut complained: Option<Instant> = None;
        let read = move || {
            while !stopping.load(Ordering::Acquire) {
                match consumer.poll(WAIT) {
                    Some(Ok(message)) => {
                        // A record without a key, or with one that is no text, says nothing here.
                        if let Some(Ok(key)) = message.key().map(std::str::from_utf8) {
                            hear(Read::Record(message.offset(), key, message.payload()));
                        }
                    }
                    Some(Err(KafkaError::PartitionEOF(partition))) => {
                        let was_behind = behind.remove(&partition);
                        if was_behind && behind.is_empty() {
                            hear(Read::CaughtUp);
                        }
                    }
                    Some(Err(error)) if complained.is_none_or(|at| at.elapsed() > REQUEST_TIMEOUT) => {
                        warn!(%error, topic = name, "reading a topic");
                        complained = Some(Instant::now());
                    }
                    Some(Err(_)) | None => {}
                }
            }
        };
        std::thread::Builder::new()
            .name("connect-reader".to_owned())
            .spawn(read)
            .map_err(|error| failed(&error))?;
        Ok(Self { stop })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
