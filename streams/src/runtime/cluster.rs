//! Questions to the cluster and the job's internal topics.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::block_on::block_on;
use super::deadline::Deadline;
use super::partitions::Partitions;
use crate::config::StreamsConfig;
use crate::error::StreamsError;
use crate::operator::Surroundings;
use crate::plan::{ErrorPolicy, Follower, Topology};
use crate::source::TopicPartition;
use crate::time::UPSTREAM_TASKS_MAX;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a record at a time.
const READ_WAIT: Duration = Duration::from_millis(100);
/// The pause between two looks whether transactions are decided.
const DECIDED_PAUSE: Duration = Duration::from_millis(10);
/// The pause between two looks at the metadata while topics are being created.
const METADATA_PAUSE: Duration = Duration::from_millis(50);
/// How long a topic may take that a broker creates because it is asked for.
const OUTPUT_DELAY: Duration = Duration::from_secs(3);
/// How long a created topic may take to show in the metadata.
const METADATA_DELAY: Duration = Duration::from_secs(1);

/// Clients that observe: none of them is a member of the group.
pub(super) struct Cluster {
    bootstrap_servers: String,
    timeout: Duration,
    replication_factor: i32,
    observer: BaseConsumer,
    group: BaseConsumer,
    observer_config: ClientConfig,
}

