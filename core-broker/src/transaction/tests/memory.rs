//! A log and partitions in memory that can be slow, fail, and die with a manager.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::group::KeyedRecord;
use crate::ids::Timestamp;
use crate::log::Clock;
use crate::transaction::store::{MarkerError, MarkerWriter, TransactionLog, Visit};

pub(super) const PARTITIONS: i32 = 3;

/// What survives a crash.
#[derive(Default)]
pub(super) struct Disk {
    log: Mutex<BTreeMap<i32, Vec<KeyedRecord>>>,
    pub data: Mutex<BTreeMap<TopicPartition, Vec<Entry>>>,
    next_id: AtomicI64,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A record of a transaction of the test's own numbering.
    Record { producer: ProducerId, number: u64 },
    /// An end.
    Marker(TransactionMarker),
}

impl Disk {
    /// Records of the internal topic.
    pub fn records(&self) -> usize {
        self.log.lock().unwrap().values().map(Vec::len).sum()
    }

    /// The markers in a partition.
    pub fn markers(&self, partition: &TopicPartition) -> Vec<TransactionMarker> {
        let data = self.data.lock().unwrap();
        let entries = data.get(partition).into_iter().flatten();
        let marker = |entry: &Entry| match entry {
            Entry::Marker(marker) => Some(*marker),
            Entry::Record { .. } => None,
        };
        entries.filter_map(marker).collect()
    }
}

/// One life of a broker on a disk.
pub(super) struct Life {
    pub disk: Arc<Disk>,
    dead: AtomicBool,
    /// Of 1000 writes so many fail.
    pub failing: AtomicU64,
    /// Longest time of a write.
    pub slowness_ms: AtomicU64,
    dice: AtomicU64,
    /// Each marker takes one permit.
    pub gate: Semaphore,
}

impl Life {
    pub fn new(disk: &Arc<Disk>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            disk: disk.clone(),
            dead: AtomicBool::new(false),
            failing: AtomicU64::new(0),
            slowness_ms: AtomicU64::new(0),
            dice: AtomicU64::new(seed),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// Nothing that is under way reaches the disk any more.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn roll(&self) -> u64 {
        let mut z = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ z >> 27
    }

    async fn trouble(&self) -> Result<(), String> {
        let slowness = self.slowness_ms.load(Ordering::SeqCst);
        if slowness > 0 {
            tokio::time::sleep(Duration::from_millis(self.roll() % slowness)).await;
        }
        if self.dead.load(Ordering::SeqCst) || self.roll() % 1000 < self.failing.load(Ordering::SeqCst) {
            return Err("simulated".to_owned());
        }
        Ok(())
    }
}

#[async_trait]
impl TransactionLog for Life {
    fn partition_count(&self) -> i32 {
        PARTITIONS
    }

    async fn prepare(&self) -> Result<(), TransactionError> {
        Ok(())
    }

    async fn append(&self, partition: i32, record: KeyedRecord) -> Result<(), TransactionError> {
        let storage = |reason| TransactionError::Storage { reason };
        self.trouble().await.map_err(storage)?;
        let mut log = self.disk.log.lock().unwrap();
        log.entry(partition).or_default().push(record);
        Ok(())
    }

    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), TransactionError> {
        let log = self.disk.log.lock().unwrap();
        for (key, value) in log.get(&partition).into_iter().flatten() {
            visit(key, value.as_deref())?;
        }
        Ok(())
    }

    async fn next_producer_id(&self) -> Result<ProducerId, TransactionError> {
        Ok(ProducerId(self.disk.next_id.fetch_add(1, Ordering::SeqCst)))
    }
}

#[async_trait]
impl MarkerWriter for Life {
    async fn write(&self, partition: &TopicPartition, marker: TransactionMarker) -> Result<(), MarkerError> {
        let permit = self.gate.acquire().await.unwrap();
        self.trouble().await.map_err(MarkerError)?;
        permit.forget();
        self.gate
            .add_permits(usize::from(self.gate.available_permits() > 1_000));
        let mut data = self.disk.data.lock().unwrap();
        data.entry(partition.clone())
            .or_default()
            .push(Entry::Marker(marker));
        Ok(())
    }
}

/// A wall clock that runs with tokio's.
#[derive(Debug)]
pub(super) struct TestClock(pub tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.0.elapsed().as_millis() as i64)
    }
}

pub(super) fn start(
    life: &Arc<Life>,
    clock: &Arc<TestClock>,
    config: TransactionConfig,
) -> Arc<TransactionManager> {
    TransactionManager::start(life.clone(), life.clone(), config, clock.clone()).unwrap()
}
