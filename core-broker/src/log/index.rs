//! The sparse indexes of a segment, in Kafka's file formats.
//!
//! `.index`: 8-byte entries, relative offset of a batch's last record (u32) and the batch's position (u32).
//! `.timeindex`: 12-byte entries, a timestamp (i64) and the relative offset (u32) of the last record of the
//! batch that first reached it.
//! Why no memory map: the segment being written keeps its entries in memory (2 MB for a full GiB), and
//! closed ones are searched by a few small reads; no unsafe code, no preallocated files.
//! Invariant: an entry is due when the batch starts more than the interval after the last entry's batch.
//! A time entry is written with it if the greatest timestamp has grown, so at every offset entry the
//! time entries know the greatest timestamp up to and including that entry's batch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::batch::BatchHeader;

/// An entry of fixed size, big endian.
pub(crate) trait Entry: Copy {
    const BYTES: usize;
    fn encode(self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Self;
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// The batch's last offset minus the segment's base.
    pub(crate) relative: u32,
    pub(crate) position: u32,
}

/// When a timestamp was first reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    /// The batch's last offset minus the segment's base.
    pub(crate) relative: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            relative: u32_at(bytes, 0),
            position: u32_at(bytes, 4),
        }
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            timestamp: i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes were sliced")),
            relative: u32_at(bytes, 8),
        }
    }
}

/// Entries in memory or in a file.
pub(crate) enum Entries<'a, E> {
    Memory(&'a [E]),
    File { file: File, count: usize },
}

impl<E: Entry> Entries<'_, E> {
    /// The entries of an index file; an incomplete last one does not count.
    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX) / E::BYTES;
        Ok(Self::File { file, count })
    }

    fn len(&self) -> usize {
        match self {
            Self::Memory(entries) => entries.len(),
            Self::File { count, .. } => *count,
        }
    }

    fn get(&self, index: usize) -> io::Result<E> {
        match self {
            Self::Memory(entries) => Ok(entries[index]),
            Self::File { file, .. } => {
                let mut bytes = [0_u8; 12];
                file.read_exact_at(&mut bytes[..E::BYTES], (index * E::BYTES) as u64)?;
                Ok(E::decode(&bytes))
            }
        }
    }

    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        self.len().checked_sub(1).map(|index| self.get(index)).transpose()
    }

    /// The last entry for which `before` holds; it must hold for a prefix.
    pub(crate) fn floor(&self, before: impl Fn(E) -> bool) -> io::Result<Option<E>> {
        let count = self.count_while(before)?;
        count.checked_sub(1).map(|index| self.get(index)).transpose()
    }

    /// The first entry for which `before` does not hold.
    pub(crate) fn ceiling(&self, before: impl Fn(E) -> bool) -> io::Result<Option<E>> {
        let count = self.count_while(before)?;
        (count < self.len()).then(|| self.get(count)).transpose()
    }

    fn count_while(&self, before: impl Fn(E) -> bool) -> io::Result<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.get(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

impl Entries<'_, OffsetEntry> {
    /// Where to start scanning for the batch with the relative offset; nothing means the beginning.
    pub(crate) fn entry_of_offset(&self, relative: u32) -> io::Result<Option<OffsetEntry>> {
        self.floor(|e| e.relative <= relative)
    }

    /// The indexed batch that is nearest before `position`; nothing means the beginning.
    pub(crate) fn boundary_before(&self, position: u64) -> io::Result<Option<OffsetEntry>> {
        self.floor(|e| u64::from(e.position) <= position)
    }
}

/// Both indexes of one segment, for searching by time.
pub(crate) struct IndexView<'a> {
    pub(crate) offsets: Entries<'a, OffsetEntry>,
    pub(crate) times: Entries<'a, TimeEntry>,
    /// The greatest timestamp of the whole segment, or −1.
    pub(crate) max_timestamp: i64,
}

/// Where a search through a segment for a timestamp must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeSearch {
    /// No record is that young.
    Absent,
    /// Every batch before this one is older, if the `witnesses` are true: the neighbours in the time index between
    /// which the timestamp lies.
    From {
        start: Option<OffsetEntry>,
        witnesses: [Option<TimeEntry>; 2],
    },
}

impl IndexView<'_> {
    pub(crate) fn search_time(&self, timestamp: i64) -> io::Result<TimeSearch> {
        if timestamp < 0 {
            return Ok(TimeSearch::From {
                start: None,
                witnesses: [None; 2],
            });
        }
        if self.max_timestamp < timestamp {
            return Ok(TimeSearch::Absent);
        }
        // The first entry that reaches the timestamp was written at the first offset entry from which it is
        // reached; up to the offset entry before that, everything is older.
        let older = |e: TimeEntry| e.timestamp < timestamp;
        let reached = self.times.ceiling(older)?;
        let start = match reached {
            Some(reached) => self.offsets.floor(|e| e.relative < reached.relative)?,
            None => self.offsets.last()?,
        };
        Ok(TimeSearch::From {
            start,
            witnesses: [self.times.floor(older)?, reached],
        })
    }

    /// The greatest timestamp up to the last offset entry before `position`, and that entry's position.
    pub(crate) fn max_timestamp_before(&self, position: u64) -> io::Result<(i64, u32)> {
        let Some(indexed) = self.offsets.floor(|e| u64::from(e.position) < position)? else {
            return Ok((-1, 0));
        };
        let time = self.times.floor(|e| e.relative <= indexed.relative)?;
        Ok((time.map_or(-1, |e| e.timestamp), indexed.position))
    }
}

