//! Index files are held against the log before anybody goes where they lead.
//!
//! Why: they have no checksums. An entry that is wrong by one bit can make a reader pass over acknowledged records, or
//! retention delete young ones. Owns: the comparison, and making the indexes of a closed segment again. Does not own:
//! the searches.
//! Invariant: a search ends at an entry that the log bears out, or begins at the beginning.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{FilePool, HeaderScan, ScanError, Segment, SegmentIndex};
use crate::log::batch::BatchHeader;
use crate::log::index::{Entries, OffsetEntry, ResidentIndex, TimeEntry};
use crate::log::lock::{lock, read, write};

/// Bytes between two entries of an index that is made again.
const REBUILT_INTERVAL_BYTES: u32 = 4096;

impl Segment {
    /// A scan from an indexed batch on, which is taken from it already. From the first batch on if there is no entry, or
    /// if it does not say where its batch is: then the index is damaged, and following it would pass over records.
    pub(super) fn scan_entry(
        self: &Arc<Self>,
        pool: &FilePool,
        entry: Option<OffsetEntry>,
        end: u64,
    ) -> Result<(HeaderScan, Option<(u64, BatchHeader)>), ScanError> {
        if let Some(entry) = entry {
            let mut scan = self.scan(pool, u64::from(entry.position), end)?;
            let named = self.base_offset + i64::from(entry.relative);
            match scan.next() {
                Ok(Some((position, header))) if header.last_offset() == named => {
                    return Ok((scan, Some((position, header))));
                }
                Err(ScanError::Io(error)) => return Err(error.into()),
                _ => self.distrust(pool)?,
            }
        }
        let mut scan = self.scan(pool, 0, end)?;
        let first = scan.next()?;
        Ok((scan, first))
    }

    /// Whether the log has the batch of a time entry before `end`, with its timestamp.
    pub(super) fn bears_out(
        self: &Arc<Self>,
        pool: &FilePool,
        entry: TimeEntry,
        end: u64,
    ) -> Result<bool, ScanError> {
        let offset = self.base_offset + i64::from(entry.relative);
        let found = self.locate(pool, offset, end)?;
        Ok(found.is_some_and(|(_, header)| {
            header.last_offset() == offset && header.max_timestamp == entry.timestamp
        }))
    }

    /// Compares the end of a closed segment's time index with the log, once: by it records are found too old to be kept.
    pub(super) fn check_times(self: &Arc<Self>, pool: &FilePool) -> Result<(), ScanError> {
        let on_disk = matches!(&*read(&self.index), SegmentIndex::OnDisk);
        if !on_disk || self.times_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let last = Entries::<TimeEntry>::from_file(File::open(self.path("timeindex"))?)?.last()?;
        let end = self.size();
        let start = match last {
            None => Some(0),
            Some(last) if self.bears_out(pool, last, end)? => {
                let offset = self.base_offset + i64::from(last.relative);
                self.locate(pool, offset, end)?.map(|(position, _)| position)
            }
            Some(_) => None,
        };
        let mut whole = start.is_some();
        if let Some(start) = start {
            let greatest = last.map_or(-1, |last| last.timestamp);
            let mut scan = self.scan(pool, start, end)?;
            while let Some((_, header)) = scan.next()? {
                whole &= header.max_timestamp <= greatest;
            }
        }
        if !whole {
            self.distrust(pool)?;
        }
        self.times_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a closed segment's indexes again, in memory, since the files do not fit the log. Those of a segment that is
    /// being written are left: searches in them that fail begin at the beginning.
    pub(super) fn distrust(self: &Arc<Self>, pool: &FilePool) -> Result<(), ScanError> {
        // Others wait until it is done: who goes on sees the new indexes.
        let mut distrusted = lock(&self.distrusted);
        if *distrusted {
            return Ok(());
        }
        if !self.is_replaced() {
            tracing::warn!(file = %self.path("index").display(), "an index file does not fit the log; it is not used any more");
        }
        if !matches!(&*read(&self.index), SegmentIndex::OnDisk) {
            *distrusted = true;
            return Ok(());
        }
        let mut rebuilt = ResidentIndex::new(self.base_offset);
        let mut scan = self.scan(pool, 0, self.size())?;
        while let Some((position, header)) = scan.next()? {
            rebuilt.on_batch(position as u32, &header, REBUILT_INTERVAL_BYTES);
        }
        rebuilt.finish();
        // The files stay as they are: they may be another segment's by now.
        *write(&self.index) = SegmentIndex::Resident(rebuilt);
        *distrusted = true;
        Ok(())
    }
}
