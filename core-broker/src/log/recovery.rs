//! Opening a partition: what of its files is intact, and where it ends.
//!
//! Everything before the recovery point was synced together with its indexes and a snapshot of the
//! producers, so that only headers from the last index entry on are looked at. What comes after is
//! checked batch by batch with its CRC; at the first that is not intact the log ends, and the rest is cut
//! off. It cannot have been acknowledged, unless the disk lost what it had promised to keep: then the cut
//! would reach below the recovery point, and opening fails instead.
//!
//! Does not own: making durable what was found. The caller does that for all partitions at once before
//! anyone may see them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Advice;

use super::batch::{BatchError, BatchHeader, CRC_FROM, EndMarker, HEADER_BYTES, RecordBatch};
use super::config::{LogConfig, LogOptions};
use super::durable::{self, TEMPORARY_SUFFIX};
use super::error::OpenError;
use super::gaps;
use super::index::{Entry, OffsetEntry, ResidentIndex, TimeEntry};
use super::partition::Recovered;
use super::producer_state::ProducerStates;
use super::segment::{EXTENSIONS, Segment, file_name, parse_file_name};
use super::swap;

const BUFFER_BYTES: usize = 256 << 10;
/// A file of [`super::producer_state`]'s greatest number of producers is a tenth of this.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
/// Entries of a 2 GiB segment with a batch in every entry.
const INDEX_BYTES_MAX: u64 = 1 << 30;
/// A control batch holds one record of a few bytes; nothing larger is read as a whole.
const CONTROL_BATCH_BYTES_MAX: usize = 4 << 10;
/// Files that Kafka or an interrupted change leaves behind.
const LEFTOVERS: [&str; 4] = [TEMPORARY_SUFFIX, ".deleted", ".cleaned", ".swap"];

/// What the checkpoints say about a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpointed {
    pub(crate) recovery_point: Option<i64>,
    pub(crate) log_start: Option<i64>,
    pub(crate) cleaned_to: Option<i64>,
}

/// Recovers the partition in `folder`.
pub(crate) fn recover(
    folder: &Arc<Path>,
    config: &LogConfig,
    options: &LogOptions,
    checkpointed: Checkpointed,
) -> Result<Recovered, OpenError> {
    swap::finish(folder, &*options.disk)?;
    Recovery {
        folder: folder.clone(),
        interval_bytes: config.index_interval_bytes,
        now_ms: options.clock.now().0,
        producers: ProducerStates::default(),
        producers_from: 0,
        folder_dirty: false,
        gaps_before: gaps::read(folder)?,
    }
    .run(checkpointed)
}

struct Recovery {
    folder: Arc<Path>,
    interval_bytes: u32,
    now_ms: i64,
    producers: ProducerStates,
    /// Batches from this offset on are not part of the producers' state yet.
    producers_from: i64,
    folder_dirty: bool,
    /// Before it, compaction may have left gaps between segments.
    gaps_before: i64,
}

/// A segment that was looked at up to its end or the first batch that is not intact.
struct Scanned {
    index: ResidentIndex,
    /// Entries in the index files.
    index_written: (usize, usize),
    size: u64,
    next_offset: i64,
    first_timestamp: Option<i64>,
    torn: Option<BatchError>,
}

impl Recovery {
    fn run(mut self, checkpointed: Checkpointed) -> Result<Recovered, OpenError> {
        let mut files = self.list()?;
        self.remove_before(&mut files.segments, checkpointed.log_start)?;
        let Some(&first) = files.segments.first() else {
            return self.begin(checkpointed, files.snapshots);
        };
        let recovery_point = checkpointed.recovery_point.unwrap_or(first).max(first);
        let log_start = checkpointed.log_start.unwrap_or(first).max(first);
        let snapshots = self.load_producers(files.snapshots, first, recovery_point)?;
        let trusted = files.segments.partition_point(|base| *base <= recovery_point) - 1;
        let mut segments = Vec::with_capacity(files.segments.len());
        for pair in files.segments[..=trusted].windows(2) {
            segments.push(self.trust(pair[0], pair[1])?);
        }
        let (last, scanned) = self.scan_rest(&files.segments[trusted..], recovery_point, &mut segments)?;
        segments.push(Segment::resident(&self.folder, last, scanned.size, scanned.index));
        // By number only: for how long they are kept may have been altered, which is known once the directory is open.
        self.producers.expire(self.now_ms, i64::MAX);
        self.producers.forget_aborted_before(log_start);
        if log_start > scanned.next_offset {
            return self.begin_again(&segments, log_start, snapshots);
        }
        Ok(Recovered {
            segments,
            log_start,
            log_end: scanned.next_offset,
            recovery_point,
            producers: self.producers,
            first_timestamp: scanned.first_timestamp,
            snapshots,
            index_written: scanned.index_written,
            // A segment begun a moment before the crash may not be in the folder on the disk yet.
            folder_dirty: self.folder_dirty || last >= recovery_point,
            gaps_before: self.gaps_before,
        })
    }

