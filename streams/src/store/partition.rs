//! The local store of one changelog partition.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use fjall::{Keyspace, KeyspaceCreateOptions};

use super::pending::Pending;
use super::position::{FirstRecord, Position, Stamp};
use super::spool::Spool;
use super::writer::{Job, STAMP_KEY, Sealed};
use super::{Inner, LocalStoreError, PENDING_BYTES_MIN};
use crate::source::TopicPartition;

/// What the keys of states begin with in the store.
pub(super) const STATE: u8 = 1;
/// The longest key that the store takes, behind that.
const KEY_MAX: usize = 65_534;
/// How many times the size at which a file is handed over it may have before somebody waits for the one before.
const SPOOL_WAITS: u64 = 4;

/// What is kept of a changelog partition, on the disk and on its way there.
pub(super) struct PartitionStore {
    pub(super) name: String,
    pub(super) keyspace: Keyspace,
    /// Who claimed it last.
    pub(super) owner: u64,
    /// It is a copy of what another process works with.
    pub(super) follows: bool,
    /// Where it stood when its owner took it over from whoever followed the log.
    pub(super) taken_at: Option<Position>,
    /// Whoever followed the log had seen all of it when it was taken over, and nobody has looked since whether all of that can be found.
    pub(super) caught_up: bool,
    /// States are looked up although memory has room for them, because loading all would take long.
    pub(super) is_looked_up: bool,
    /// The first record of the log, once known.
    pub(super) first: Option<FirstRecord>,
    /// When no deletion behind the last offset could have left the log yet.
    pub(super) seen_ms: u64,
    pub(super) pending: Pending,
    /// Somebody beside the owner reads, so that what waits can be found at once.
    pub(super) is_read: bool,
    /// The log that is being read, once it is long.
    pub(super) spool: Option<Spool>,
    /// A part of the log on its way from the file to the disk, where nobody finds it.
    pub(super) spooled: Option<Arc<Sealed>>,
    /// Behind the last record that was read of it.
    pub(super) restored_to: Option<i64>,
    /// All of the log was applied: before that, nobody can say how far the store goes but the one who reads the log.
    pub(super) whole: bool,
    /// An epoch is being taken in: some of its changes may not be here yet.
    pub(super) is_applying: bool,
    /// Something was applied that no stamp covers.
    pub(super) dirty: bool,
    /// Since when changes wait.
    pub(super) waiting_since: Option<Instant>,
    pub(super) stamped: Instant,
    pub(super) sealed: Option<Arc<Sealed>>,
    /// Reused for the keys of lookups.
    pub(super) key: Vec<u8>,
    pub(super) inner: Arc<Inner>,
}

impl PartitionStore {
    pub(super) fn name_of(at: &TopicPartition) -> String {
        format!("{}-{}", at.topic, at.partition)
    }

