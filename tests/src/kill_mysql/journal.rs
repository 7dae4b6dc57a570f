//! What a journal of a topic has to hold.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// The partitions and offsets of a topic's committed records that say what a row is, up to the topic's end.
///
/// # Errors
/// When the end does not come in time.
pub(super) fn changes(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    patience: Duration,
) -> Result<BTreeSet<(i32, i64)>, String> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "kill-mysql-journal")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("log_level", "0");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut changes, mut ends) = (BTreeSet::new(), BTreeSet::new());
    let until = Instant::now() + patience;
    while ends.len() < partitions as usize {
        if Instant::now() > until {
            return Err(format!("of {topic} only the partitions {ends:?} have an end"));
        }
        // Errors pass.
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let Some(payload) = message.payload() else {
                    continue;
                };
                let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
                if value["payload"]["after"].is_object() {
                    changes.insert((message.partition(), message.offset()));
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.insert(partition)),
            Some(Err(_)) | None => {}
        }
    }
    Ok(changes)
}
