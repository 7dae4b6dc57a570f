//! One segment of a log: the file of batches and its two indexes.
//!
//! Owns: file names, opening files when they are needed, finding batches by offset, time and size.
//! Does not own: what is visible (callers pass the end position) and when anything is synced (`sync`).
//! Invariants: a segment that is not the last never changes; batches start at position 0 and have no gaps
//! between them.

mod verify;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use super::batch::{BatchError, BatchHeader, HEADER_BYTES};
use super::index::{Entries, Entry, IndexView, OffsetEntry, ResidentIndex, TimeEntry, TimeSearch};
use super::lock::{lock, read, write};

/// The files that a segment may have.
pub(crate) const EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// Read at a time where batches are small.
const SCAN_WINDOW_BYTES: usize = 8 << 10;
/// Behind a batch of this size only the next header is read: a window would hold nothing but records.
const LARGE_BATCH_BYTES: usize = 2 << 10;

/// Less room than this beyond the end of a file is not worth a system call.
const SLACK_BYTES: u64 = 64 << 10;
/// What the system counts a file's room in, whatever the file system's blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

/// The name of a segment's file: base offset in 20 digits, then `extension`.
pub(crate) fn file_name(base_offset: i64, extension: &str) -> String {
    format!("{base_offset:020}.{extension}")
}

/// The offset in a file name of the given extension.
pub(crate) fn parse_file_name(name: &str, extension: &str) -> Option<i64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// Keeps the number of open segment files bounded: the one opened first is closed first.
#[derive(Debug)]
pub(crate) struct FilePool {
    open: Mutex<VecDeque<Weak<Segment>>>,
    files_max: usize,
}

impl FilePool {
    pub(crate) fn new(files_max: usize) -> Self {
        Self {
            open: Mutex::default(),
            files_max: files_max.max(1),
        }
    }

    /// Takes note of an opened file; the caller holds no segment's lock.
    fn opened(&self, segment: &Arc<Segment>) {
        let evicted = {
            let mut open = lock(&self.open);
            open.push_back(Arc::downgrade(segment));
            if open.len() > self.files_max {
                open.pop_front()
            } else {
                None
            }
        };
        if let Some(segment) = evicted.and_then(|weak| weak.upgrade()) {
            // Whoever still uses the file has its own reference.
            lock(&segment.file).take();
        }
    }
}

/// Why a scan over batches stopped.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    Corrupt { position: u64, source: BatchError },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
enum SegmentIndex {
    /// Being written, or closed but not yet on disk.
    Resident(ResidentIndex),
    /// Closed: in the index files.
    OnDisk,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    dir: Arc<Path>,
    size: AtomicU64,
    file: Mutex<Option<Arc<File>>>,
    index: RwLock<SegmentIndex>,
    /// The index files were found to be damaged.
    distrusted: Mutex<bool>,
    /// The end of the time index was compared with the log.
    times_checked: AtomicBool,
    /// The files of these names are another segment's by now.
    replaced: AtomicBool,
}

impl Segment {
    /// A new, empty segment; its file is created.
    pub(crate) fn create(dir: &Arc<Path>, base_offset: i64) -> io::Result<Arc<Self>> {
        let path = dir.join(file_name(base_offset, "log"));
        // Nothing at or beyond the log end is worth keeping.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        drop(file);
        Ok(Self::resident(
            dir,
            base_offset,
            0,
            ResidentIndex::new(base_offset),
        ))
    }

    /// A segment whose index is in memory.
    pub(crate) fn resident(dir: &Arc<Path>, base_offset: i64, size: u64, index: ResidentIndex) -> Arc<Self> {
        Self::with_index(dir, base_offset, size, SegmentIndex::Resident(index))
    }

    /// A closed segment.
    pub(crate) fn closed(dir: &Arc<Path>, base_offset: i64, size: u64) -> Arc<Self> {
        Self::with_index(dir, base_offset, size, SegmentIndex::OnDisk)
    }

