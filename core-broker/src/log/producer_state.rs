//! What a log remembers of idempotent producers and their transactions (KIP-98).
//!
//! Why: a retried batch is stored once, and consumers of committed records must know where undecided ones begin.
//! Owns: the last five batches of each producer, the checks on sequences and epochs, open and aborted transactions,
//! the snapshot's bytes. Does not own: producer ids (they are given out elsewhere), when snapshots are written, which
//! transactions there should be (the coordinator knows).
//! Invariant: the state is a function of the batches in the log, so that recovery can rebuild it from a
//! snapshot and the batches after it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::batch::{BatchHeader, EndMarker};
use super::txn_index::{AbortedTransaction, TransactionIndex};

/// Batches remembered of each producer: as many as a client may have in flight.
const WINDOW_BATCHES: usize = 5;
/// Limit for producers of one log, some 25 MB; beyond it those idle longest are forgotten.
const PRODUCERS_MAX: usize = 100_000;
/// How far back a batch may be called a duplicate: beyond half of all sequences, back and forth look alike.
const BACK_MAX: i64 = 1 << 30;
const SWEEP_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// Kafka's own snapshots have version 1 and keep one batch a producer; these keep the whole window, so
/// that a restart does not turn the retry of an older batch into an error, and the aborted transactions.
const SNAPSHOT_VERSION: i16 = 102;
const SNAPSHOT_HEADER_BYTES: usize = 10;

/// `sequence` plus `n`; 0 follows `i32::MAX`.
pub(crate) fn sequence_plus(sequence: i32, n: i32) -> i32 {
    (i64::from(sequence) + i64::from(n)).rem_euclid(1 << 31) as i32
}

/// A batch as its producer numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequencedBatch {
    first_sequence: i32,
    last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// How many sequences up to the last are in the log without a gap.
    contiguous: i64,
    /// When the broker last heard from it, by the broker's clock: old event times must not expire it.
    last_seen_ms: i64,
    /// Epoch of the coordinator that wrote the last marker; −1 before the first.
    coordinator_epoch: i32,
    /// Greatest timestamp of its last batch; −1 if there is none.
    last_timestamp: i64,
    /// Where its open transaction begins.
    transaction_start: Option<i64>,
    /// Offset of its last marker; −1 before the first.
    marker_offset: i64,
    window: VecDeque<SequencedBatch>,
}

/// The newest of what a log holds of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBatch {
    pub(crate) epoch: i16,
    /// Last offset of its newest batch with a sequence, if there is one.
    pub(crate) offset: Option<i64>,
}

/// What DescribeProducers (KIP-664) tells of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Sequence of its last record; −1 if it has none.
    pub last_sequence: i32,
    /// Time of its last record; −1 if it has none.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that ended its last transaction; −1 if none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; −1 if none is open.
    pub transaction_start: i64,
}

/// Says that the coordinator was asked about a producer's transaction, and when: a marker written since voids it (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard {
    producer_id: i64,
    marker_offset: i64,
}

/// Whether the coordinator must be asked before a transactional batch is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The transaction is open here already.
    NotNeeded,
    /// The batch would begin it: ask, then append with this guard.
    Needed(VerificationGuard),
}

/// Why a batch does not fit the producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionError {
    /// Not transactional, inside a transaction.
    Plain,
    /// It would begin a transaction that the coordinator does not know of, or one that has ended meanwhile.
    Unverified,
    /// A marker of a coordinator that was replaced.
    OldCoordinator { current: i32 },
}

/// Why a batch may not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceError {
    OutOfOrder { expected: i32 },
    OldEpoch { current: i16 },
    Duplicate,
}

/// On whose word a batch may begin a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nobody's.
    None,
    /// The transaction coordinator's.
    Verified(VerificationGuard),
    /// The broker's own.
    Trusted,
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: HashMap<i64, Producer>,
    swept_ms: i64,
    /// First offset of each open transaction, with its producer.
    open: BTreeMap<i64, i64>,
    /// Transactions that ended, while consumers do not see the marker yet: first offset and the marker's.
    ended: VecDeque<(i64, i64)>,
    /// What consumers of committed records skip.
    aborted: TransactionIndex,
}

