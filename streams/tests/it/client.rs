//! Topics, records and results, through librdkafka.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use millstream_broker::config::BrokerConfig;
use millstream_broker::{Broker, BrokerHandle};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use millstream_streams::{Streams, StreamsConfig, col, count_all, json, lower, split_words, text};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster and a prefix that no other test uses.
pub struct Cluster {
    bootstrap: String,
    prefix: String,
    state: TempDir,
    /// The broker in this process, unless the cluster is an outer one.
    _broker: Option<(BrokerHandle, TempDir)>,
}

impl Cluster {
    pub fn new(test: &str) -> Self {
        Self::with(test, |_| {})
    }

    /// A cluster whose broker is configured by `change`, unless it is an outer one.
    pub fn with(test: &str, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (bootstrap, broker) = match std::env::var("MILLSTREAM_TEST_BOOTSTRAP") {
            Ok(bootstrap) => (bootstrap, None),
            Err(_) => {
                let directory = tempfile::tempdir().unwrap();
                // No more members are to be waited for than the test starts.
                let mut config = BrokerConfig {
                    group_initial_rebalance_delay_ms: 0,
                    ..BrokerConfig::default()
                };
                change(&mut config);
                let builder = Broker::builder()
                    .data_dir(directory.path())
                    .listener("127.0.0.1:0")
                    .config(config);
                let broker = builder.start_blocking().unwrap();
                (broker.address().to_string(), Some((broker, directory)))
            }
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            bootstrap,
            prefix: format!("{test}-{}-{number}", std::process::id()),
            state: tempfile::tempdir().unwrap(),
            _broker: broker,
        }
    }

    /// The cluster of a test in another process, by its [address](Self::address).
    pub fn joined(address: &str) -> Self {
        let (bootstrap, prefix) = address.split_once('/').unwrap();
        Self {
            bootstrap: bootstrap.to_owned(),
            prefix: prefix.to_owned(),
            state: tempfile::tempdir().unwrap(),
            _broker: None,
        }
    }

    /// Where the cluster is, and the test's prefix.
    pub fn address(&self) -> String {
        format!("{}/{}", self.bootstrap, self.prefix)
    }

