//! Local stores for a test driver whose memory for states has a limit.
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{TestDriver, TestRecord, Topics};
use crate::error::StreamsError;
use crate::plan::{StateOrder, StepId};
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
    /// How many steps were restored from a checkpoint.
    restored: usize,
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

    /// Whether what is told may have been told before.
    pub(crate) fn repeats(&self) -> bool {
        self.surroundings.repeats
    }

    /// An epoch of one task that dies with its process while it is being written: as at-least-once writes it, all of what goes first is there before
    /// anything of what goes next. `seed` says how far it came, and how much of each partition is there of what it was about. Positions are not committed,
    /// and the tasks begin anew.
    pub(crate) fn torn_epoch(
        &mut self,
        id: (usize, i32),
        records_max: usize,
        seed: u64,
    ) -> Result<(), StreamsError> {
        // Nobody writes a checkpoint in between.
        self.local
            .iter_mut()
            .for_each(|local| local.checkpoint(&self.topics));
        let before = self.topics.clone();
        let positions = (self.positions.clone(), self.committed.clone());
        self.run_epoch(id, records_max)?;
        let written = std::mem::replace(&mut self.topics, before);
        (self.positions, self.committed) = positions;
        self.local.iter_mut().for_each(Local::abort);
        self.topics.keep(&written, &StateOrder::of(&self.topology), seed);
        self.restart()
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
            restored: 0,
            _directory: directory,
        });
        self.surroundings.memory = Arc::new(StateMemory::new(Some(state_bytes_max)));
        self.restart()?;
        Ok(self)
    }
}

/// Mixes numbers, so that they are far apart.
fn mixed(seed: u64, number: usize) -> u64 {
    let mut mixed = seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

impl Topics {
    /// Takes over a part of what was `written` behind what is there.
    fn keep(&mut self, written: &Self, order: &StateOrder, seed: u64) {
        let stage = |topic: &str| order.rank(topic).map_or(0, |rank| rank + 1);
        let stages = written
            .logs
            .keys()
            .map(|topic| stage(topic) + 1)
            .max()
            .unwrap_or(1);
        let torn = mixed(seed, 0) as usize % stages;
        let mut number = 0;
        for (topic, logs) in &written.logs {
            let own = self
                .logs
                .entry(topic.clone())
                .or_insert_with(|| vec![Vec::new(); logs.len()]);
            for (log, own) in logs.iter().zip(own) {
                number += 1;
                let new = &log[own.len()..];
                let kept = match stage(topic).cmp(&torn) {
                    Ordering::Less => new.len(),
                    Ordering::Equal => mixed(seed, number) as usize % (new.len() + 1),
                    Ordering::Greater => 0,
                };
                own.extend_from_slice(&new[..kept]);
            }
        }
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
            let mut stored = store.stored().unwrap();
            self.restored += 1;
            // As a restart, and as a take-over of a large copy, of which nothing is loaded.
            let mut goes_on = self.restored % 2 == 1 || !task.takes_none(step);
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
