//! The committed lines of a topic.
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Reads a topic from its beginning.
pub(super) struct TopicReader {
    consumer: BaseConsumer,
    partitions: Vec<Vec<String>>,
}

impl TopicReader {
    pub(super) fn new(bootstrap: &str, topic: &str, partitions: usize) -> Self {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "kill-connect-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // The topic is made by the worker.
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("log_level", "0");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let partition = i32::try_from(partition).unwrap();
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let partitions = vec![Vec::new(); partitions];
        Self { consumer, partitions }
    }

    /// How many lines are there, after what there is to read now was read.
    pub(super) fn read(&mut self) -> usize {
        // Errors pass: the broker may just be starting.
        while let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
            if let Ok(message) = message {
                let line = message.payload().expect("a line is never null");
                let line = String::from_utf8(line.to_vec()).expect("lines are ASCII");
                self.partitions[usize::try_from(message.partition()).unwrap()].push(line);
            }
        }
        self.lines()
    }

    /// How many lines were read.
    pub(super) fn lines(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }

    /// The lines of each partition.
    pub(super) fn partitions(&self) -> &[Vec<String>] {
        &self.partitions
    }
}
