//! The local store of one changelog partition.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fjall::{Keyspace, KeyspaceCreateOptions};

use super::pending::Pending;
use super::position::{FirstRecord, Position, Stamp};
use super::spool::Spool;
use super::writer::{Job, STAMP_KEY, Sealed};
use super::{AGE_MAX_MS, Inner, LocalStoreError, PENDING_BYTES_MIN};
use crate::sink::RecordBuffer;
use crate::source::TopicPartition;

/// What the keys of states begin with in the store.
const STATE: u8 = 1;
/// The longest key that the store takes, behind that.
const KEY_MAX: usize = 65_534;
/// Changes that a restart may have to read again.
const CHANGES_MAX: usize = 1_000_000;
/// How long changes wait for the disk at most.
const CHANGES_AGE_MAX: Duration = Duration::from_secs(30);
/// When a stamp is renewed although nothing has changed, lest the checkpoint be too old after a stop.
const STAMP_AGE_MAX: Duration = Duration::from_secs(3600);

/// What is kept of a changelog partition, on the disk and on its way there.
pub(super) struct PartitionStore {
    name: String,
    keyspace: Keyspace,
    /// Who claimed it last.
    owner: u64,
    /// The first record of the log, once known.
    first: Option<FirstRecord>,
    /// When no deletion behind the last offset could have left the log yet.
    seen_ms: u64,
    pending: Pending,
    /// The log that is being read, once it is long.
    spool: Option<Spool>,
    /// Behind the last record that was read of it.
    restored_to: Option<i64>,
    /// All of the log was applied: before that, nobody can say how far the store goes but the one who reads the log.
    whole: bool,
    /// Something was applied that no stamp covers.
    dirty: bool,
    /// Since when changes wait.
    waiting_since: Option<Instant>,
    stamped: Instant,
    sealed: Option<Arc<Sealed>>,
    /// Reused for the keys of lookups.
    key: Vec<u8>,
    inner: Arc<Inner>,
}

/// A claimed store. Clones are the same claim.
#[derive(Clone)]
pub(crate) struct LocalStore {
    store: Arc<Mutex<PartitionStore>>,
    owner: u64,
}

/// What is on the disk, in the order of the keys.
pub(crate) struct Stored {
    iter: fjall::Iter,
    name: String,
    store: LocalStore,
}