impl ProducerStates {
    /// Whether the batch comes next; `Some` if it is in the log already.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Option<SequencedBatch>, SequenceError> {
        // The broker forgets idle producers, so an unknown one may start anywhere.
        let Some(producer) = self
            .producers
            .get(&header.producer_id)
            .filter(|_| header.has_producer())
        else {
            return Ok(None);
        };
        if header.producer_epoch < producer.epoch {
            return Err(SequenceError::OldEpoch {
                current: producer.epoch,
            });
        }
        // Markers and the coordinators' own records have no sequence.
        if header.is_control() || header.base_sequence < 0 {
            return Ok(None);
        }
        let first = header.base_sequence;
        if header.producer_epoch > producer.epoch {
            return if first == 0 {
                Ok(None)
            } else {
                Err(SequenceError::OutOfOrder { expected: 0 })
            };
        }
        let Some(newest) = producer.window.back() else {
            return Ok(None);
        };
        let last = header.last_sequence();
        let same = |b: &&SequencedBatch| b.first_sequence == first && b.last_sequence == last;
        if let Some(known) = producer.window.iter().find(same) {
            return Ok(Some(*known));
        }
        let expected = sequence_plus(newest.last_sequence, 1);
        if first == expected {
            return Ok(None);
        }
        // Only what certainly is in the log may be called a duplicate: the producer counts it as written.
        let back = i64::from(sequence_plus(newest.last_sequence, 1) - first).rem_euclid(1 << 31);
        let count = i64::from(header.last_offset_delta) + 1;
        if back <= producer.contiguous.min(BACK_MAX) && count <= back {
            return Err(SequenceError::Duplicate);
        }
        Err(SequenceError::OutOfOrder { expected })
    }

    /// Whether the batch fits the producer's transaction; `marker` if it ends one. Comes after [`Self::check`], so that a
    /// batch sent again after the marker is still a duplicate.
    pub(crate) fn check_transaction(
        &self,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        guard: Guard,
    ) -> Result<(), TransactionError> {
        if !header.has_producer() {
            return Ok(());
        }
        let producer = self.producers.get(&header.producer_id);
        if header.is_control() {
            let current = producer.map_or(-1, |p| p.coordinator_epoch);
            return match marker {
                Some(marker) if marker.coordinator_epoch < current => {
                    Err(TransactionError::OldCoordinator { current })
                }
                _ => Ok(()),
            };
        }
        let open = producer.is_some_and(|p| p.transaction_start.is_some());
        match (header.is_transactional(), open) {
            (false, true) => Err(TransactionError::Plain),
            (false, false) => Ok(()),
            (true, true) if producer.is_some_and(|p| p.epoch == header.producer_epoch) => Ok(()),
            (true, _) => match guard {
                Guard::Trusted => Ok(()),
                Guard::Verified(guard) if guard == self.guard(header.producer_id) => Ok(()),
                Guard::Verified(_) | Guard::None => Err(TransactionError::Unverified),
            },
        }
    }

    fn guard(&self, producer_id: i64) -> VerificationGuard {
        let producer = self.producers.get(&producer_id);
        VerificationGuard {
            producer_id,
            marker_offset: producer.map_or(-1, |p| p.marker_offset),
        }
    }

    /// Whether a transactional batch of the producer needs the coordinator's word.
    pub(crate) fn verification(&self, producer_id: i64, epoch: i16) -> Verification {
        match self.producers.get(&producer_id) {
            Some(p) if p.transaction_start.is_some() && p.epoch == epoch => Verification::NotNeeded,
            _ => Verification::Needed(self.guard(producer_id)),
        }
    }

    /// The first offset that consumers of committed records may not see; `i64::MAX` if there is none.
    pub(crate) fn first_unstable(&self) -> i64 {
        let open = self.open.keys().next().copied().unwrap_or(i64::MAX);
        self.ended
            .iter()
            .fold(open, |least, (first, _)| least.min(*first))
    }

    /// Forgets ended transactions whose markers consumers can see.
    pub(crate) fn retire(&mut self, high_watermark: i64) {
        while self
            .ended
            .front()
            .is_some_and(|(_, marker)| *marker < high_watermark)
        {
            self.ended.pop_front();
        }
    }

    /// How many transactions are open.
    pub(crate) fn open_transactions(&self) -> usize {
        self.open.len()
    }

    /// The transactions that were aborted.
    pub(crate) fn aborted(&self) -> &TransactionIndex {
        &self.aborted
    }

    /// Forgets aborted transactions that ended before the log's first offset. Those that are open stay open: what comes
    /// later of them is still undecided.
    pub(crate) fn forget_aborted_before(&mut self, log_start: i64) {
        self.aborted.forget_before(log_start);
    }

    /// Drops what is before the first offset of a log that has lost its records.
    pub(crate) fn forget_before(&mut self, log_start: i64) {
        self.aborted.forget_before(log_start);
        self.open.retain(|first, _| *first >= log_start);
        self.ended.retain(|(first, _)| *first >= log_start);
        for producer in self.producers.values_mut() {
            producer.transaction_start = producer.transaction_start.filter(|first| *first >= log_start);
        }
    }

    /// Every producer, by id.
    pub(crate) fn describe(&self) -> Vec<ProducerInfo> {
        let mut described: Vec<_> = self
            .producers
            .iter()
            .map(|(id, producer)| ProducerInfo {
                producer_id: *id,
                producer_epoch: producer.epoch,
                last_sequence: producer.window.back().map_or(-1, |b| b.last_sequence),
                last_timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_start: producer.transaction_start.unwrap_or(-1),
            })
            .collect();
        described.sort_unstable_by_key(|p| p.producer_id);
        described
    }

    /// Takes note of a batch that was appended, with its final offsets; `marker` if it ends a transaction.
    pub(crate) fn update(&mut self, header: &BatchHeader, marker: Option<EndMarker>, now_ms: i64) {
        if !header.has_producer() {
            return;
        }
        let producer = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| Producer {
                epoch: header.producer_epoch,
                contiguous: 0,
                last_seen_ms: now_ms,
                coordinator_epoch: -1,
                last_timestamp: -1,
                transaction_start: None,
                marker_offset: -1,
                window: VecDeque::new(),
            });
        if header.producer_epoch != producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.contiguous = 0;
            producer.window.clear();
        }
        producer.last_seen_ms = now_ms;
        if header.is_control() {
            if let Some(marker) = marker {
                self.end(header, marker);
            }
            return;
        }
        producer.last_timestamp = header.max_timestamp;
        if header.is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
        if header.base_sequence < 0 {
            return;
        }
        if producer.window.len() == WINDOW_BATCHES {
            producer.window.pop_front();
        }
        producer.contiguous = producer
            .contiguous
            .saturating_add(i64::from(header.last_offset_delta) + 1);
        producer.window.push_back(SequencedBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
        });
    }

    /// Forgets the aborted transactions for which `keep` does not hold.
    pub(crate) fn retain_aborted(&mut self, keep: impl Fn(&AbortedTransaction) -> bool) {
        self.aborted.retain(keep);
    }

    /// The newest batch of each producer, which compaction must leave.
    pub(crate) fn last_batches(&self) -> HashMap<i64, LastBatch> {
        let last = |producer: &Producer| LastBatch {
            epoch: producer.epoch,
            offset: producer.window.back().map(|batch| batch.last_offset),
        };
        self.producers
            .iter()
            .map(|(id, producer)| (*id, last(producer)))
            .collect()
    }

    /// Ends the producer's transaction, if it has one here.
    fn end(&mut self, header: &BatchHeader, marker: EndMarker) {
        let Some(producer) = self.producers.get_mut(&header.producer_id) else {
            return;
        };
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.marker_offset = header.base_offset;
        let Some(first_offset) = producer.transaction_start.take() else {
            return;
        };
        self.open.remove(&first_offset);
        self.ended.push_back((first_offset, header.base_offset));
        if !marker.commit {
            let next_open = self.open.keys().next().copied();
            // Markers are appended in order, so the index takes it.
            self.aborted.push(AbortedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.last_offset(),
                last_stable_offset: next_open.unwrap_or(i64::MAX).min(header.next_offset()),
            });
        }
    }

    /// Forgets producers that were idle for `expiration_ms`; looks at most once in ten minutes.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        if self.producers.len() > PRODUCERS_MAX {
            self.forget_oldest_tenth();
        }
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_INTERVAL_MS {
            return;
        }
        self.swept_ms = now_ms;
        self.producers.retain(|_, p| {
            p.transaction_start.is_some() || now_ms.saturating_sub(p.last_seen_ms) < expiration_ms
        });
    }

    fn forget_oldest_tenth(&mut self) {
        let mut seen: Vec<_> = self.producers.values().map(|p| p.last_seen_ms).collect();
        let tenth = seen.len() / 10;
        let (_, &mut limit, _) = seen.select_nth_unstable(tenth);
        let mut left = tenth;
        self.producers.retain(|_, p| {
            let forget = left > 0 && p.last_seen_ms <= limit && p.transaction_start.is_none();
            left -= usize::from(forget);
            !forget
        });
    }

    /// The snapshot's bytes: version (2), CRC-32C of the rest (4), count (4), then the producers by id, then the aborted
    /// transactions as in Kafka's `.txnindex`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SNAPSHOT_HEADER_BYTES + self.producers.len() * 200);
        out.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.producers.len() as u32).to_be_bytes());
        let mut producers: Vec<_> = self.producers.iter().collect();
        producers.sort_unstable_by_key(|(id, _)| **id);
        for (id, producer) in producers {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&producer.epoch.to_be_bytes());
            out.extend_from_slice(&producer.contiguous.to_be_bytes());
            out.extend_from_slice(&producer.last_seen_ms.to_be_bytes());
            out.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&producer.last_timestamp.to_be_bytes());
            out.extend_from_slice(&producer.transaction_start.unwrap_or(-1).to_be_bytes());
            out.extend_from_slice(&producer.marker_offset.to_be_bytes());
            out.push(producer.window.len() as u8);
            for batch in &producer.window {
                out.extend_from_slice(&batch.first_sequence.to_be_bytes());
                out.extend_from_slice(&batch.last_sequence.to_be_bytes());
                out.extend_from_slice(&batch.base_offset.to_be_bytes());
                out.extend_from_slice(&batch.last_offset.to_be_bytes());
                out.extend_from_slice(&batch.max_timestamp.to_be_bytes());
            }
        }
        out.extend_from_slice(&self.aborted.encode_from(0));
        let crc = crc32c::crc32c(&out[6..]);
        out[2..6].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a snapshot; `None` if it is torn or of another version, since it can be rebuilt.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes;
        if take(&mut input).map(i16::from_be_bytes)? != SNAPSHOT_VERSION
            || take(&mut input).map(u32::from_be_bytes)? != crc32c::crc32c(input)
        {
            return None;
        }
        let count = take(&mut input).map(u32::from_be_bytes)?;
        let mut states = Self::default();
        for _ in 0..count {
            let id = take(&mut input).map(i64::from_be_bytes)?;
            let mut producer = Producer {
                epoch: take(&mut input).map(i16::from_be_bytes)?,
                contiguous: take(&mut input).map(i64::from_be_bytes)?,
                last_seen_ms: take(&mut input).map(i64::from_be_bytes)?,
                coordinator_epoch: take(&mut input).map(i32::from_be_bytes)?,
                last_timestamp: take(&mut input).map(i64::from_be_bytes)?,
                transaction_start: Some(take(&mut input).map(i64::from_be_bytes)?)
                    .filter(|first| *first >= 0),
                marker_offset: take(&mut input).map(i64::from_be_bytes)?,
                window: VecDeque::new(),
            };
            states
                .open
                .extend(producer.transaction_start.map(|first| (first, id)));
            let batches = take(&mut input).map(u8::from_be_bytes)?;
            for _ in 0..batches {
                producer.window.push_back(SequencedBatch {
                    first_sequence: take(&mut input).map(i32::from_be_bytes)?,
                    last_sequence: take(&mut input).map(i32::from_be_bytes)?,
                    base_offset: take(&mut input).map(i64::from_be_bytes)?,
                    last_offset: take(&mut input).map(i64::from_be_bytes)?,
                    max_timestamp: take(&mut input).map(i64::from_be_bytes)?,
                });
            }
            states.producers.insert(id, producer);
        }
        states.aborted = TransactionIndex::decode(input)?;
        Some(states)
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}

#[cfg(test)]
mod tests;
