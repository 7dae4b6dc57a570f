//! The newest offset of each key in a section of a log, in bounded memory.
//!
//! Why hashes: keys may be long and many. Two independent 64-bit hashes with random keys (std's SipHash) make a
//! collision, which would lose a record, about as likely as a broken CPU, and nobody can bring one about.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A slot of the table, its control byte and its share of the free ones, with room to grow.
const ENTRY_BYTES: usize = 64;

/// Keys and the offsets of their newest records.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    hashers: [RandomState; 2],
    offsets: HashMap<[u64; 2], i64>,
    keys_max: usize,
}

impl OffsetMap {
    /// A map of about `bytes_max`, for one key at least.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            offsets: HashMap::new(),
            keys_max: (bytes_max / ENTRY_BYTES).max(1),
        }
    }

    /// Whether `keys` more may come in. Those of one batch always may, so that every pass gets on.
    pub(crate) fn has_room(&self, keys: usize) -> bool {
        self.offsets.is_empty() || self.offsets.len().saturating_add(keys) <= self.keys_max
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)]
    }

    /// Takes note of a record; later ones come later.
    pub(crate) fn put(&mut self, key: &[u8], offset: i64) {
        self.offsets.insert(self.hash(key), offset);
    }

    /// Where the newest record of the key is, if the section has one.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<i64> {
        self.offsets.get(&self.hash(key)).copied()
    }
}
