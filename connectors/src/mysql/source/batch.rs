//! What is about to be handed over.
use std::time::Duration;

use millstream_connect::plugin::{Boundary, Budget};
use millstream_connect::record::Record;
use tokio::time::Instant;

/// A batch ends with a transaction, unless that makes it so many times as large as it should be.
const STRETCH: usize = 4;

/// A transaction of MySQL stays one of Kafka up to so many bytes, and for so long; beyond it becomes several.
const TOGETHER_BYTES: usize = 64 << 20;
const TOGETHER_TIME: Duration = Duration::from_secs(5);

/// What a row's record takes beside the row's values: schemas and names are shared.
const RECORD_BYTES: usize = 300;

/// Records that are about to be handed over.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// The record of a beginning, which goes with what follows: that it was told is not remembered without.
    pub(super) opening: Vec<Record>,
    /// About how many bytes they take.
    bytes: usize,
    /// Bytes that were handed over since the last boundary, and when the first of them were.
    open_bytes: usize,
    open_since: Option<Instant>,
    /// The offset is another than the one that was handed over last.
    pub(super) moved: bool,
}

/// How much may be handed over at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    records: usize,
    bytes: usize,
}

impl Room {
    pub(super) fn new(budget: Budget, batch_records: usize) -> Self {
        Self {
            records: budget.records.min(batch_records).max(1),
            bytes: budget.bytes.max(1),
        }
    }
}

impl Batch {
    /// Records were added, of about so many bytes of the log. What makes no record takes no room: a batch that is full has something to hand
    /// over, without which nothing would go on.
    pub(super) fn added(&mut self, bytes: usize, records: usize) {
        if records > 0 {
            self.bytes += bytes + records * RECORD_BYTES;
        }
    }

    /// Something of the transaction that began is told.
    pub(super) fn open(&mut self) {
        let before = self.records.len();
        self.records.append(&mut self.opening);
        self.added(0, self.records.len() - before);
    }

    /// The transaction that began comes again.
    pub(super) fn rewind(&mut self) {
        self.opening.clear();
    }

    /// Whether it ends here, within a transaction or between two.
    pub(super) fn is_full(&self, room: Room, within: bool) -> bool {
        let stretch = if within { STRETCH } else { 1 };
        self.records.len() >= room.records * stretch || self.bytes >= room.bytes * stretch
    }

    /// When what was handed over without a boundary has to be closed at the latest, so that nobody waits for a part of a transaction that does not
    /// come.
    pub(super) fn closes_at(&self) -> Option<Instant> {
        self.open_since.map(|since| since + TOGETHER_TIME)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes the records, and says whether a transaction of Kafka ends behind them.
    pub(super) fn take(&mut self, within: bool) -> (Vec<Record>, Boundary) {
        self.open_bytes += std::mem::take(&mut self.bytes);
        self.moved = false;
        let since = *self.open_since.get_or_insert_with(Instant::now);
        let boundary = match within && self.open_bytes < TOGETHER_BYTES && since.elapsed() < TOGETHER_TIME {
            true => Boundary::None,
            false => Boundary::Commit,
        };
        if boundary == Boundary::Commit {
            (self.open_bytes, self.open_since) = (0, None);
        }
        (std::mem::take(&mut self.records), boundary)
    }
}

#[cfg(test)]
mod tests {
    use millstream_connect::record::Datum;

    use super::*;

    #[test]
    fn a_beginning_goes_with_what_follows() {
        let mut batch = Batch::default();
        let begin = || Record::new("transaction", Datum::NULL);
        batch.opening.push(begin());
        assert!(batch.is_empty() && batch.take(true).0.is_empty());
        batch.rewind();
        batch.open();
        assert!(batch.is_empty());
        batch.opening.push(begin());
        batch.open();
        batch.records.push(Record::new("t", Datum::NULL));
        let topics: Vec<_> = batch
            .take(true)
            .0
            .into_iter()
            .map(|record| record.topic)
            .collect();
        assert_eq!(
            topics.iter().map(|topic| &**topic).collect::<Vec<_>>(),
            ["transaction", "t"]
        );
        assert!(batch.take(false).0.is_empty());
    }

    #[test]
    fn an_empty_batch_is_never_full() {
        let budget = Budget {
            records: 8,
            bytes: 1 << 10,
            wait: Duration::ZERO,
        };
        let (room, mut batch) = (Room::new(budget, 2), Batch::default());
        // Rows that were delivered before a restart, are skipped, or failed and are forgiven.
        (0..100).for_each(|_| batch.added(1 << 20, 0));
        assert!(!batch.is_full(room, false) && !batch.is_full(room, true));
        batch.records.push(Record::new("t", Datum::NULL));
        batch.added(1 << 20, 1);
        assert!(batch.is_full(room, true));
    }

    #[test]
    fn a_batch_ends_with_a_transaction_unless_it_is_far_too_large() {
        let budget = Budget {
            records: 8,
            bytes: 1 << 20,
            wait: Duration::ZERO,
        };
        let room = Room::new(budget, 2);
        let mut batch = Batch::default();
        let add = |batch: &mut Batch, bytes| {
            batch.records.push(Record::new("t", Datum::NULL));
            batch.added(bytes, 1);
        };
        add(&mut batch, 10);
        assert!(!batch.is_full(room, false));
        add(&mut batch, 10);
        assert!(batch.is_full(room, false) && !batch.is_full(room, true));
        (0..6).for_each(|_| add(&mut batch, 10));
        assert!(batch.is_full(room, true));
        let (records, boundary) = batch.take(true);
        assert_eq!((records.len(), boundary), (8, Boundary::None));
        assert!(batch.closes_at().is_some());
        add(&mut batch, TOGETHER_BYTES);
        assert_eq!(batch.take(true).1, Boundary::Commit);
        assert_eq!(batch.closes_at(), None);
        assert_eq!(batch.take(false).1, Boundary::Commit);
    }
}