/// The indexes of a segment that is being written or rebuilt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResidentIndex {
    base_offset: i64,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    /// The greatest timestamp so far and the batch that first reached it.
    greatest: Option<TimeEntry>,
}

impl ResidentIndex {
    pub(crate) fn new(base_offset: i64) -> Self {
        Self {
            base_offset,
            ..Self::default()
        }
    }

    /// What index files hold about batches that end before offset `end` and position `end_position`,
    /// as far as it makes sense; the rest must be scanned from [`ResidentIndex::scan_from`].
    pub(crate) fn from_files(
        base_offset: i64,
        offsets: &[u8],
        times: &[u8],
        end: i64,
        end_position: u64,
    ) -> Self {
        let mut index = Self::new(base_offset);
        for bytes in offsets.chunks_exact(OffsetEntry::BYTES) {
            let entry = OffsetEntry::decode(bytes);
            let grows = index
                .offsets
                .last()
                .is_none_or(|last| entry.relative > last.relative && entry.position > last.position);
            let known =
                base_offset + i64::from(entry.relative) < end && u64::from(entry.position) < end_position;
            if !grows || !known || entry.position == 0 {
                break;
            }
            index.offsets.push(entry);
        }
        let last = index.offsets.last().map(|e| e.relative);
        for bytes in times.chunks_exact(TimeEntry::BYTES) {
            let entry = TimeEntry::decode(bytes);
            let grows = index
                .times
                .last()
                .is_none_or(|last| entry.timestamp > last.timestamp && entry.relative > last.relative);
            if !grows || last.is_none_or(|last| entry.relative > last) {
                break;
            }
            index.times.push(entry);
        }
        // What the time index does not reach is scanned again: its end may be gone.
        let reached = index.times.last().map(|e| e.relative);
        let kept = index
            .offsets
            .partition_point(|e| reached.is_some_and(|reached| e.relative <= reached));
        index.offsets.truncate(kept);
        index.greatest = index.times.last().copied();
        index
    }

    /// The position from which batches must be scanned to complete the index. The batch there is in it
    /// already; to enter it again changes nothing.
    pub(crate) fn scan_from(&self) -> u32 {
        self.offsets.last().map_or(0, |e| e.position)
    }

    /// The last offset of the batch at [`ResidentIndex::scan_from`], unless that is the beginning.
    pub(crate) fn last_offset(&self) -> Option<i64> {
        self.offsets
            .last()
            .map(|e| self.base_offset + i64::from(e.relative))
    }

    /// Takes note of the batch at `position`.
    pub(crate) fn on_batch(&mut self, position: u32, header: &BatchHeader, interval_bytes: u32) {
        let relative = (header.last_offset() - self.base_offset) as u32;
        if header.max_timestamp > self.greatest.map_or(-1, |g| g.timestamp) {
            self.greatest = Some(TimeEntry {
                timestamp: header.max_timestamp,
                relative,
            });
        }
        let last = self.offsets.last().map_or(0, |e| e.position);
        // A rebuild starts again at the last entry's batch, which must not be entered twice.
        if position > last && position - last > interval_bytes {
            self.offsets.push(OffsetEntry { relative, position });
            self.enter_greatest();
        }
    }

    /// Enters the greatest timestamp of the whole segment when it is closed.
    pub(crate) fn finish(&mut self) {
        self.enter_greatest();
    }

    fn enter_greatest(&mut self) {
        let last = self.times.last().map_or(-1, |e| e.timestamp);
        if let Some(greatest) = self.greatest.filter(|g| g.timestamp > last) {
            self.times.push(greatest);
        }
    }

    pub(crate) fn view(&self) -> IndexView<'_> {
        IndexView {
            offsets: Entries::Memory(&self.offsets),
            times: Entries::Memory(&self.times),
            max_timestamp: self.greatest.map_or(-1, |g| g.timestamp),
        }
    }

    /// How many entries there are.
    pub(crate) fn lens(&self) -> (usize, usize) {
        (self.offsets.len(), self.times.len())
    }

    /// The bytes of the entries from the given ones on.
    pub(crate) fn encode_from(&self, (offsets, times): (usize, usize)) -> (Vec<u8>, Vec<u8>) {
        let (mut offset_bytes, mut time_bytes) = (Vec::new(), Vec::new());
        for entry in self.offsets.get(offsets..).unwrap_or_default() {
            entry.encode(&mut offset_bytes);
        }
        for entry in self.times.get(times..).unwrap_or_default() {
            entry.encode(&mut time_bytes);
        }
        (offset_bytes, time_bytes)
    }
}
