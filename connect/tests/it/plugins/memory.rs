//! A sink that remembers what is put.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, FailedRecord, PartitionOffset, Plugin, PluginError, SameForAll, SinkPlugin, SinkTask,
    SinkTaskContext, TopicPartition,
};
use millstream_connect::record::{Datum, Record};

use super::take_one;
use crate::harness::wait;

/// What the tasks of the sink that remembers do.
#[derive(Default)]
pub struct MemoryScript {
    /// What was put, by topic, partition and offset.
    pub put: Mutex<BTreeMap<(String, i32, i64), String>>,
    pub calls: AtomicUsize,
    /// `put` fails so often at first.
    pub retriable: AtomicUsize,
    /// Values that are refused.
    pub refused: Mutex<Vec<String>>,
    /// Nothing beyond this offset is durable (0: all is).
    pub durable: Mutex<Option<i64>>,
    /// Offsets that the sink keeps itself.
    pub owned: Mutex<Vec<(String, i32, i64)>>,
    pub closed: AtomicUsize,
    pub lost: AtomicUsize,
    pub starts: AtomicUsize,
    /// So many puts do nothing before they are released.
    pub hanging_puts: AtomicUsize,
    pub released: AtomicBool,
    /// So many puts panic.
    pub panicking_puts: AtomicUsize,
    /// Each put takes so long, in milliseconds.
    pub put_takes_ms: AtomicU64,
    /// How often each value was put.
    pub times: Mutex<BTreeMap<String, usize>>,
    /// Whether it keeps its offsets itself: with each put, and of the newest owner only.
    pub keeps_offsets: AtomicBool,
    /// The newest owner of each partition.
    pub epochs: Mutex<BTreeMap<(String, i32), u64>>,
    /// Keys and values as they came.
    pub pairs: Mutex<Vec<(Datum, Datum)>>,
}

impl MemoryScript {
    /// The values that were put, in the order of their offsets.
    pub fn values(&self) -> Vec<String> {
        self.put.lock().unwrap().values().cloned().collect()
    }

    /// Waits until these are the values that were put, in the order of their offsets.
    pub fn await_values(&self, values: &[&str]) {
        wait(|| (self.values() == values).then_some(()));
    }

    /// Waits until so many records were put.
    pub fn await_count(&self, count: usize) {
        wait(|| (self.values().len() == count).then_some(()));
    }

    /// What a put does to what is remembered; an owner that was replaced does nothing.
    fn keep(&self, record: &Record, text: &str, epoch: Option<&u64>) -> bool {
        let origin = record.origin.as_ref().unwrap();
        let place = (origin.topic.to_string(), origin.partition);
        if self.keeps_offsets.load(Ordering::SeqCst) {
            let epochs = self.epochs.lock().unwrap();
            if epochs.get(&place) != epoch {
                return false;
            }
            let mut owned = self.owned.lock().unwrap();
            owned.retain(|(topic, partition, _)| (topic, *partition) != (&place.0, place.1));
            owned.push((place.0.clone(), place.1, origin.offset + 1));
        }
        *self.times.lock().unwrap().entry(text.to_owned()).or_default() += 1;
        let pair = (record.key.clone(), record.value.clone());
        self.pairs.lock().unwrap().push(pair);
        let (topic, partition) = place;
        let place = (topic, partition, origin.offset);
        self.put.lock().unwrap().insert(place, text.to_owned());
        true
    }
}

pub struct Memory(pub Arc<MemoryScript>);

impl Plugin for Memory {
    fn class(&self) -> &'static str {
        "test.MemorySinkConnector"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl SinkPlugin for Memory {
    fn alter_offsets(
        &self,
        _config: &ConfigMap,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), PluginError> {
        let mut owned = self.0.owned.lock().unwrap();
        for (TopicPartition { topic, partition }, next) in offsets {
            owned.retain(|own| *own.0 != **topic || own.1 != *partition);
            owned.extend(next.map(|next| (topic.to_string(), *partition, next)));
        }
        Ok(())
    }
    fn owned_offsets(&self, _config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
        let owned = self.0.owned.lock().unwrap();
        let owned = owned.iter().map(|(topic, partition, next)| PartitionOffset {
            partition: TopicPartition {
                topic: topic.as_str().into(),
                partition: *partition,
            },
            next: *next,
        });
        Ok(owned.collect())
    }
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(8))
    }
    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(MemoryTask(Arc::clone(&self.0), BTreeMap::new()))
    }
}

/// The epoch of each partition that it has.
struct MemoryTask(Arc<MemoryScript>, BTreeMap<(String, i32), u64>);

#[async_trait]
impl SinkTask for MemoryTask {
    async fn start(&mut self, _config: &ConfigMap, _context: SinkTaskContext) -> Result<(), PluginError> {
        self.0.starts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        for partition in partitions {
            let place = (partition.topic.to_string(), partition.partition);
            let mut epochs = self.0.epochs.lock().unwrap();
            let epoch = epochs.get(&place).map_or(1, |epoch| epoch + 1);
            epochs.insert(place.clone(), epoch);
            drop(epochs);
            self.1.insert(place, epoch);
        }
        let owned = self.0.owned.lock().unwrap();
        let of = |partition: &TopicPartition| {
            let own = owned
                .iter()
                .find(|own| *own.0 == *partition.topic && own.1 == partition.partition)?;
            Some(PartitionOffset {
                partition: partition.clone(),
                next: own.2,
            })
        };
        Ok(partitions.iter().filter_map(of).collect())
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.retriable.load(Ordering::SeqCst) > 0 {
            self.0.retriable.fetch_sub(1, Ordering::SeqCst);
            return Err(PluginError::retriable("not yet"));
        }
        assert!(!take_one(&self.0.panicking_puts), "the script says so");
        if take_one(&self.0.hanging_puts) {
            while !self.0.released.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let pause = self.0.put_takes_ms.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(pause));
        let (refused, mut failed) = (self.0.refused.lock().unwrap().clone(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            let text = record.value.value.as_str().unwrap_or("-").to_owned();
            if refused.contains(&text) {
                let error = PluginError::bad_record(format!("{text} is refused"));
                failed.push(FailedRecord { index, error });
                continue;
            }
            let origin = record.origin.as_ref().unwrap();
            let place = (origin.topic.to_string(), origin.partition);
            if !self.0.keep(record, &text, self.1.get(&place)) {
                return Err(PluginError::disconnected("another has the partition"));
            }
        }
        Ok(failed)
    }

    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        let most = *self.0.durable.lock().unwrap();
        let mut durable = taken.to_vec();
        for offset in &mut durable {
            offset.next = most.map_or(offset.next, |most| offset.next.min(most));
        }
        Ok(durable)
    }

    async fn close(&mut self, _partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        self.0.lost.fetch_add(usize::from(lost), Ordering::SeqCst);
        Ok(())
    }
}