    fn with_index(dir: &Arc<Path>, base_offset: i64, size: u64, index: SegmentIndex) -> Arc<Self> {
        Arc::new(Self {
            base_offset,
            dir: dir.clone(),
            size: AtomicU64::new(size),
            file: Mutex::new(None),
            index: RwLock::new(index),
            distrusted: Mutex::new(false),
            times_checked: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        })
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self, extension: &str) -> PathBuf {
        self.dir.join(file_name(self.base_offset, extension))
    }

    /// The log file, for reading at positions and appending at the end.
    pub(crate) fn file(self: &Arc<Self>, pool: &FilePool) -> io::Result<Arc<File>> {
        let file = {
            let mut slot = lock(&self.file);
            if let Some(file) = &*slot {
                return Ok(file.clone());
            }
            let path = self.path("log");
            let file = match OpenOptions::new().read(true).append(true).open(&path) {
                // A file system that failed can still be read.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path)?,
                opened => opened?,
            };
            slot.insert(Arc::new(file)).clone()
        };
        pool.opened(self);
        Ok(file)
    }

    /// Takes note of a batch that was written at the end of the file.
    pub(crate) fn on_append(&self, header: &BatchHeader, interval_bytes: u32) {
        let position = self.size();
        if let SegmentIndex::Resident(index) = &mut *write(&self.index) {
            index.on_batch(position as u32, header, interval_bytes);
        }
        self.size
            .store(position + header.size() as u64, Ordering::Release);
    }

    /// Entries in both indexes, if they are in memory.
    pub(crate) fn index_lens(&self) -> Option<(usize, usize)> {
        match &*read(&self.index) {
            SegmentIndex::Resident(index) => Some(index.lens()),
            SegmentIndex::OnDisk => None,
        }
    }

    /// The greatest timestamp, −1 without any; cheaper than looking at the log.
    pub(crate) fn greatest_timestamp(self: &Arc<Self>, pool: &FilePool) -> Result<i64, ScanError> {
        self.check_times(pool)?;
        Ok(self.with_view(|view| Ok(view.max_timestamp))?)
    }

    /// Lets go of the open file, so that its room is free once readers are done.
    pub(crate) fn close_file(&self) {
        lock(&self.file).take();
    }

    /// Said before the files change: what was read until then is right.
    pub(crate) fn mark_replaced(&self) {
        self.replaced.store(true, Ordering::SeqCst);
    }

    /// Asked after the files were read: they may have been those of another segment.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    /// Gives back room that was preallocated for batches that did not come; of a closed segment, whose file is as long
    /// as it will ever be.
    pub(crate) fn give_back_room(&self) {
        let path = self.path("log");
        let done = std::fs::metadata(&path).and_then(|meta| {
            if meta.blocks() * STAT_BLOCK_BYTES < meta.len() + SLACK_BYTES {
                return Ok(());
            }
            OpenOptions::new().write(true).open(&path)?.set_len(meta.len())
        });
        if let Err(error) = done {
            // It goes with the segment at the latest.
            tracing::warn!(file = %path.display(), %error, "cannot give back preallocated room");
        }
    }

    /// Takes note that nothing more will be appended.
    pub(crate) fn finish_index(&self) {
        if let SegmentIndex::Resident(index) = &mut *write(&self.index) {
            index.finish();
        }
    }

    /// Writes the index entries that the files do not have yet, given how many they have, and returns the
    /// files, which are not synced, with the new counts. Nothing if the files are complete.
    pub(crate) fn write_index(&self, written: (usize, usize)) -> io::Result<Option<WrittenIndex>> {
        let (bytes, lens) = match &*read(&self.index) {
            SegmentIndex::OnDisk => return Ok(None),
            SegmentIndex::Resident(index) => (index.encode_from(written), index.lens()),
        };
        let put = |extension, entry_bytes: usize, written: usize, bytes: &[u8]| {
            let path = self.path(extension);
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let start = (written * entry_bytes) as u64;
            file.write_all_at(bytes, start)?;
            file.set_len(start + bytes.len() as u64)?;
            io::Result::Ok(Arc::new(file))
        };
        let files = [
            put("index", OffsetEntry::BYTES, written.0, &bytes.0)?,
            put("timeindex", TimeEntry::BYTES, written.1, &bytes.1)?,
        ];
        Ok(Some(WrittenIndex { files, lens }))
    }

