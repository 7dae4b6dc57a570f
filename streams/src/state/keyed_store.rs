//! State and timers of a custom operator, a key each, and their changelog.
//!
//! A record is a key and what it has, as JSON: `{"state":…,"timers":[…]}`; a key that has neither is deleted. One record, with a key that no
//! row has, says what the states mean.
//!
//! As elsewhere there are two generations: a key comes into the young one before it is worked on ([`KeyedStore::load`]) and is dropped with
//! the old one. Its timers stay in memory, because nothing else would wake it up.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::StateError;
use super::meaning::{MEANING_KEY, Meaning};
use super::memory::Share;
use crate::format::FormatError;
use crate::rows::{EventTime, NO_TIME};
use crate::sink::{Destination, RecordBuffer};
use crate::store::LocalStore;
use crate::time::Watermark;
use crate::typed::{ClosureError, guard};

/// Keys whose timers are due that are looked up together.
const DUE_MAX: usize = 256;

/// A key in the encoding of rows.
pub(crate) type KeyBytes = Arc<[u8]>;

/// What one call changes of a key.
#[derive(Debug)]
pub(crate) struct KeyChange<S> {
    /// The new state, or none, if it is changed.
    pub(crate) state: Option<Option<S>>,
    /// The timers, if they are changed.
    pub(crate) timers: Option<BTreeSet<EventTime>>,
}

/// The keys that have state or timers.
pub(crate) struct KeyedStore<S> {
    topic: Arc<str>,
    partition: i32,
    meaning: Meaning,
    young: Keys<S>,
    /// Keys that are not in the young generation and were, or came to be, before it.
    old: Keys<S>,
    /// Keys were dropped, or never loaded.
    partial: bool,
    share: Share,
    /// Where keys are that memory has no room for.
    store: Option<LocalStore>,
    /// The timers of all keys, those that memory has no room for as well, in the order in which they fire.
    timers: BTreeSet<(EventTime, KeyBytes)>,
    /// While the changelog is read: the timers of each key.
    restoring: HashMap<KeyBytes, BTreeSet<EventTime>>,
    touched: Vec<KeyBytes>,
    /// What came into the young generation in the running epoch.
    epoch_bytes: usize,
    /// An epoch has ended, and the next one has asked for no key yet.
    between_epochs: bool,
}

/// A generation: keys that came into memory at about the same time.
struct Keys<S> {
    entries: HashMap<KeyBytes, Entry<S>>,
    /// The bytes of their records.
    bytes: usize,
}

struct Entry<S> {
    state: Option<S>,
    timers: BTreeSet<EventTime>,
    /// The bytes of its record, if the log has one.
    logged: Option<usize>,
    touched: bool,
}

impl<S> Default for Keys<S> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<S> Default for Entry<S> {
    fn default() -> Self {
        Self {
            state: None,
            timers: BTreeSet::new(),
            logged: None,
            touched: false,
        }
    }
}

impl<S> Keys<S> {
    /// What an entry takes beside the bytes of its record.
    const ENTRY_BYTES: usize = size_of::<(KeyBytes, Entry<S>)>() + 32;

    fn insert(&mut self, key: KeyBytes, entry: Entry<S>) {
        self.bytes += entry.logged.map_or(0, |bytes| bytes + key.len());
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &[u8]) -> Option<(KeyBytes, Entry<S>)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= entry.logged.map_or(0, |bytes| bytes + key.len());
        Some((key, entry))
    }

    /// Roughly the memory in use. A state takes about what its text does.
    fn size_bytes(&self) -> usize {
        self.bytes + self.entries.len() * Self::ENTRY_BYTES
    }
}

#[derive(Serialize)]
struct Written<'a, S> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a S>,
    timers: &'a BTreeSet<EventTime>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "S: DeserializeOwned"))]
struct Read<S> {
    #[serde(default, deserialize_with = "present")]
    state: Option<S>,
    timers: BTreeSet<EventTime>,
}

/// The same without the state, which is not even made.
#[derive(Deserialize)]
struct ReadTimers {
    timers: BTreeSet<EventTime>,
}

/// A state that is written as null is one nevertheless.
fn present<'de, S: Deserialize<'de>, D: Deserializer<'de>>(stored: D) -> Result<Option<S>, D::Error> {
    S::deserialize(stored).map(Some)
}

impl<S: Serialize + DeserializeOwned> KeyedStore<S> {
    /// The store whose changelog is `topic`-`partition`; `meaning` changes whenever stored states can no longer be used.
    pub(crate) fn new(topic: Arc<str>, partition: i32, meaning: &str, share: Share) -> Self {
        Self {
            topic,
            partition,
            meaning: Meaning::new(format!("v1 {meaning}")),
            young: Keys::default(),
            old: Keys::default(),
            partial: false,
            share,
            store: None,
            timers: BTreeSet::new(),
            restoring: HashMap::new(),
            touched: Vec::new(),
            epoch_bytes: 0,
            between_epochs: true,
        }
    }

