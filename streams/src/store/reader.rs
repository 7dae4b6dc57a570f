//! Reading a local store beside the thread that changes it.
//!
//! What is in a store is committed, so that whoever reads it sees nothing that could be taken back.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::LocalStoreError;
use super::partition::{PartitionStore, STATE};
use super::pending::Pending;

/// How long somebody who reads waits for what was restored to be on the disk, and for an epoch to be taken in.
const WHOLE_WAIT: Duration = Duration::from_secs(1);
/// How often he looks whether an epoch was taken in.
const APPLYING_PAUSE: Duration = Duration::from_micros(200);

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
            let sealed = changed.unwritten().cloned();
            drop(changed);
            // There may be many, and the owner goes on meanwhile.
            if let Some(sealed) = sealed {
                sealed.index();
            }
            store = self.lock();
        }
        let spooled = store.spooled.clone();
        if let Some(spooled) = spooled.filter(|spooled| spooled.outcome().is_none()) {
            drop(store);
            spooled.wait_for(WHOLE_WAIT);
            store = self.lock();
        }
        if store.owner != self.owner {
            return Err(LocalStoreError::Taken {
                changelog: store.name.clone(),
            });
        }
        let restoring = || LocalStoreError::Restoring {
            changelog: store.name.clone(),
        };
        match store.spooled.as_ref().map(|spooled| spooled.outcome()) {
            // What the file held is nowhere but in the log.
            Some(Some(Err(cause))) => Err(store.write_error(&cause)),
            Some(None) => Err(restoring()),
            Some(Some(Ok(()))) | None if !store.whole => Err(restoring()),
            Some(Some(Ok(()))) | None => Ok(store),
        }
    }

    /// The store as some epoch has left it: none is being taken in.
    fn store_between_epochs(&self) -> Result<RwLockReadGuard<'_, PartitionStore>, LocalStoreError> {
        let until = Instant::now() + WHOLE_WAIT;
        loop {
            let store = self.store()?;
            if !store.is_applying {
                return Ok(store);
            }
            if Instant::now() >= until {
                return Err(LocalStoreError::Restoring {
                    changelog: store.name.clone(),
                });
            }
            drop(store);
            std::thread::sleep(APPLYING_PAUSE);
        }
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
    /// one epoch left them.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), LocalStoreError> {
        let prefix = [&[STATE], prefix].concat();
        let store = self.store_between_epochs()?;
        // A copy: sorting it, and all that is done with what is found, takes longer than the owner should wait.
        let (sealed, pending) = (store.unwritten().cloned(), store.pending.frozen(&prefix));
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

#[cfg(test)]
mod tests {
    use super::super::writer::Sealed;
    use super::super::{LocalStores, Slot, StoreMemory};
    use super::*;
    use crate::source::TopicPartition;

    #[test]
    fn what_was_restored_and_is_not_on_the_disk_is_not_answered_for() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Arc::new(Slot::take(directory.path(), "app").unwrap());
        let stores = LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap();
        let at = TopicPartition {
            topic: "app-counts-changelog".into(),
            partition: 0,
        };
        let store = stores.claim(&at).unwrap();
        store.restored().unwrap();
        let reader = store.reader();
        assert!(reader.get(b"a").unwrap().is_none());
        let spooled = Arc::new(Sealed::new(Pending::new(0), None));
        reader.store.write().unwrap().spooled = Some(Arc::clone(&spooled));
        assert!(matches!(reader.get(b"a"), Err(LocalStoreError::Restoring { .. })));
        spooled.end(Err("no room".to_owned()));
        let error = reader.get(b"a").unwrap_err();
        assert!(
            matches!(&error, LocalStoreError::Write { cause, .. } if cause == "no room"),
            "{error}"
        );
        assert!(matches!(
            reader.scan(b"", &mut |_, _| true),
            Err(LocalStoreError::Write { .. })
        ));
        let spooled = Arc::new(Sealed::new(Pending::new(0), None));
        spooled.end(Ok(()));
        reader.store.write().unwrap().spooled = Some(spooled);
        assert!(reader.get(b"a").unwrap().is_none());
    }
}