    /// Segments that end at or before the log start: their removal was cut short, or brought back by the rest of an
    /// interrupted compaction.
    fn remove_before(&mut self, segments: &mut Vec<i64>, log_start: Option<i64>) -> Result<(), OpenError> {
        let begun = segments.partition_point(|base| log_start.is_some_and(|start| *base <= start));
        for base in segments.drain(..begun.saturating_sub(1)) {
            self.remove_segment(base)?;
            self.folder_dirty = true;
        }
        Ok(())
    }

    /// A partition without segments: new, or its creation was cut short.
    fn begin(self, checkpointed: Checkpointed, snapshots: Vec<i64>) -> Result<Recovered, OpenError> {
        let base = checkpointed.log_start.unwrap_or(0);
        if let Some(lost) = checkpointed.recovery_point.filter(|point| *point > base) {
            return Err(OpenError::Corrupt {
                file: self.folder.to_path_buf(),
                position: 0,
                reason: format!(
                    "it has no segments although records up to offset {lost} were on disk; restore its files, or \
                     remove the folder to accept the loss"
                ),
            });
        }
        self.remove_snapshots(&snapshots)?;
        let segment = Segment::create(&self.folder, base).map_err(OpenError::io(&*self.folder))?;
        Ok(Recovered::new(segment))
    }

    /// The log ends before its start, which was made durable later than the records were lost: nothing
    /// before the start is wanted any more.
    fn begin_again(
        self,
        segments: &[Arc<Segment>],
        log_start: i64,
        snapshots: Vec<i64>,
    ) -> Result<Recovered, OpenError> {
        for segment in segments {
            self.remove_segment(segment.base_offset())?;
        }
        self.remove_snapshots(&snapshots)?;
        let segment = Segment::create(&self.folder, log_start).map_err(OpenError::io(&*self.folder))?;
        durable::sync_dir(&self.folder).map_err(OpenError::io(&*self.folder))?;
        let mut recovered = Recovered::new(segment);
        recovered.producers = self.producers;
        recovered.gaps_before = self.gaps_before;
        recovered.producers.forget_before(log_start);
        Ok(recovered)
    }

    fn path(&self, base: i64, extension: &str) -> PathBuf {
        self.folder.join(file_name(base, extension))
    }

    fn list(&self) -> Result<Listing, OpenError> {
        let folder_error = || OpenError::io(&*self.folder);
        let mut files = Listing::default();
        let mut indexes = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(folder_error())? {
            let entry = entry.map_err(folder_error())?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if LEFTOVERS.iter().any(|suffix| name.ends_with(suffix)) {
                fs::remove_file(entry.path()).map_err(OpenError::io(entry.path()))?;
            } else if let Some(base) = parse_file_name(&name, "log") {
                files.segments.push(base);
            } else if let Some(offset) = parse_file_name(&name, "snapshot") {
                files.snapshots.push(offset);
            } else if let Some(base) = EXTENSIONS.iter().find_map(|e| parse_file_name(&name, e)) {
                indexes.push((base, entry.path()));
            } else if name != gaps::FILE {
                tracing::warn!(file = %entry.path().display(), "ignoring an unknown file");
            }
        }
        files.segments.sort_unstable();
        files.snapshots.sort_unstable();
        for (base, path) in indexes {
            if files.segments.binary_search(&base).is_err() {
                durable::remove_if_there(&path).map_err(OpenError::io(path))?;
            }
        }
        Ok(files)
    }

