//! Committed changes on their way to the disk, in one allocation: the latest value of each key while they are few or looked up, else all
//! in their order.
use std::cmp::Ordering;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Garbage that is not worth a copy of the rest.
const GARBAGE_MIN: usize = 1 << 20;
/// The length that stands for a deletion.
pub(super) const DELETED: u32 = u32::MAX;

/// The changes that were put; of each key the last one counts, be it a deletion.
pub(super) struct Pending {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// How many entries have a place in the index. Behind that, all changes are kept: finding a key among many costs more than sorting
    /// them later, on another thread.
    indexed_max: usize,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Bytes that no entry refers to any more.
    garbage: usize,
    /// How many changes were put, those of one key counted each.
    changes: usize,
}

/// Where a key and its value lie, one behind the other.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key: u32,
    /// [`DELETED`] if the key is.
    value: u32,
    /// What the value may grow to in its place.
    room: u32,
}

impl Pending {
    /// None, of which `indexed_max` keys will be kept with their last changes only.
    pub(super) fn new(indexed_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            indexed_max,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            garbage: 0,
            changes: 0,
        }
    }

    /// The key that is put and looked up, and its value; none if it is deleted.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.changes += 1;
        let length = value.map_or(DELETED, |value| value.len() as u32);
        let bytes = value.unwrap_or_default();
        if self.entries.len() >= self.indexed_max {
            // From now on the index says no longer which change is the last.
            let entry = self.append(key, bytes, length);
            self.entries.push(entry);
            return;
        }
        let hash = self.hasher.hash_one(key);
        if let Some(&place) = self.find(hash, key) {
            let entry = &mut self.entries[place as usize];
            if bytes.len() <= entry.room as usize {
                let start = entry.start + entry.key as usize;
                entry.value = length;
                self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
                return;
            }
            self.garbage += entry.key as usize + entry.room as usize;
            let entry = self.append(key, bytes, length);
            self.entries[place as usize] = entry;
            self.collect();
            return;
        }
        let place = self.entries.len() as u32;
        let entry = self.append(key, bytes, length);
        self.entries.push(entry);
        let (entries, bytes, hasher) = (&self.entries, &self.bytes, &self.hasher);
        self.index.insert_unique(hash, place, |place| {
            hasher.hash_one(key_of(bytes, &entries[*place as usize]))
        });
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<&u32> {
        self.index.find(hash, |place| {
            key_of(&self.bytes, &self.entries[*place as usize]) == key
        })
    }

    fn append(&mut self, key: &[u8], value: &[u8], length: u32) -> Entry {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Entry {
            start,
            key: key.len() as u32,
            value: length,
            room: value.len() as u32,
        }
    }

    /// Drops the garbage once it is most of what there is.
    fn collect(&mut self) {
        if self.garbage < GARBAGE_MIN || self.garbage < self.bytes.len() / 2 {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        for entry in &mut self.entries {
            let start = bytes.len();
            let length = entry.key as usize + entry.room as usize;
            bytes.extend_from_slice(&self.bytes[entry.start..entry.start + length]);
            entry.start = start;
        }
        self.bytes = bytes;
        self.garbage = 0;
    }

    /// From now on each key can be found at once, however many there are.
    pub(super) fn index_all(&mut self) {
        if self.indexed_max == usize::MAX {
            return;
        }
        let behind = self.indexed_max.min(self.entries.len())..self.entries.len();
        self.indexed_max = usize::MAX;
        for place in behind {
            let key = key_of(&self.bytes, &self.entries[place]);
            let hash = self.hasher.hash_one(key);
            let (entries, bytes, hasher) = (&self.entries, &self.bytes, &self.hasher);
            let is_key = |known: &u32| key_of(bytes, &entries[*known as usize]) == key;
            match self.index.find_mut(hash, is_key) {
                // The later change counts; the earlier one stays before it.
                Some(known) => *known = place as u32,
                None => drop(self.index.insert_unique(hash, place as u32, |place| {
                    hasher.hash_one(key_of(bytes, &entries[*place as usize]))
                })),
            }
        }
    }

    /// The changes of keys that begin with `prefix`, as they are now; none can be looked up.
    pub(super) fn frozen(&self, prefix: &[u8]) -> Self {
        let mut frozen = Self::new(0);
        if prefix.len() <= 1 {
            // All of them: every key begins with the same byte.
            (frozen.bytes, frozen.entries) = (self.bytes.clone(), self.entries.clone());
            return frozen;
        }
        for (key, value) in self.iter().filter(|(key, _)| key.starts_with(prefix)) {
            frozen.put(key, value);
        }
        frozen
    }

    /// None if the key was not put, `Some(None)` if it was deleted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.entries.is_empty() {
            return None;
        }
        // Where states are looked up, all are indexed.
        let behind = self.entries.iter().skip(self.indexed_max);
        let last = behind.rev().find(|entry| key_of(&self.bytes, entry) == key);
        let indexed = || {
            self.find(self.hasher.hash_one(key), key)
                .map(|place| &self.entries[*place as usize])
        };
        Some(value_of(&self.bytes, last.or_else(indexed)?))
    }

    /// Of the keys whose changes the index does not know, where the last ones are: for what changes no more.
    pub(super) fn index_behind(&self) -> HashTable<u32> {
        let behind = self.indexed_max.min(self.entries.len())..self.entries.len();
        let mut index = HashTable::with_capacity(behind.len());
        let key = |place: u32| key_of(&self.bytes, &self.entries[place as usize]);
        for place in behind {
            let place = place as u32;
            let hash = self.hasher.hash_one(key(place));
            match index.find_mut(hash, |known: &u32| key(*known) == key(place)) {
                Some(known) => *known = place,
                None => drop(index.insert_unique(hash, place, |place| self.hasher.hash_one(key(*place)))),
            }
        }
        index
    }

    /// As [`get`](Self::get), with what [`index_behind`](Self::index_behind) gave.
    pub(super) fn get_by(&self, behind: &HashTable<u32>, key: &[u8]) -> Option<Option<&[u8]>> {
        let hash = self.hasher.hash_one(key);
        let is_key = |place: &u32| key_of(&self.bytes, &self.entries[*place as usize]) == key;
        let place = behind
            .find(hash, is_key)
            .or_else(|| self.index.find(hash, is_key))?;
        Some(value_of(&self.bytes, &self.entries[*place as usize]))
    }

    /// Hands out every key with its last value in the order of the keys.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut places = in_order(&self.bytes, &self.entries).peekable();
        let key = |place: u32| key_of(&self.bytes, &self.entries[place as usize]);
        std::iter::from_fn(move || {
            let (head, mut place) = places.next()?;
            while let Some((_, next)) = places.next_if(|next| next.0 == head && key(next.1) == key(place)) {
                place = next;
            }
            Some((key(place), value_of(&self.bytes, &self.entries[place as usize])))
        })
    }

    /// Every change that is kept, in an order in which a key's last change comes last.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let entries = self.entries.iter();
        entries.map(|entry| (key_of(&self.bytes, entry), value_of(&self.bytes, entry)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many changes are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many changes were put.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// The memory in use.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * (size_of::<Entry>() + 2 * size_of::<u32>())
    }
}

