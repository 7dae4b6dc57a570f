//! Local stores for a test driver whose memory for states has a limit.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{TestDriver, TestRecord, Topics};
use crate::error::StreamsError;
use crate::plan::StepId;
use crate::sink::{Destination, RecordBuffer};
use crate::source::TopicPartition;
use crate::state::StateMemory;
use crate::store::{FirstRecord, LocalStore, LocalStores, Slot, StoreMemory, StoreReader};
use crate::task::Task;

/// What a process has on its disk.
pub(super) struct Local {
    held: HashMap<TopicPartition, LocalStore>,
    stores: LocalStores,
    /// What the running epoch wrote.
    staged: Vec<(TopicPartition, RecordBuffer)>,
    _directory: tempfile::TempDir,
}

fn place(offset: usize) -> FirstRecord {
    FirstRecord {
        offset: i64::try_from(offset).unwrap(),
        timestamp: 0,
    }
}

/// Limits with which nothing, little or most of a small test's state stays in memory. Tables that hold one row take some kilobytes.
pub(crate) fn limit() -> impl proptest::strategy::Strategy<Value = usize> {
    use proptest::prelude::*;
    prop_oneof![Just(0), 1..300_000_usize]
}

impl TestDriver {
    /// The driver of a job whose epochs may be repeated in part.
    pub(crate) fn repeating(mut self) -> Self {
        self.surroundings.repeats = true;
        self.restart().unwrap();
        self
    }

    /// All that is in an internal topic comes once more, as from tasks that died before they knew that it was there.
    pub(crate) fn repeat(&mut self, topic: &str) {
        for partition in 0..self.partitions {
            let log = self.topics.log(topic, partition).to_vec();
            log.into_iter()
                .for_each(|record| self.topics.append(topic, record));
        }
    }

    /// The driver with so much memory for all states of all tasks; the rest is in local stores.
    pub(crate) fn limited(mut self, state_bytes_max: usize) -> Result<Self, StreamsError> {
        let directory = tempfile::tempdir().unwrap();
        let slot = Arc::new(Slot::take(directory.path(), "limited").unwrap());
        let stores = LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap();
        self.local = Some(Local {
            held: HashMap::new(),
            stores,
            staged: Vec::new(),
            _directory: directory,
        });
        self.surroundings.memory = Arc::new(StateMemory::new(Some(state_bytes_max)));
        self.restart()?;
        Ok(self)
    }
}

impl Local {
    pub(super) fn stage(&mut self, records: &RecordBuffer) {
        if let Destination::Partition {
            topic,
            partition,
            batch_header: None,
        } = records.destination()
        {
            let (topic, partition) = (Arc::clone(topic), *partition);
            self.staged
                .push((TopicPartition { topic, partition }, records.clone()));
        }
    }

    pub(super) fn commit(&mut self) {
        for (at, records) in self.staged.drain(..) {
            let store = self.held.get(&at);
            store.into_iter().for_each(|store| store.apply(&records).unwrap());
        }
    }

    pub(super) fn reader(&self, at: &TopicPartition) -> Option<StoreReader> {
        self.held.get(at).map(LocalStore::reader)
    }

    pub(super) fn abort(&mut self) {
        self.staged.clear();
    }

    /// Writes all of it to the disk, as at the end of a process.
    pub(super) fn checkpoint(&mut self, topics: &Topics) {
        for (at, store) in &self.held {
            let end = topics.log(&at.topic, at.partition).len();
            if end > 0 && store.is_dirty(false) {
                store
                    .checkpoint(Some(place(end).offset), Some(place(0)), Duration::MAX)
                    .unwrap();
            }
        }
    }

    /// Restores a step from its checkpoint and the rest of its log.
    pub(super) fn restore(
        &mut self,
        task: &mut Task,
        step: StepId,
        topic: &Arc<str>,
        partition: i32,
        log: &[TestRecord],
    ) -> Result<(), StreamsError> {
        let topic = Arc::clone(topic);
        let at = TopicPartition { topic, partition };
        let store = self.stores.claim(&at).unwrap();
        let from = store.resume().map_or(0, |position| position.offset);
        task.attach(step, &store);
        if from > 0 {
            let mut stored = store.stored();
            let mut goes_on = true;
            while goes_on && task.takes_more(step) {
                // Few at a time, so that it ends in the middle.
                goes_on = stored
                    .read(3, &mut |key, value| {
                        task.restore(step, Some(key), Some(value)).unwrap();
                        true
                    })
                    .unwrap();
            }
        }
        for (offset, record) in log.iter().enumerate().skip(usize::try_from(from).unwrap()) {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            store
                .restore(place(offset), key.unwrap_or_default(), value)
                .unwrap();
            task.restore(step, key, value)?;
        }
        store.restored().unwrap();
        task.end_restore(step)?;
        self.held.insert(at, store);
        Ok(())
    }
}
