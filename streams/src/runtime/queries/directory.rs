//! Who works on which partition: a topic of the job's own, in which each instance says what it works on and where it answers.
//!
//! It is a hint and no truth: whoever is asked and does not work on a partition any more says so, and whoever asks looks again. An
//! instance says it again whenever the topic says otherwise, so that the one that does work on it has the last word.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use crate::error::StreamsError;
use crate::runtime::shared::Shared;
use crate::runtime::worker::TaskId;

/// The longest wait for what others say at a time.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// How long an instance that hears otherwise waits before it says again what it works on.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// How long the last words may take to be delivered.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// Partitions that are known at most.
const ENTRIES_MAX: usize = 1_000_000;

/// The topic of a job. `streams reset` knows it by its end.
pub(in crate::runtime) fn topic(application_id: &str) -> String {
    format!("{application_id}-instances-changelog")
}

/// What instances have said.
pub(in crate::runtime) struct Directory {
    /// Where this one answers.
    own: String,
    owners: Mutex<BTreeMap<TaskId, Arc<str>>>,
}

/// What a record says.
#[derive(Serialize, Deserialize)]
struct Said<'a> {
    address: &'a str,
}

impl Directory {
    pub(in crate::runtime) fn new(own: String) -> Self {
        Self {
            own,
            owners: Mutex::default(),
        }
    }

    pub(super) fn own(&self) -> &str {
        &self.own
    }

    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<TaskId, Arc<str>>) -> T) -> T {
        with(&mut self.owners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who has said last to work on a task.
    pub(super) fn owner(&self, task: TaskId) -> Option<String> {
        self.with(|owners| owners.get(&task).map(|owner| owner.to_string()))
    }

    /// As if somebody had said it.
    #[cfg(test)]
    pub(super) fn say(&self, task: TaskId, address: &str) {
        self.with(|owners| owners.insert(task, address.into()));
    }

    /// All who have the last word on a task, and this one.
    pub(super) fn instances(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> =
            self.with(|owners| owners.values().map(|owner| owner.to_string()).collect());
        all.insert(self.own.clone());
        all
    }

    /// Takes a record of the topic. What cannot be read is another version's.
    fn hear(&self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let task = || {
            let (sub, partition) = str::from_utf8(key?).ok()?.split_once('/')?;
            Some((sub.parse().ok()?, partition.parse().ok()?))
        };
        let Some(task) = task() else { return };
        let said = value.and_then(|value| serde_json::from_slice::<Said<'_>>(value).ok());
        self.with(|owners| match said {
            Some(said) if owners.len() < ENTRIES_MAX || owners.contains_key(&task) => {
                owners.insert(task, said.address.into());
            }
            Some(_) => {}
            None => drop(owners.remove(&task)),
        });
    }
}

/// The thread's clients.
pub(in crate::runtime) struct Voice {
    topic: String,
    consumer: BaseConsumer,
    producer: BaseProducer,
    /// When this instance said last to work on a task.
    said: BTreeMap<TaskId, Instant>,
}

impl Voice {
    pub(in crate::runtime) fn new(client: &ClientConfig, application_id: &str) -> Result<Self, StreamsError> {
        let failed = |client| {
            move |error: KafkaError| StreamsError::Client {
                client,
                cause: error.to_string(),
            }
        };
        let topic = topic(application_id);
        let mut reading = client.clone();
        reading
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = reading.create().map_err(failed("consumer"))?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&topic, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&from))
            .map_err(failed("consumer"))?;
        let mut writing = client.clone();
        writing.set("linger.ms", "0");
        Ok(Self {
            producer: writing.create().map_err(failed("producer"))?,
            topic,
            consumer,
            said: BTreeMap::new(),
        })
    }

    /// Listens and speaks until the job ends.
    pub(in crate::runtime) fn start(mut self, shared: &Arc<Shared>) -> Result<(), StreamsError> {
        let shared = Arc::clone(shared);
        let run = move || {
            let Some(directory) = shared.queries.directory.get() else {
                return;
            };
            while !shared.has_ended() {
                self.listen(directory);
                self.speak(directory, shared.queries.tasks_here());
            }
            if let Err(error) = self.producer.flush(FLUSH_MAX) {
                tracing::debug!(%error, "what this instance said last may not have come");
            }
        };
        let name = "stream-directory".to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
        thread.map_err(|cause| StreamsError::Thread { thread: name, cause })?;
        Ok(())
    }

    fn listen(&self, directory: &Directory) {
        let mut wait = POLL_WAIT;
        while let Some(message) = self.consumer.poll(wait) {
            match message {
                Ok(message) => directory.hear(message.key(), message.payload()),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, topic = self.topic, "reading who works on what");
                    return;
                }
            }
            wait = Duration::ZERO;
        }
    }

    /// Says what this instance works on, where the others have heard otherwise.
    fn speak(&mut self, directory: &Directory, tasks: BTreeSet<TaskId>) {
        self.said.retain(|task, _| tasks.contains(task));
        self.producer.poll(Duration::ZERO);
        for task in tasks {
            let own = directory.owner(task).is_some_and(|owner| owner == directory.own);
            let lately = self
                .said
                .get(&task)
                .is_some_and(|said| said.elapsed() < AGAIN_PAUSE);
            if own || lately {
                continue;
            }
            let (key, said) = (
                format!("{}/{}", task.0, task.1),
                Said {
                    address: &directory.own,
                },
            );
            let Ok(value) = serde_json::to_vec(&said) else {
                continue;
            };
            let record = BaseRecord::to(&self.topic).key(&key).payload(&value).partition(0);
            if let Err((error, _)) = self.producer.send(record) {
                tracing::warn!(%error, topic = self.topic, "saying who works on what");
            }
            // Who fails tries as seldom.
            self.said.insert(task, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_what_is_none_is_passed_over() {
        let directory = Directory::new("h:1".to_owned());
        let hear =
            |key: &str, value: Option<&str>| directory.hear(Some(key.as_bytes()), value.map(str::as_bytes));
        hear("1/0", Some(r#"{"address":"h:2"}"#));
        hear("1/1", Some(r#"{"address":"h:2","more":1}"#));
        hear("1/0", Some(r#"{"address":"h:3"}"#));
        for key in ["", "1", "a/b", "1/99999999999"] {
            hear(key, Some(r#"{"address":"h:4"}"#));
        }
        hear("1/2", Some(r#"{"address":"h:4"}"#));
        hear("1/2", None);
        assert_eq!(directory.owner((1, 0)).as_deref(), Some("h:3"));
        assert_eq!(directory.owner((1, 1)).as_deref(), Some("h:2"));
        assert_eq!(directory.owner((1, 2)), None);
        assert_eq!(
            directory.instances().into_iter().collect::<Vec<_>>(),
            ["h:1", "h:2", "h:3"]
        );
    }
}
