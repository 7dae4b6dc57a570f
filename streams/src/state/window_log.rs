//! The changelog of windows: what an epoch added to a window is one record, not one a key.
//!
//! A record's key is the byte 2, the window's start (8 bytes, big-endian, milliseconds), a number (4 bytes, big-endian) that counts up
//! in the window, and its owner (8 bytes, big-endian): whoever is cut off and does not know it never overwrites what its successor writes.
//! Keys from before owners had names end without one. Records are ordered by owner, then by number.
//! A record's value is a byte, two numbers of 4 bytes, and a batch of states in the form of
//! [`ShuffleCodec`]: byte 0, what is added; or byte 1, a piece of all that the window holds, with the number of the first piece and
//! how many there are, which together replace every record before them. No value: the record is void.
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::meaning::{MEANING_KEY, Meaning};
use super::pieces::{Number, Piece, Says};
use super::{Owner, StateError};
use crate::aggregate::AggregateSpec;
use crate::format::{FormatError, ShuffleCodec};
use crate::rows::{EventTime, NO_TIME};
use crate::sink::{Destination, RecordBuffer};
use crate::store::LocalStore;

const WINDOW_KEY: u8 = 2;
const ADDED: u8 = 0;
const WHOLE: u8 = 1;

/// One partition of the changelog.
#[derive(Debug)]
pub(crate) struct WindowLog {
    topic: Arc<str>,
    codec: ShuffleCodec,
    meaning: Meaning,
    /// How many of the first columns are the key.
    keys: usize,
    record_bytes_max: usize,
    owner: Owner,
    records: RecordBuffer,
}

/// A record of the log.
pub(super) enum Entry {
    /// What the states mean; it was checked.
    Meaning,
    /// A record of a window; void without content.
    Piece {
        start: EventTime,
        piece: Piece,
        content: Option<Content>,
    },
}

/// What a record says.
pub(super) struct Content {
    /// The number of the first piece, and how many there are, of all that the window held.
    pub(super) whole: Option<(Number, Number)>,
    pub(super) states: RecordBatch,
}

impl Says for Content {
    fn whole(&self) -> Option<(Number, Number)> {
        self.whole
    }
}

impl WindowLog {
    pub(crate) fn new(
        topic: Arc<str>,
        partition: i32,
        spec: &AggregateSpec,
        record_bytes_max: usize,
        owner: Owner,
    ) -> Self {
        let to = Destination::Partition {
            topic: Arc::clone(&topic),
            partition,
            batch_header: None,
        };
        Self {
            topic,
            codec: ShuffleCodec::new(spec.state_schema(), spec.fingerprint()),
            meaning: Meaning::new(spec.text().to_owned()).of_types(&spec.types()),
            keys: spec.key_count(),
            record_bytes_max,
            owner,
            records: RecordBuffer::new(to),
        }
    }

    /// Who writes from now on: `owner`, or one beyond all that the log has.
    pub(super) fn belongs_to(&mut self, owner: Owner) {
        self.owner = owner.behind(self.owner);
    }

    /// The piece that is written under `number`.
    pub(super) fn own_piece(&self, number: Number) -> Piece {
        let owner = self.owner;
        Piece { owner, number }
    }

    /// Notes what is added to a window, or with `whole` all that it holds, as pieces from number `first` on; gives how many there are.
    pub(super) fn write(
        &mut self,
        start: EventTime,
        first: Number,
        states: &RecordBatch,
        whole: bool,
    ) -> Result<Number, FormatError> {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        let rows: Vec<u32> = (0..).take(states.num_rows()).collect();
        let bytes_max = self.record_bytes_max;
        let encoded = self.codec.encode(states, &rows, bytes_max, &mut |value| {
            pieces.push(value.to_vec());
            Ok(())
        });
        encoded.map_err(|cause| {
            let alone = |row| {
                let encoded = self.codec.encode(states, &[row], bytes_max, &mut |_| Ok(()));
                encoded.is_err()
            };
            cause.of_key(&states.columns()[..self.keys], &rows, alone)
        })?;
        let count = Number::try_from(pieces.len()).unwrap_or(Number::MAX);
        self.meaning.announce(&mut self.records);
        for (number, value) in (first..).zip(&pieces) {
            let piece = self.own_piece(number);
            self.records.push(
                NO_TIME,
                |out| write_key(start, piece, out),
                |out| {
                    out.push(if whole { WHOLE } else { ADDED });
                    out.extend(first.to_be_bytes());
                    out.extend(count.to_be_bytes());
                    out.extend(value);
                    true
                },
            );
        }
        Ok(count)
    }

