//! Kills the broker with −9 under load, again and again, and checks what clients were promised.
//!
//! Promises: a record whose delivery was acknowledged is in the log; an idempotent producer that lives through the kills
//! has no record twice and none out of order; offsets that a group's commit was acknowledged for never go back; the log
//! below the high watermark never changes.
//!
//! Idempotent producers run on through every kill. Each writes numbered records to a partition of its own, and to one
//! that all share; a committer moves a group's offset forward.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
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
}

/// Runs `rounds` kills in `directory`; panics at the first broken promise, naming the seed.
pub fn run(directory: &Path, rounds: u64, seed: u64) -> Report {
    let mut random = Random::new(seed);
    let address = free_address();
    let start = || BrokerProcess::start_at(directory, &address, &["log.segment.bytes=1048576"]);
    let mut broker = start();
    program::millstream_output(
        &[
            "topics",
            "create",
            "--topic",
            TOPIC,
            "--partitions",
            &(PRODUCERS + 1).to_string(),
            "--bootstrap-server",
            &address,
        ],
        "",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|id| Load::start(id, &address, &stop))
        .collect();
    let commits = Arc::new(AtomicU64::new(0));
    let committer = start_committer(&address, &stop, &commits);
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
    // What is checked must have been on disk, not only in this broker's memory.
    broker.kill();
    let broker = start();
    let found = read_all(&address);
    drop(broker);
    check(&acknowledged, &found, seed);
    Report {
        rounds,
        acknowledged: acknowledged.iter().map(|all| all.len() as u64).sum(),
        found: found.values().map(|all| all.len() as u64).sum(),
        commits: commits.load(Ordering::Acquire),
    }
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
struct Acknowledged(Mutex<Vec<u64>>);

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
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", address)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("reconnect.backoff.ms", "10")
            .set("reconnect.backoff.max.ms", "100")
            .set("retry.backoff.ms", "20")
            .set("message.timeout.ms", "120000")
            .set("queue.buffering.max.messages", "2000");
        let context = Acknowledged(Mutex::new(Vec::new()));
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
    std::mem::take(&mut producer.context().0.lock().unwrap())
}

fn group_config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100");
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
    let consumer: BaseConsumer = group_config(address).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut open = HashMap::new();
    for partition in 0..=SHARED {
        let (_, high) = consumer
            .fetch_watermarks(TOPIC, partition, Duration::from_secs(10))
            .unwrap();
        if high > 0 {
            open.insert(partition, high);
            list.add_partition_offset(TOPIC, partition, Offset::Beginning)
                .unwrap();
        }
    }
    consumer.assign(&list).unwrap();
    let mut found: HashMap<i32, Vec<(i32, u64)>> = HashMap::new();
    while !open.is_empty() {
        let message = consumer
            .poll(Duration::from_secs(20))
            .expect("the log can be read to its end")
            .unwrap();
        let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
        let mut parts = text.split(' ');
        let producer = parts.next().unwrap().parse().unwrap();
        let number = parts.next().unwrap().parse().unwrap();
        found
            .entry(message.partition())
            .or_default()
            .push((producer, number));
        if open[&message.partition()] <= message.offset() + 1 {
            open.remove(&message.partition());
        }
    }
    found
}
