//! Who has claimed a local store, and what it may do with it.
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::partition::{PartitionStore, STATE};
use super::position::{FirstRecord, Position};
use super::{AGE_MAX_MS, LocalStoreError, StoreReader};
use crate::sink::RecordBuffer;

/// Changes that a restart may have to read again.
const CHANGES_MAX: usize = 1_000_000;
/// How long changes wait for the disk at most.
const CHANGES_AGE_MAX: Duration = Duration::from_secs(30);
/// Changes that are taken before whoever reads the store has a turn.
const APPLIED_AT_ONCE: usize = 512;
/// When a stamp is renewed although nothing has changed, lest the checkpoint be too old after a stop.
const STAMP_AGE_MAX: Duration = Duration::from_secs(3600);

/// A claimed store. Clones are the same claim.
#[derive(Clone)]
pub(crate) struct LocalStore {
    store: Arc<RwLock<PartitionStore>>,
    owner: u64,
}

/// What is on the disk, in the order of the keys.
pub(crate) struct Stored {
    iter: fjall::Iter,
    name: String,
    store: LocalStore,
}

impl LocalStore {
    pub(super) fn claim(store: Arc<RwLock<PartitionStore>>) -> Result<Self, LocalStoreError> {
        let mut guard = store.write().unwrap_or_else(PoisonError::into_inner);
        guard.owner += 1;
        (guard.caught_up, guard.is_looked_up) = (false, false);
        let followed = match guard.end_following() {
            Ok(followed) => followed,
            Err(error) => {
                tracing::warn!(%error, "a standby copy is given up, and the state is restored from its changelog");
                guard.begin_anew()?;
                None
            }
        };
        // What the last owner has not written yet is committed; how far it goes in the log is not known, unless he followed it.
        (guard.first, guard.whole, guard.taken_at) = (None, false, followed);
        (guard.restored_to, guard.is_applying) = (followed.map(|position| position.offset), false);
        if followed.is_none() {
            // What it was reading is in the log, and so is the rest of an epoch that it was taking in.
            guard.spool = None;
            guard.seal(None)?;
            guard.settle()?;
        }
        let owner = guard.owner;
        drop(guard);
        Ok(Self { store, owner })
    }

    pub(super) fn of(store: Arc<RwLock<PartitionStore>>, owner: u64) -> Self {
        Self { store, owner }
    }

