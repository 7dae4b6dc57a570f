//! How long a stream job takes from a record to the result that includes it, at a fixed rate.
//!
//! Events go to the input, `{"key":"k7","at":MILLISECONDS}` with the record key `k7`; the job counts them by key and window of ten
//! seconds and writes `k7@START` with `{"n":COUNT}`. All events of a key are in one partition, so its n-th event of a window is in every
//! count from n on. An event's time begins when it was due, whether the producer was ready or not, and ends when such a count came to
//! a reader of committed records.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::random::Random;

const WINDOW_MS: u64 = 10_000;
/// The last results may take so long.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `host:port`.
    pub bootstrap: String,
    /// The topic of events.
    pub input: String,
    /// The topic of counts.
    pub output: String,
    /// Event time of the first event, in milliseconds since 1970.
    pub begin_ms: u64,
    /// Events a second.
    pub rate: u64,
    /// How many keys they have.
    pub keys: u64,
    /// Events of the first so many seconds are not timed.
    pub warmup_secs: u64,
    /// How long after that.
    pub secs: u64,
}

/// Microseconds from event to result, of all events that were timed.
#[derive(Debug, Default)]
pub struct Report {
    /// Sorted.
    pub latencies_us: Vec<u32>,
    /// The slowest event of each timed second, in milliseconds.
    pub slowest_ms: Vec<u32>,
    /// Events without a result.
    pub missing: usize,
    /// How far the producer fell behind the rate.
    pub behind_ms: u128,
}

/// When the events of a key and window were due, in microseconds after the start; the first `resolved` have a result.
#[derive(Default)]
struct Due {
    at_us: Vec<u64>,
    resolved: usize,
}

/// By key and start of the window.
type Pending = Mutex<HashMap<(u64, u64), Due>>;

/// Runs it; panics when the cluster does not do what it should.
pub fn run(plan: &Plan) -> Report {
    let pending = Pending::default();
    let start = Instant::now();
    let events = plan.rate * (plan.warmup_secs + plan.secs);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(plan, &pending, start, events));
        let mut report = consume(plan, &pending, start, events);
        report.behind_ms = producer.join().unwrap();
        report.latencies_us.sort_unstable();
        report
    })
}

/// Sends events when they are due; how many milliseconds it was late at worst.
fn produce(plan: &Plan, pending: &Pending, start: Instant, events: u64) -> u128 {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &plan.bootstrap);
    client.set("enable.idempotence", "true").set("linger.ms", "1");
    let producer: BaseProducer = client.create().unwrap();
    let (mut random, mut behind) = (Random::new(1), Duration::ZERO);
    for event in 0..events {
        let due_us = event * 1_000_000 / plan.rate;
        let due = Duration::from_micros(due_us);
        while start.elapsed() < due {
            producer.poll(Duration::ZERO);
            std::thread::sleep(due.saturating_sub(start.elapsed()).min(Duration::from_millis(1)));
        }
        behind = behind.max(start.elapsed().saturating_sub(due));
        let key = random.below(plan.keys);
        let at_ms = plan.begin_ms + due_us / 1_000;
        pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((key, at_ms / WINDOW_MS * WINDOW_MS))
            .or_default()
            .at_us
            .push(due_us);
        let (key, value) = (format!("k{key}"), format!(r#"{{"key":"k{key}","at":{at_ms}}}"#));
        let mut record = BaseRecord::to(&plan.input).key(&key).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(TIMEOUT).unwrap();
    behind.as_millis()
}

/// Reads counts until all events are in one.
fn consume(plan: &Plan, pending: &Pending, start: Instant, events: u64) -> Report {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &plan.bootstrap);
    client
        .set("group.id", "latency")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = client.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(&plan.output), TIMEOUT).unwrap();
    let mut from = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        from.add_partition_offset(&plan.output, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&from).unwrap();
    let deadline = start + Duration::from_secs(plan.warmup_secs + plan.secs) + PATIENCE;
    let slowest_ms = vec![0; usize::try_from(plan.secs).unwrap()];
    let (mut report, mut resolved) = (
        Report {
            slowest_ms,
            ..Report::default()
        },
        0,
    );
    while resolved < events && Instant::now() < deadline {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let record = record.unwrap();
        let now_us = u64::try_from(start.elapsed().as_micros()).unwrap();
        let (place, count) = result(record.key().unwrap(), record.payload().unwrap());
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let due = pending.get_mut(&place).expect("a count of events that were sent");
        for at_us in due.at_us.iter().take(count).skip(due.resolved) {
            resolved += 1;
            if *at_us >= plan.warmup_secs * 1_000_000 {
                let latency = now_us.saturating_sub(*at_us);
                let latency = u32::try_from(latency).unwrap_or(u32::MAX);
                report.latencies_us.push(latency);
                let second = usize::try_from(*at_us / 1_000_000 - plan.warmup_secs).unwrap();
                if let Some(slowest) = report.slowest_ms.get_mut(second) {
                    *slowest = (*slowest).max(latency / 1_000);
                }
            }
        }
        assert!(
            count <= due.at_us.len(),
            "{place:?}: {count} events were counted, {} sent",
            due.at_us.len()
        );
        due.resolved = due.resolved.max(count);
    }
    report.missing = usize::try_from(events - resolved).unwrap();
    report
}

/// Key number, start of the window, and count of `k7@10000` and `{"n":3}`.
fn result(key: &[u8], value: &[u8]) -> ((u64, u64), usize) {
    let key = std::str::from_utf8(key).unwrap();
    let (number, window) = key.strip_prefix('k').unwrap().split_once('@').unwrap();
    let value: Value = serde_json::from_slice(value).unwrap();
    let count = usize::try_from(value["n"].as_u64().unwrap()).unwrap();
    ((number.parse().unwrap(), window.parse().unwrap()), count)
}
