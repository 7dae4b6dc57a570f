//! A sink that keeps its offsets with its records, as the file sinks do: only what it has stored counts, and it stores some of it within `put`.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, FailedRecord, PartitionOffset, Plugin, PluginError, SameForAll, SinkPlugin, SinkTask,
    SinkTaskContext, TopicPartition,
};
use millstream_connect::record::Record;

use crate::harness::wait;

/// Rows that wait are stored by the next call once they are so many.
const ROLL: usize = 3;

/// What is stored, whatever becomes of tasks.
#[derive(Default)]
pub struct Ledger {
    stored: Mutex<BTreeMap<TopicPartition, Stored>>,
    pub starts: AtomicUsize,
    /// Values that are refused.
    pub refused: Mutex<Vec<String>>,
}

#[derive(Default, Clone)]
struct Stored {
    rows: Vec<String>,
    next: i64,
}

impl Ledger {
    /// The rows of all partitions.
    pub fn rows(&self) -> Vec<String> {
        let stored = self.stored.lock().unwrap();
        stored.values().flat_map(|its| its.rows.clone()).collect()
    }

    /// The next offset of the only partition.
    pub fn next(&self) -> i64 {
        self.stored.lock().unwrap().values().map(|its| its.next).sum()
    }

    pub fn forget(&self) {
        self.stored.lock().unwrap().clear();
    }

    pub fn await_rows(&self, rows: &[String]) {
        wait(|| (self.rows() == rows).then_some(()));
    }
}

pub struct LedgerSink(pub Arc<Ledger>);

impl Plugin for LedgerSink {
    fn class(&self) -> &'static str {
        "test.LedgerSinkConnector"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl SinkPlugin for LedgerSink {
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(1))
    }
    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(LedgerTask {
            ledger: Arc::clone(&self.0),
            waiting: BTreeMap::new(),
        })
    }
}

struct LedgerTask {
    ledger: Arc<Ledger>,
    waiting: BTreeMap<TopicPartition, Stored>,
}

impl LedgerTask {
    /// It believes whoever calls it: what waits is stored.
    fn store(&mut self) {
        let mut stored = self.ledger.stored.lock().unwrap();
        for (partition, waiting) in &mut self.waiting {
            let its = stored.entry(partition.clone()).or_default();
            its.rows.append(&mut waiting.rows);
            its.next = its.next.max(waiting.next);
        }
    }
}

#[async_trait]
impl SinkTask for LedgerTask {
    async fn start(&mut self, _config: &ConfigMap, _context: SinkTaskContext) -> Result<(), PluginError> {
        self.ledger.starts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        let stored = self.ledger.stored.lock().unwrap();
        let owned = partitions.iter().filter_map(|partition| {
            let next = stored.get(partition)?.next;
            let partition = partition.clone();
            Some(PartitionOffset { partition, next })
        });
        Ok(owned.collect())
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        // A call says that all that came before is settled.
        if self.waiting.values().any(|waiting| waiting.rows.len() >= ROLL) {
            self.store();
        }
        let (refused, mut failed) = (self.ledger.refused.lock().unwrap().clone(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            let origin = record.origin.clone().unwrap();
            let partition = TopicPartition {
                topic: origin.topic,
                partition: origin.partition,
            };
            let waiting = self.waiting.entry(partition).or_default();
            waiting.next = origin.offset + 1;
            let text = record.value.value.as_str().unwrap_or("-").to_owned();
            if refused.contains(&text) {
                let error = PluginError::bad_record(format!("{text} is refused"));
                failed.push(FailedRecord { index, error });
            } else {
                waiting.rows.push(text);
            }
        }
        Ok(failed)
    }

    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        self.store();
        Ok(taken.to_vec())
    }

    async fn close(&mut self, _partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        if !lost {
            self.store();
        }
        self.waiting.clear();
        Ok(())
    }
}
