//! The aborted transactions of a log, each as an entry of Kafka's `.txnindex` files.
//!
//! Why: a consumer of committed records is told which producers' records to skip, and a search through the log for
//! abort markers would cost a scan for each fetch.
//! Owns: the entries' bytes, which are Kafka's, and the search. Does not own: where they are kept (in the snapshot of the
//! producers, whose state they are part of) and when that is written.
//! Invariant: entries are in the order of their last offsets, since markers are appended in order.

/// A transaction that was aborted in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote it.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of its abort marker.
    pub last_offset: i64,
    /// The last stable offset once the marker was appended: every transaction that begins below it has ended by then.
    pub last_stable_offset: i64,
}

const VERSION: i16 = 0;

impl AbortedTransaction {
    /// Size of an entry.
    pub const BYTES: usize = 34;

    /// Appends the entry: version (2), producer, first, last and last stable offset (8 each).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [
            self.producer_id,
            self.first_offset,
            self.last_offset,
            self.last_stable_offset,
        ] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn decode(entry: &[u8; Self::BYTES]) -> Option<Self> {
        let (version, mut rest) = entry.split_first_chunk()?;
        if i16::from_be_bytes(*version) != VERSION {
            return None;
        }
        let mut field = || {
            let (head, tail) = rest.split_first_chunk()?;
            rest = tail;
            Some(i64::from_be_bytes(*head))
        };
        let decoded = Self {
            producer_id: field()?,
            first_offset: field()?,
            last_offset: field()?,
            last_stable_offset: field()?,
        };
        (decoded.first_offset >= 0 && decoded.first_offset <= decoded.last_offset).then_some(decoded)
    }
}

/// The aborted transactions whose markers are in one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionIndex {
    entries: Vec<AbortedTransaction>,
}

impl TransactionIndex {
    /// Reads a file; nothing if it is torn, out of order or of another version, since the log has it all.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, torn) = bytes.as_chunks::<{ AbortedTransaction::BYTES }>();
        if !torn.is_empty() {
            return None;
        }
        let mut index = Self::default();
        for entry in entries {
            index.push(AbortedTransaction::decode(entry)?).then_some(())?;
        }
        Some(index)
    }

    /// The file's bytes from entry `from` on.
    #[must_use]
    pub fn encode_from(&self, from: usize) -> Vec<u8> {
        let entries = self.entries.get(from..).unwrap_or_default();
        let mut out = Vec::with_capacity(entries.len() * AbortedTransaction::BYTES);
        for entry in entries {
            entry.encode(&mut out);
        }
        out
    }

    /// Adds the newest; false, and nothing is added, if its marker does not come after those of the others.
    pub fn push(&mut self, aborted: AbortedTransaction) -> bool {
        let in_order = self
            .entries
            .last()
            .is_none_or(|last| last.last_offset < aborted.last_offset);
        if in_order {
            self.entries.push(aborted);
        }
        in_order
    }

    /// Drops those that ended before `offset`.
    pub fn forget_before(&mut self, offset: i64) {
        let gone = self.entries.partition_point(|e| e.last_offset < offset);
        self.entries.drain(..gone);
    }

    /// Forgets the entries for which `keep` does not hold.
    pub(crate) fn retain(&mut self, keep: impl Fn(&AbortedTransaction) -> bool) {
        self.entries.retain(keep);
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was aborted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds to `found` what overlaps the offsets from `from` up to but not including `to`. True if no later
    /// entry can have more.
    ///
    /// ```
    /// use millstream_broker::log::{AbortedTransaction, TransactionIndex};
    /// let mut index = TransactionIndex::default();
    /// let aborted = AbortedTransaction { producer_id: 7, first_offset: 3, last_offset: 9, last_stable_offset: 10 };
    /// assert!(index.push(aborted));
    /// let mut found = Vec::new();
    /// assert!(index.collect(5, 8, &mut found));
    /// assert_eq!(found, [aborted]);
    /// ```
    pub fn collect(&self, from: i64, to: i64, found: &mut Vec<AbortedTransaction>) -> bool {
        let start = self.entries.partition_point(|e| e.last_offset < from);
        for entry in &self.entries[start..] {
            if entry.first_offset < to {
                found.push(*entry);
            }
            if entry.last_stable_offset >= to {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id,
            first_offset: first,
            last_offset: last,
            last_stable_offset: stable,
        }
    }

    fn index(entries: &[AbortedTransaction]) -> TransactionIndex {
        let mut index = TransactionIndex::default();
        for entry in entries {
            assert!(index.push(*entry));
        }
        index
    }

    #[test]
    fn has_kafkas_bytes() {
        let index = index(&[aborted(1, 2, 3, 4)]);
        let bytes = index.encode_from(0);
        let mut expected = vec![0, 0];
        for field in 1..=4_i64 {
            expected.extend_from_slice(&field.to_be_bytes());
        }
        assert_eq!(bytes, expected);
        assert_eq!(TransactionIndex::decode(&bytes), Some(index.clone()));
        assert!(index.encode_from(1).is_empty() && index.encode_from(9).is_empty());
    }

    #[test]
    fn finds_what_overlaps() {
        // Two of them overlap: the one that began first ends last.
        let (a, b, c) = (
            aborted(1, 5, 10, 0),
            aborted(2, 0, 12, 13),
            aborted(3, 20, 21, 22),
        );
        let index = index(&[a, b, c]);
        for (from, to, expected, complete) in [
            (0, 5, &[b][..], true),
            (0, 6, &[a, b], true),
            (11, 13, &[b], true),
            (13, 20, &[], true),
            (10, 21, &[a, b, c], true),
            (21, 40, &[c], false),
            (22, 40, &[], false),
        ] {
            let mut found = Vec::new();
            let done = index.collect(from, to, &mut found);
            assert_eq!((&found[..], done), (expected, complete), "{from} to {to}");
        }
    }

    #[test]
    fn refuses_what_is_damaged() {
        let good = index(&[aborted(1, 2, 3, 4), aborted(1, 5, 6, 7)]).encode_from(0);
        let entry = AbortedTransaction::BYTES;
        assert!(TransactionIndex::decode(&good).is_some_and(|index| index.len() == 2));
        assert_eq!(TransactionIndex::decode(&good[..entry + 1]), None);
        let swapped = [&good[entry..], &good[..entry]].concat();
        assert_eq!(TransactionIndex::decode(&swapped), None);
        let mut version = good.clone();
        version[1] = 1;
        assert_eq!(TransactionIndex::decode(&version), None);
        let mut backwards = Vec::new();
        aborted(1, 9, 3, 4).encode(&mut backwards);
        assert_eq!(TransactionIndex::decode(&backwards), None);
        assert!(TransactionIndex::decode(&[]).is_some_and(|index| index.is_empty()));
    }
}