    pub(super) fn open(inner: Arc<Inner>, at: &TopicPartition) -> Result<Self, LocalStoreError> {
        let name = Self::name_of(at);
        let keyspace = inner.database.keyspace(&name, KeyspaceCreateOptions::default);
        let keyspace = keyspace.map_err(|error| write_error(&inner, &name, &error))?;
        inner.open.fetch_add(1, Ordering::Relaxed);
        // Whoever wants to know how far the store goes waits for what was left behind.
        let sealed = inner
            .leaving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name);
        Ok(Self {
            name,
            keyspace,
            owner: 0,
            follows: false,
            taken_at: None,
            caught_up: false,
            is_looked_up: false,
            first: None,
            seen_ms: 0,
            pending: inner.memory.pending(),
            is_read: false,
            spool: None,
            spooled: None,
            restored_to: None,
            whole: false,
            is_applying: false,
            dirty: false,
            waiting_since: None,
            stamped: Instant::now(),
            sealed,
            key: Vec::new(),
            inner,
        })
    }

    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LocalStoreError> {
        self.set_key(key)?;
        self.pending.put(&self.key, value);
        self.dirty = true;
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn new_pending(&self) -> Pending {
        let mut pending = self.inner.memory.pending();
        if self.is_read {
            pending.index_all();
        }
        pending
    }

    /// What waits can be found at once from now on: somebody beside the owner reads.
    pub(super) fn is_read_from_now_on(&mut self) {
        self.is_read = true;
        self.pending.index_all();
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
    pub(super) fn put_restored(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LocalStoreError> {
        if self.spool.is_none() {
            let few = self.pending.changes() < self.inner.memory.spooled_from && !self.is_large();
            if !self.is_spooling() || (few && !self.is_being_written()) {
                return self.put(key, value);
            }
            let create = || {
                let mut spool = Spool::create(self.inner.slot.path())?;
                for (key, value) in self.pending.iter() {
                    spool.put(key, value)?;
                }
                Ok(spool)
            };
            let created: std::io::Result<Spool> = create();
            self.spool = Some(created.map_err(|error| self.write_error(&error))?);
            (self.pending, self.waiting_since) = (self.new_pending(), None);
        }
        self.set_key(key)?;
        let spooled = self
            .spool
            .as_mut()
            .map_or(Ok(()), |spool| spool.put(&self.key, value));
        spooled.map_err(|error| self.write_error(&error))
    }

    /// Whether what is read of a long log goes into a file: not where it has to be found at once, nor what comes after the end was reached.
    pub(super) fn is_spooling(&self) -> bool {
        !(self.inner.memory.lookups || self.is_looked_up || (self.follows && self.whole))
    }

    /// Has what the file has written if it is large. While an earlier part is being written, it may become larger still.
    pub(super) fn limit_spool(&mut self) -> Result<(), LocalStoreError> {
        let bytes = self.spool.as_ref().map_or(0, Spool::bytes);
        let most = self.inner.memory.spool_bytes;
        if bytes > most && (!self.is_being_written() || self.is_spool_full()) {
            self.end_spool()?;
        }
        Ok(())
    }

    /// Whether the file may not become larger before what is being written is on the disk.
    pub(super) fn is_spool_full(&self) -> bool {
        let bytes = self.spool.as_ref().map_or(0, Spool::bytes);
        bytes / SPOOL_WAITS > self.inner.memory.spool_bytes
    }

    /// What was read of the log up to now is written, while the store goes on.
    pub(super) fn end_spool(&mut self) -> Result<(), LocalStoreError> {
        let (Some(spool), Some((offset, first))) = (self.spool.take(), self.restored_to.zip(self.first))
        else {
            return Ok(());
        };
        self.settle()?;
        self.hand_over(Some(spool), Some(Position { offset, first }));
        Ok(())
    }

    /// Whether many changes wait.
    pub(super) fn is_large(&self) -> bool {
        let share = self.inner.memory.pending_bytes / self.inner.open.load(Ordering::Relaxed).max(1);
        self.pending.size_bytes() > share.max(PENDING_BYTES_MIN)
    }

    /// Has what is pending written, after what was sealed before.
    pub(super) fn seal(&mut self, position: Option<Position>) -> Result<(), LocalStoreError> {
        self.settle()?;
        if self.pending.is_empty() && position.is_none() {
            // Tried, and not tried again at once: there is nothing in the log yet.
            self.stamped = Instant::now();
            return Ok(());
        }
        self.hand_over(None, position);
        Ok(())
    }

    /// Has all written that is not on its way yet, with how far the store stands if that is known.
    pub(super) fn write_out(&mut self) -> Result<(), LocalStoreError> {
        self.end_spool()?;
        match self.pending.is_empty() {
            true => self.look_at_sealed(),
            false => self.seal(self.position()),
        }
    }

    /// Has what was read and what is pending written, in this order.
    fn hand_over(&mut self, spool: Option<Spool>, position: Option<Position>) {
        let stamp = position.map(|position| self.stamp_at(position));
        if stamp.is_some() {
            (self.stamped, self.dirty) = (Instant::now(), false);
        }
        self.waiting_since = None;
        let empty = self.new_pending();
        let pending = std::mem::replace(&mut self.pending, empty);
        let sealed = Arc::new(Sealed::new(pending, stamp));
        self.sealed = Some(Arc::clone(&sealed));
        if spool.is_some() {
            self.spooled = Some(Arc::clone(&sealed));
        }
        self.inner.writer.write(Job {
            keyspace: self.keyspace.clone(),
            spool: spool.map(|spool| (spool, self.inner.memory.pending_bytes)),
            sealed,
        });
    }

    /// Whether the last checkpoint is not on the disk yet.
    pub(super) fn is_being_written(&self) -> bool {
        let sealed = self.sealed.as_ref();
        sealed.is_some_and(|sealed| sealed.outcome().is_none())
    }

    /// What was sealed and is not on the disk: those who look for keys find it nowhere else.
    pub(super) fn unwritten(&self) -> Option<&Arc<Sealed>> {
        let sealed = self.sealed.as_ref();
        sealed.filter(|sealed| !matches!(sealed.outcome(), Some(Ok(()))))
    }

    /// Waits until what was sealed is on the disk.
    pub(super) fn settle(&mut self) -> Result<(), LocalStoreError> {
        match self.sealed.take().map(|sealed| sealed.wait()) {
            Some(Err(cause)) => Err(self.write_error(&cause)),
            _ => Ok(()),
        }
    }

    /// Forgets what was sealed once it is written.
    pub(super) fn look_at_sealed(&mut self) -> Result<(), LocalStoreError> {
        match self.sealed.as_ref().and_then(|sealed| sealed.outcome()) {
            None => Ok(()),
            Some(_) => self.settle(),
        }
    }

    /// The stamp of a store that stands there.
    pub(super) fn stamp_at(&self, position: Position) -> Stamp {
        Stamp {
            position,
            seen_ms: self.seen_ms,
            cluster: self.inner.cluster.clone(),
        }
    }

    pub(super) fn stamp(&self) -> Result<Option<Stamp>, LocalStoreError> {
        let bytes = self
            .keyspace
            .get(STAMP_KEY)
            .map_err(|error| self.read_error(&error))?;
        Ok(bytes.and_then(|bytes| Stamp::decode(&bytes)))
    }

    pub(super) fn begin_anew(&mut self) -> Result<(), LocalStoreError> {
        // What is being written goes to the files that are deleted; how that ends is of no interest.
        if let Some(sealed) = self.sealed.take() {
            let _ = sealed.wait();
        }
        (self.pending, self.waiting_since, self.spool) = (self.new_pending(), None, None);
        (self.restored_to, self.spooled) = (None, None);
        (self.first, self.seen_ms) = (None, (self.inner.now_ms)());
        (self.whole, self.dirty, self.is_applying) = (false, true, false);
        (self.taken_at, self.caught_up, self.is_looked_up) = (None, false, false);
        let database = &self.inner.database;
        let anew = database
            .delete_keyspace(self.keyspace.clone())
            .and_then(|()| database.keyspace(&self.name, KeyspaceCreateOptions::default));
        self.keyspace = anew.map_err(|error| self.write_error(&error))?;
        Ok(())
    }

    pub(super) fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), LocalStoreError> {
        let mut stored = std::mem::take(&mut self.key);
        stored.clear();
        stored.push(STATE);
        stored.extend_from_slice(key);
        let got = self.find(&stored, found);
        self.key = stored;
        got
    }

    /// Looks a key up, with what it begins with in the store.
    pub(super) fn find(&self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), LocalStoreError> {
        let sealed = || self.unwritten().and_then(|sealed| sealed.get(key));
        if let Some(value) = self.pending.get(key).or_else(sealed) {
            value.into_iter().for_each(found);
            return Ok(());
        }
        let stored = self.keyspace.get(key).map_err(|error| self.read_error(&error))?;
        stored.iter().for_each(|value| found(value));
        Ok(())
    }

    pub(super) fn scan(
        &self,
        prefixes: &[&[u8]],
        found: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, LocalStoreError> {
        // What waits for the disk is not in the order of keys, but bounded: one walk finds all that hides what the disk has.
        let mut newer = BTreeMap::new();
        let sealed = self.unwritten();
        let waiting = sealed.iter().map(|sealed| &sealed.pending);
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

    pub(super) fn write_error(&self, cause: &dyn Display) -> LocalStoreError {
        write_error(&self.inner, &self.name, cause)
    }

    pub(super) fn read_error(&self, cause: &dyn Display) -> LocalStoreError {
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
        let mut leaving = self.inner.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|_, sealed| sealed.outcome().is_none());
        if let Some(sealed) = self.sealed.take() {
            leaving.insert(std::mem::take(&mut self.name), sealed);
        }
    }
}

fn write_error(inner: &Inner, name: &str, cause: &dyn Display) -> LocalStoreError {
    LocalStoreError::Write {
        changelog: name.to_owned(),
        path: inner.slot.path().to_owned(),
        cause: cause.to_string(),
    }
}
