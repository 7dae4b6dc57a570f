//! The rows of one side of a join within a span of event time: in memory, and the records that say them.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::bucket_log::{BucketAt, RowNumber, StoredRows, Written};
use super::pieces::{Number, Piece};
use super::time_buckets::{Bucket, KeyError, Keys};
use super::{BucketLog, Owner, StateError};
use crate::format::FormatError;
use crate::rows::EventTime;

/// From so many records on, those of a span may be replaced by one.
const PIECES_MAX: usize = 64;
/// What they take together then, at most: larger ones are no burden.
const PIECES_BYTES_MAX: usize = 512 << 10;

/// What is written again in an epoch, because others may still replace what they wrote.
pub(super) const REWRITTEN_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 64 << 20 };
/// What becomes records at once.
const WRITTEN_BYTES_MAX: usize = 16 << 20;

/// The rows of a span of one side.
#[derive(Default)]
pub(super) struct Span {
    /// None if they are in the local store alone.
    pub(super) loaded: Option<Loaded>,
    /// The last turn that asked for them.
    pub(super) used: u64,
    /// The records that together are these rows, and what those take.
    pub(super) pieces: Vec<Piece>,
    pub(super) pieces_bytes: usize,
    /// The number of the next record, and of the next row, that is written.
    pub(super) next: Number,
    pub(super) next_row: RowNumber,
}

pub(super) struct Loaded {
    pub(super) bucket: Bucket,
    /// How many of the rows are in the log.
    pub(super) logged: usize,
    /// Those of them that were matched in the running epoch.
    pub(super) matched: Vec<u32>,
    /// Under which numbers rows were written, from each run's first row on.
    pub(super) runs: Vec<Run>,
}

/// Rows in a row, written by one owner under numbers in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) owner: Owner,
    pub(super) number: RowNumber,
}

/// Rows of one side that came, with their times and keys.
pub(crate) struct Came<'a> {
    pub(crate) side: usize,
    pub(crate) batch: &'a RecordBatch,
    pub(crate) times: &'a [EventTime],
    pub(crate) keys: &'a Keys,
}

/// A row that came, and one of the other side that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// The position of the row that came.
    pub(crate) row: u32,
    pub(super) other: Place,
}

/// A row that is kept, of whatever side is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) time: EventTime,
    pub(super) start: EventTime,
    pub(super) row: u32,
    pub(super) bytes: u32,
}

impl Place {
    /// What the row takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl Pair {
    /// The row of the other side.
    pub(crate) fn other(&self) -> Place {
        self.other
    }
}

/// A change of state that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinStoreError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "a row with the key {key} takes {bytes} bytes in {changelog}, whose records take at most {bytes_max}"
    )]
    RowTooLarge {
        changelog: Arc<str>,
        key: String,
        bytes: usize,
        bytes_max: usize,
    },
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl Loaded {
    /// Marks rows of other owners, and those that were written earlier, by their numbers. What is gone is passed over.
    pub(super) fn mark_numbered(&mut self, matched: Vec<(Owner, Vec<RowNumber>)>) {
        let rows = self.bucket.len();
        let ends = self.runs.iter().skip(1).map(|run| run.first).chain([rows]);
        let mut runs: BTreeMap<(Owner, RowNumber), Range<usize>> = BTreeMap::new();
        for (run, end) in self.runs.iter().zip(ends) {
            runs.insert((run.owner, run.number), run.first..end);
        }
        for (owner, numbers) in matched {
            for number in numbers {
                let before = runs.range((owner, 0)..=(owner, number)).next_back();
                if let Some(((_, first), rows)) = before {
                    let row = rows.start + (number - first) as usize;
                    if rows.contains(&row) {
                        self.bucket.mark(row as u32);
                    }
                }
            }
        }
    }

    /// Whether the running epoch has matched rows that `owner` did not write.
    fn has_matched_of_others(&self, owner: Owner) -> bool {
        let run_of = |row: &u32| self.runs.partition_point(|run| run.first <= *row as usize);
        let run_of = |row| run_of(row).checked_sub(1).map(|run| self.runs[run]);
        let mut matched = self.matched.iter();
        matched.any(|row| run_of(row).is_some_and(|run| run.owner != owner))
    }

    /// The rows that were matched in the running epoch, by their owners and numbers.
    fn take_matched(&mut self) -> Vec<(Owner, Vec<RowNumber>)> {
        let mut matched: BTreeMap<Owner, Vec<RowNumber>> = BTreeMap::new();
        for row in std::mem::take(&mut self.matched) {
            let run = self.runs.partition_point(|run| run.first <= row as usize);
            if let Some(run) = run.checked_sub(1).map(|run| self.runs[run]) {
                let number = run.number + (row as usize - run.first) as RowNumber;
                matched.entry(run.owner).or_default().push(number);
            }
        }
        matched.values_mut().for_each(|rows| rows.sort_unstable());
        matched.into_iter().collect()
    }
}

