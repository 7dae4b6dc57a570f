//! Kills the broker with −9 under load, again and again, and checks what clients were promised.
//!
//! Promises: a record whose delivery was acknowledged is in the log; an idempotent producer that lives through the kills
//! has no record twice and none out of order; offsets that a group's commit was acknowledged for never go back; the log
//! below the high watermark never changes.
//!
//! Idempotent producers run on through every kill. Each writes numbered records to a partition of its own, and to one
//! that all share; a committer moves a group's offset forward; a transactional producer, a compacted topic and topics that
//! are made all the time go with them (see the modules).

mod compaction;
mod transactions;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::broker::{BrokerProcess, free_address};
use crate::program;
use crate::random::Random;

const TOPIC: &str = "kills";
const GROUP: &str = "kills-group";
/// Producers, each with a partition of its own; one more partition is shared.
const PRODUCERS: i32 = 3;
const SHARED: i32 = PRODUCERS;

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// Kills.
    pub rounds: u64,
    /// Records acknowledged, all of which were found.
    pub acknowledged: u64,
    /// Records found.
    pub found: u64,
    /// Offset commits acknowledged.
    pub commits: u64,
    /// Transactions that consumers see, all of those acknowledged among them.
    pub transactions: u64,
    /// Records that compaction left.
    pub compacted: u64,
    /// Topics whose creation was acknowledged, all of which were found.
    pub topics: u64,
}

/// Runs `rounds` kills in `directory`; panics at the first broken promise, naming the seed.
pub fn run(directory: &Path, rounds: u64, seed: u64) -> Report {
    let mut random = Random::new(seed);
    let address = free_address();
    let start = || {
        let settings = [
            "log.segment.bytes=1048576",
            "offsets.topic.num.partitions=3",
            "transaction.state.log.num.partitions=3",
            "log.cleaner.backoff.ms=100",
        ];
        BrokerProcess::start_at(directory, &address, &settings)
    };
    let mut broker = start();
    create(&address, TOPIC, PRODUCERS + 1, &[]);
    create(&address, transactions::TOPIC, transactions::PARTITIONS, &[]);
    let compact = [
        "cleanup.policy=compact",
        "segment.bytes=200000",
        "min.cleanable.dirty.ratio=0.01",
    ];
    create(&address, compaction::TOPIC, 1, &compact);
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|id| Load::start(id, &address, &stop))
        .collect();
    let commits = Arc::new(AtomicU64::new(0));
    let committer = start_committer(&address, &stop, &commits);
    let transactional = transactions::start(&address, &stop);
    let compacting = compaction::start(&address, &stop);
    let creator = start_creator(&address, &stop);
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(50 + random.below(400)));
        broker.kill();
        if random.below(4) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(300)));
        }
        broker = start();
        let committed_before = commits.load(Ordering::Acquire);
        let committed = committed_offset(&address);
        assert!(
            committed >= committed_before,
            "seed {seed}, round {round}: the group is at {committed}, its commit of {committed_before} was acknowledged"
        );
    }
    stop.store(true, Ordering::Release);
    let acknowledged: Vec<Vec<u64>> = producers.into_iter().map(Load::finish).collect();
    committer.join().unwrap();
    let outcomes = transactional.join().unwrap();
    let keyed = compacting.join().unwrap();
    let topics = creator.join().unwrap();
    // What is checked must have been on disk, not only in this broker's memory.
    broker.kill();
    let broker = start();
    let found = read_all(&address);
    let transactions = transactions::check(&address, &outcomes, seed);
    let compacted = compaction::check(&address, &keyed, seed);
    check_topics(&address, &topics, seed);
    drop(broker);
    check(&acknowledged, &found, seed);
    Report {
        rounds,
        acknowledged: acknowledged.iter().map(|all| all.len() as u64).sum(),
        found: found.values().map(|all| all.len() as u64).sum(),
        commits: commits.load(Ordering::Acquire),
        transactions,
        compacted,
        topics: topics.len() as u64,
    }
}