/// The numbers of `entries`, each behind the [`head`] of its key, in the order of their keys; of equal keys the earlier entry comes first.
fn in_order(bytes: &[u8], entries: &[Entry]) -> impl Iterator<Item = (u64, u32)> + use<> {
    let mut places: Vec<(u64, u32)> = (0..entries.len() as u32)
        .map(|place| (head(key_of(bytes, &entries[place as usize])), place))
        .collect();
    places.sort_unstable_by(|left, right| match left.0.cmp(&right.0) {
        Ordering::Equal => {
            let key = |place: u32| key_of(bytes, &entries[place as usize]);
            key(left.1).cmp(key(right.1)).then(left.1.cmp(&right.1))
        }
        unequal => unequal,
    });
    places.into_iter()
}

fn key_of<'a>(bytes: &'a [u8], entry: &Entry) -> &'a [u8] {
    &bytes[entry.start..entry.start + entry.key as usize]
}

fn value_of<'a>(bytes: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
    let start = entry.start + entry.key as usize;
    (entry.value != DELETED).then(|| &bytes[start..start + entry.value as usize])
}

/// The first eight bytes behind the prefix that all keys share, in an order that most comparisons end with.
fn head(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let from = key.get(1..).unwrap_or_default();
    let length = from.len().min(8);
    head[..length].copy_from_slice(&from[..length]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_latest_value_counts_and_a_deletion_is_remembered() {
        let mut pending = Pending::new(usize::MAX);
        for (key, value) in [
            ("1b", Some("one")),
            ("1a", Some("x")),
            ("1b", None),
            ("1a", Some("longer")),
        ] {
            pending.put(key.as_bytes(), value.map(str::as_bytes));
        }
        assert_eq!(pending.get(b"1a"), Some(Some(&b"longer"[..])));
        assert_eq!(pending.get(b"1b"), Some(None));
        assert_eq!(pending.get(b"1c"), None);
        let sorted: Vec<_> = pending.sorted().collect();
        assert_eq!(sorted, [(&b"1a"[..], Some(&b"longer"[..])), (&b"1b"[..], None)]);
        assert_eq!(pending.changes(), 4);
    }

    #[test]
    fn garbage_is_collected() {
        let mut pending = Pending::new(usize::MAX);
        for length in 1..4000_usize {
            pending.put(b"1grows", Some(&vec![7; length]));
            pending.put(format!("1{}", length % 10).as_bytes(), Some(b"kept"));
        }
        assert!(pending.size_bytes() < 4 * GARBAGE_MIN, "{}", pending.size_bytes());
        assert_eq!(pending.get(b"1grows"), Some(Some(&[7; 3999][..])));
        assert!((0..10).all(|n| pending.get(format!("1{n}").as_bytes()) == Some(Some(b"kept"))));
    }

    proptest! {
        #[test]
        fn equals_a_map(
            changes in prop::collection::vec(("1[ab]{0,10}", prop::option::of(".{0,12}")), 0..200),
            indexed_max in prop_oneof![Just(0_usize), 0..20_usize, Just(usize::MAX)],
        ) {
            let (mut pending, mut map) = (Pending::new(indexed_max), BTreeMap::new());
            for (key, value) in &changes {
                pending.put(key.as_bytes(), value.as_deref().map(str::as_bytes));
                map.insert(key.as_bytes(), value.as_deref().map(str::as_bytes));
            }
            prop_assert!(pending.sorted().eq(map.iter().map(|(key, value)| (*key, *value))));
            let mut replayed = BTreeMap::new();
            replayed.extend(pending.iter());
            prop_assert_eq!(&replayed, &map);
            prop_assert_eq!(pending.get(b"1c"), None);
            let behind = pending.index_behind();
            prop_assert_eq!(pending.get_by(&behind, b"1c"), None);
            for (key, value) in &map {
                prop_assert_eq!(pending.get(key), Some(*value));
                prop_assert_eq!(pending.get_by(&behind, key), Some(*value));
            }
        }

        #[test]
        fn all_is_found_once_it_is_indexed(
            before in prop::collection::vec(("1[ab]{0,4}", prop::option::of(".{0,12}")), 0..100),
            behind in prop::collection::vec(("1[ab]{0,4}", prop::option::of(".{0,12}")), 0..100),
            indexed_max in 0..20_usize,
        ) {
            let (mut pending, mut map) = (Pending::new(indexed_max), BTreeMap::new());
            for (number, (key, value)) in before.iter().chain(&behind).enumerate() {
                if number == before.len() {
                    pending.index_all();
                }
                pending.put(key.as_bytes(), value.as_deref().map(str::as_bytes));
                map.insert(key.as_bytes(), value.as_deref().map(str::as_bytes));
            }
            pending.index_all();
            for pending in [&pending.frozen(b"1"), &pending.frozen(b""), &pending] {
                prop_assert!(pending.sorted().eq(map.iter().map(|(key, value)| (*key, *value))));
                let mut replayed = BTreeMap::new();
                replayed.extend(pending.iter());
                prop_assert_eq!(&replayed, &map);
            }
            for (key, value) in &map {
                prop_assert_eq!(pending.get(key), Some(*value));
            }
            let some: BTreeMap<_, _> = map.into_iter().filter(|(key, _)| key.starts_with(b"1a")).collect();
            let frozen = pending.frozen(b"1a");
            let found: BTreeMap<_, _> = frozen.iter().collect();
            prop_assert_eq!(found, some);
        }
    }
}
