//! One pass of compaction over one partition.
//!
//! The way of a pass: find out how transactions ended, build the map of newest offsets over the dirty section, then
//! copy the segments in order, a few small ones into one, through the filter, and swap each group in.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::filter::{Filter, Rules, Verdict};
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::log::batch::{BatchError, BatchHeader, RecordBatch};
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::partition::{CleanedSegment, Part, Partition};
use crate::log::segment::{HeaderScan, ScanError, Segment};
use crate::log::shared::Shared;
use crate::log::swap::REPLACED_MAX;
use crate::log::sync::write_checkpoints;

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    #[error("compaction was stopped")]
    Stopped,
    #[error("{} cannot be compacted, batch at byte {position}: {source}", file.display())]
    Corrupt {
        file: PathBuf,
        position: u64,
        source: BatchError,
    },
    #[error("the disk has no room for a copy of {bytes} bytes")]
    NoRoom { bytes: u64 },
    #[error(transparent)]
    Log(#[from] LogError),
}

impl CleanError {
    fn scan(segment: &Segment) -> impl Fn(ScanError) -> Self + '_ {
        |error| match error {
            ScanError::Io(source) => Self::Log(LogError::io(segment.path("log"))(source)),
            ScanError::Corrupt { position, source } => Self::Corrupt {
                file: segment.path("log"),
                position,
                source,
            },
        }
    }
}

/// What there is to do in a partition.
#[derive(Debug)]
pub(crate) struct Section {
    parts: Vec<Part>,
    /// First offset that was not cleaned.
    dirty_from: i64,
    /// Base of the first segment that may not be cleaned.
    dirty_to: i64,
    clean_bytes: u64,
    dirty_bytes: u64,
    /// The oldest dirty record has waited for `max.compaction.lag.ms`.
    overdue: bool,
}

impl Section {
    /// What may be cleaned now, if anything.
    pub(crate) fn of(
        partition: &Partition,
        shared: &Shared,
        config: &LogConfig,
    ) -> Result<Option<Self>, CleanError> {
        let parts = partition.parts();
        let Some(first) = parts.first().map(|p| p.segment.base_offset()) else {
            return Ok(None);
        };
        let now = shared.options.clock.now().0;
        let stable = partition.last_stable_offset().0;
        let log_start = partition.log_start_offset().0;
        let dirty_from = Some(partition.cleaned_to())
            .filter(|offset| (first..=partition.log_end_offset().0).contains(offset))
            .unwrap_or(first)
            .max(log_start);
        let (mut clean_bytes, mut dirty_bytes, mut dirty_to, mut overdue) = (0, 0, first, false);
        for part in parts.iter().take_while(|part| part.closed) {
            let dirty = part.next_offset > dirty_from;
            if part.segment.base_offset() >= stable {
                break;
            }
            if dirty && part.end > 0 {
                let (oldest, youngest) = timestamps(&part.segment, part.end, shared)?;
                if config.min_compaction_lag_ms > 0
                    && youngest > now.saturating_sub(config.min_compaction_lag_ms)
                {
                    break;
                }
                overdue |= oldest >= 0 && oldest < now.saturating_sub(config.max_compaction_lag_ms);
            }
            *(if dirty { &mut dirty_bytes } else { &mut clean_bytes }) += part.end;
            dirty_to = part.next_offset;
        }
        let section = Self {
            parts,
            dirty_from,
            dirty_to: dirty_to.min(stable),
            clean_bytes,
            dirty_bytes,
            overdue,
        };
        Ok((section.dirty_from < section.dirty_to).then_some(section))
    }

    /// Share of dirty bytes among all that may be cleaned, in millionths.
    pub(crate) fn dirty_ppm(&self) -> u64 {
        let all = self.clean_bytes + self.dirty_bytes;
        (u128::from(self.dirty_bytes) * 1_000_000 / u128::from(all.max(1))) as u64
    }

    /// Whether it is worth the copying.
    pub(crate) fn is_due(&self, config: &LogConfig) -> bool {
        self.overdue || self.dirty_bytes > 0 && self.dirty_ppm() >= u64::from(config.min_cleanable_ratio_ppm)
    }
}

/// Timestamps of a segment's first batch and of its youngest.
fn timestamps(segment: &Arc<Segment>, end: u64, shared: &Shared) -> Result<(i64, i64), CleanError> {
    let read = || {
        let youngest = segment.max_timestamp(&shared.pool, 0, end)?;
        let mut scan = HeaderScan::new(segment.file(&shared.pool)?, 0, end);
        Ok((
            scan.next()?.map_or(-1, |(_, header)| header.max_timestamp),
            youngest,
        ))
    };
    read().map_err(CleanError::scan(segment))
}

