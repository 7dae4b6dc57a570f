//! A compacted topic under kills: the newest acknowledged value of each key, or one sent after it, is the last one there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::{ANY_READ, Acknowledged, client_config, read_to_end};

pub(super) const TOPIC: &str = "kills-compacted";
const KEYS: usize = 50;

pub(super) fn start(address: &str, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<u64>> {
    let mut config = client_config(address);
    config
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "120000")
        .set("batch.size", "20000")
        .set("queue.buffering.max.messages", "500");
    let producer = BaseProducer::from_config_and_context(&config, Acknowledged::default()).unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || run(&producer, &stop))
}

fn run(producer: &BaseProducer<Acknowledged>, stop: &AtomicBool) -> Vec<u64> {
    let mut number = 0_usize;
    while !stop.load(Ordering::Acquire) {
        let (key, value) = (
            (number % KEYS).to_string(),
            format!("{number} {}", "x".repeat(200)),
        );
        let record = BaseRecord::<str, str, usize>::with_opaque_to(TOPIC, number)
            .partition(0)
            .key(&key)
            .payload(&value);
        match producer.send(record) {
            Ok(()) => number += 1,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
            Err((error, _)) => panic!("cannot send: {error}"),
        }
        producer.poll(Duration::from_micros(if number.is_multiple_of(16) {
            2000
        } else {
            0
        }));
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    producer.context().take()
}

/// Compares the last value of each key with what was acknowledged; how many records there are.
pub(super) fn check(address: &str, acknowledged: &[u64], seed: u64) -> u64 {
    let mut last: HashMap<u64, u64> = HashMap::new();
    let (mut records, mut offset) = (0, -1);
    read_to_end(address, TOPIC, 0, ANY_READ, |message| {
        records += 1;
        assert!(message.offset() > offset, "seed {seed}: offsets go back");
        offset = message.offset();
        let key: u64 = text(message.key()).parse().unwrap();
        let number = text(message.payload())
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(number % KEYS as u64, key, "seed {seed}: a value of another key");
        let before = last.insert(key, number);
        assert!(
            before < Some(number),
            "seed {seed}: {number} after {before:?} of key {key}"
        );
    });
    let mut newest: HashMap<u64, u64> = HashMap::new();
    for number in acknowledged {
        let of_key = newest.entry(number % KEYS as u64).or_default();
        *of_key = (*of_key).max(*number);
    }
    for (key, number) in newest {
        let found = last.get(&key);
        assert!(
            found.is_some_and(|found| *found >= number),
            "seed {seed}: key {key} ends with {found:?}, {number} was acknowledged"
        );
    }
    records
}

fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap()).unwrap()
}