    /// Makes a record void.
    pub(super) fn delete(&mut self, start: EventTime, piece: Piece) {
        self.records
            .push(NO_TIME, |out| write_key(start, piece, out), |_| false);
    }

    /// What was noted since the last call.
    pub(super) fn take(&mut self) -> Option<RecordBuffer> {
        if self.records.len() == 0 {
            return None;
        }
        let empty = RecordBuffer::new(self.records.destination().clone());
        Some(std::mem::replace(&mut self.records, empty))
    }

    /// Checks what the states of a checkpoint mean.
    pub(super) fn check_meaning(&mut self, store: &LocalStore) -> Result<(), StateError> {
        self.meaning.check_stored(&self.topic, store)
    }

    /// A record of the log.
    pub(super) fn decode(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Entry, StateError> {
        let damaged = |reason: &str| FormatError::Damaged {
            reason: reason.to_owned(),
        };
        let key = key.ok_or_else(|| self.damaged(damaged("it has no key")))?;
        if key == MEANING_KEY {
            self.meaning.check(&self.topic, value.unwrap_or_default())?;
            return Ok(Entry::Meaning);
        }
        let (start, piece) =
            read_key(key).ok_or_else(|| self.damaged(damaged("its key is not that of a window")))?;
        self.owner = self.owner.behind(piece.owner);
        let content = value
            .map(|value| self.content(value))
            .transpose()
            .map_err(|cause| self.damaged(cause))?;
        Ok(Entry::Piece {
            start,
            piece,
            content,
        })
    }

    /// As [`decode`](Self::decode), for a record of this owner or one that it took before: nobody else has written meanwhile.
    pub(super) fn decode_again(&mut self, key: &[u8], value: &[u8]) -> Result<Entry, StateError> {
        let owner = self.owner;
        let entry = self.decode(Some(key), Some(value));
        self.owner = owner;
        entry
    }

    fn content(&self, value: &[u8]) -> Result<Content, FormatError> {
        let damaged = |reason: &str| FormatError::Damaged {
            reason: reason.to_owned(),
        };
        let (head, batch) = value
            .split_first_chunk::<9>()
            .ok_or_else(|| damaged("it is cut short"))?;
        let number = |at: usize| Number::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let whole = match head[0] {
            ADDED => None,
            WHOLE => {
                let (first, count) = (number(1), number(5));
                if count == 0 || first.checked_add(count).is_none() {
                    return Err(damaged("it is one of an impossible number"));
                }
                Some((first, count))
            }
            _ => return Err(damaged("it is of no known kind")),
        };
        let states = self.codec.decode(Some(&self.codec.header()), Some(batch))?;
        Ok(Content { whole, states })
    }

    fn damaged(&self, cause: FormatError) -> StateError {
        StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        }
    }
}

/// What the keys of a window's records begin with.
pub(super) fn window_prefix(start: EventTime) -> Vec<u8> {
    let mut prefix = vec![WINDOW_KEY];
    prefix.extend(start.to_be_bytes());
    prefix
}

fn write_key(start: EventTime, piece: Piece, out: &mut Vec<u8>) -> bool {
    out.extend(window_prefix(start));
    out.extend(piece.number.to_be_bytes());
    if piece.owner != Owner::UNNAMED {
        out.extend(piece.owner.0.to_be_bytes());
    }
    true
}

fn read_key(key: &[u8]) -> Option<(EventTime, Piece)> {
    let (&WINDOW_KEY, rest) = key.split_first()? else {
        return None;
    };
    let (start, piece) = rest.split_first_chunk::<8>()?;
    let (number, owner) = piece.split_first_chunk::<4>()?;
    let owner = match owner {
        [] => Owner::UNNAMED,
        name => Owner(u64::from_be_bytes(name.try_into().ok()?)),
    };
    let number = Number::from_be_bytes(*number);
    Some((EventTime::from_be_bytes(*start), Piece { owner, number }))
}
