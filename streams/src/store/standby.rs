//! A store beside no task: a copy that follows a log which another process writes, ready to be taken over.
//!
//! Whoever follows reads each record, so that he knows at any moment how far the store stands; who takes it over goes on from there,
//! whatever of it is on the disk.
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::claim::LocalStore;
use super::partition::PartitionStore;
#[cfg(test)]
use super::pending::Pending;
use super::position::Position;
use super::writer::Sealed;
use super::{Inner, LocalStoreError, LocalStores};
use crate::source::TopicPartition;

impl LocalStores {
    /// The store of a changelog's partition for whoever follows it; none as long as somebody in this process works with it, or what he
    /// left is on its way to the disk. Whoever [claims](Self::claim) it later takes it over.
    pub(crate) fn follow(&self, at: &TopicPartition) -> Result<Option<LocalStore>, LocalStoreError> {
        // Whoever claims any store needs it as well: nobody waits for the disk while he has it.
        let mut stores = self.0.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        if stores.contains_key(at) || self.0.is_leaving(at) {
            return Ok(None);
        }
        let mut store = PartitionStore::open(Arc::clone(&self.0), at)?;
        store.look_at_sealed()?;
        // Before anybody else can find it, lest its claim come first.
        (store.owner, store.follows) = (1, true);
        let (owner, store) = (store.owner, Arc::new(RwLock::new(store)));
        stores.insert(at.clone(), Arc::downgrade(&store));
        Ok(Some(LocalStore::of(store, owner)))
    }
}

impl Inner {
    /// Whether something is being written of a store that nobody holds any more.
    fn is_leaving(&self, at: &TopicPartition) -> bool {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = leaving.get(&PartitionStore::name_of(at));
        sealed.is_some_and(|sealed| sealed.outcome().is_none())
    }
}

impl LocalStore {
    /// All that counts of the log before `offset` was [taken](Self::restore), and there was no more just now.
    pub(crate) fn stands_at(&self, offset: i64) -> Result<(), LocalStoreError> {
        let waits = |store: &PartitionStore| store.spool.is_some() && !store.whole;
        let Some(mut store) = self.own_once_written(waits) else {
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
        if !ends && !self.is_due() {
            return Ok(());
        }
        let waits = |store: &PartitionStore| ends || store.is_large();
        let Some(mut store) = self.own_once_written(waits) else {
            return Ok(());
        };
        if store.is_being_written() {
            return Ok(());
        }
        match store.position() {
            Some(_) if store.spool.is_some() => store.end_spool(),
            position if position.is_some() || !store.pending.is_empty() => store.seal(position),
            _ => Ok(()),
        }
    }

    /// Whether all that a store had when it was taken over can be found: no more than `patience` is spent on waiting for a long log that
    /// is being merged. Once it can, it is known whether states are best [looked up](Self::is_looked_up).
    pub(crate) fn is_merged(&self, patience: Duration) -> Result<bool, LocalStoreError> {
        loop {
            let Some(mut store) = self.own() else {
                return Ok(true);
            };
            if !store.is_being_written() {
                store.look_at_sealed()?;
                store.end_spool()?;
            }
            let Some(sealed) = store.on_its_way() else {
                store.end_taking_over();
                return Ok(true);
            };
            drop(store);
            if !sealed.wait_for(patience) {
                return Ok(false);
            }
        }
    }

    /// Whether all of it is on the disk, to be [loaded](Self::stored), as far as that can be had with so much `patience`.
    pub(crate) fn is_on_disk(&self, patience: Duration) -> Result<bool, LocalStoreError> {
        loop {
            let Some(mut store) = self.own() else {
                return Ok(true);
            };
            if !store.is_being_written() {
                store.write_out()?;
            }
            let Some(sealed) = store.sealed.clone() else {
                return Ok(true);
            };
            drop(store);
            if !sealed.wait_for(patience) {
                return Ok(false);
            }
        }
    }

    /// As if the disk took its time, until it is said how that ends.
    #[cfg(test)]
    pub(crate) fn hold_up(&self) -> impl FnOnce(Result<(), String>) + Send + 'static + use<> {
        let sealed = Arc::new(Sealed::new(Pending::new(0), None));
        if let Some(mut store) = self.own() {
            let before = store.settle();
            before.expect("what was sealed before is written");
            (store.sealed, store.spooled) = (Some(Arc::clone(&sealed)), Some(Arc::clone(&sealed)));
        }
        move |outcome| sealed.end(outcome)
    }
}

impl PartitionStore {
    /// How far the store stands, as far as that is known.
    pub(super) fn position(&self) -> Option<Position> {
        let (offset, first) = self.restored_to.zip(self.first)?;
        Some(Position { offset, first })
    }

    /// Whoever followed the log gives the store away as it stands; none if nobody did, or read anything. Nobody waits for the disk: what
    /// cannot be written yet stays where it is.
    pub(super) fn end_following(&mut self) -> Result<Option<Position>, LocalStoreError> {
        if !std::mem::take(&mut self.follows) {
            return Ok(None);
        }
        let Some(position) = self.position() else {
            return Ok(None);
        };
        self.caught_up = self.whole;
        if !self.is_being_written() {
            match self.spool.is_some() {
                true => self.end_spool()?,
                false => self.seal(Some(position))?,
            }
        }
        Ok(Some(position))
    }

    /// The part of a long log that nobody finds before it is merged, or what that waits for.
    fn on_its_way(&self) -> Option<Arc<Sealed>> {
        let merging = |spooled: &Arc<Sealed>| spooled.outcome().is_none();
        let waits = self.spool.is_some() || self.spooled.as_ref().is_some_and(merging);
        self.sealed.clone().filter(|_| waits)
    }

    /// All that was taken over can be found: large states stay where they are, if little of the log is left to be read.
    fn end_taking_over(&mut self) {
        let sealed = self.unwritten().map_or(0, |sealed| sealed.pending.len());
        let states = self.keyspace.approximate_len() + sealed + self.pending.len();
        if std::mem::take(&mut self.caught_up) && states >= self.inner.memory.looked_up_from {
            self.is_looked_up = true;
            self.is_read_from_now_on();
        }
    }
}