/// One pass over one partition.
pub(crate) struct Pass<'a> {
    pub(crate) partition: &'a Partition,
    pub(crate) shared: &'a Shared,
    pub(crate) config: &'a LogConfig,
    pub(crate) dedupe_buffer_bytes: usize,
    pub(crate) stop: &'a AtomicBool,
}

impl Pass<'_> {
    /// Compacts; true if the clean part of the log has grown.
    pub(crate) fn run(&self, section: &Section) -> Result<bool, CleanError> {
        let (transactions, walked_to) = self.transactions(section)?;
        let walked_to = walked_to.min(section.dirty_to);
        let stable = transactions
            .first_open()
            .map_or(walked_to, |open| open.min(walked_to));
        let (newest, end) = self.newest(section, &transactions, stable)?;
        if end <= section.dirty_from {
            return Ok(false);
        }
        // Gaps may only be where recovery does not look for any.
        write_checkpoints(self.shared)?;
        self.partition.allow_gaps_before(end)?;
        let producers = self.partition.last_batches();
        let mut filter = Filter::new(Rules {
            newest: &newest,
            end,
            transactions: &transactions,
            producers: &producers,
            now_ms: self.shared.options.clock.now().0,
            delete_retention_ms: self.config.delete_retention_ms,
            decompressed_bytes_max: self.shared.options.decompressed_bytes_max,
        });
        let parts = section.parts.iter().filter(|p| p.closed);
        let parts: Vec<_> = parts.take_while(|p| p.segment.base_offset() < end).collect();
        for group in groups(&parts, u64::from(self.config.segment_bytes)) {
            if !self.copy(group, end, &mut filter)? {
                return Ok(false);
            }
        }
        self.partition.set_cleaned_to(end);
        write_checkpoints(self.shared)?;
        Ok(true)
    }

    fn check(&self) -> Result<(), CleanError> {
        match self.stop.load(Ordering::Acquire) {
            true => Err(CleanError::Stopped),
            false => Ok(()),
        }
    }

    /// Walks over all headers until every transaction in the section has ended, or what is visible ends. Also tells
    /// up to which offset of the section it came.
    fn transactions(&self, section: &Section) -> Result<(Transactions, i64), CleanError> {
        let mut transactions = Transactions::default();
        for part in &section.parts {
            let mut batches = self.batches(part, 0)?;
            while let Some(header) = batches.next_header()? {
                if transactions.is_full() {
                    return Ok((transactions, header.base_offset));
                }
                let undecided = || transactions.first_open().is_some_and(|o| o < section.dirty_to);
                if header.base_offset >= section.dirty_to && !undecided() {
                    return Ok((transactions, section.dirty_to));
                }
                let marker = match header.is_control() {
                    true => {
                        batches.load(&header)?;
                        RecordBatch::parse(&batches.bytes).and_then(|b| b.end_marker())
                    }
                    false => Ok(None),
                };
                let marker = marker.map_err(|source| batches.corrupt(source))?;
                transactions.on_batch(&header, marker);
            }
        }
        Ok((transactions, section.dirty_to))
    }

    /// The newest offsets from the dirty section's start on, and where the map ends.
    fn newest(
        &self,
        section: &Section,
        transactions: &Transactions,
        stable: i64,
    ) -> Result<(OffsetMap, i64), CleanError> {
        let mut map = OffsetMap::new(self.dedupe_buffer_bytes);
        let limit = self.shared.options.decompressed_bytes_max;
        for part in section.parts.iter().filter(|p| p.closed) {
            if part.next_offset <= section.dirty_from {
                continue;
            }
            let mut batches = self.batches(part, 0)?;
            while let Some(header) = batches.next_header()? {
                if header.base_offset >= stable {
                    return Ok((map, stable));
                }
                let aborted = header.is_transactional()
                    && transactions.is_aborted(header.producer_id, header.base_offset);
                if header.last_offset() < section.dirty_from
                    || header.is_control()
                    || header.record_count == 0
                    || aborted
                {
                    continue;
                }
                if !map.has_room(header.record_count.unsigned_abs() as usize) {
                    return Ok((map, header.base_offset));
                }
                batches.load(&header)?;
                let mut put = || {
                    let batch = RecordBatch::parse(&batches.bytes)?;
                    batch.verify_crc()?;
                    for record in &batch.records(limit)? {
                        let record = record?;
                        if let Some(key) = record.key {
                            map.put(key, record.offset);
                        }
                    }
                    Ok(())
                };
                put().map_err(|source| batches.corrupt(source))?;
            }
        }
        Ok((map, stable))
    }

    /// Copies a group of segments into one, as far as it lies before `end`, and swaps it in. False if the log has
    /// changed meanwhile.
    fn copy(&self, group: &[&Part], end: i64, filter: &mut Filter<'_>) -> Result<bool, CleanError> {
        let base = group[0].segment.base_offset();
        let next = group.last().map_or(base, |part| part.next_offset).min(end);
        let shared = self.shared;
        let bytes = group.iter().map(|part| part.end).sum();
        if !shared.space.has_room(&shared.root, &*shared.options.disk, bytes) {
            return Err(CleanError::NoRoom { bytes });
        }
        let new = self.partition.create_cleaned(base)?;
        let copied = self.copy_batches(group, filter, new);
        let (new, changed) = copied.inspect_err(|_| self.partition.discard_cleaned(base))?;
        let aborted = filter.take_aborted();
        // Before the markers are gone: a consumer that is told of a transaction skips what its producer wrote until it meets
        // the marker. Of those that lose theirs, no record is left.
        self.partition.forget_aborted(base..next, &aborted);
        if !changed && group.len() == 1 {
            self.partition.discard_cleaned(base);
            return Ok(true);
        }
        let old: Vec<_> = group.iter().map(|part| part.segment.clone()).collect();
        Ok(self.partition.replace(&old, new)?)
    }

    fn copy_batches(
        &self,
        group: &[&Part],
        filter: &mut Filter<'_>,
        mut new: CleanedSegment,
    ) -> Result<(CleanedSegment, bool), CleanError> {
        let disk = &*self.shared.options.disk;
        let mut changed = false;
        for part in group {
            let io_error = || LogError::io(part.segment.path("log"));
            let mut batches = self.batches(part, 0)?;
            while let Some(header) = batches.next_header()? {
                self.check()?;
                batches.load(&header)?;
                let verdict = RecordBatch::parse(&batches.bytes).and_then(|batch| {
                    batch.verify_crc()?;
                    filter.next(&batch)
                });
                match verdict {
                    Ok(Verdict::Same) => new.push(&header, &batches.bytes, disk).map_err(io_error())?,
                    Ok(Verdict::Changed(bytes)) => {
                        let header = BatchHeader::parse(&bytes).map_err(|source| batches.corrupt(source))?;
                        new.push(&header, &bytes, disk).map_err(io_error())?;
                        changed = true;
                    }
                    Ok(Verdict::Gone) => changed = true,
                    Err(source) => return Err(batches.corrupt(source)),
                }
            }
        }
        Ok((new, changed))
    }

    fn batches<'p>(&self, part: &'p Part, position: u64) -> Result<Batches<'p>, CleanError> {
        self.check()?;
        let file = part
            .segment
            .file(&self.shared.pool)
            .map_err(LogError::io(part.segment.path("log")))?;
        Ok(Batches {
            segment: &part.segment,
            scan: HeaderScan::new(file, position, part.end),
            position,
            bytes: Vec::new(),
        })
    }
}