impl PartitionStore {
    pub(super) fn open(inner: Arc<Inner>, at: &TopicPartition) -> Result<Self, LocalStoreError> {
        let name = format!("{}-{}", at.topic, at.partition);
        let keyspace = inner.database.keyspace(&name, KeyspaceCreateOptions::default);
        let keyspace = keyspace.map_err(|error| write_error(&inner, &name, &error))?;
        inner.open.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            name,
            keyspace,
            owner: 0,
            first: None,
            seen_ms: 0,
            pending: Pending::default(),
            spool: None,
            restored_to: None,
            whole: false,
            dirty: false,
            waiting_since: None,
            stamped: Instant::now(),
            sealed: None,
            key: Vec::new(),
            inner,
        })
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LocalStoreError> {
        self.set_key(key)?;
        self.pending.put(&self.key, value);
        self.dirty = true;
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn set_key(&mut self, key: &[u8]) -> Result<(), LocalStoreError> {
        if key.len() > KEY_MAX {
            let cause = format!(
                "a key of {} bytes is longer than {KEY_MAX}; leave state.dir empty",
                key.len()
            );
            return Err(self.write_error(&cause));
        }
        self.key.clear();
        self.key.push(STATE);
        self.key.extend_from_slice(key);
        Ok(())
    }

    /// Takes a change of the log that is being read, into the file if there are many.
    fn put_restored(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LocalStoreError> {
        if self.spool.is_none() {
            if self.inner.memory.lookups || self.pending.changes() < self.inner.memory.spooled_from {
                return self.put(key, value);
            }
            let create = || {
                let mut spool = Spool::create(self.inner.slot.path(), &self.name)?;
                for (key, value) in self.pending.iter() {
                    spool.put(key, value)?;
                }
                Ok(spool)
            };
            let created: std::io::Result<Spool> = create();
            self.spool = Some(created.map_err(|error| self.write_error(&error))?);
            (self.pending, self.waiting_since) = (Pending::default(), None);
        }
        self.set_key(key)?;
        let spooled = self
            .spool
            .as_mut()
            .map_or(Ok(()), |spool| spool.put(&self.key, value));
        spooled.map_err(|error| self.write_error(&error))
    }

    /// The log was read up to `end`: what the file has is written, while the store goes on.
    fn end_spool(&mut self) -> Result<(), LocalStoreError> {
        let (Some(spool), Some((offset, first))) = (self.spool.take(), self.restored_to.zip(self.first))
        else {
            return Ok(());
        };
        self.settle()?;
        self.hand_over(Some(spool), Some(Position { offset, first }));
        Ok(())
    }

    /// Whether many changes wait.
    fn is_large(&self) -> bool {
        let share = self.inner.memory.pending_bytes / self.inner.open.load(Ordering::Relaxed).max(1);
        self.pending.size_bytes() > share.max(PENDING_BYTES_MIN)
    }

    /// Has what is pending written, after what was sealed before.
    fn seal(&mut self, position: Option<Position>) -> Result<(), LocalStoreError> {
        self.settle()?;
        if self.pending.is_empty() && position.is_none() {
            // Tried, and not tried again at once: there is nothing in the log yet.
            self.stamped = Instant::now();
            return Ok(());
        }
        self.hand_over(None, position);
        Ok(())
    }

    /// Has what was read and what is pending written, in this order.
    fn hand_over(&mut self, spool: Option<Spool>, position: Option<Position>) {
        let stamp = position.map(|position| Stamp {
            position,
            seen_ms: self.seen_ms,
            cluster: self.inner.cluster.clone(),
        });
        if stamp.is_some() {
            (self.stamped, self.dirty) = (Instant::now(), false);
        }
        self.waiting_since = None;
        let pending = std::mem::take(&mut self.pending);
        let sealed = Arc::new(Sealed::new(pending, spool.is_some(), stamp));
        self.sealed = Some(Arc::clone(&sealed));
        self.inner.writer.write(Job {
            keyspace: self.keyspace.clone(),
            spool: spool.map(|spool| (spool, self.inner.memory.pending_bytes)),
            sealed,
        });
    }

    /// Whether a long log is being written, for which it is better not to wait.
    fn is_behind(&self) -> bool {
        let sealed = self.sealed.as_ref();
        sealed.is_some_and(|sealed| sealed.is_long && sealed.outcome().is_none())
    }

    /// Waits until what was sealed is on the disk.
    fn settle(&mut self) -> Result<(), LocalStoreError> {
        match self.sealed.take().map(|sealed| sealed.wait()) {
            Some(Err(cause)) => Err(self.write_error(&cause)),
            _ => Ok(()),
        }
    }

    /// Forgets what was sealed once it is written.
    fn look_at_sealed(&mut self) -> Result<(), LocalStoreError> {
        match self.sealed.as_ref().and_then(|sealed| sealed.outcome()) {
            None => Ok(()),
            Some(_) => self.settle(),
        }
    }

    fn stamp(&self) -> Result<Option<Stamp>, LocalStoreError> {
        let bytes = self
            .keyspace
            .get(STAMP_KEY)
            .map_err(|error| self.read_error(&error))?;
        Ok(bytes.and_then(|bytes| Stamp::decode(&bytes)))
    }

    fn begin_anew(&mut self) -> Result<(), LocalStoreError> {
        // What is being written goes to the files that are deleted; how that ends is of no interest.
        if let Some(sealed) = self.sealed.take() {
            let _ = sealed.wait();
        }
        (self.pending, self.waiting_since, self.spool) = (Pending::default(), None, None);
        self.restored_to = None;
        (self.first, self.seen_ms) = (None, (self.inner.now_ms)());
        (self.whole, self.dirty) = (false, true);
        let database = &self.inner.database;
        let anew = database
            .delete_keyspace(self.keyspace.clone())
            .and_then(|()| database.keyspace(&self.name, KeyspaceCreateOptions::default));
        self.keyspace = anew.map_err(|error| self.write_error(&error))?;
        Ok(())
    }

    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), LocalStoreError> {
        self.key.clear();
        self.key.push(STATE);
        self.key.extend_from_slice(key);
        let sealed = || {
            self.sealed
                .as_ref()
                .and_then(|sealed| sealed.pending.get(&self.key))
        };
        if let Some(value) = self.pending.get(&self.key).or_else(sealed) {
            value.into_iter().for_each(found);
            return Ok(());
        }
        let stored = self
            .keyspace
            .get(&self.key)
            .map_err(|error| self.read_error(&error))?;
        stored.iter().for_each(|value| found(value));
        Ok(())
    }

    fn scan(
        &self,
        prefixes: &[&[u8]],
        found: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, LocalStoreError> {
        // What waits for the disk is not in the order of keys, but bounded: one walk finds all that hides what the disk has.
        let mut newer = BTreeMap::new();
        let waiting = self.sealed.iter().map(|sealed| &sealed.pending);
        for (key, value) in waiting.chain([&self.pending]).flat_map(Pending::iter) {
            let behind = prefixes.partition_point(|prefix| *prefix <= &key[1..]);
            if behind > 0 && key[1..].starts_with(prefixes[behind - 1]) {
                newer.insert(key, value);
            }
        }
        for (number, prefix) in prefixes.iter().enumerate() {
            let prefix = [&[STATE], *prefix].concat();
            let mut more = true;
            for pair in self.keyspace.prefix(&prefix) {
                let (key, value) = pair.into_inner().map_err(|error| self.read_error(&error))?;
                if !newer.contains_key(&*key) {
                    more = found(&key[1..], &value);
                }
            }
            let from = newer.range::<[u8], _>((Bound::Included(&*prefix), Bound::Unbounded));
            for (key, value) in from.take_while(|(key, _)| key.starts_with(&prefix)) {
                if let Some(value) = value {
                    more = found(&key[1..], value);
                }
            }
            if !more {
                return Ok(number + 1);
            }
        }
        Ok(prefixes.len())
    }

    fn write_error(&self, cause: &dyn Display) -> LocalStoreError {
        write_error(&self.inner, &self.name, cause)
    }

    fn read_error(&self, cause: &dyn Display) -> LocalStoreError {
        LocalStoreError::Read {
            changelog: self.name.clone(),
            path: self.inner.slot.path().to_owned(),
            cause: cause.to_string(),
        }
    }
}

impl Drop for PartitionStore {
    fn drop(&mut self) {
        self.inner.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn write_error(inner: &Inner, name: &str, cause: &dyn Display) -> LocalStoreError {
    LocalStoreError::Write {
        changelog: name.to_owned(),
        path: inner.slot.path().to_owned(),
        cause: cause.to_string(),
    }
}

impl LocalStore {
    pub(super) fn claim(store: Arc<Mutex<PartitionStore>>) -> Result<Self, LocalStoreError> {
        let mut guard = store.lock().unwrap_or_else(PoisonError::into_inner);
        guard.owner += 1;
        // What the last owner has not written yet is committed; how far it goes in the log is not known.
        (guard.first, guard.whole) = (None, false);
        // What it was reading is in the log.
        (guard.spool, guard.restored_to) = (None, None);
        guard.seal(None)?;
        guard.settle()?;
        let owner = guard.owner;
        drop(guard);
        Ok(Self { store, owner })
    }

    fn lock(&self) -> MutexGuard<'_, PartitionStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, unless another has claimed it since.
    fn own(&self) -> Option<MutexGuard<'_, PartitionStore>> {
        let store = self.lock();
        (store.owner == self.owner).then_some(store)
    }

    /// Whether nobody has claimed the store since.
    pub(crate) fn is_current(&self) -> bool {
        self.own().is_some()
    }

    /// Where to go on in the log, if what is on the disk may be used.
    pub(crate) fn resume(&self) -> Option<Position> {
        let mut store = self.own()?;
        let stamp = match store.stamp() {
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

    /// What is on the disk.
    pub(crate) fn stored(&self) -> Stored {
        let store = self.lock();
        Stored {
            iter: store.keyspace.prefix([STATE]),
            name: store.name.clone(),
            store: self.clone(),
        }
    }

    /// Takes a record of the log that is being read.
    pub(crate) fn restore(
        &self,
        record: FirstRecord,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.put_restored(key, value)?;
        let (offset, first) = (record.offset + 1, *store.first.get_or_insert(record));
        store.restored_to = Some(offset);
        if store.is_large() {
            store.seal(Some(Position { offset, first }))?;
        }
        Ok(())
    }

    /// The log was read to its end.
    pub(crate) fn restored(&self) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.whole = true;
        store.end_spool()
    }

    /// Takes what an epoch wrote to the log, once that is committed.
    pub(crate) fn apply(&self, records: &RecordBuffer) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        for record in records.records() {
            if let Some(key) = record.key {
                store.put(key, record.value)?;
            }
        }
        store.look_at_sealed()
    }

    /// Whether it is time for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.own().is_some_and(|store| {
            if !store.whole {
                return false;
            }
            if store.is_behind() {
                return store.is_large();
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
    pub(crate) fn checkpoint(
        &self,
        end: Option<i64>,
        first: Option<FirstRecord>,
    ) -> Result<(), LocalStoreError> {
        let Some(mut store) = self.own() else {
            return Ok(());
        };
        store.first = store.first.or(first);
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
        let mut store = self.lock();
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
        let mut store = self.lock();
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
