//! How much memory the tables of a process may take together.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The young generation is full at this part of a table's share: the old one is as large, and takes the keys that are
/// asked for in it besides.
const YOUNG_PART: usize = 3;
/// What an epoch may take whatever the share: shorter ones cost more than they save.
const EPOCH_BYTES_MIN: usize = 64 << 10;

/// The memory for all tables of a process, in equal shares.
#[derive(Debug, Default)]
pub(crate) struct StateMemory {
    bytes_max: Option<usize>,
    tables: AtomicUsize,
}

/// One table's share, as long as it lives.
#[derive(Debug)]
pub(crate) struct Share(Arc<StateMemory>);

impl StateMemory {
    /// At most `bytes_max` for all tables; none is no limit.
    pub(crate) fn new(bytes_max: Option<usize>) -> Self {
        Self {
            bytes_max,
            tables: AtomicUsize::new(0),
        }
    }
}

impl Share {
    /// A share for one more table; those of the others shrink.
    pub(crate) fn of(memory: &Arc<StateMemory>) -> Self {
        memory.tables.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(memory))
    }

    /// What the table may take now, if there is a limit.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let tables = self.0.tables.load(Ordering::Relaxed).max(1);
        self.0.bytes_max.map(|bytes| bytes / tables)
    }

    /// Whether a young generation of so many bytes has all that it may take.
    pub(crate) fn is_full(&self, young: usize) -> bool {
        self.bytes().is_some_and(|share| young > share / YOUNG_PART)
    }

    /// What may come into the young generation at once, if there is a limit.
    pub(crate) fn epoch_bytes(&self) -> Option<usize> {
        self.bytes().map(|share| EPOCH_BYTES_MIN.max(share / YOUNG_PART))
    }

    /// Whether an epoch that takes `bytes` is as much as may come into the young generation at once.
    pub(crate) fn is_full_with(&self, bytes: usize) -> bool {
        self.epoch_bytes().is_some_and(|most| bytes > most)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.tables.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_what_there_is() {
        let memory = Arc::new(StateMemory::new(Some(100)));
        let one = Share::of(&memory);
        assert_eq!(one.bytes(), Some(100));
        let two = Share::of(&memory);
        assert_eq!((one.bytes(), two.bytes()), (Some(50), Some(50)));
        drop(one);
        assert_eq!(two.bytes(), Some(100));
        assert_eq!(Share::of(&Arc::default()).bytes(), None);
    }
}