/// The batches of a segment, one in memory at a time.
struct Batches<'p> {
    segment: &'p Segment,
    scan: HeaderScan,
    position: u64,
    bytes: Vec<u8>,
}

impl Batches<'_> {
    fn next_header(&mut self) -> Result<Option<BatchHeader>, CleanError> {
        let next = self.scan.next().map_err(CleanError::scan(self.segment))?;
        Ok(next.map(|(position, header)| {
            self.position = position;
            header
        }))
    }

    /// Reads the batch whose header came last; the scan has checked that the file is that long.
    fn load(&mut self, header: &BatchHeader) -> Result<(), CleanError> {
        self.bytes.resize(header.size(), 0);
        self.scan
            .file()
            .read_exact_at(&mut self.bytes, self.position)
            .map_err(LogError::io(self.segment.path("log")))?;
        Ok(())
    }

    fn corrupt(&self, source: BatchError) -> CleanError {
        CleanError::scan(self.segment)(ScanError::Corrupt {
            position: self.position,
            source,
        })
    }
}

/// Splits the segments into rows that fit into one each.
fn groups<'p, 's>(parts: &'s [&'p Part], bytes_max: u64) -> Vec<&'s [&'p Part]> {
    let mut groups = Vec::new();
    let mut rest = parts;
    while let Some(first) = rest.first() {
        let base = first.segment.base_offset();
        let mut bytes = 0;
        let fits = |part: &&&Part| {
            bytes += part.end;
            bytes <= bytes_max && part.next_offset - base <= i64::from(i32::MAX)
        };
        let count = rest.iter().take_while(fits).take(REPLACED_MAX).count().max(1);
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    groups
}