fn create(address: &str, topic: &str, partitions: i32, configs: &[&str]) {
    let partitions = partitions.to_string();
    let mut arguments = vec!["topics", "create", "--topic", topic, "--partitions", &partitions];
    for config in configs {
        arguments.extend(["--config", config]);
    }
    arguments.extend(["--bootstrap-server", address]);
    program::millstream_output(&arguments, "");
}

/// Makes topics; those whose creation was acknowledged.
fn start_creator(address: &str, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    let admin: AdminClient<DefaultClientContext> = client_config(address).create().unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let mut made = Vec::new();
        for number in 0_u64.. {
            if stop.load(Ordering::Acquire) {
                break;
            }
            let name = format!("made-{number}");
            let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
            let created = runtime.block_on(admin.create_topics([&topic], &options));
            if created.is_ok_and(|results| results.iter().all(Result::is_ok)) {
                made.push(name);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        made
    })
}

fn check_topics(address: &str, topics: &[String], seed: u64) {
    let consumer: BaseConsumer = client_config(address).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(20)).unwrap();
    for name in topics {
        let found = metadata.topics().iter().find(|topic| topic.name() == name);
        let partitions = found.map_or(0, |topic| topic.partitions().len());
        assert_eq!(partitions, 2, "seed {seed}: topic {name} was acknowledged");
    }
    assert!(!topics.is_empty(), "seed {seed}: no topic could be made");
}

fn check(acknowledged: &[Vec<u64>], found: &HashMap<i32, Vec<(i32, u64)>>, seed: u64) {
    let empty = Vec::new();
    for (producer, acknowledged) in (0..).zip(acknowledged) {
        let own: Vec<u64> = found
            .get(&producer)
            .unwrap_or(&empty)
            .iter()
            .map(|&(_, number)| number)
            .collect();
        let shared: Vec<u64> = found
            .get(&SHARED)
            .unwrap_or(&empty)
            .iter()
            .filter(|&&(from, _)| from == producer)
            .map(|&(_, number)| number)
            .collect();
        for (place, numbers) in [("own", &own), ("shared", &shared)] {
            assert!(
                numbers.windows(2).all(|pair| pair[0] < pair[1]),
                "seed {seed}: producer {producer} has records twice or out of order in its {place} partition"
            );
        }
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|&&number| {
                let numbers = if number % 4 == 3 { &shared } else { &own };
                numbers.binary_search(&number).is_err()
            })
            .collect();
        assert!(
            missing.is_empty(),
            "seed {seed}: {} acknowledged records of producer {producer} are lost, first {:?}",
            missing.len(),
            missing.first()
        );
        assert!(
            !acknowledged.is_empty(),
            "seed {seed}: producer {producer} got nothing through"
        );
    }
}

/// Remembers the numbers of acknowledged records.
#[derive(Default)]
struct Acknowledged(Mutex<Vec<u64>>);

impl Acknowledged {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => self.0.lock().unwrap().push(number as u64),
            // Given up by the client at the end of the run: nothing was promised.
            Err((
                KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight),
                _,
            )) => {}
            Err((error, _)) => panic!("record {number} was refused: {error}"),
        }
    }
}

/// One producer that lives through every kill.
struct Load {
    thread: JoinHandle<Vec<u64>>,
}

impl Load {
    fn start(id: i32, address: &str, stop: &Arc<AtomicBool>) -> Self {
        let mut config = client_config(address);
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "120000")
            .set("queue.buffering.max.messages", "2000");
        let context = Acknowledged::default();
        let producer: BaseProducer<Acknowledged> =
            BaseProducer::from_config_and_context(&config, context).unwrap();
        let stop = Arc::clone(stop);
        Self {
            thread: std::thread::spawn(move || produce(id, &producer, &stop)),
        }
    }

    fn finish(self) -> Vec<u64> {
        let mut numbers = self.thread.join().unwrap();
        numbers.sort_unstable();
        numbers
    }
}