    /// A name that only this test uses.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub fn config(&self) -> StreamsConfig {
        StreamsConfig::new(&self.bootstrap).state_dir(self.state.path())
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap);
        client
    }

    /// Creates the topic `name` of this test.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let name = self.name(name);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = await_ready(admin.create_topics([&topic], &options));
        results.unwrap().pop().unwrap().unwrap();
    }

    /// Gives the topic `name` more partitions, so that there are so many.
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let name = self.name(name);
        let more = NewPartitions::new(&name, partitions);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = await_ready(admin.create_partitions([&more], &options));
        results.unwrap().pop().unwrap().unwrap();
    }

    /// Deletes topics, and the group of the job `app`, if nobody is in it; says whether that was so.
    pub fn reset(&self, app: &str, topics: &[&str]) -> bool {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = await_ready(admin.delete_groups(&[&self.name(app)], &options)).unwrap();
        if deleted.iter().any(Result::is_err) {
            return false;
        }
        let names: Vec<String> = topics.iter().map(|topic| self.name(topic)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let deleted = await_ready(admin.delete_topics(&names, &options)).unwrap();
        deleted.into_iter().for_each(|topic| drop(topic.unwrap()));
        true
    }

    /// Whether there is a topic `name`.
    pub fn has_topic(&self, name: &str) -> bool {
        let reader: BaseConsumer = self.client().set("group.id", "unused").create().unwrap();
        let metadata = reader.fetch_metadata(None, PATIENCE).unwrap();
        let name = self.name(name);
        metadata.topics().iter().any(|topic| topic.name() == name)
    }

    /// Writes lines to the topic `name`, one after another over its partitions.
    pub fn write<'a>(&self, name: &str, partitions: i32, lines: impl IntoIterator<Item = &'a str>) {
        self.send(name, lines.into_iter().zip((0..partitions).cycle()));
    }

    /// Writes lines to one partition of the topic `name`.
    pub fn write_to(&self, name: &str, partition: i32, lines: &[String]) {
        self.send(name, lines.iter().map(|line| (line.as_str(), partition)));
    }

    fn send<'a>(&self, name: &str, lines: impl Iterator<Item = (&'a str, i32)>) {
        let producer: BaseProducer = self.client().set("linger.ms", "20").create().unwrap();
        let topic = self.name(name);
        for (line, partition) in lines {
            let mut record = BaseRecord::<(), str>::to(&topic)
                .payload(line)
                .partition(partition);
            while let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(5));
                record = back;
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Writes records by their keys to the topic `name`; those of a key are in their order.
    pub fn write_keyed(&self, name: &str, records: &[(String, Option<String>)]) {
        let mut client = self.client();
        // As Java's producers place them, and tables take for granted.
        client.set("linger.ms", "20").set("partitioner", "murmur2_random");
        let producer: BaseProducer = client.create().unwrap();
        let topic = self.name(name);
        for (key, value) in records {
            let mut record = BaseRecord::<String, String>::to(&topic).key(key);
            if let Some(value) = value {
                record = record.payload(value);
            }
            while let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(5));
                record = back;
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Opens a transaction that writes the first record of the first partition of the topic `name` once more.
    pub fn begin_transaction(&self, name: &str) -> Transaction {
        let (topic, mut first) = (self.name(name), TopicPartitionList::new());
        first.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        let mut client = self.client();
        client.set("group.id", self.name("reader"));
        let reader: BaseConsumer = client.create().unwrap();
        reader.assign(&first).unwrap();
        let record = reader.poll(PATIENCE).unwrap().unwrap();
        self.transaction(name, record.key().unwrap(), record.payload().unwrap())
    }

    /// Opens a transaction that writes a record to the first partition of the topic `name`.
    pub fn transaction(&self, name: &str, key: &[u8], payload: &[u8]) -> Transaction {
        let topic = self.name(name);
        let producer: BaseProducer = self
            .client()
            .set("transactional.id", self.name("transaction"))
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        let record = BaseRecord::to(&topic).key(key).payload(payload).partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
        Transaction(producer)
    }

    /// The latest value of every key of the topic `name`, and how many records it holds.
    pub fn table(&self, name: &str) -> (BTreeMap<String, String>, usize) {
        let mut client = self.client();
        client
            .set("group.id", self.name("reader"))
            .set("enable.auto.commit", "false");
        let reader: BaseConsumer = client.create().unwrap();
        let topic = self.name(name);
        let metadata = reader.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for partition in metadata.topics()[0].partitions() {
            let (start, end) = reader.fetch_watermarks(&topic, partition.id(), PATIENCE).unwrap();
            left += end - start;
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        let total = usize::try_from(left).unwrap();
        reader.assign(&list).unwrap();
        let mut table = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        while left > 0 {
            assert!(Instant::now() < deadline, "{left} records of {topic} do not come");
            if let Some(message) = reader.poll(Duration::from_millis(100)) {
                let message = message.unwrap();
                let string =
                    |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                table.insert(string(message.key()), string(message.payload()));
                left -= 1;
            }
        }
        (table, total)
    }

    /// The committed records of the topic `name`: keys, and values as JSON. Those of a key are in their order.
    pub fn records(&self, name: &str) -> Vec<(String, serde_json::Value)> {
        let mut records = Vec::new();
        self.each(name, |key, value| {
            records.push((key.to_owned(), serde_json::from_str(value).unwrap()));
        });
        records
    }

    /// The values of the committed records of the topic `name`.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let mut texts = Vec::new();
        self.each(name, |_, value| texts.push(value.to_owned()));
        texts
    }

    /// What a reader of the compacted topic `name` has in the end: deleted keys are gone.
    pub fn kept(&self, name: &str) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        self.each_or_none(name, |key, value| match value {
            Some(value) => drop(table.insert(key.to_owned(), value.to_owned())),
            None => drop(table.remove(key)),
        });
        table
    }

    fn each(&self, name: &str, mut each: impl FnMut(&str, &str)) {
        self.each_or_none(name, |key, value| each(key, value.unwrap()));
    }

    fn each_or_none(&self, name: &str, mut each: impl FnMut(&str, Option<&str>)) {
        let mut client = self.client();
        client
            .set("group.id", self.name("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        let reader: BaseConsumer = client.create().unwrap();
        let topic = self.name(name);
        let metadata = reader.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        reader.assign(&list).unwrap();
        let mut left = list.count();
        let deadline = Instant::now() + PATIENCE;
        while left > 0 {
            assert!(
                Instant::now() < deadline,
                "{left} partitions of {topic} have no end"
            );
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap();
                    each(
                        key,
                        message.payload().map(|value| std::str::from_utf8(value).unwrap()),
                    );
                }
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
    }

    /// The latest committed value of every key of the topic `name`, as the job wrote it.
    pub fn latest(&self, name: &str) -> BTreeMap<String, String> {
        let records = self.records(name).into_iter();
        records.map(|(key, value)| (key, value.to_string())).collect()
    }

    /// The first offset of a partition of the topic `name`.
    pub fn begins(&self, name: &str, partition: i32) -> i64 {
        self.bounds(name, partition).0
    }

    /// The end of a partition of the topic `name`.
    pub fn ends(&self, name: &str, partition: i32) -> i64 {
        self.bounds(name, partition).1
    }

    fn bounds(&self, name: &str, partition: i32) -> (i64, i64) {
        let reader: BaseConsumer = self.client().set("group.id", "unused").create().unwrap();
        reader
            .fetch_watermarks(&self.name(name), partition, PATIENCE)
            .unwrap()
    }

    /// The word count from `lines` to `counts`.
    pub fn word_count(&self) -> Streams {
        let app = Streams::new(self.name("app"));
        app.stream(self.name("lines"), text("line"))
            .flat_map(split_words(col("line")).alias("word"))
            .select([lower(col("word")).alias("word")])
            .group_by([col("word")])
            .aggregate("counts", [count_all().alias("n")])
            .to(self.name("counts"), json());
        app
    }
}

/// A transaction that has written something.
pub struct Transaction(BaseProducer);

impl Transaction {
    pub fn end(self, commits: bool) {
        match commits {
            true => self.0.commit_transaction(PATIENCE).unwrap(),
            false => self.0.abort_transaction(PATIENCE).unwrap(),
        }
    }
}

/// The table that counts give, as the job writes it.
pub fn counts<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut counts = BTreeMap::<String, usize>::new();
    for word in lines
        .into_iter()
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
    {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(word, n)| (word, format!("{{\"n\":{n}}}")))
        .collect()
}

/// What an administrator's request gives.
fn await_ready<T>(request: impl Future<Output = T>) -> T {
    let mut request = Box::pin(request);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let std::task::Poll::Ready(results) = request.as_mut().poll(&mut context) {
            return results;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("an administrator's request was not answered");
}