    /// Takes the newest intact snapshot; those after the recovery point are of no use.
    fn load_producers(
        &mut self,
        mut snapshots: Vec<i64>,
        first: i64,
        point: i64,
    ) -> Result<Vec<i64>, OpenError> {
        let usable = snapshots.partition_point(|offset| *offset <= point);
        self.remove_snapshots(&snapshots.split_off(usable))?;
        self.producers_from = first;
        while let Some(&offset) = snapshots.last() {
            let path = self.path(offset, "snapshot");
            let bytes = match durable::read_if_there(&path, SNAPSHOT_BYTES_MAX) {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
                read => read.map_err(OpenError::io(&path))?,
            };
            if let Some(producers) = bytes.as_deref().and_then(ProducerStates::decode) {
                self.producers = producers;
                self.producers_from = offset;
                break;
            }
            tracing::warn!(file = %path.display(), "snapshot of the producers is damaged, too large or of another version; rebuilding from the log");
            self.remove_snapshots(&[offset])?;
            snapshots.pop();
        }
        Ok(snapshots)
    }

    fn remove_snapshots(&self, offsets: &[i64]) -> Result<(), OpenError> {
        for &offset in offsets {
            let path = self.path(offset, "snapshot");
            durable::remove_if_there(&path).map_err(OpenError::io(path))?;
        }
        Ok(())
    }

    fn remove_segment(&self, base: i64) -> Result<(), OpenError> {
        for extension in EXTENSIONS.iter().rev() {
            let path = self.path(base, extension);
            durable::remove_if_there(&path).map_err(OpenError::io(path))?;
        }
        Ok(())
    }

    /// A closed segment before the recovery point. Only what is missing is rebuilt.
    fn trust(&mut self, base: i64, next: i64) -> Result<Arc<Segment>, OpenError> {
        let path = self.path(base, "log");
        let size = fs::metadata(&path).map_err(OpenError::io(&path))?.len();
        let whole = |extension, entry_bytes: usize| {
            fs::metadata(self.path(base, extension)).is_ok_and(|meta| meta.len() % entry_bytes as u64 == 0)
        };
        let indexed = whole("index", OffsetEntry::BYTES) && whole("timeindex", TimeEntry::BYTES);
        if indexed && self.producers_from >= next {
            return Ok(Segment::closed(&self.folder, base, size));
        }
        let scanned = self.scan(base, i64::MAX, ResidentIndex::new(base))?;
        match &scanned.torn {
            Some(torn) => Err(damaged(path, scanned.size, torn)),
            None => self.close(base, scanned),
        }
    }

    /// Looks at all segments from the one with the recovery point on. Gives the last, which will be
    /// written; those before it go to `segments`.
    fn scan_rest(
        &mut self,
        bases: &[i64],
        recovery_point: i64,
        segments: &mut Vec<Arc<Segment>>,
    ) -> Result<(i64, Scanned), OpenError> {
        let mut base = bases[0];
        let index = self.load_index(base, recovery_point)?;
        let mut scanned = self.scan(base, recovery_point, index)?;
        if scanned.next_offset < recovery_point {
            let torn = scanned.torn.unwrap_or(BatchError::Truncated {
                needed: HEADER_BYTES,
                have: 0,
            });
            return Err(damaged(self.path(base, "log"), scanned.size, &torn));
        }
        for (place, &next) in bases.iter().enumerate().skip(1) {
            // A gap means that the end of the segment before was lost, although this one was not, unless
            // compaction made it.
            let gap = next != scanned.next_offset && next > self.gaps_before;
            if scanned.torn.is_some() || next < scanned.next_offset || gap {
                self.cut(&bases[place..])?;
                break;
            }
            segments.push(self.close(base, scanned)?);
            base = next;
            scanned = self.scan(base, recovery_point, ResidentIndex::new(base))?;
        }
        if let Some(torn) = &scanned.torn {
            let path = self.path(base, "log");
            tracing::warn!(file = %path.display(), size = scanned.size, reason = %torn, "cutting off a torn end");
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(OpenError::io(&path))?;
            file.set_len(scanned.size).map_err(OpenError::io(&path))?;
        }
        Ok((base, scanned))
    }

