//! An `OffsetsLog` in memory that can be held up and made to fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::group::store::{KeyedRecord, LogWrite, OffsetsLog, Replayed, Visit};
use crate::log::Clock;

#[derive(Debug)]
enum Entry {
    Record(Option<ProducerId>, KeyedRecord),
    Marker(ProducerId, bool),
}

#[derive(Debug)]
pub(crate) struct MemoryLog {
    partitions: Vec<Mutex<Vec<Entry>>>,
    /// Each append takes one permit.
    pub gate: Semaphore,
    /// How many appends fail from now on.
    pub failures: AtomicUsize,
    pub appends: AtomicUsize,
}

impl MemoryLog {
    pub fn new(partitions: usize) -> Arc<Self> {
        Arc::new(Self {
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            failures: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
        })
    }

    pub fn push(&self, partition: usize, key: &[u8], value: Option<&[u8]>) {
        let record = (Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice));
        self.partitions[partition]
            .lock()
            .unwrap()
            .push(Entry::Record(None, record));
    }
}

#[async_trait]
impl OffsetsLog for MemoryLog {
    fn partition_count(&self) -> i32 {
        self.partitions.len() as i32
    }

    async fn prepare(&self) -> Result<(), GroupError> {
        Ok(())
    }

    async fn append(&self, partition: i32, write: LogWrite) -> Result<(), GroupError> {
        self.gate.acquire().await.unwrap().forget();
        self.gate
            .add_permits(usize::from(self.gate.available_permits() > 1_000));
        self.appends.fetch_add(1, Ordering::Relaxed);
        let failing = self.failures.load(Ordering::Relaxed);
        if failing > 0 {
            self.failures.store(failing - 1, Ordering::Relaxed);
            return Err(GroupError::Storage {
                reason: "simulated".to_owned(),
            });
        }
        let mut log = self.partitions[partition as usize].lock().unwrap();
        match write {
            LogWrite::Plain(records) => log.extend(records.into_iter().map(|r| Entry::Record(None, r))),
            LogWrite::Transactional { producer, records } => {
                log.extend(records.into_iter().map(|r| Entry::Record(Some(producer.id), r)));
            }
            LogWrite::Marker(marker) => log.push(Entry::Marker(marker.producer_id, marker.commit)),
        }
        Ok(())
    }

    fn replay(&self, partition: i32, visit: &mut Visit<'_>) -> Result<(), GroupError> {
        for entry in self.partitions[partition as usize].lock().unwrap().iter() {
            visit(match entry {
                Entry::Record(transaction, (key, value)) => Replayed::Record {
                    key,
                    value: value.as_deref(),
                    transaction: *transaction,
                },
                Entry::Marker(producer, commit) => Replayed::Marker {
                    producer: *producer,
                    commit: *commit,
                },
            })?;
        }
        Ok(())
    }
}

/// A wall clock that runs with tokio's.
#[derive(Debug)]
pub(crate) struct TestClock(tokio::time::Instant);

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(WALL_MS + self.0.elapsed().as_millis() as i64)
    }
}
