//! The committed lines of a topic.
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Reads a topic's only partition from its beginning.
pub(super) struct TopicReader {
    consumer: BaseConsumer,
    lines: Vec<String>,
}

impl TopicReader {
    pub(super) fn new(bootstrap: &str, topic: &str) -> Self {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "kill-connect")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // The topic is made by the worker.
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("log_level", "0");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let lines = Vec::new();
        Self { consumer, lines }
    }

    /// What is there, after what there is to read now was read.
    pub(super) fn read(&mut self) -> &[String] {
        // Errors pass: the broker may just be starting.
        while let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
            if let Ok(message) = message {
                let line = message.payload().expect("a line is never null");
                self.lines
                    .push(String::from_utf8(line.to_vec()).expect("lines are ASCII"));
            }
        }
        &self.lines
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}