    fn cut(&mut self, bases: &[i64]) -> Result<(), OpenError> {
        for &base in bases {
            tracing::warn!(file = %self.path(base, "log").display(), "removing a segment after a torn one");
            self.remove_segment(base)?;
        }
        // They must not come back when the log has grown up to them again.
        durable::sync_dir(&self.folder).map_err(OpenError::io(&*self.folder))
    }

    /// Makes a closed segment of a scanned one, with everything on disk. Without room for its indexes they stay in
    /// memory, and the next start makes them again.
    fn close(&mut self, base: i64, mut scanned: Scanned) -> Result<Arc<Segment>, OpenError> {
        let path = self.path(base, "log");
        scanned.index.finish();
        let segment = Segment::resident(&self.folder, base, scanned.size, scanned.index);
        let written = segment.write_index((0, 0));
        let indexed = written.is_ok();
        match written {
            Ok(written) => {
                for file in written.iter().flat_map(|w| &w.files) {
                    file.sync_data().map_err(OpenError::io(segment.path("index")))?;
                }
            }
            Err(error) => {
                tracing::warn!(file = %segment.path("index").display(), %error, "cannot write indexes; they stay in memory");
                for extension in ["index", "timeindex"] {
                    let half = segment.path(extension);
                    durable::remove_if_there(&half).map_err(OpenError::io(half))?;
                }
            }
        }
        File::open(&path)
            .and_then(|file| file.sync_data())
            .map_err(OpenError::io(&path))?;
        segment.give_back_room();
        if indexed {
            segment.release_index();
        }
        self.folder_dirty = true;
        Ok(segment)
    }

    /// What the index files know of the segment up to the recovery point.
    fn load_index(&self, base: i64, recovery_point: i64) -> Result<ResidentIndex, OpenError> {
        let read = |extension| {
            let path = self.path(base, extension);
            durable::read_if_there(&path, INDEX_BYTES_MAX)
                .map(Option::unwrap_or_default)
                .map_err(OpenError::io(path))
        };
        let log = self.path(base, "log");
        let size = fs::metadata(&log).map_err(OpenError::io(&log))?.len();
        let index =
            ResidentIndex::from_files(base, &read("index")?, &read("timeindex")?, recovery_point, size);
        // If the producers' state is older than the last entry, batches before it are needed as well.
        if index.last_offset().is_some_and(|last| self.producers_from > last) {
            return Ok(index);
        }
        Ok(ResidentIndex::new(base))
    }

    /// Walks over the batches of a segment from where the index ends. Those that end before `trusted_end`
    /// are believed; others must have the right CRC.
    fn scan(&mut self, base: i64, trusted_end: i64, mut index: ResidentIndex) -> Result<Scanned, OpenError> {
        let path = self.path(base, "log");
        let io_error = || OpenError::io(&path);
        let file = File::open(&path).map_err(io_error())?;
        let size = file.metadata().map_err(io_error())?.len();
        let index_written = index.lens();
        let indexed = index.last_offset();
        let mut position = u64::from(index.scan_from());
        let mut next_offset = base;
        if size > position {
            // What a failed write-back left in memory alone must not be taken for stored: read what the disk has. Records that
            // are still to be written stay.
            let dropped = rustix::fs::fadvise(&file, position, None, Advice::DontNeed);
            dropped.map_err(|error| OpenError::io(&path)(error.into()))?;
        }
        let first_timestamp = first_timestamp(&file, size).map_err(io_error())?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES.min(size as usize + 1), file);
        reader.seek(SeekFrom::Start(position)).map_err(io_error())?;
        let mut torn = None;
        while position < size {
            let next =
                next_batch(&mut reader, size - position, next_offset, trusted_end).map_err(io_error())?;
            let next = next.and_then(|next| check_reach(base, position, &next.0).map(|()| next));
            let first = next_offset == base;
            let fits = |(header, _): &Stored| indexed.is_none_or(|last| last == header.last_offset());
            match next {
                _ if first && indexed.is_some() && !next.as_ref().is_ok_and(fits) => {
                    tracing::warn!(file = %path.display(), "index does not belong to the segment; rebuilding it");
                    return self.scan(base, trusted_end, ResidentIndex::new(base));
                }
                Err(reason) => {
                    torn = Some(reason);
                    break;
                }
                Ok((header, marker)) => {
                    index.on_batch(position as u32, &header, self.interval_bytes);
                    if header.base_offset >= self.producers_from {
                        self.producers.update(&header, marker, self.now_ms);
                    }
                    position += header.size() as u64;
                    next_offset = header.next_offset();
                }
            }
        }
        Ok(Scanned {
            index,
            index_written,
            size: position,
            next_offset,
            first_timestamp: first_timestamp.filter(|_| position > 0),
            torn,
        })
    }
}

