//! Transactions under kills: all of one or nothing, and what was acknowledged stays.
//!
//! One producer writes numbered transactions, each with a record in every partition and an offset of a group. It
//! commits most of them and aborts the others. Whatever becomes of a commit whose answer is lost, consumers of committed
//! records see all of it once or none of it, and the group's offset is that of the last one they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{COMMITTED_READ, client_config, read_to_end};

pub(super) const TOPIC: &str = "kills-transactions";
const GROUP: &str = "kills-transactions-group";
pub(super) const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// One with a thread of its own: a commit waits until somebody takes the delivery reports.
type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

/// What became of the transactions, by number.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    committed: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
}

pub(super) fn start(address: &str, stop: &Arc<AtomicBool>) -> JoinHandle<Outcomes> {
    let (address, stop) = (address.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || run(&address, &stop))
}

fn run(address: &str, stop: &AtomicBool) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let consumer: BaseConsumer = client_config(address).set("group.id", GROUP).create().unwrap();
    let group = consumer.group_metadata().expect("the consumer has a group");
    let mut number = 0;
    'producers: while !stop.load(Ordering::Acquire) {
        let producer: TransactionalProducer = client_config(address)
            .set("transactional.id", "kills")
            .set("linger.ms", "1")
            .set("transaction.timeout.ms", "10000")
            .create()
            .unwrap();
        if producer.init_transactions(PATIENCE).is_err() {
            continue;
        }
        while !stop.load(Ordering::Acquire) {
            number += 1;
            match transaction(&producer, &group, number) {
                Ok(true) => drop(outcomes.committed.insert(number)),
                Ok(false) => drop(outcomes.aborted.insert(number)),
                // Nobody knows how it ended; a new producer ends it before it begins its own.
                Err(_) => continue 'producers,
            }
        }
    }
    outcomes
}

/// Writes one transaction; whether it was committed.
fn transaction(
    producer: &TransactionalProducer,
    group: &ConsumerGroupMetadata,
    number: u64,
) -> Result<bool, KafkaError> {
    producer.begin_transaction()?;
    let written = (|| {
        for partition in 0..PARTITIONS {
            let value = number.to_string();
            let record = BaseRecord::<str, str>::to(TOPIC)
                .partition(partition)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        let mut offsets = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(number).unwrap());
        offsets.add_partition_offset(TOPIC, 0, offset)?;
        until_settled(|| producer.send_offsets_to_transaction(&offsets, group, PATIENCE))
    })();
    if written.is_ok() && !number.is_multiple_of(5) {
        match until_settled(|| producer.commit_transaction(PATIENCE)) {
            Ok(()) => return Ok(true),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {}
            Err(error) => return Err(error),
        }
    }
    until_settled(|| producer.abort_transaction(PATIENCE))?;
    Ok(false)
}

/// Calls again as long as that may help.
fn until_settled(call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            settled => return settled,
        }
    }
}

/// Compares what consumers see with what the producer was told; how many transactions are in the log.
pub(super) fn check(address: &str, outcomes: &Outcomes, seed: u64) -> u64 {
    let mut seen: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for partition in 0..PARTITIONS {
        read_to_end(address, TOPIC, partition, COMMITTED_READ, |message| {
            let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
            let number: u64 = text.parse().unwrap();
            seen.entry(number).or_default().push(partition);
            let before = last.insert(partition, number);
            assert!(
                before.is_none_or(|before| before < number),
                "seed {seed}: {before:?} before {number} in partition {partition}"
            );
        });
    }
    let all: Vec<i32> = (0..PARTITIONS).collect();
    for (number, partitions) in &seen {
        assert_eq!(
            *partitions, all,
            "seed {seed}: transaction {number} is there in part"
        );
        assert!(
            !outcomes.aborted.contains(number),
            "seed {seed}: transaction {number} was aborted, and consumers see it"
        );
    }
    let lost: Vec<_> = outcomes
        .committed
        .iter()
        .filter(|number| !seen.contains_key(number))
        .collect();
    assert!(
        lost.is_empty(),
        "seed {seed}: {} committed transactions are lost, first {:?}",
        lost.len(),
        lost.first()
    );
    assert!(
        !outcomes.committed.is_empty(),
        "seed {seed}: no transaction got through"
    );
    let newest = seen.keys().next_back().copied();
    assert_eq!(
        committed_offset(address),
        newest,
        "seed {seed}: the group's offset is not of the last transaction"
    );
    seen.len() as u64
}

fn committed_offset(address: &str) -> Option<u64> {
    let consumer: BaseConsumer = client_config(address).set("group.id", GROUP).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, 0);
    let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
    match committed.elements()[0].offset() {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    }
}
