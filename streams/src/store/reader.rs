//! Reading a local store beside the thread that changes it.
//!
//! What is in a store is committed, so that whoever reads it sees nothing that could be taken back.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::LocalStoreError;
use super::partition::{PartitionStore, STATE};
use super::pending::Pending;
use super::writer::Sealed;

/// How long somebody who reads waits for what was restored to be on the disk.
const SPOOLED_WAIT: Duration = Duration::from_secs(1);

/// A way into a store, as long as it is its owner's. Clones are the same.
#[derive(Clone)]
pub(crate) struct StoreReader {
    store: Arc<RwLock<PartitionStore>>,
    owner: u64,
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").finish_non_exhaustive()
    }
}

impl StoreReader {
    pub(super) fn new(store: Arc<RwLock<PartitionStore>>, owner: u64) -> Self {
        Self { store, owner }
    }

    fn lock(&self) -> RwLockReadGuard<'_, PartitionStore> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, if it is whole and its owner's; ready for those who read.
    fn store(&self) -> Result<RwLockReadGuard<'_, PartitionStore>, LocalStoreError> {
        let mut store = self.lock();
        if !store.is_read {
            drop(store);
            let mut changed = self.store.write().unwrap_or_else(PoisonError::into_inner);
            changed.is_read_from_now_on();
            drop(changed);
            store = self.lock();
        }
        let spooled = store.spooled.clone();
        if let Some(spooled) = spooled.filter(|spooled| spooled.outcome().is_none()) {
            drop(store);
            spooled.wait_for(SPOOLED_WAIT);
            store = self.lock();
        }
        let changelog = || store.name.clone();
        let on_its_way = |spooled: &Arc<Sealed>| spooled.outcome().is_none();
        if store.owner != self.owner {
            return Err(LocalStoreError::Taken {
                changelog: changelog(),
            });
        }
        if !store.whole || store.spooled.as_ref().is_some_and(on_its_way) {
            return Err(LocalStoreError::Restoring {
                changelog: changelog(),
            });
        }
        Ok(store)
    }

    /// The value of a key, if it has one.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LocalStoreError> {
        let key = [&[STATE], key].concat();
        let mut value = None;
        self.store()?
            .find(&key, &mut |found| value = Some(found.to_vec()))?;
        Ok(value)
    }

    /// Hands out all keys that begin with `prefix`, each with its value, in the order of their bytes, until it is told to stop: all as
    /// of one moment.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), LocalStoreError> {
        let prefix = [&[STATE], prefix].concat();
        let store = self.store()?;
        // A copy: sorting it, and all that is done with what is found, takes longer than the owner should wait.
        let (sealed, pending) = (store.sealed.clone(), store.pending.frozen());
        let mut stored = store.keyspace.prefix(&prefix);
        drop(store);
        let waiting = sealed.iter().map(|sealed| &sealed.pending);
        let mut newer = BTreeMap::new();
        for (key, value) in waiting.chain([&pending]).flat_map(Pending::iter) {
            if key.starts_with(&prefix) {
                newer.insert(key, value);
            }
        }
        let mut newer = newer.into_iter().peekable();
        let mut hand_out =
            |key: &[u8], value: Option<&[u8]>| value.is_none_or(|value| each(&key[1..], value));
        for pair in &mut stored {
            let (key, value) = pair
                .into_inner()
                .map_err(|error| self.lock().read_error(&error))?;
            while let Some((newer, value)) = newer.next_if(|(newer, _)| **newer < *key) {
                if !hand_out(newer, value) {
                    return Ok(());
                }
            }
            let more = match newer.next_if(|(newer, _)| **newer == *key) {
                Some((_, newer)) => hand_out(&key, newer),
                None => hand_out(&key, Some(&value)),
            };
            if !more {
                return Ok(());
            }
        }
        for (key, value) in newer {
            if !hand_out(key, value) {
                return Ok(());
            }
        }
        Ok(())
    }
}
