//! The local stores of a worker's tasks: what an epoch wrote to changelogs goes there once it is committed.
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::sink::{Destination, RecordBuffer};
use crate::source::{Restore, TopicPartition};
use crate::store::{LocalStore, LocalStoreError, LocalStores};

/// How long a checkpoint waits to be told where its log ends.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long partitions that leave wait for each checkpoint that is being written.
const LEAVE_PATIENCE: Duration = Duration::from_millis(100);

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

impl Why {
    /// How long somebody waits for an earlier checkpoint: partitions that leave wait for a short one, but not for a long log.
    fn patience(self) -> Duration {
        match self {
            Self::Due => Duration::ZERO,
            Self::Left => LEAVE_PATIENCE,
            Self::Ends => Duration::MAX,
        }
    }
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
    /// Logs that somebody looks at, and since when the store waits for it. The answer serves whoever holds the store when it comes: a
    /// store that is whole then has all that lay before the end.
    asked: HashMap<TopicPartition, Instant>,
}

impl Checkpoints {
    pub(super) fn new(stores: Option<LocalStores>) -> Self {
        Self {
            stores,
            held: HashMap::new(),
            suspended: HashMap::new(),
            staged: Vec::new(),
            asked: HashMap::new(),
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

    /// Claims a store as another worker of the process would.
    #[cfg(test)]
    pub(super) fn claim_again(&self, at: &TopicPartition) -> LocalStore {
        self.stores.as_ref().unwrap().claim(at).unwrap()
    }

    /// The store of a changelog whose task runs, or is being restored.
    pub(super) fn held(&self, at: &TopicPartition) -> Option<&LocalStore> {
        self.held.get(at)
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
        let staged = std::mem::take(&mut self.staged);
        let changed: HashSet<&TopicPartition> = staged.iter().map(|(at, _)| at).collect();
        let stores = || changed.iter().filter_map(|at| self.held.get(*at));
        // Who reads a partition sees all of an epoch or nothing, though it comes in parts.
        stores().for_each(LocalStore::begin_epoch);
        for (at, records) in &staged {
            if let Some(store) = self.held.get(at) {
                store.apply(records)?;
            }
        }
        stores().for_each(LocalStore::end_epoch);
        Ok(())
    }

    /// Has checkpoints written. Nothing may have been published since the last commit: all that a log held at a look before
    /// that is decided now, and applied, but for what nobody will ever commit.
    pub(super) fn write(&mut self, why: Why, log: &mut impl Restore) -> Result<(), LocalStoreError> {
        self.ask(why, log);
        let leaves = why != Why::Due;
        let patience = why.patience();
        self.take_answers(if leaves { LOOK_TIMEOUT } else { Duration::ZERO }, patience, log)?;
        // A cluster that does not answer: what waits is written, lest it become too much, and the checkpoints' offsets stay.
        for (at, asked) in &mut self.asked {
            if (leaves || asked.elapsed() > LOOK_TIMEOUT)
                && let Some(store) = self.held.get(at)
            {
                store.checkpoint(None, None, patience)?;
                *asked = Instant::now();
            }
        }
        Ok(())
    }

    /// Asks how far the logs go of which checkpoints are wanted.
    pub(super) fn ask(&mut self, why: Why, log: &mut impl Restore) {
        for (at, store) in &self.held {
            let wanted = match why {
                Why::Due => store.is_due(),
                Why::Left => store.is_dirty(false),
                Why::Ends => store.is_dirty(true),
            };
            if wanted && !self.asked.contains_key(at) {
                log.ask(at, !store.knows_first());
                self.asked.insert(at.clone(), Instant::now());
            }
        }
    }

    /// Has the checkpoints written of which is known how far the logs went; waits for those of stores that are held.
    fn take_answers(
        &mut self,
        timeout: Duration,
        patience: Duration,
        log: &mut impl Restore,
    ) -> Result<(), LocalStoreError> {
        let until = Instant::now() + timeout;
        while !self.asked.is_empty() {
            let waits = self.asked.keys().any(|at| self.held.contains_key(at));
            let left = until.saturating_duration_since(Instant::now());
            let Some((at, look)) = log.answer(if waits { left } else { Duration::ZERO }) else {
                break;
            };
            if self.asked.remove(&at).is_some()
                && let Some(store) = self.held.get(&at)
            {
                store.checkpoint(look.end, look.first, patience)?;
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