/// The first offset of a partition's log and the one after its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogBounds {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Cluster {
    pub(super) fn connect(config: &StreamsConfig, application_id: &str) -> Result<Self, StreamsError> {
        let failed = |error: KafkaError| StreamsError::Client {
            client: "consumer",
            cause: error.to_string(),
        };
        let observer_config = config.observer_client(application_id);
        Ok(Self {
            bootstrap_servers: config.bootstrap_servers().to_owned(),
            timeout: config.timeout(),
            replication_factor: config.replication_factor(),
            observer: observer_config.create().map_err(failed)?,
            group: config.group_client(application_id).create().map_err(failed)?,
            observer_config,
        })
    }

    /// The cluster's id, or nothing if it has none.
    pub(super) fn id(&self) -> String {
        let id = self.observer.client().fetch_cluster_id(REQUEST_TIMEOUT);
        id.unwrap_or_default()
    }

    /// Partition counts of all topics.
    fn topics(&self, timeout: Duration) -> Result<HashMap<String, usize>, KafkaError> {
        let metadata = self.observer.fetch_metadata(None, timeout)?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(topics
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect())
    }

    /// Checks the source topics and creates internal ones.
    pub(super) fn prepare(&self, topology: &Topology) -> Result<Surroundings, StreamsError> {
        let deadline = Deadline::after(self.timeout);
        let read = [topology.source_topics(), topology.global_topics()].concat();
        let mut topics = self.find_sources(&read)?;
        let partitions = Partitions::new(topology, &topics)?;
        self.check_followers(topology, &topics)?;
        let mut counts = HashMap::new();
        for repartition in &topology.repartitions {
            let expected = partitions.of(&repartition.topic);
            // Rows on their way to their reader: kept until it has them, however long that takes.
            let settings = [
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
            ];
            topics = self.ensure_topic(&repartition.topic, expected, &settings, topics, deadline)?;
            counts.insert(Arc::clone(&repartition.topic), expected);
        }
        for changelog in &topology.changelogs {
            let expected = partitions.most(&topology.sub_topologies[changelog.sub].inputs);
            // A local store may miss a deletion that the log has forgotten.
            let deletions = crate::store::TOMBSTONES_KEPT_MS.to_string();
            let settings = [
                ("cleanup.policy", "compact"),
                ("delete.retention.ms", &*deletions),
            ];
            topics = self.ensure_topic(&changelog.topic, expected, &settings, topics, deadline)?;
        }
        let subs = topology.sub_topologies.iter();
        let tasks = subs.map(|sub| (sub.id, partitions.most(&sub.inputs)));
        let tasks: HashMap<usize, usize> = tasks.collect();
        for sub in &topology.sub_topologies {
            if let Some(to) = sub.announces.first()
                && tasks[&sub.id] > UPSTREAM_TASKS_MAX
            {
                return Err(StreamsError::TooManyTasks {
                    topic: to.topic.to_string(),
                    tasks: tasks[&sub.id],
                    tasks_max: UPSTREAM_TASKS_MAX,
                });
            }
        }
        Ok(Surroundings {
            partitions: counts,
            tasks,
            ..Surroundings::default()
        })
    }

    /// Refuses steps that were added to a job too late: see [`Follower`].
    fn check_followers(
        &self,
        topology: &Topology,
        topics: &HashMap<String, usize>,
    ) -> Result<(), StreamsError> {
        let is_there = |topic: &str| topics.contains_key(topic);
        for Follower { topic, of } in &topology.followers {
            // A start that was interrupted may have made one of them, and nothing in it.
            if is_there(topic) || !is_there(of) || !self.has_rows(of)? {
                continue;
            }
            // Another instance that starts for the first time makes one after the other, and may be at work by now.
            let failed = |error: KafkaError| cluster_error(format!("look for topic {topic}"), &error);
            if self
                .topics(REQUEST_TIMEOUT)
                .map_err(failed)?
                .contains_key(&**topic)
            {
                continue;
            }
            return Err(StreamsError::BeginsLater {
                changelog: topic.to_string(),
                table: of.to_string(),
            });
        }
        Ok(())
    }

    /// Whether a reader finds records in a changelog, or may soon: marks of transactions, and what was aborted, are none.
    fn has_rows(&self, topic: &str) -> Result<bool, StreamsError> {
        let deadline = Deadline::after(self.timeout);
        for (at, bounds) in self.bounds(topic)? {
            if bounds.end > bounds.start && self.is_empty(&at, bounds, deadline)? != Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Creates the topic in which instances find each other, if it is not there.
    pub(super) fn prepare_directory(&self, topic: &str) -> Result<(), StreamsError> {
        let deadline = Deadline::after(self.timeout);
        let topics = self.find_sources(&[])?;
        let settings = [("cleanup.policy", "compact")];
        self.ensure_topic(topic, 1, &settings, topics, deadline).map(drop)
    }

    /// Creates the internal topic if it is not there, and checks its partition count; gives all topics then.
    fn ensure_topic(
        &self,
        topic: &str,
        expected: usize,
        settings: &[(&str, &str)],
        mut topics: HashMap<String, usize>,
        deadline: Deadline,
    ) -> Result<HashMap<String, usize>, StreamsError> {
        if !topics.contains_key(topic) {
            self.create_topic(topic, expected, settings, deadline)?;
            topics = self.await_topic(topic, deadline)?;
        }
        let actual = topics[topic];
        if actual == expected {
            return Ok(topics);
        }
        Err(StreamsError::PartitionCount {
            topic: topic.to_owned(),
            actual,
            expected,
        })
    }

    /// Partition counts of all topics, among them those of `sources`.
    fn find_sources(&self, sources: &[&str]) -> Result<HashMap<String, usize>, StreamsError> {
        let started = Instant::now();
        loop {
            let topics = self
                .topics(self.timeout)
                .map_err(|error| StreamsError::Unreachable {
                    bootstrap_servers: self.bootstrap_servers.clone(),
                    timeout: self.timeout,
                    cause: error.to_string(),
                })?;
            let missing = sources.iter().filter(|topic| !topics.contains_key(**topic));
            let missing: Vec<String> = missing.map(|topic| (*topic).to_owned()).collect();
            if missing.is_empty() {
                return Ok(topics);
            }
            // A topic created just now may not have come to every broker.
            if started.elapsed() > METADATA_DELAY.min(self.timeout) {
                let bootstrap_servers = self.bootstrap_servers.clone();
                return Err(StreamsError::MissingTopics {
                    bootstrap_servers,
                    topics: missing,
                });
            }
            std::thread::sleep(METADATA_PAUSE);
        }
    }

    /// Checks that the topics the job writes are there. A missing one is asked for as a producer would ask, upon which brokers with
    /// `auto.create.topics.enable` make it.
    pub(super) fn find_outputs(
        &self,
        topology: &Topology,
        dead_letters: Option<&ErrorPolicy>,
    ) -> Result<(), StreamsError> {
        let failed = |error: KafkaError| cluster_error("look for the output topics".to_owned(), &error);
        let default = dead_letters.and_then(ErrorPolicy::topic);
        let outputs: BTreeSet<&str> = topology
            .output_topics()
            .into_iter()
            .chain(default.map(|topic| &**topic))
            .collect();
        let known = self.topics(self.timeout).map_err(failed)?;
        let mut missing: Vec<&str> = outputs
            .into_iter()
            .filter(|topic| !known.contains_key(*topic))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut config = self.observer_config.clone();
        config
            .set("allow.auto.create.topics", "true")
            .set("group.id", "unused");
        let asking: BaseConsumer = config.create().map_err(failed)?;
        let started = Instant::now();
        loop {
            let mut left = Vec::new();
            for topic in missing {
                let metadata = asking
                    .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
                    .map_err(failed)?;
                let there = |found: &MetadataTopic| found.error().is_none() && !found.partitions().is_empty();
                if !metadata.topics().iter().any(there) {
                    left.push(topic);
                }
            }
            missing = left;
            if missing.is_empty() {
                return Ok(());
            }
            if started.elapsed() > OUTPUT_DELAY.min(self.timeout) {
                return Err(StreamsError::MissingOutputTopics {
                    bootstrap_servers: self.bootstrap_servers.clone(),
                    topics: missing.into_iter().map(str::to_owned).collect(),
                });
            }
            std::thread::sleep(METADATA_PAUSE);
        }
    }

    fn create_topic(
        &self,
        topic: &str,
        partitions: usize,
        settings: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<(), StreamsError> {
        let failed = |cause: String| StreamsError::CreateTopic {
            topic: topic.to_owned(),
            cause,
        };
        let admin: AdminClient<DefaultClientContext> = self
            .observer_config
            .create()
            .map_err(|error: KafkaError| failed(error.to_string()))?;
        let count = i32::try_from(partitions).map_err(|_| failed(format!("{partitions} partitions")))?;
        let new = NewTopic::new(topic, count, TopicReplication::Fixed(self.replication_factor));
        let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
        let left = deadline.left(self.timeout).max(Duration::from_secs(1));
        let options = AdminOptions::new()
            .request_timeout(Some(left))
            .operation_timeout(Some(left));
        let results =
            block_on(admin.create_topics([&new], &options)).map_err(|error| failed(error.to_string()))?;
        match results.into_iter().next() {
            // Another process of the job may have been quicker.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(failed(code.to_string())),
        }
    }

    /// Waits until the brokers know a created topic.
    fn await_topic(&self, topic: &str, deadline: Deadline) -> Result<HashMap<String, usize>, StreamsError> {
        let failed = |cause: String| StreamsError::CreateTopic {
            topic: topic.to_owned(),
            cause,
        };
        loop {
            let topics = self
                .topics(REQUEST_TIMEOUT)
                .map_err(|error| failed(error.to_string()))?;
            if topics.get(topic).is_some_and(|partitions| *partitions > 0) {
                return Ok(topics);
            }
            if deadline.is_over() {
                return Err(failed(
                    "it was created, but does not show in the brokers' metadata".to_owned(),
                ));
            }
            std::thread::sleep(METADATA_PAUSE);
        }
    }

    /// The bounds of every partition of `topic`.
    pub(super) fn bounds(&self, topic: &str) -> Result<Vec<(TopicPartition, LogBounds)>, StreamsError> {
        let failed = |error: KafkaError| cluster_error(format!("read the end of topic {topic}"), &error);
        let metadata = self
            .observer
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let topic: Arc<str> = topic.into();
        let bounds = partitions.map(|partition| {
            let at = TopicPartition {
                topic: Arc::clone(&topic),
                partition: partition.id(),
            };
            let (start, end) = self
                .observer
                .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
                .map_err(failed)?;
            Ok((at, LogBounds { start, end }))
        });
        bounds.collect()
    }

    /// The bounds of one partition.
    pub(super) fn partition_bounds(&self, at: &TopicPartition) -> Result<LogBounds, StreamsError> {
        let bounds = self
            .observer
            .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT);
        let (start, end) =
            bounds.map_err(|error| cluster_error(format!("read the end of topic {}", at.topic), &error))?;
        Ok(LogBounds { start, end })
    }

    /// What the group has committed for each partition, in the order asked.
    pub(super) fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, StreamsError> {
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let committed = self
            .group
            .committed_offsets(list, REQUEST_TIMEOUT)
            .map_err(|error| cluster_error("read the committed offsets".to_owned(), &error))?;
        let offset = |at: &TopicPartition| match committed.find_partition(&at.topic, at.partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(partitions.iter().map(offset).collect())
    }

    /// Whether a reader finds no record in the partition within `bounds`: what is there are transaction markers or the
    /// records of aborted transactions, which no consumer sees, so that no position passes them. None if `deadline` came first.
    pub(super) fn is_empty(
        &self,
        at: &TopicPartition,
        bounds: LogBounds,
        deadline: Deadline,
    ) -> Result<Option<bool>, StreamsError> {
        let failed = |error: KafkaError| cluster_error(format!("read topic {}", at.topic), &error);
        let mut config = self.observer_config.clone();
        config
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        let reader: BaseConsumer = config.create().map_err(failed)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(bounds.start))
            .map_err(failed)?;
        let started = Instant::now();
        // For this reader the log ends where the first open transaction begins.
        let decided = || reader.fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT);
        while decided().map_err(failed)?.1 < bounds.end {
            if deadline.is_over() {
                return Ok(None);
            }
            if started.elapsed() > REQUEST_TIMEOUT {
                return Ok(Some(false));
            }
            std::thread::sleep(DECIDED_PAUSE);
        }
        reader.assign(&list).map_err(failed)?;
        while !deadline.is_over() {
            match reader.poll(deadline.left(READ_WAIT)) {
                Some(Ok(_)) => return Ok(Some(false)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Some(true)),
                Some(Err(error)) => tracing::warn!(%error, topic = &*at.topic, "looking for records"),
                None => {}
            }
            if started.elapsed() > REQUEST_TIMEOUT {
                return Ok(Some(false));
            }
        }
        Ok(None)
    }
}

fn cluster_error(what: String, error: &KafkaError) -> StreamsError {
    StreamsError::Cluster {
        what,
        cause: error.to_string(),
    }
}
