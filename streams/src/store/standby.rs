//! A store beside no task: a copy that follows a log which another process writes, ready to be taken over.
//!
//! Whoever follows reads each record, so that he knows at any moment how far the store stands; who takes it over goes on from there,
//! whatever of it is on the disk.
use std::sync::{Arc, PoisonError, RwLock};

use super::claim::LocalStore;
use super::partition::PartitionStore;
use super::position::Position;
use super::{LocalStoreError, LocalStores};
use crate::source::TopicPartition;

impl LocalStores {
    /// The store of a changelog's partition for whoever follows it; none if somebody in this process works with it. Whoever
    /// [claims](Self::claim) it later takes it over.
    pub(crate) fn follow(&self, at: &TopicPartition) -> Result<Option<LocalStore>, LocalStoreError> {
        let mut stores = self.0.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        if stores.contains_key(at) {
            return Ok(None);
        }
        let mut store = PartitionStore::open(Arc::clone(&self.0), at)?;
        store.settle()?;
        // Before anybody else can find it, lest its claim come first.
        (store.owner, store.follows) = (1, true);
        let (owner, store) = (store.owner, Arc::new(RwLock::new(store)));
        stores.insert(at.clone(), Arc::downgrade(&store));
        Ok(Some(LocalStore::of(store, owner)))
    }
}

impl LocalStore {
    /// All that counts of the log before `offset` was [taken](Self::restore), and there was no more just now.
    pub(crate) fn stands_at(&self, offset: i64) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.restored_to = store.restored_to.max(Some(offset));
        store.seen_ms = (store.inner.now_ms)();
        if std::mem::replace(&mut store.whole, true) {
            return Ok(());
        }
        store.end_spool()
    }

    /// Has what the store took from the log written, with how far it stands, if it is time for it; `ends`: in any case.
    pub(crate) fn keep(&self, ends: bool) -> Result<(), LocalStoreError> {
        let due = match ends {
            true => self.is_current(),
            false => self.is_due(),
        };
        let Some(mut store) = self.own().filter(|_| due) else {
            return Ok(());
        };
        if !ends && store.is_being_written() && !store.is_large() {
            return Ok(());
        }
        match store.position() {
            Some(_) if store.spool.is_some() => store.end_spool(),
            position if position.is_some() || !store.pending.is_empty() => store.seal(position),
            _ => Ok(()),
        }
    }
}

impl PartitionStore {
    /// How far the store stands, as far as that is known.
    pub(super) fn position(&self) -> Option<Position> {
        let (offset, first) = self.restored_to.zip(self.first)?;
        Some(Position { offset, first })
    }

    /// Whoever followed the log gives the store away as it stands; none if nobody did, or read anything. Nobody waits for the disk.
    pub(super) fn end_following(&mut self) -> Result<Option<Position>, LocalStoreError> {
        if !std::mem::take(&mut self.follows) {
            return Ok(None);
        }
        let Some(position) = self.position() else {
            return Ok(None);
        };
        if self.spool.is_some() {
            self.end_spool()?;
            return Ok(Some(position));
        }
        self.settle()?;
        // What was read of the log before is found nowhere while it is being merged.
        let is_merged = self
            .spooled
            .as_ref()
            .is_none_or(|spooled| spooled.outcome().is_some());
        if self.whole && is_merged && self.keyspace.approximate_len() >= self.inner.memory.looked_up_from {
            self.is_looked_up = true;
            // What is sealed changes no more.
            self.is_read_from_now_on();
        }
        self.seal(Some(position))?;
        Ok(Some(position))
    }
}
