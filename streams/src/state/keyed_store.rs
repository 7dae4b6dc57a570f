//! State and timers of a custom operator, a key each, and their changelog.
//!
//! A record is a key and what it has, as JSON: `{"state":…,"timers":[…]}`; a key that has neither is deleted. One record, with a key that no
//! row has, says what the states mean.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::StateError;
use super::meaning::MEANING_KEY;
use crate::format::FormatError;
use crate::rows::{EventTime, NO_TIME};
use crate::sink::{Destination, RecordBuffer};
use crate::time::Watermark;
use crate::typed::{ClosureError, guard};

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
    meaning: String,
    /// The log says what the states mean.
    announced: bool,
    entries: HashMap<KeyBytes, Entry<S>>,
    /// All timers, in the order in which they fire.
    timers: BTreeSet<(EventTime, KeyBytes)>,
    touched: Vec<KeyBytes>,
    bytes: usize,
}

struct Entry<S> {
    state: Option<S>,
    timers: BTreeSet<EventTime>,
    /// The bytes of its record, if the log has one.
    logged: Option<usize>,
    touched: bool,
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

/// A state that is written as null is one nevertheless.
fn present<'de, S: Deserialize<'de>, D: Deserializer<'de>>(stored: D) -> Result<Option<S>, D::Error> {
    S::deserialize(stored).map(Some)
}

impl<S: Serialize + DeserializeOwned> KeyedStore<S> {
    /// The store whose changelog is `topic`-`partition`; `meaning` changes whenever stored states can no longer be used.
    pub(crate) fn new(topic: Arc<str>, partition: i32, meaning: &str) -> Self {
        Self {
            topic,
            partition,
            meaning: format!("v1 {meaning}"),
            announced: false,
            entries: HashMap::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            bytes: 0,
        }
    }

    /// The state and the timers of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> (Option<&S>, Option<&BTreeSet<EventTime>>) {
        let entry = self.entries.get(key);
        (
            entry.and_then(|entry| entry.state.as_ref()),
            entry.map(|entry| &entry.timers),
        )
    }

    /// Takes the earliest timer that `watermark` has passed, so that it fires once.
    pub(crate) fn take_due(&mut self, watermark: Watermark) -> Option<(EventTime, KeyBytes)> {
        let due = watermark != Watermark::NONE && watermark.passed(self.timers.first()?.0);
        let (at, key) = due.then(|| self.timers.pop_first()).flatten()?;
        self.touch(&key).timers.remove(&at);
        Some((at, key))
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
        let entry = self.entries.entry(Arc::clone(key)).or_insert_with(|| Entry {
            state: None,
            timers: BTreeSet::new(),
            logged: None,
            touched: false,
        });
        if !std::mem::replace(&mut entry.touched, true) {
            self.touched.push(Arc::clone(key));
        }
        entry
    }

    /// The records of the keys that were touched since the last call.
    pub(crate) fn changes(&mut self) -> Result<Option<RecordBuffer>, ClosureError> {
        let mut records = RecordBuffer::new(Destination::Partition {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            batch_header: None,
        });
        for key in std::mem::take(&mut self.touched) {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            entry.touched = false;
            let before = entry.logged.take();
            self.bytes -= before.map_or(0, |bytes| bytes + key.len());
            if entry.state.is_none() && entry.timers.is_empty() {
                self.entries.remove(&key);
                if before.is_some() {
                    records.push_bytes(NO_TIME, Some(&key), None);
                }
                continue;
            }
            let value = encode(entry)?;
            entry.logged = Some(value.len());
            self.bytes += value.len() + key.len();
            if !std::mem::replace(&mut self.announced, true) {
                records.push_bytes(NO_TIME, Some(MEANING_KEY), Some(self.meaning.as_bytes()));
            }
            records.push_bytes(NO_TIME, Some(&key), Some(&value));
        }
        Ok((records.len() > 0).then_some(records))
    }

    /// Takes a record of the changelog.
    pub(crate) fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), StateError> {
        let key = key.ok_or_else(|| self.damaged("it has no key".to_owned()))?;
        if key == MEANING_KEY {
            return self.take_meaning(value.unwrap_or_default());
        }
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.logged.unwrap_or(0) + key.len();
        }
        let Some(value) = value else {
            return Ok(());
        };
        // A `Deserialize` is code of the user's as well.
        let read = guard(|| serde_json::from_slice::<Read<S>>(value));
        let read = read.map_err(|panic| self.damaged(panic.to_string()))?;
        let Read { state, timers } = read.map_err(|cause| {
            let name = std::any::type_name::<S>();
            self.damaged(format!(
                "it is no {name}: {cause}; new fields need #[serde(default)]"
            ))
        })?;
        self.bytes += value.len() + key.len();
        let entry = Entry {
            state,
            timers,
            logged: Some(value.len()),
            touched: false,
        };
        self.entries.insert(key.into(), entry);
        Ok(())
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) {
        let entries = self.entries.iter();
        let timers = entries.flat_map(|(key, entry)| entry.timers.iter().map(|at| (*at, Arc::clone(key))));
        self.timers = timers.collect();
    }

    /// Keys, and bytes of their records.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn take_meaning(&mut self, stored: &[u8]) -> Result<(), StateError> {
        let stored = String::from_utf8_lossy(stored);
        if stored != self.meaning {
            return Err(StateError::Incompatible {
                topic: self.topic.to_string(),
                stored: stored.into_owned(),
                expected: self.meaning.clone(),
            });
        }
        self.announced = true;
        Ok(())
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
mod tests {
    use super::*;

