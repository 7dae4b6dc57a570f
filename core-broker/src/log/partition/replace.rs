//! What compaction needs of a partition: which segments it may touch, and one put in the place of others.
//!
//! Invariants: only closed segments below the recovery point in the checkpoint file are replaced, so that recovery
//! never takes the gaps that compaction leaves for losses; readers that met a replaced segment while its files
//! changed look again.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Partition;
use crate::ids::Offset;
use crate::log::batch::{BatchHeader, RecordBatch};
use crate::log::config::Disk;
use crate::log::durable;
use crate::log::error::{LogError, ReadError};
use crate::log::gaps;
use crate::log::index::ResidentIndex;
use crate::log::lock::{lock, read, write};
use crate::log::producer_state::LastBatch;
use crate::log::segment::{EXTENSIONS, Segment};
use crate::log::swap::{Manifest, cleaned_path};
use crate::log::txn_index::AbortedTransaction;

const BUFFER_BYTES: usize = 256 << 10;
/// The files of a new segment.
const NEW: [&str; 3] = ["log", "index", "timeindex"];

/// A segment as far as it is visible.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    /// Base offset of the next one; the high watermark for the last.
    pub(crate) next_offset: i64,
    /// Where what is visible ends in its file.
    pub(crate) end: u64,
    /// It never changes any more, and recovery begins after it.
    pub(crate) closed: bool,
}

/// The log of a segment that will replace others, while it is written.
#[derive(Debug)]
pub(crate) struct CleanedSegment {
    base: i64,
    log: File,
    /// Opened with the log, so that it is the right folder even if the partition is deleted.
    folder: File,
    index: ResidentIndex,
    index_interval_bytes: u32,
    buffer: Vec<u8>,
    size: u64,
}