    fn lock(&self) -> RwLockWriteGuard<'_, PartitionStore> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, unless another has claimed it since.
    pub(super) fn own(&self) -> Option<RwLockWriteGuard<'_, PartitionStore>> {
        let store = self.lock();
        (store.owner == self.owner).then_some(store)
    }

    /// The same; if it `waits` until what is being written is on the disk, others have the store meanwhile.
    pub(super) fn own_once_written(
        &self,
        waits: impl Fn(&PartitionStore) -> bool,
    ) -> Option<RwLockWriteGuard<'_, PartitionStore>> {
        let store = self.own()?;
        if !waits(&store) || !store.is_being_written() {
            return Some(store);
        }
        let sealed = store.sealed.clone();
        drop(store);
        // How it ended is seen when the next is sealed.
        let _ = sealed.map(|sealed| sealed.wait());
        self.own()
    }

    /// The same for whoever needs what is in it.
    fn own_to_read(&self) -> Result<RwLockWriteGuard<'_, PartitionStore>, LocalStoreError> {
        let taken = || LocalStoreError::Taken {
            changelog: self.lock().name.clone(),
        };
        self.own().ok_or_else(taken)
    }

    /// Whether nobody has claimed the store since.
    pub(crate) fn is_current(&self) -> bool {
        self.own().is_some()
    }

    /// Where to go on in the log, if what is on the disk may be used.
    pub(crate) fn resume(&self) -> Option<Position> {
        let mut store = self.own()?;
        let taken_at = store.taken_at.take();
        let taken = taken_at.map(|position| store.stamp_at(position));
        let stamp = match taken.map_or_else(|| store.stamp(), |taken| Ok(Some(taken))) {
            Ok(stamp) => stamp?,
            Err(error) => {
                tracing::warn!(%error, "a local store is restored from its changelog");
                return None;
            }
        };
        let age_ms = (store.inner.now_ms)().saturating_sub(stamp.seen_ms);
        let (changelog, hours) = (&store.name, age_ms / 3_600_000);
        if stamp.cluster != store.inner.cluster {
            tracing::info!(changelog, "the local store is that of another cluster");
            return None;
        }
        if age_ms > AGE_MAX_MS {
            tracing::info!(
                changelog,
                hours,
                "the local store is too old: deletions may be missing behind it"
            );
            return None;
        }
        (store.first, store.seen_ms) = (Some(stamp.position.first), stamp.seen_ms);
        Some(stamp.position)
    }

    /// Empties the store: it is not that of the log, or cannot be read.
    pub(crate) fn begin_anew(&self) -> Result<(), LocalStoreError> {
        self.own().map_or(Ok(()), |mut store| store.begin_anew())
    }

    /// Whether states are best looked up as they are asked for: there are many, and nothing stands in the way of finding them.
    pub(crate) fn is_looked_up(&self) -> bool {
        self.own().is_some_and(|store| store.is_looked_up)
    }

    /// What the store has, once all of it is on the disk.
    pub(crate) fn stored(&self) -> Result<Stored, LocalStoreError> {
        let mut store = self.lock();
        if store.owner == self.owner {
            // The states that are loaded need not be looked up.
            store.is_looked_up = false;
            store.write_out()?;
            store.settle()?;
        }
        Ok(Stored {
            iter: store.keyspace.prefix([STATE]),
            name: store.name.clone(),
            store: self.clone(),
        })
    }

    /// Takes a record of the log that is being read.
    pub(crate) fn restore(
        &self,
        record: FirstRecord,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), LocalStoreError> {
        let waits = |store: &PartitionStore| {
            let is_large = !store.is_spooling() && store.is_large();
            is_large || store.is_spool_full()
        };
        let Some(mut store) = self.own_once_written(waits) else {
            return Ok(());
        };
        store.put_restored(key, value)?;
        let (offset, first) = (record.offset + 1, *store.first.get_or_insert(record));
        store.restored_to = Some(offset);
        if !store.is_spooling() && store.is_large() {
            store.seal(Some(Position { offset, first }))?;
        }
        store.limit_spool()
    }

    /// The log was read to its end.
    pub(crate) fn restored(&self) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.whole = true;
        store.end_spool()
    }

    /// What is applied from now on, until it [ends](Self::end_epoch), is one epoch's: who reads ranges waits until all of it is here.
    pub(crate) fn begin_epoch(&self) {
        if let Some(mut store) = self.own() {
            store.is_applying = true;
        }
    }

    /// All that an epoch wrote was applied.
    pub(crate) fn end_epoch(&self) {
        if let Some(mut store) = self.own() {
            store.is_applying = false;
        }
    }

    /// Takes a part of what an epoch wrote to the log, once that is committed.
    pub(crate) fn apply(&self, records: &RecordBuffer) -> Result<(), LocalStoreError> {
        let mut records = records.records().peekable();
        while records.peek().is_some() {
            let Some(mut store) = self.own() else {
                return Ok(());
            };
            for record in records.by_ref().take(APPLIED_AT_ONCE) {
                if let Some(key) = record.key {
                    store.put(key, record.value)?;
                }
            }
        }
        self.own().map_or(Ok(()), |mut store| store.look_at_sealed())
    }

    /// A way to read the store beside this claim, as long as nobody else claims it.
    pub(crate) fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.store), self.owner)
    }

    /// Whether it is time for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.own().is_some_and(|store| {
            if !store.whole {
                return false;
            }
            if store.is_being_written() {
                return store.is_large();
            }
            if store.unwritten().is_some() {
                // It failed: whoever seals the next says so.
                return true;
            }
            let old = |since: Instant| since.elapsed() > CHANGES_AGE_MAX;
            store.pending.changes() > CHANGES_MAX
                || store.is_large()
                || store.waiting_since.is_some_and(old)
                || store.stamped.elapsed() > STAMP_AGE_MAX
        })
    }

    /// Whether there is something that no checkpoint has; `ends`: whether the store is left, perhaps for long.
    pub(crate) fn is_dirty(&self, ends: bool) -> bool {
        let age_max = if ends { Duration::ZERO } else { STAMP_AGE_MAX };
        self.own()
            .is_some_and(|store| store.whole && (store.dirty || store.stamped.elapsed() > age_max))
    }

    /// Whether the first record of the log is known.
    pub(crate) fn knows_first(&self) -> bool {
        self.own().is_none_or(|store| store.first.is_some())
    }

    /// Has everything applied so far written, in the background. The log ended at `end` after the last change was
    /// committed, and before the next was written. Without an end, or the log's first record, the checkpoint keeps its old offset.
    /// While an earlier one is being written, for which nobody has the `patience` to wait, nothing is done, unless much waits.
    pub(crate) fn checkpoint(
        &self,
        end: Option<i64>,
        first: Option<FirstRecord>,
        patience: Duration,
    ) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.first = store.first.or(first);
        let (sealed, is_large) = (store.sealed.clone(), store.is_large());
        drop(store);
        // The disk takes its time, in which others may read.
        if let Some(sealed) = sealed
            && !sealed.wait_for(patience)
        {
            if !is_large {
                return Ok(());
            }
            // How it ended is seen when the next is sealed.
            let _ = sealed.wait();
        }
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        // Before the log was read, the store does not hold what lies before the end.
        let position = end
            .filter(|_| store.whole)
            .zip(store.first)
            .map(|(offset, first)| Position { offset, first });
        if position.is_some() {
            store.seen_ms = (store.inner.now_ms)();
        }
        store.seal(position)
    }

    /// Looks `keys` up, which are in the order of their bytes, each with a number of its own; hands out what is found.
    pub(crate) fn get_sorted<'a>(
        &self,
        keys: impl Iterator<Item = (usize, &'a [u8])>,
        found: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), LocalStoreError> {
        let mut store = self.own_to_read()?;
        store.look_at_sealed()?;
        for (number, key) in keys {
            if let Err(error) = store.get(key, &mut |value| found(number, value)) {
                return Err(self.give_up(&mut store, error));
            }
        }
        Ok(())
    }

    /// Hands out all keys that begin with one of `prefixes`, each with its value, until it is told to stop behind a prefix; gives the
    /// number of prefixes before. They are in the order of their bytes, and none begins with another.
    pub(crate) fn scan(
        &self,
        prefixes: &[&[u8]],
        found: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, LocalStoreError> {
        let mut store = self.own_to_read()?;
        store.look_at_sealed()?;
        store
            .scan(prefixes, found)
            .map_err(|error| self.give_up(&mut store, error))
    }

    /// Empties a store that cannot be read, so that a restart does without it.
    fn give_up(&self, store: &mut PartitionStore, error: LocalStoreError) -> LocalStoreError {
        if store.owner == self.owner
            && let Err(error) = store.begin_anew()
        {
            tracing::warn!(%error, "a local store that cannot be read cannot be given up");
        }
        error
    }
}

impl Stored {
    /// Hands at most `max` states to `each`, until it says to stop; says whether there are more.
    pub(crate) fn read(
        &mut self,
        max: usize,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<bool, LocalStoreError> {
        for _ in 0..max {
            let Some(pair) = self.iter.next() else {
                return Ok(false);
            };
            let (key, value) = pair.into_inner().map_err(|error| {
                let store = self.store.lock();
                debug_assert_eq!(store.name, self.name);
                store.read_error(&error)
            })?;
            if !each(&key[1..], &value) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