    fn change(state: Option<f64>, timers: &[i64]) -> KeyChange<f64> {
        KeyChange {
            state: Some(state),
            timers: Some(timers.iter().copied().collect()),
        }
    }

    fn values(records: &RecordBuffer) -> Vec<Option<String>> {
        let values = records.records().map(|record| record.value);
        values
            .map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn keys_are_written_once_an_epoch_and_deleted_when_empty() {
        let mut store = KeyedStore::<f64>::new("log".into(), 0, "of a test");
        let (a, b): (KeyBytes, KeyBytes) = ([1, 1].into(), [1, 2].into());
        store.apply(&a, change(Some(0.5), &[7, 3]));
        store.apply(&a, change(Some(1.5), &[3, 9]));
        store.apply(&b, change(Some(2.0), &[]));
        store.apply(&b, change(None, &[]));
        let records = store.changes().unwrap().unwrap();
        let first = r#"{"state":1.5,"timers":[3,9]}"#.to_owned();
        assert_eq!(values(&records), [Some("v1 of a test".to_owned()), Some(first)]);
        assert_eq!(store.size(), (1, 30));
        assert!(store.changes().unwrap().is_none());

        let mut next = KeyedStore::<f64>::new("log".into(), 0, "of a test");
        for record in records.records() {
            next.restore(record.key, record.value).unwrap();
        }
        next.end_restore();
        assert_eq!(next.size(), (1, 30));
        assert!(next.take_due(Watermark::NONE).is_none());
        assert!(next.take_due(Watermark::at(2)).is_none());
        assert_eq!(next.take_due(Watermark::at(8)), Some((3, Arc::clone(&a))));
        assert_eq!(next.take_due(Watermark::at(8)), None);
        next.apply(&a, change(None, &[]));
        assert_eq!(values(&next.changes().unwrap().unwrap()), [None]);
        assert_eq!(next.size(), (0, 0));
        assert!(next.take_due(Watermark::at(100)).is_none());
    }

    #[test]
    fn what_cannot_be_read_again_is_not_written() {
        let mut store = KeyedStore::<f64>::new("log".into(), 0, "of a test");
        store.apply(&[1].into(), change(Some(f64::INFINITY), &[]));
        let error = store.changes().unwrap_err().to_string();
        assert!(
            error.contains("f64") && error.contains("cannot be read"),
            "{error}"
        );

        let mut store = KeyedStore::<f64>::new("log".into(), 0, "of a test");
        let error = store
            .restore(Some(&[1]), Some(br#"{"state":"x","timers":[]}"#))
            .unwrap_err();
        assert!(error.to_string().contains("it is no f64"), "{error}");
        let error = store.restore(Some(MEANING_KEY), Some(b"v1 other")).unwrap_err();
        assert!(error.to_string().contains("v1 other"), "{error}");

        let mut units = KeyedStore::<()>::new("log".into(), 0, "of units");
        units
            .restore(Some(&[1]), Some(br#"{"state":null,"timers":[]}"#))
            .unwrap();
        assert_eq!(units.get(&[1]).0, Some(&()));
        assert!(
            units
                .restore(None, None)
                .unwrap_err()
                .to_string()
                .contains("no key")
        );
    }
}