fn produce(id: i32, producer: &BaseProducer<Acknowledged>, stop: &AtomicBool) -> Vec<u64> {
    let filler = "x".repeat(100);
    let mut number = 0_usize;
    while !stop.load(Ordering::Acquire) {
        let partition = if number % 4 == 3 { SHARED } else { id };
        let value = format!("{id} {number} {filler}");
        let record = BaseRecord::<str, str, usize>::with_opaque_to(TOPIC, number)
            .partition(partition)
            .payload(&value);
        match producer.send(record) {
            Ok(()) => number += 1,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
            Err((error, _)) => panic!("cannot send: {error}"),
        }
        producer.poll(if number.is_multiple_of(64) {
            Duration::from_millis(1)
        } else {
            Duration::ZERO
        });
        assert!(
            producer.client().fatal_error().is_none(),
            "the producer gave up: {:?}",
            producer.client().fatal_error()
        );
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    producer.context().take()
}

/// A client that comes back fast.
fn client_config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        .set("retry.backoff.ms", "20");
    config
}

fn group_config(address: &str) -> ClientConfig {
    let mut config = client_config(address);
    config.set("group.id", GROUP).set("enable.auto.commit", "false");
    config
}

/// Commits 1, 2, 3 … for partition 0, retrying until each is acknowledged.
fn start_committer(address: &str, stop: &Arc<AtomicBool>, commits: &Arc<AtomicU64>) -> JoinHandle<()> {
    let consumer: BaseConsumer = group_config(address).create().unwrap();
    let (stop, commits) = (Arc::clone(stop), Arc::clone(commits));
    std::thread::spawn(move || {
        let mut next = 1_u64;
        while !stop.load(Ordering::Acquire) {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(TOPIC, 0, Offset::Offset(i64::try_from(next).unwrap()))
                .unwrap();
            if consumer.commit(&list, CommitMode::Sync).is_ok() {
                commits.store(next, Ordering::Release);
                next += 1;
            }
        }
    })
}

fn committed_offset(address: &str) -> u64 {
    let consumer: BaseConsumer = group_config(address).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, 0);
    for _ in 0..20 {
        if let Ok(committed) = consumer.committed_offsets(list.clone(), Duration::from_secs(5)) {
            return match committed.elements()[0].offset() {
                Offset::Offset(offset) => u64::try_from(offset).unwrap(),
                _ => 0,
            };
        }
    }
    panic!("the group's offsets cannot be read");
}

/// Every record by partition, as (producer, number), in the order of the log.
fn read_all(address: &str) -> HashMap<i32, Vec<(i32, u64)>> {
    let mut found: HashMap<i32, Vec<(i32, u64)>> = HashMap::new();
    for partition in 0..=SHARED {
        read_to_end(address, TOPIC, partition, ANY_READ, |message| {
            let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
            let mut parts = text.split(' ');
            let producer = parts.next().unwrap().parse().unwrap();
            let number = parts.next().unwrap().parse().unwrap();
            found.entry(partition).or_default().push((producer, number));
        });
    }
    found
}

/// Values of `isolation.level`.
const ANY_READ: &str = "read_uncommitted";
const COMMITTED_READ: &str = "read_committed";

/// Shows `visit` every record of a partition in order.
fn read_to_end(
    address: &str,
    topic: &str,
    partition: i32,
    isolation: &str,
    mut visit: impl FnMut(&BorrowedMessage<'_>),
) {
    let consumer: BaseConsumer = group_config(address)
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    loop {
        match consumer.poll(Duration::from_secs(20)) {
            Some(Ok(message)) => visit(&message),
            Some(Err(KafkaError::PartitionEOF(_))) => return,
            // The client may meet the broker while it starts.
            Some(Err(KafkaError::MessageConsumption(error))) if passes(error) => {}
            other => panic!("{topic}-{partition} cannot be read to its end: {other:?}"),
        }
    }
}

fn passes(error: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error, AllBrokersDown | BrokerTransportFailure)
}