    /// Drops the entries in memory; the files are complete and synced.
    pub(crate) fn release_index(&self) {
        *write(&self.index) = SegmentIndex::OnDisk;
    }

    /// Lets `search` look into the offset index.
    fn with_offsets(
        &self,
        search: impl FnOnce(&Entries<'_, OffsetEntry>) -> io::Result<Option<OffsetEntry>>,
    ) -> io::Result<Option<OffsetEntry>> {
        match &*read(&self.index) {
            SegmentIndex::Resident(index) => return search(&index.view().offsets),
            SegmentIndex::OnDisk => {}
        }
        search(&Entries::from_file(File::open(self.path("index"))?)?)
    }

    /// Lets `search` look into both indexes.
    fn with_view<T>(&self, search: impl FnOnce(&IndexView<'_>) -> io::Result<T>) -> io::Result<T> {
        match &*read(&self.index) {
            SegmentIndex::Resident(index) => return search(&index.view()),
            SegmentIndex::OnDisk => {}
        }
        let times = Entries::<TimeEntry>::from_file(File::open(self.path("timeindex"))?)?;
        let max_timestamp = times.last()?.map_or(-1, |e| e.timestamp);
        search(&IndexView {
            offsets: Entries::from_file(File::open(self.path("index"))?)?,
            times,
            max_timestamp,
        })
    }

    fn scan(self: &Arc<Self>, pool: &FilePool, position: u64, end: u64) -> io::Result<HeaderScan> {
        Ok(HeaderScan::new(self.file(pool)?, position, end))
    }

    /// The first batch that ends at or after `offset` and before position `end`: its position and header.
    pub(crate) fn locate(
        self: &Arc<Self>,
        pool: &FilePool,
        offset: i64,
        end: u64,
    ) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let relative = u32::try_from((offset - self.base_offset).max(0)).unwrap_or(u32::MAX);
        let start = self.with_offsets(|offsets| offsets.entry_of_offset(relative))?;
        let (mut scan, mut next) = self.scan_entry(pool, start, end)?;
        while let Some((position, header)) = next {
            if header.last_offset() >= offset {
                return Ok(Some((position, header)));
            }
            next = scan.next()?;
        }
        Ok(None)
    }

    /// The greatest end of a whole batch that is at most `target`, not before `start` (a batch boundary) and
    /// not after `end`; and, if that is not `end`, the base offset of the batch that begins there.
    pub(crate) fn boundary(
        self: &Arc<Self>,
        pool: &FilePool,
        start: u64,
        target: u64,
        end: u64,
    ) -> Result<(u64, Option<i64>), ScanError> {
        if target >= end {
            return Ok((end, None));
        }
        let indexed = self.with_offsets(|offsets| offsets.boundary_before(target))?;
        let mut boundary = start;
        let (mut scan, mut next) = match indexed.filter(|entry| u64::from(entry.position) > start) {
            Some(_) => self.scan_entry(pool, indexed, end)?,
            None => (self.scan(pool, start, end)?, None),
        };
        if next.is_none() {
            next = scan.next()?;
        }
        while let Some((position, header)) = next {
            let after = position + header.size() as u64;
            if after > target && position >= start {
                return Ok((position, Some(header.base_offset)));
            }
            boundary = boundary.max(after);
            next = scan.next()?;
        }
        Ok((boundary, None))
    }

    /// The batches before `end` that may hold a record of at least `timestamp`.
    pub(crate) fn scan_time(
        self: &Arc<Self>,
        pool: &FilePool,
        timestamp: i64,
        end: u64,
    ) -> Result<Option<HeaderScan>, ScanError> {
        self.check_times(pool)?;
        let (start, witnesses) = match self.with_view(|view| view.search_time(timestamp))? {
            TimeSearch::Absent => return Ok(None),
            TimeSearch::From { start, witnesses } => (start, witnesses),
        };
        for witness in witnesses.into_iter().flatten() {
            if !self.bears_out(pool, witness, end)? {
                self.distrust(pool)?;
                return Ok(Some(self.scan(pool, 0, end)?));
            }
        }
        let (_, first) = self.scan_entry(pool, start, end)?;
        let position = first.map_or(end, |(position, _)| position);
        Ok(Some(self.scan(pool, position, end)?))
    }

    /// The greatest timestamp of the batches from `start` (0 or a batch boundary) up to `end`.
    pub(crate) fn max_timestamp(
        self: &Arc<Self>,
        pool: &FilePool,
        start: u64,
        end: u64,
    ) -> Result<i64, ScanError> {
        self.check_times(pool)?;
        let (mut greatest, position) = match start {
            0 => self.with_view(|view| match end == self.size() {
                true => Ok((view.max_timestamp, end as u32)),
                false => view.max_timestamp_before(end),
            })?,
            _ => (-1, start as u32),
        };
        let mut scan = self.scan(pool, u64::from(position), end)?;
        while let Some((_, header)) = scan.next()? {
            greatest = greatest.max(header.max_timestamp);
        }
        Ok(greatest)
    }
}

/// Index files that were written but not synced.
#[derive(Debug)]
pub(crate) struct WrittenIndex {
    pub(crate) files: [Arc<File>; 2],
    /// Entries in each.
    pub(crate) lens: (usize, usize),
}

/// Walks over the headers of batches. Reads headers only where batches are large, and a few kilobytes at a time where
/// that saves system calls.
#[derive(Debug)]
pub(crate) struct HeaderScan {
    file: Arc<File>,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
    /// Bytes to read at a time, judged by the batch before; the first batch is not known yet.
    stride: usize,
}

impl HeaderScan {
    pub(crate) fn new(file: Arc<File>, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
            window: Vec::new(),
            window_start: position,
            stride: HEADER_BYTES,
        }
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The next batch's position and header; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let corrupt = |source| ScanError::Corrupt { position, source };
        let left = self.end - position;
        if left < HEADER_BYTES as u64 {
            return Err(corrupt(BatchError::Truncated {
                needed: HEADER_BYTES,
                have: left as usize,
            }));
        }
        let header = BatchHeader::parse(self.header_bytes()?).map_err(corrupt)?;
        header.check_stored().map_err(corrupt)?;
        if header.size() as u64 > left {
            return Err(corrupt(BatchError::Truncated {
                needed: header.size(),
                have: left as usize,
            }));
        }
        self.position += header.size() as u64;
        self.stride = if header.size() < LARGE_BATCH_BYTES {
            SCAN_WINDOW_BYTES
        } else {
            HEADER_BYTES
        };
        Ok(Some((position, header)))
    }

    /// Bytes of the file that it holds.
    #[cfg(test)]
    pub(crate) fn read_ahead_bytes(&self) -> usize {
        self.window.len()
    }

    fn header_bytes(&mut self) -> io::Result<&[u8]> {
        let offset = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        if offset.saturating_add(HEADER_BYTES) <= self.window.len() {
            return Ok(&self.window[offset..offset + HEADER_BYTES]);
        }
        let take = (self.end - self.position).min(self.stride as u64) as usize;
        self.window.resize(take, 0);
        self.window_start = self.position;
        self.file.read_exact_at(&mut self.window, self.position)?;
        Ok(&self.window[..HEADER_BYTES])
    }
}
