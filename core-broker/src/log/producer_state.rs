//! What a log remembers of idempotent producers (KIP-98), so that a retried batch is stored once.
//!
//! Owns: the last five batches of each producer, the checks on sequences and epochs, the snapshot's bytes.
//! Does not own: producer ids (they are given out elsewhere) or when snapshots are written.
//! Invariant: the state is a function of the batches in the log, so that recovery can rebuild it from a
//! snapshot and the batches after it.

use std::collections::{HashMap, VecDeque};

use super::batch::BatchHeader;

/// Batches remembered of each producer: as many as a client may have in flight.
const WINDOW_BATCHES: usize = 5;
/// Limit for producers of one log, some 25 MB; beyond it those idle longest are forgotten.
const PRODUCERS_MAX: usize = 100_000;
/// How far back a batch may be called a duplicate: beyond half of all sequences, back and forth look alike.
const BACK_MAX: i64 = 1 << 30;
const SWEEP_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// Kafka's own snapshots have version 1 and keep one batch a producer; these keep the whole window, so
/// that a restart does not turn the retry of an older batch into an error.
const SNAPSHOT_VERSION: i16 = 101;
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
    window: VecDeque<SequencedBatch>,
}

/// Why a batch may not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceError {
    OutOfOrder { expected: i32 },
    OldEpoch { current: i16 },
    Duplicate,
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: HashMap<i64, Producer>,
    swept_ms: i64,
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

    /// Takes note of a batch that was appended, with its final offsets.
    pub(crate) fn update(&mut self, header: &BatchHeader, now_ms: i64) {
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
                window: VecDeque::new(),
            });
        if header.producer_epoch != producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.contiguous = 0;
            producer.window.clear();
        }
        producer.last_seen_ms = now_ms;
        if header.is_control() || header.base_sequence < 0 {
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

    /// Forgets producers that were idle for `expiration_ms`; looks at most once in ten minutes.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        if self.producers.len() > PRODUCERS_MAX {
            self.forget_oldest_tenth();
        }
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_INTERVAL_MS {
            return;
        }
        self.swept_ms = now_ms;
        self.producers
            .retain(|_, p| now_ms.saturating_sub(p.last_seen_ms) < expiration_ms);
    }

    fn forget_oldest_tenth(&mut self) {
        let mut seen: Vec<_> = self.producers.values().map(|p| p.last_seen_ms).collect();
        let tenth = seen.len() / 10;
        let (_, &mut limit, _) = seen.select_nth_unstable(tenth);
        let mut left = tenth;
        self.producers.retain(|_, p| {
            let forget = left > 0 && p.last_seen_ms <= limit;
            left -= usize::from(forget);
            !forget
        });
    }

    /// The snapshot's bytes: version (2), CRC-32C of the rest (4), count (4), then the producers by id.
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
            out.push(producer.window.len() as u8);
            for batch in &producer.window {
                out.extend_from_slice(&batch.first_sequence.to_be_bytes());
                out.extend_from_slice(&batch.last_sequence.to_be_bytes());
                out.extend_from_slice(&batch.base_offset.to_be_bytes());
                out.extend_from_slice(&batch.last_offset.to_be_bytes());
                out.extend_from_slice(&batch.max_timestamp.to_be_bytes());
            }
        }
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
                window: VecDeque::new(),
            };
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
        input.is_empty().then_some(states)
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}

#[cfg(test)]
mod tests;