    /// The local store of the changelog.
    pub(crate) fn attach(&mut self, store: &LocalStore) {
        self.store = Some(store.clone());
    }

    /// Brings `keys` into memory, where they stay until the epoch ends.
    pub(crate) fn load(&mut self, keys: &[KeyBytes]) -> Result<(), StateError> {
        self.begin_epoch();
        let mut missing: Vec<&KeyBytes> = Vec::new();
        for key in keys {
            if (self.old.entries.is_empty() && !self.partial) || self.young.entries.contains_key(key) {
                continue;
            }
            match self.old.remove(key) {
                Some((key, entry)) => self.bring(key, entry),
                None if self.partial => missing.push(key),
                None => {}
            }
        }
        let Some(store) = self.store.clone().filter(|_| !missing.is_empty()) else {
            return Ok(());
        };
        missing.sort_unstable();
        missing.dedup();
        let mut found: Vec<Option<Vec<u8>>> = vec![None; missing.len()];
        let sorted = missing.iter().map(|key| &***key).enumerate();
        store.get_sorted(sorted, &mut |number, value| found[number] = Some(value.to_vec()))?;
        for (key, value) in missing.into_iter().zip(found) {
            // Who is not there is remembered as such, lest it be looked for again.
            let entry = value.map_or(Ok(Entry::default()), |value| self.read(&value))?;
            self.bring(Arc::clone(key), entry);
        }
        Ok(())
    }

    fn bring(&mut self, key: KeyBytes, entry: Entry<S>) {
        self.epoch_bytes += key.len() + entry.logged.unwrap_or(0) + Keys::<S>::ENTRY_BYTES;
        self.young.insert(key, entry);
    }

    /// Drops the old generation if the young one is full: now all that is in memory is committed, and nothing is changed yet.
    fn begin_epoch(&mut self) {
        let begins = std::mem::take(&mut self.between_epochs);
        if begins && self.store.is_some() && self.share.is_full(self.young.size_bytes()) {
            self.old = std::mem::take(&mut self.young);
            self.partial = true;
        }
    }

    /// Whether the epoch has brought as much into memory as there is room for.
    pub(crate) fn is_full(&self) -> bool {
        self.store.is_some() && self.share.is_full_with(self.epoch_bytes)
    }

    /// The state and the timers of `key`, which is [loaded](Self::load).
    pub(crate) fn get(&self, key: &[u8]) -> (Option<&S>, Option<&BTreeSet<EventTime>>) {
        let entry = self.young.entries.get(key);
        (
            entry.and_then(|entry| entry.state.as_ref()),
            entry.map(|entry| &entry.timers),
        )
    }

    /// Takes the earliest timer that `watermark` has passed, so that it fires once; its key is loaded.
    pub(crate) fn take_due(
        &mut self,
        watermark: Watermark,
    ) -> Result<Option<(EventTime, KeyBytes)>, StateError> {
        self.begin_epoch();
        let is_due = |at: EventTime| watermark != Watermark::NONE && watermark.passed(at);
        let Some((at, key)) = self.timers.first().filter(|(at, _)| is_due(*at)).cloned() else {
            return Ok(None);
        };
        if !self.young.entries.contains_key(&key) {
            // With those that come next, so that they are looked up in the order of their keys.
            let due = self.timers.iter().take_while(|(at, _)| is_due(*at));
            let keys: Vec<KeyBytes> = due.take(DUE_MAX).map(|(_, key)| Arc::clone(key)).collect();
            self.load(&keys)?;
        }
        self.timers.pop_first();
        self.touch(&key).timers.remove(&at);
        Ok(Some((at, key)))
    }

    /// Applies what a call has changed.
    pub(crate) fn apply(&mut self, key: &KeyBytes, change: KeyChange<S>) {
        if change.state.is_none() && change.timers.is_none() {
            return;
        }
        let entry = self.touch(key);
        if let Some(state) = change.state {
            entry.state = state;
        }
        if let Some(timers) = change.timers {
            let before = std::mem::replace(&mut entry.timers, timers.clone());
            for gone in before.difference(&timers) {
                self.timers.remove(&(*gone, Arc::clone(key)));
            }
            let new = timers.difference(&before);
            self.timers.extend(new.map(|at| (*at, Arc::clone(key))));
        }
    }