impl Span {
    /// Rows and bytes in memory.
    pub(super) fn size(&self) -> (usize, usize) {
        let bucket = self.loaded.as_ref().map(|loaded| &loaded.bucket);
        bucket.map_or((0, 0), |bucket| (bucket.len(), bucket.size_bytes()))
    }

    /// Writes what the epoch changed, or all rows, if many small records say them, or if they were matched and written by others; of those at
    /// most `rewritten` bytes, which become less. Of what is more only the numbers of matched rows are written: it is written again when more of
    /// it is matched, or never, if it is too large.
    pub(super) fn write(
        &mut self,
        at: BucketAt,
        log: &mut BucketLog,
        rewritten: &mut usize,
    ) -> Result<(), JoinStoreError> {
        let Some(loaded) = &mut self.loaded else {
            return Ok(());
        };
        let rows = loaded.bucket.len();
        let are_many = self.pieces.len() > PIECES_MAX && self.pieces_bytes < PIECES_BYTES_MAX;
        // Who was cut off may still put its own records together: rows of others then have other names, or none.
        let bytes = loaded.bucket.size_bytes();
        let is_of_others = log.repeats() && bytes <= *rewritten && loaded.has_matched_of_others(log.owner());
        let whole = are_many || is_of_others;
        if is_of_others {
            *rewritten -= bytes;
        }
        let (from, mut replaced) = (if whole { 0 } else { loaded.logged }, Vec::new());
        if whole {
            replaced = std::mem::take(&mut self.pieces);
            self.pieces_bytes = 0;
            loaded.matched.clear();
            loaded.runs.clear();
        }
        if from < rows {
            // Numbers begin again in the end; those of long ago are of rows that were written again since.
            let count = (rows - from) as RowNumber;
            if self.next_row.checked_add(count).is_none() {
                self.next_row = 0;
            }
            loaded.runs.push(Run {
                first: from,
                owner: log.owner(),
                number: self.next_row,
            });
            self.write_rows(at, log, from..rows, whole)?;
        }
        // Only behind what takes their place.
        replaced.into_iter().for_each(|piece| log.delete(at, piece));
        let matched = self.loaded.as_mut().map(Loaded::take_matched).unwrap_or_default();
        if !matched.is_empty() {
            let written = log.write_matched(at, self.next, &matched);
            self.took(log, &written);
        }
        Ok(())
    }

    /// Writes these rows; as one, if they take the place of all others.
    fn write_rows(
        &mut self,
        at: BucketAt,
        log: &mut BucketLog,
        mut rows: Range<usize>,
        whole: bool,
    ) -> Result<(), JoinStoreError> {
        while !rows.is_empty()
            && let Some(loaded) = &mut self.loaded
        {
            let end = match whole {
                true => rows.end,
                false => loaded.bucket.end_within(rows.start, WRITTEN_BYTES_MAX),
            };
            let (batch, times, matched) = loaded.bucket.rows(rows.start..end)?;
            let count = times.len() as RowNumber;
            let stored = StoredRows {
                batch,
                times,
                matched,
            };
            let written = log.write(at, self.next, self.next_row, &stored, whole)?;
            loaded.logged = end;
            self.next_row += count;
            self.took(log, &written);
            rows.start = end;
        }
        Ok(())
    }

    fn took(&mut self, log: &BucketLog, written: &Written) {
        let owner = log.owner();
        let numbers = self.next..self.next + written.records;
        self.pieces.extend(numbers.map(|number| Piece { owner, number }));
        self.pieces_bytes += written.bytes;
        self.next += written.records;
    }
}
