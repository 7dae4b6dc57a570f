//! A cluster, a worker, and what became of its tasks.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_broker::config::BrokerConfig;
use millstream_broker::{Broker, BrokerHandle};
use millstream_connect::config::{ConfigMap, worker::WorkerMode};
use millstream_connect::plugin::{ErrorKind, Registry, TaskId};
use millstream_connect::worker::{
    ConnectorOffsets, State, StatusListener, TargetState, Worker, WorkerConfig,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::plugins::{MemoryScript, NumbersScript, Scripts};

/// A worker whose sources deliver exactly once where they can.
pub const EXACTLY_ONCE: (&str, &str) = ("exactly.once.source.support", "enabled");

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, names that no other test uses, and a runtime.
pub struct Cluster {
    pub bootstrap: String,
    prefix: String,
    pub directory: TempDir,
    pub runtime: Runtime,
    _broker: Option<BrokerHandle>,
}

impl Cluster {
    pub fn new(test: &str) -> Self {
        Self::with(test, BrokerConfig::default())
    }

    /// With a broker like this, where it is the test's own.
    pub fn with(test: &str, config: BrokerConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (bootstrap, broker) = match std::env::var("MILLSTREAM_TEST_BOOTSTRAP") {
            Ok(bootstrap) => (bootstrap, None),
            Err(_) => {
                let config = BrokerConfig {
                    group_initial_rebalance_delay_ms: 0,
                    ..config
                };
                let builder = Broker::builder().data_dir(directory.path().join("broker"));
                let broker = builder
                    .listener("127.0.0.1:0")
                    .config(config)
                    .start_blocking()
                    .unwrap();
                (broker.address().to_string(), Some(broker))
            }
        };
        Self::of(test, directory, bootstrap, broker)
    }

    /// One that the test has itself.
    pub fn at(test: &str, bootstrap: &str) -> Self {
        Self::of(test, tempfile::tempdir().unwrap(), bootstrap.to_owned(), None)
    }

    fn of(test: &str, directory: TempDir, bootstrap: String, broker: Option<BrokerHandle>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            bootstrap,
            prefix: format!("{test}-{}-{number}", std::process::id()),
            directory,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            _broker: broker,
        }
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// What all workers of this cluster are told, and more.
    pub fn worker_settings(&self, more: &[(&str, &str)]) -> ConfigMap {
        let mut settings = map(&[
            ("bootstrap.servers", &self.bootstrap),
            ("key.converter", "test.PlainConverter"),
            ("value.converter", "test.PlainConverter"),
            ("header.converter", "test.PlainConverter"),
            ("offset.flush.interval.ms", "100"),
        ]);
        settings.extend(map(more));
        settings
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap);
        client
    }

    pub fn produce(&self, topic: &str, values: &[&str]) {
        let producer: BaseProducer = self.client().create().unwrap();
        for value in values {
            let record = BaseRecord::<[u8], str>::to(topic).payload(value).partition(0);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Makes a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// Makes a topic with these settings.
    pub fn create_topic_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = self.runtime.block_on(admin.create_topics([&topic], &options));
        made.unwrap().remove(0).unwrap();
    }

    /// Produces these values to the partitions by turns.
    pub fn produce_by_turns(&self, topic: &str, partitions: i32, values: &[String]) {
        let producer: BaseProducer = self.client().create().unwrap();
        for (value, partition) in values.iter().zip((0..partitions).cycle()) {
            let record = BaseRecord::<[u8], str>::to(topic)
                .payload(value)
                .partition(partition);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Whether a transaction is open on the topic's first partition.
    pub fn has_open_transaction(&self, topic: &str) -> bool {
        let end = |isolation: &str| {
            let mut client = self.client();
            client.set("isolation.level", isolation);
            let consumer: BaseConsumer = client.create().unwrap();
            consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap().1
        };
        end("read_committed") < end("read_uncommitted")
    }

    /// The committed values of a topic's first partition, as they are now, with their headers.
    pub fn records(&self, topic: &str) -> Vec<(String, BTreeMap<String, String>)> {
        self.records_of(topic, 0)
    }

    fn records_of(&self, topic: &str, partition: i32) -> Vec<(String, BTreeMap<String, String>)> {
        let mut client = self.client();
        client
            .set("group.id", "test-reader")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "{topic} cannot be read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let headers = message
                        .headers()
                        .into_iter()
                        .flat_map(|headers| headers.iter().collect::<Vec<_>>());
                    let headers = headers
                        .map(|header| (header.key.to_owned(), header.value.map_or(String::new(), text)));
                    records.push((
                        message.payload().map_or("null".to_owned(), text),
                        headers.collect(),
                    ));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return records,
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => {}
            }
        }
    }

    pub fn values(&self, topic: &str) -> Vec<String> {
        self.values_of(topic, 0)
    }

    pub fn values_of(&self, topic: &str, partition: i32) -> Vec<String> {
        let records = self.records_of(topic, partition).into_iter();
        records.map(|(value, _)| value).collect()
    }
}

/// The kind and text of an error, if there was one.
type Failure = Option<(ErrorKind, String)>;

/// What became of connectors and tasks.
#[derive(Default)]
pub struct Seen {
    states: Mutex<BTreeMap<TaskId, (State, Failure)>>,
    failed: Mutex<BTreeSet<TaskId>>,
    pub topics: Mutex<Vec<String>>,
}

impl Seen {
    /// Whether the task ever failed.
    pub fn has_failed(&self, id: &TaskId) -> bool {
        self.failed.lock().unwrap().contains(id)
    }
}

impl StatusListener for Seen {
    fn on_connector(&self, _name: &str, _state: State, _trace: Option<&str>, _kind: Option<ErrorKind>) {}

    fn on_task(&self, id: &TaskId, state: State, trace: Option<&str>, kind: Option<ErrorKind>) {
        let error = kind.zip(trace.map(str::to_owned));
        if state == State::Failed {
            self.failed.lock().unwrap().insert(id.clone());
        }
        self.states.lock().unwrap().insert(id.clone(), (state, error));
    }

    fn on_reconfiguration_request(&self, _name: &str) {}

    fn on_topic(&self, _id: &TaskId, topic: &str) {
        self.topics.lock().unwrap().push(topic.to_owned());
    }
}

/// A worker of a cluster, with a source of numbers and a sink that remembers.
pub struct TestWorker<'a> {
    cluster: &'a Cluster,
    pub worker: Arc<Worker>,
    pub seen: Arc<Seen>,
    pub numbers: Arc<NumbersScript>,
    pub memory: Arc<MemoryScript>,
}