impl CleanedSegment {
    /// Adds a batch at the end.
    pub(crate) fn push(&mut self, header: &BatchHeader, bytes: &[u8], disk: &dyn Disk) -> io::Result<()> {
        self.index
            .on_batch(self.size as u32, header, self.index_interval_bytes);
        self.size += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush(disk)?;
        }
        Ok(())
    }

    fn flush(&mut self, disk: &dyn Disk) -> io::Result<()> {
        write_all(disk, &self.log, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Partition {
    /// Offset before which the log was compacted; the rest is dirty.
    pub(crate) fn cleaned_to(&self) -> i64 {
        self.cleaned_to.load(Ordering::Acquire)
    }

    /// Takes note that everything before `offset` was compacted.
    pub(crate) fn set_cleaned_to(&self, offset: i64) {
        self.cleaned_to.store(offset, Ordering::Release);
    }

    /// Whether compaction met something that it cannot read.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.set_aside.load(Ordering::Acquire)
    }

    /// Compaction leaves it alone until the next start.
    pub(crate) fn set_aside(&self) {
        self.set_aside.store(true, Ordering::Release);
    }

    /// All visible segments in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let visible = *read(&self.visible);
        let recovery_point = self.recovery_point();
        let segments = read(&self.segments);
        let shown = segments.partition_point(|s| s.base_offset() <= visible.segment);
        let mut parts: Vec<Part> = (0..shown)
            .map(|place| {
                let segment = segments[place].clone();
                let next = segments.get(place + 1).map(|s| s.base_offset());
                let last = segment.base_offset() == visible.segment;
                Part {
                    end: if last { visible.position } else { segment.size() },
                    closed: !last && next.is_some_and(|next| next <= recovery_point.min(visible.offset)),
                    next_offset: next.unwrap_or(visible.offset).min(visible.offset),
                    segment,
                }
            })
            .collect();
        // The last batch of all stays as it is: who reads up to it must find the end of the log.
        let last_full = parts.iter().rposition(|part| part.end > 0).unwrap_or(0);
        for part in &mut parts[last_full..] {
            part.closed = false;
        }
        parts
    }

    /// The last batches of all producers that are remembered.
    pub(crate) fn last_batches(&self) -> HashMap<i64, LastBatch> {
        lock(&self.writer).producers.last_batches()
    }

    /// Forgets aborted transactions that ended in `ended`, but for those with the markers of `kept`. Readers who were
    /// told of one whose marker is gone would take what its producer wrote later for aborted, too.
    pub(crate) fn forget_aborted(&self, ended: Range<i64>, kept: &[AbortedTransaction]) {
        let kept: HashSet<i64> = kept.iter().map(|aborted| aborted.last_offset).collect();
        let mut writer = lock(&self.writer);
        writer.producers.retain_aborted(|aborted| {
            !ended.contains(&aborted.last_offset) || kept.contains(&aborted.last_offset)
        });
        self.publish_transactions(&writer.producers);
    }

    /// Makes it durable that compaction may leave gaps between segments before `end`.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn allow_gaps_before(&self, end: i64) -> Result<(), LogError> {
        let _files = lock(&self.files);
        self.check_writable()?;
        if self.gaps_before.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        let path = self.folder.join(gaps::FILE);
        self.shared.replace_file(&path, &gaps::encode(end))?;
        self.gaps_before.store(end, Ordering::Release);
        Ok(())
    }

    /// Forgets aborted transactions whose markers compaction has removed, as the snapshot of the producers from before it
    /// still lists them after a crash.
    ///
    /// # Errors
    /// [`ReadError`], if the log cannot be read.
    pub(crate) fn forget_aborted_without_marker(&self) -> Result<(), ReadError> {
        // An interrupted pass has not come into the checkpoint.
        let swapped_to = self
            .gaps_before
            .load(Ordering::Acquire)
            .min(self.log_end_offset().0);
        let mut gone = HashSet::new();
        for aborted in self.aborted_transactions(Offset(0), Offset(swapped_to)) {
            if aborted.last_offset < swapped_to && !self.has_abort_marker(&aborted)? {
                gone.insert(aborted.last_offset);
            }
        }
        if !gone.is_empty() {
            let mut writer = lock(&self.writer);
            writer
                .producers
                .retain_aborted(|aborted| !gone.contains(&aborted.last_offset));
            self.publish_transactions(&writer.producers);
        }
        Ok(())
    }

    fn has_abort_marker(&self, aborted: &AbortedTransaction) -> Result<bool, ReadError> {
        let offset = Offset(aborted.last_offset);
        if offset < self.log_start_offset() {
            return Ok(false);
        }
        let bytes = self
            .read(offset, 0, Offset(i64::MAX), true)?
            .read()
            .map_err(LogError::io(&*self.folder))?;
        let Ok(batch) = RecordBatch::parse(&bytes) else {
            return Ok(false);
        };
        let header = batch.header();
        let same = header.last_offset() == offset.0 && header.producer_id == aborted.producer_id;
        Ok(same
            && batch
                .end_marker()
                .is_ok_and(|end| end.is_some_and(|end| !end.commit)))
    }

    /// Creates the log file of a segment that will replace others.
    pub(crate) fn create_cleaned(&self, base: i64) -> Result<CleanedSegment, LogError> {
        let path = cleaned_path(&self.folder, base, "log");
        let _files = lock(&self.files);
        self.check_writable()?;
        let folder = self.shared.options.disk.open_dir(&self.folder);
        let opened = folder.and_then(|folder| Ok((folder, create(&path)?)));
        let (folder, log) = opened.map_err(LogError::io(path))?;
        Ok(CleanedSegment {
            base,
            log,
            folder,
            index: ResidentIndex::new(base),
            index_interval_bytes: self.config().index_interval_bytes,
            buffer: Vec::new(),
            size: 0,
        })
    }

    /// Removes what was written of a segment that will not replace anything.
    pub(crate) fn discard_cleaned(&self, base: i64) {
        let _files = lock(&self.files);
        if self.check_writable().is_err() {
            return;
        }
        let cleaned = EXTENSIONS.map(|extension| cleaned_path(&self.folder, base, extension));
        for path in cleaned.iter().chain([&Manifest::temporary(&self.folder, base)]) {
            if let Err(error) = durable::remove_if_there(path) {
                tracing::warn!(file = %path.display(), %error, "cannot remove a leftover; the next start does");
            }
        }
    }

    /// Puts the new segment in the place of `old`, which are in a row. False, and nothing is changed, if they are
    /// not all there any more.
    pub(crate) fn replace(&self, old: &[Arc<Segment>], mut new: CleanedSegment) -> Result<bool, LogError> {
        let manifest = match self.prepare(old, &mut new) {
            Ok(manifest) if self.place_of(old).is_some() => manifest,
            other => {
                self.discard_cleaned(new.base);
                return other.map(|_| false).map_err(LogError::io(&*self.folder));
            }
        };
        // From here on, half a change must not stay: the next start finishes it.
        self.commit_swap(old, &new, &manifest).inspect_err(|error| {
            if !self.is_deleted() && self.shared.check().is_ok() {
                self.shared.fail(&format!("compaction was interrupted: {error}"));
            }
        })
    }

    /// Everything that can be taken back: the files are on disk, under names that mean nothing.
    fn prepare(&self, old: &[Arc<Segment>], new: &mut CleanedSegment) -> io::Result<Manifest> {
        let disk = &*self.shared.options.disk;
        new.flush(disk)?;
        disk.sync_data(&new.log)?;
        new.index.finish();
        let (offsets, times) = new.index.encode_from((0, 0));
        let manifest = Manifest {
            base: new.base,
            extensions: NEW.to_vec(),
            replaced: old[1..].iter().map(|s| s.base_offset()).collect(),
        };
        for (extension, bytes) in [("index", offsets), ("timeindex", times)] {
            self.write_synced(&cleaned_path(&self.folder, new.base, extension), &bytes)?;
        }
        let temporary = Manifest::temporary(&self.folder, new.base);
        self.write_synced(&temporary, manifest.encode().as_bytes())?;
        disk.sync_dir(&new.folder)?;
        Ok(manifest)
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let disk = &*self.shared.options.disk;
        let file = {
            let _files = lock(&self.files);
            self.check_writable().map_err(io::Error::other)?;
            create(path)?
        };
        write_all(disk, &file, bytes)?;
        disk.sync_data(&file)
    }

    /// Where the segments are in the list, if they are all there.
    fn place_of(&self, old: &[Arc<Segment>]) -> Option<usize> {
        let segments = read(&self.segments);
        let base = old[0].base_offset();
        let place = segments.binary_search_by_key(&base, |s| s.base_offset()).ok()?;
        let there = segments.get(place..place + old.len())?;
        there
            .iter()
            .zip(old)
            .all(|(a, b)| Arc::ptr_eq(a, b))
            .then_some(place)
    }

    fn commit_swap(
        &self,
        old: &[Arc<Segment>],
        new: &CleanedSegment,
        manifest: &Manifest,
    ) -> Result<bool, LogError> {
        let disk = &*self.shared.options.disk;
        let path = Manifest::path(&self.folder, new.base);
        let temporary = Manifest::temporary(&self.folder, new.base);
        // No lock is held while the folder is synced; after each, the partition may be gone.
        let step = |change: &dyn Fn() -> io::Result<()>| {
            {
                let _files = lock(&self.files);
                self.check_writable()?;
                change().map_err(LogError::io(&path))?;
            }
            disk.sync_dir(&new.folder).map_err(LogError::io(&path))
        };
        step(&|| disk.rename(&temporary, &path))?;
        let replaced = std::cell::Cell::new(false);
        step(&|| {
            if let Some(place) = self.place_of(old) {
                self.install(place, old, new, manifest)?;
                replaced.set(true);
            }
            Ok(())
        })?;
        step(&|| disk.remove_file(&path))?;
        if !replaced.get() {
            self.discard_cleaned(new.base);
        }
        Ok(replaced.get())
    }

    /// The files change under the lock of `files`; readers notice by the mark.
    fn install(
        &self,
        place: usize,
        old: &[Arc<Segment>],
        new: &CleanedSegment,
        manifest: &Manifest,
    ) -> io::Result<()> {
        old.iter().for_each(|segment| segment.mark_replaced());
        manifest.apply(&self.folder, &*self.shared.options.disk)?;
        let segment = Segment::closed(&self.folder, new.base, new.size);
        let _writer = lock(&self.writer);
        write(&self.segments).splice(place..place + old.len(), [segment]);
        Ok(())
    }

    /// Whether the segment's files are those of another by now; returns when that one is in the list.
    pub(super) fn was_replaced(&self, segment: &Segment) -> Result<bool, LogError> {
        let replaced = segment.is_replaced();
        if replaced {
            drop(lock(&self.files));
            // A swap that stopped half way leaves the old one in the list.
            self.shared.check_not_failed()?;
        }
        Ok(replaced)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

fn write_all(disk: &dyn Disk, file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.append(file, &[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
