//! What the topics say the tables are.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Map, Value};

/// A row as its columns' texts.
pub(super) type Row = BTreeMap<String, Option<String>>;
/// Rows by their key's text.
pub(super) type Rows = BTreeMap<String, Row>;

/// Reads the topics of a connector, and applies what they say.
pub(super) struct Replay {
    consumer: BaseConsumer,
    topics: HashMap<String, &'static str>,
    tables: HashMap<&'static str, Rows>,
    /// Records with a value.
    pub(super) records: u64,
    /// Those of them that a snapshot made.
    pub(super) reads: u64,
    /// Rows that were told by a snapshot, and by a change before it.
    pub(super) told_before: u64,
}

impl Replay {
    /// Of these tables, whose topics have so many partitions.
    pub(super) fn new(bootstrap: &str, prefix: &str, tables: &[&'static str], partitions: i32) -> Self {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "kill-mysql-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // Topics are made by the worker.
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("log_level", "0");
        let consumer: BaseConsumer = client.create().unwrap();
        let (mut list, mut topics) = (TopicPartitionList::new(), HashMap::new());
        for &table in tables {
            let topic = format!("{prefix}.shop.{table}");
            for partition in 0..partitions {
                let added = list.add_partition_offset(&topic, partition, Offset::Beginning);
                added.unwrap();
            }
            topics.insert(topic, table);
        }
        consumer.assign(&list).unwrap();
        Self {
            consumer,
            topics,
            tables: tables.iter().map(|&table| (table, Rows::new())).collect(),
            records: 0,
            reads: 0,
            told_before: 0,
        }
    }

    /// Applies what there is now; how many records.
    pub(super) fn read(&mut self) -> Result<u64, String> {
        let before = self.records;
        // Errors pass: the broker may just be starting.
        while let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
            let Ok(message) = message else { continue };
            let table = self.topics[message.topic()];
            let Some(payload) = message.payload() else {
                continue;
            };
            let value: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
            let key = message.key().map(serde_json::from_slice::<Value>);
            let key = key.transpose().map_err(|error| error.to_string())?;
            let at = format!("{table} {}, offset {}", message.partition(), message.offset());
            self.apply(table, key.as_ref(), &value)
                .map_err(|what| format!("{at}: {what}; the record: {value}"))?;
            self.records += 1;
        }
        Ok(self.records - before)
    }

    fn apply(&mut self, table: &'static str, key: Option<&Value>, value: &Value) -> Result<(), String> {
        let rows = self.tables.get_mut(table).expect("all are there");
        let op = value["op"].as_str().ok_or("it has no op")?;
        if op == "t" {
            rows.clear();
            return Ok(());
        }
        let key = key.ok_or("it has no key")?.to_string();
        let before = value["before"].as_object().map(texts);
        let after = value["after"].as_object().map(texts);
        let known = rows.get(&key);
        match op {
            "r" => {
                self.reads += 1;
                if let Some(known) = known {
                    self.told_before += 1;
                    agree(known, after.as_ref().ok_or("no after")?)?;
                }
            }
            "c" if known.is_some() => return Err(format!("it is inserted, and was there: {known:?}")),
            "c" => {}
            "u" | "d" => {
                if let Some(known) = known {
                    agree(known, before.as_ref().ok_or("no before")?)?;
                }
            }
            other => return Err(format!("op {other}")),
        }
        match after {
            Some(after) => rows.insert(key, after),
            None => rows.remove(&key),
        };
        Ok(())
    }

    pub(super) fn rows(&self, table: &str) -> &Rows {
        &self.tables[table]
    }
}

fn texts(row: &Map<String, Value>) -> Row {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    row.iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// What was told last and what the next change found are one, but for columns that came or went between.
fn agree(told: &Row, found: &Row) -> Result<(), String> {
    for (name, value) in told {
        // A column may come back as another.
        if !name.starts_with("extra_") && found.get(name).is_some_and(|found| found != value) {
            return Err(format!("{told:?} was told before, and now it was {found:?}"));
        }
    }
    Ok(())
}