/// The indexes must be able to address the batch.
fn check_reach(base: i64, position: u64, header: &BatchHeader) -> Result<(), BatchError> {
    if header.last_offset() - base <= i64::from(i32::MAX) && position <= u64::from(u32::MAX) {
        return Ok(());
    }
    Err(BatchError::Field {
        field: "base offset",
        value: header.base_offset,
        expected: "within reach of the segment's base offset",
    })
}

/// The greatest timestamp of the first batch.
fn first_timestamp(file: &File, size: u64) -> io::Result<Option<i64>> {
    if size < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut head = [0; HEADER_BYTES];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut head, 0)?;
    Ok(BatchHeader::parse(&head).ok().map(|header| header.max_timestamp))
}

#[derive(Default)]
struct Listing {
    segments: Vec<i64>,
    snapshots: Vec<i64>,
}

fn damaged(file: PathBuf, position: u64, reason: &BatchError) -> OpenError {
    OpenError::Corrupt {
        file,
        position,
        reason: format!(
            "{reason}; this was safely on disk before, so records that were acknowledged are lost; restore the file, \
             or remove the partition's line from the file recovery-point-offset-checkpoint (and lower its count) to go \
             on with what is intact"
        ),
    }
}

/// A batch's header, and the transaction that it ends if it does.
type Stored = (BatchHeader, Option<EndMarker>);

/// Reads one batch at the reader's place, `left` bytes before the end of the file.
fn next_batch(
    reader: &mut BufReader<File>,
    left: u64,
    offset_min: i64,
    trusted_end: i64,
) -> io::Result<Result<Stored, BatchError>> {
    let truncated = |needed| BatchError::Truncated {
        needed,
        have: left as usize,
    };
    if left < HEADER_BYTES as u64 {
        return Ok(Err(truncated(HEADER_BYTES)));
    }
    let mut head = [0; HEADER_BYTES];
    reader.read_exact(&mut head)?;
    let header = match BatchHeader::parse(&head).and_then(|header| header.check_stored().map(|()| header)) {
        Ok(header) => header,
        Err(reason) => return Ok(Err(reason)),
    };
    if header.size() as u64 > left {
        return Ok(Err(truncated(header.size())));
    }
    if header.base_offset < offset_min {
        return Ok(Err(BatchError::Field {
            field: "base offset",
            value: header.base_offset,
            expected: "beyond the batch before",
        }));
    }
    let mut body = header.size() - HEADER_BYTES;
    if header.is_control() && header.size() <= CONTROL_BATCH_BYTES_MAX {
        return control_batch(reader, &head, &header);
    }
    if header.next_offset() <= trusted_end {
        reader.seek_relative(body as i64)?;
        return Ok(Ok((header, None)));
    }
    let mut crc = crc32c::crc32c(&head[CRC_FROM..]);
    while body > 0 {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let take = buffer.len().min(body);
        crc = crc32c::crc32c_append(crc, &buffer[..take]);
        reader.consume(take);
        body -= take;
    }
    if crc != header.crc {
        return Ok(Err(BatchError::Crc {
            stored: header.crc,
            computed: crc,
        }));
    }
    Ok(Ok((header, None)))
}

/// The rest of a control batch, which says how a transaction ended.
fn control_batch(
    reader: &mut BufReader<File>,
    head: &[u8; HEADER_BYTES],
    header: &BatchHeader,
) -> io::Result<Result<Stored, BatchError>> {
    let mut bytes = head.to_vec();
    bytes.resize(header.size(), 0);
    reader.read_exact(&mut bytes[HEADER_BYTES..])?;
    let marker = RecordBatch::parse(&bytes).and_then(|batch| {
        batch.verify_crc()?;
        batch.end_marker()
    });
    Ok(marker.map(|marker| (*header, marker)))
}
