//! The local stores of a worker's tasks: what an epoch wrote to changelogs goes there once it is committed.
use std::collections::HashMap;

use crate::sink::{Destination, RecordBuffer};
use crate::source::{Restore, TopicPartition};
use crate::store::{LocalStore, LocalStoreError, LocalStores};

/// Why checkpoints are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Those are that have waited long enough.
    Due,
    /// The partitions may become another's.
    Left,
    /// The worker ends.
    Ends,
}

/// Stores by the changelog they are of.
pub(super) struct Checkpoints {
    /// None without a state directory.
    stores: Option<LocalStores>,
    /// Those of the tasks that run, or read their changelogs.
    held: HashMap<TopicPartition, LocalStore>,
    /// Those of the tasks whose partitions were taken back and may be given again.
    suspended: HashMap<TopicPartition, LocalStore>,
    /// What the running epoch wrote for stores that are held.
    staged: Vec<(TopicPartition, RecordBuffer)>,
}

impl Checkpoints {
    pub(super) fn new(stores: Option<LocalStores>) -> Self {
        Self {
            stores,
            held: HashMap::new(),
            suspended: HashMap::new(),
            staged: Vec::new(),
        }
    }

    /// Claims the store of a changelog that is about to be read.
    pub(super) fn claim(&mut self, at: &TopicPartition) -> Result<Option<LocalStore>, LocalStoreError> {
        let Some(stores) = &self.stores else {
            return Ok(None);
        };
        let store = stores.claim(at)?;
        self.held.insert(at.clone(), store.clone());
        Ok(Some(store))
    }

    /// Takes records that are being published.
    pub(super) fn stage(&mut self, records: &RecordBuffer) {
        let Destination::Partition {
            topic,
            partition,
            batch_header: None,
        } = records.destination()
        else {
            return;
        };
        if self.held.is_empty() {
            return;
        }
        let (topic, partition) = (topic.clone(), *partition);
        let at = TopicPartition { topic, partition };
        if self.held.contains_key(&at) {
            self.staged.push((at, records.clone()));
        }
    }

    /// The epoch is committed.
    pub(super) fn apply(&mut self) -> Result<(), LocalStoreError> {
        for (at, records) in self.staged.drain(..) {
            if let Some(store) = self.held.get(&at) {
                store.apply(&records)?;
            }
        }
        Ok(())
    }

    /// Has checkpoints written. Nothing may have been published since the last commit.
    pub(super) fn write(&mut self, why: Why, log: &mut impl Restore) -> Result<(), LocalStoreError> {
        let mut answers = true;
        for (at, store) in &self.held {
            let wanted = match why {
                Why::Due => store.is_due(),
                Why::Left => store.is_dirty(false),
                Why::Ends => store.is_dirty(true),
            };
            if wanted {
                // All that the log holds is decided, and applied, but for what nobody will ever commit.
                // A cluster that does not answer is asked once: the states are written, and their offset stays what it was.
                let end = if answers { log.end(at) } else { None };
                answers = end.is_some();
                let first = match store.knows_first() || !answers {
                    true => None,
                    false => log.first(at),
                };
                store.checkpoint(end, first)?;
            }
        }
        Ok(())
    }

    /// The partitions are taken back; the tasks may go on later.
    pub(super) fn suspend(&mut self) {
        self.staged.clear();
        self.suspended.extend(self.held.drain());
    }

    /// A task goes on with the stores of these changelogs; says whether no other has claimed one meanwhile.
    pub(super) fn go_on(&mut self, changelogs: impl Iterator<Item = TopicPartition>) -> bool {
        for at in changelogs {
            match self.suspended.remove(&at) {
                Some(store) if store.is_current() => self.held.insert(at, store),
                Some(_) => return false,
                None => continue,
            };
        }
        true
    }

    /// The tasks that were suspended are dropped.
    pub(super) fn forget_suspended(&mut self) {
        self.suspended.clear();
    }

    /// All tasks are dropped, and what the running epoch wrote does not count.
    pub(super) fn forget(&mut self) {
        self.staged.clear();
        self.held.clear();
        self.suspended.clear();
    }
}
