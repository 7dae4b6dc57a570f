//! How the transactions in a log ended, read off its markers.
//!
//! Why not asked of the transaction index: what compaction may drop must not hang on a file that can be rebuilt,
//! and the walk over headers costs little next to copying the log.

use std::collections::HashMap;

use crate::log::batch::{BatchHeader, EndMarker};

/// Transactions remembered in one pass; the rest waits for the next.
const TRANSACTIONS_MAX: usize = 1 << 20;

/// Offsets of a producer's aborted transaction: its first batch and its marker.
#[derive(Clone, Copy, Debug)]
struct Aborted {
    first: i64,
    marker: i64,
}

/// What the walk has found.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// First offsets of those that have not ended yet, by producer.
    open: HashMap<i64, i64>,
    /// In order, by producer.
    aborted: HashMap<i64, Vec<Aborted>>,
    aborted_count: usize,
}

impl Transactions {
    /// Takes note of the next batch.
    pub(crate) fn on_batch(&mut self, header: &BatchHeader, marker: Option<EndMarker>) {
        if !header.is_transactional() {
            return;
        }
        if !header.is_control() {
            self.open.entry(header.producer_id).or_insert(header.base_offset);
            return;
        }
        let Some(marker) = marker else { return };
        let Some(first) = self.open.remove(&header.producer_id) else {
            return;
        };
        if !marker.commit {
            self.aborted_count += 1;
            self.aborted.entry(header.producer_id).or_default().push(Aborted {
                first,
                marker: header.base_offset,
            });
        }
    }

    /// No more fit; the walk ends here.
    pub(crate) fn is_full(&self) -> bool {
        self.aborted_count + self.open.len() >= TRANSACTIONS_MAX
    }

    /// The first offset of an open transaction.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.values().copied().min()
    }

    /// Whether the transactional batch at `offset` was aborted.
    pub(crate) fn is_aborted(&self, producer_id: i64, offset: i64) -> bool {
        let Some(aborted) = self.aborted.get(&producer_id) else {
            return false;
        };
        let after = aborted.partition_point(|a| a.first <= offset);
        after
            .checked_sub(1)
            .is_some_and(|last| offset < aborted[last].marker)
    }
}