    fn touch(&mut self, key: &KeyBytes) -> &mut Entry<S> {
        let (known, epoch_bytes) = (&mut self.young.entries, &mut self.epoch_bytes);
        let entry = known.entry(Arc::clone(key)).or_insert_with(|| {
            *epoch_bytes += key.len() + Keys::<S>::ENTRY_BYTES;
            Entry::default()
        });
        if !std::mem::replace(&mut entry.touched, true) {
            self.touched.push(Arc::clone(key));
        }
        entry
    }

    /// The records of the keys that were touched since the last call: the epoch ends.
    pub(crate) fn changes(&mut self) -> Result<Option<RecordBuffer>, ClosureError> {
        let mut records = RecordBuffer::new(Destination::Partition {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            batch_header: None,
        });
        for key in std::mem::take(&mut self.touched) {
            let Some((key, mut entry)) = self.young.remove(&key) else {
                continue;
            };
            entry.touched = false;
            let before = entry.logged.take();
            if entry.state.is_none() && entry.timers.is_empty() {
                if before.is_some() {
                    records.push_bytes(NO_TIME, Some(&key), None);
                }
                continue;
            }
            let value = encode(&entry)?;
            entry.logged = Some(value.len());
            self.meaning.announce(&mut records);
            records.push_bytes(NO_TIME, Some(&key), Some(&value));
            self.young.insert(key, entry);
        }
        (self.epoch_bytes, self.between_epochs) = (0, true);
        Ok((records.len() > 0).then_some(records))
    }

    /// Takes a record of the changelog.
    pub(crate) fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), StateError> {
        let key = key.ok_or_else(|| self.damaged("it has no key".to_owned()))?;
        if key == MEANING_KEY {
            return self.meaning.check(&self.topic, value.unwrap_or_default());
        }
        self.young.remove(key);
        self.restoring.remove(key);
        let Some(value) = value else {
            return Ok(());
        };
        let key = KeyBytes::from(key);
        let timers = if self.store.is_some() && self.share.is_full(self.young.size_bytes()) {
            // The state can be looked up, but nobody else says when the key wants to be woken up.
            self.partial = true;
            let read = serde_json::from_slice::<ReadTimers>(value);
            read.map_err(|cause| self.damaged(cause.to_string()))?.timers
        } else {
            let entry = self.read(value)?;
            let timers = entry.timers.clone();
            self.young.insert(Arc::clone(&key), entry);
            timers
        };
        if !timers.is_empty() {
            self.restoring.insert(key, timers);
        }
        Ok(())
    }

    /// The entry whose record is `value`.
    fn read(&self, value: &[u8]) -> Result<Entry<S>, StateError> {
        // A `Deserialize` is code of the user's as well.
        let read = guard(|| serde_json::from_slice::<Read<S>>(value));
        let read = read.map_err(|panic| self.damaged(panic.to_string()))?;
        let Read { state, timers } = read.map_err(|cause| {
            let name = std::any::type_name::<S>();
            self.damaged(format!(
                "it is no {name}: {cause}; new fields need #[serde(default)]"
            ))
        })?;
        Ok(Entry {
            state,
            timers,
            logged: Some(value.len()),
            touched: false,
        })
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) -> Result<(), StateError> {
        let keys = std::mem::take(&mut self.restoring).into_iter();
        let timers = keys.flat_map(|(key, timers)| timers.into_iter().map(move |at| (at, Arc::clone(&key))));
        self.timers = timers.collect();
        match &self.store {
            Some(store) => self.meaning.check_stored(&self.topic, store),
            None => Ok(()),
        }
    }

    /// Keys in memory, and bytes of their records.
    pub(crate) fn size(&self) -> (usize, usize) {
        let keys = self.young.entries.len() + self.old.entries.len();
        (keys, self.young.bytes + self.old.bytes)
    }

    fn damaged(&self, reason: String) -> StateError {
        StateError::Damaged {
            topic: self.topic.to_string(),
            cause: FormatError::Damaged { reason },
        }
    }
}

/// The value of a key's record.
fn encode<S: Serialize + DeserializeOwned>(entry: &Entry<S>) -> Result<Vec<u8>, ClosureError> {
    let unwritable = |cause: String| ClosureError::StateUnwritable {
        state_type: std::any::type_name::<S>().to_owned(),
        cause,
    };
    let written = Written {
        state: entry.state.as_ref(),
        timers: &entry.timers,
    };
    let value = guard(|| serde_json::to_vec(&written))?.map_err(|cause| unwritable(cause.to_string()))?;
    // NaN and infinity are written as null, which nobody notices before the state is needed.
    if value.windows(4).any(|word| word == b"null") {
        let read = guard(|| serde_json::from_slice::<Read<S>>(&value))?;
        read.map_err(|cause| unwritable(format!("what is written cannot be read: {cause}")))?;
    }
    Ok(value)
}

#[cfg(test)]
#[path = "keyed_store_tests.rs"]
mod tests;