impl<'a> TestWorker<'a> {
    pub fn start(cluster: &'a Cluster, settings: &[(&str, &str)]) -> Self {
        let offsets = cluster.directory.path().join("connect.offsets");
        let mut given = cluster.worker_settings(&[
            ("offset.storage.file.filename", offsets.to_str().unwrap()),
            ("group.id", &cluster.name("workers")),
        ]);
        given.extend(map(settings));
        let config = WorkerConfig::parse(WorkerMode::Standalone, given.clone()).unwrap();
        let config = WorkerConfig {
            group_id: given.get("group.id").cloned(),
            ..config
        };
        let scripts = Scripts::default();
        let registry = scripts.plugins(Registry::built_in());
        let seen = Arc::<Seen>::default();
        let _within = cluster.runtime.enter();
        let listener = Arc::clone(&seen);
        let worker = Worker::new(Arc::new(config), registry, listener);
        Self {
            cluster,
            worker: Arc::new(worker.unwrap()),
            seen,
            numbers: scripts.numbers,
            memory: scripts.memory,
        }
    }

    pub fn source(&self, topic: &str, settings: &[(&str, &str)]) -> TaskId {
        self.source_as("numbers", topic, settings)
    }

    /// Starts the source of numbers as a task of the connector `name`.
    pub fn source_as(&self, name: &str, topic: &str, settings: &[(&str, &str)]) -> TaskId {
        let mut config = map(&[("name", name), ("connector.class", "Numbers"), ("topic", topic)]);
        config.extend(map(settings));
        let id = TaskId {
            connector: name.to_owned(),
            task: 0,
        };
        self.worker
            .start_task(&id, &config, &config, TargetState::Started);
        id
    }

    pub fn sink(&self, name: &str, topics: &str, settings: &[(&str, &str)]) -> TaskId {
        self.sink_task(name, 0, topics, settings)
    }

    /// Starts one of several tasks of a sink.
    pub fn sink_task(&self, name: &str, task: u32, topics: &str, settings: &[(&str, &str)]) -> TaskId {
        let mut config = sink_config(name, topics);
        config.extend(map(settings));
        let id = TaskId {
            connector: name.to_owned(),
            task,
        };
        self.worker
            .start_task(&id, &config, &config, TargetState::Started);
        id
    }

    /// The offsets of a sink, as users see them, by topic.
    pub fn sink_offsets(&self, name: &str, topics: &str) -> Vec<(String, Option<i64>)> {
        let config = sink_config(name, topics);
        let read = self.worker.offsets(name, &config);
        let ConnectorOffsets::Sink(offsets) = self.cluster.runtime.block_on(read).unwrap() else {
            panic!("they are a sink's")
        };
        let shown = offsets.into_iter();
        shown.map(|(its, next)| (its.topic.to_string(), next)).collect()
    }

    pub fn stop(&self, id: &TaskId) {
        self.cluster
            .runtime
            .block_on(self.worker.stop_tasks(std::slice::from_ref(id)));
    }

    /// Waits until the task is in a state; gives the error's kind and text, if there is one.
    pub fn wait_for(&self, id: &TaskId, state: State) -> Option<(ErrorKind, String)> {
        let last = || self.seen.states.lock().unwrap().get(id).cloned();
        let reached = || last().filter(|(its, _)| *its == state);
        let found = wait_while(reached, || panic!("{id} is not {state:?} but {:?}", last()));
        found.1
    }
}

/// A sink that remembers.
pub fn sink_config(name: &str, topics: &str) -> ConfigMap {
    map(&[
        ("name", name),
        ("connector.class", "MemorySink"),
        ("topics", topics),
    ])
}

pub fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Waits until there is something.
pub fn wait<T>(look: impl FnMut() -> Option<T>) -> T {
    wait_while(look, || panic!("it does not come"))
}

/// Waits until there is something; `fails` says what is there instead.
fn wait_while<T>(mut look: impl FnMut() -> Option<T>, fails: impl FnOnce() -> T) -> T {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    fails()
}
