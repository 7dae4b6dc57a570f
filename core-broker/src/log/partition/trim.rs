//! Deletion from the front of the log.
//!
//! Invariants: only segments that end at or before a durable log start are removed, and none that recovery would begin
//! in; who has a file open goes on reading it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Partition;
use crate::ids::Offset;
use crate::log::durable;
use crate::log::error::{LogError, TrimError};
use crate::log::graveyard::DELETED_SUFFIX;
use crate::log::lock::{lock, read, write};
use crate::log::segment::{EXTENSIONS, ScanError, Segment, file_name};

/// From this size on, a segment that is being written but holds only deleted records is closed, so that it can go.
const ROLL_BYTES_MIN: u64 = 1 << 20;

/// A segment as retention sees it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) segment: Arc<Segment>,
    /// Base offset of the next one; nothing for the one being written.
    pub(crate) next: Option<i64>,
}

impl Partition {
    /// The offset that the log may begin at, if a client may delete the records before `offset`.
    pub(crate) fn check_trim(&self, offset: Offset) -> Result<Offset, TrimError> {
        self.check_writable()?;
        if !self.config().delete {
            return Err(TrimError::Policy {
                partition: self.topic_partition.clone(),
            });
        }
        let high_watermark = self.high_watermark();
        match offset.0 {
            -1 => Ok(high_watermark),
            to if (0..=high_watermark.0).contains(&to) => Ok(offset),
            _ => Err(TrimError::OutOfRange {
                partition: self.topic_partition.clone(),
                offset,
                log_start: self.log_start_offset(),
                high_watermark,
            }),
        }
    }

    /// What the checkpoint is to say.
    pub(crate) fn intended_log_start(&self) -> i64 {
        self.log_start_intended.load(Ordering::Acquire)
    }

    pub(crate) fn intend_log_start(&self, to: i64) {
        self.log_start_intended.fetch_max(to, Ordering::AcqRel);
    }

    /// The checkpoint could not be written.
    pub(crate) fn forget_intended_log_start(&self) {
        self.log_start_intended
            .store(self.log_start.load(Ordering::Acquire), Ordering::Release);
    }

    /// What was intended is on the disk.
    pub(crate) fn publish_log_start(&self) {
        let to = self.intended_log_start();
        self.log_start.fetch_max(to, Ordering::AcqRel);
        if self.has_aborted() {
            let mut writer = lock(&self.writer);
            writer.producers.forget_aborted_before(to);
            self.publish_transactions(&writer.producers);
        }
        // Consumers of committed records may wait for what an open transaction held back.
        self.wake();
    }

    /// The greatest timestamp of a segment, −1 without any.
    pub(crate) fn greatest_timestamp(&self, segment: &Arc<Segment>) -> io::Result<i64> {
        let found = segment.greatest_timestamp(&self.shared.pool);
        found.map_err(|error| match error {
            ScanError::Io(error) => error,
            ScanError::Corrupt { position, source } => io::Error::other(format!(
                "{}, position {position}: {source}",
                segment.path("log").display()
            )),
        })
    }

    /// All segments in order.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let segments = read(&self.segments);
        let next = |place: usize| segments.get(place + 1).map(|s| s.base_offset());
        segments
            .iter()
            .enumerate()
            .map(|(place, segment)| Span {
                segment: segment.clone(),
                next: next(place),
            })
            .collect()
    }

    /// Closes the segment being written if it holds only deleted records and its room matters.
    pub(crate) fn roll_if_worth_it(&self, log_start: i64) {
        let size = read(&self.segments).last().map_or(0, |s| s.size());
        if size >= ROLL_BYTES_MIN || size > 0 && self.shared.space.is_short() {
            self.roll_at(log_start);
        }
    }

    /// Closes the segment being written if the log ends at `end`, and all of it is visible.
    pub(crate) fn roll_at(&self, end: i64) -> bool {
        let mut writer = lock(&self.writer);
        let whole = writer.end.offset == end && self.high_watermark().0 == end && writer.end.position > 0;
        if !whole || self.check_writable().is_err() {
            return false;
        }
        if let Err(error) = self.roll(&mut writer, self.shared.options.clock.now()) {
            tracing::warn!(partition = %self.topic_partition, %error, "cannot begin a new segment; trying again later");
            return false;
        }
        true
    }

    /// Removes the segments before the log start, as far as recovery does not need them, and tells how many.
    pub(crate) fn sweep(&self) -> usize {
        let mut snapshots = lock(&self.files);
        if self.check_writable().is_err() {
            return 0;
        }
        let log_start = self.log_start_offset().0;
        let visible = read(&self.visible).segment;
        let passed = |offset: i64| {
            let segments = read(&self.segments);
            let bases = segments.iter().skip(1).map(|s| s.base_offset());
            bases.take_while(|base| *base <= offset).count()
        };
        let count = passed(log_start.min(visible).min(self.recovery_point()));
        if count < passed(log_start) {
            // Their indexes are not on disk yet.
            self.shared.sweep_due.store(true, Ordering::Release);
            self.enqueue();
        }
        if count == 0 {
            return 0;
        }
        let removed: Vec<_> = {
            let mut writer = lock(&self.writer);
            let mut segments = write(&self.segments);
            let first = segments[count].base_offset();
            // Nothing of them is to be written any more.
            writer
                .rolled
                .retain(|rolled| rolled.segment.base_offset() >= first);
            // Before their names are gone, so that readers who miss one look again.
            segments[..count].iter().for_each(|s| s.mark_replaced());
            segments.drain(..count).collect()
        };
        for segment in &removed {
            self.bury(segment);
        }
        self.drop_snapshots(&mut snapshots);
        removed.len()
    }

    fn bury(&self, segment: &Segment) {
        segment.close_file();
        let delay_ms = match self.shared.space.is_short() {
            true => 0,
            false => self.config().file_delete_delay_ms,
        };
        let disk = &*self.shared.options.disk;
        for extension in EXTENSIONS {
            let path = segment.path(extension);
            let doomed = self
                .folder
                .join(file_name(segment.base_offset(), extension) + DELETED_SUFFIX);
            match disk.rename(&path, &doomed) {
                Ok(()) => self
                    .shared
                    .graveyard
                    .put(doomed, Duration::from_millis(delay_ms.unsigned_abs())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot remove a deleted segment; the next start does");
                }
            }
        }
    }

    /// Snapshots before the first segment are of no use, but for the newest that recovery could begin with.
    fn drop_snapshots(&self, snapshots: &mut Vec<i64>) {
        let first = read(&self.segments).first().map_or(0, |s| s.base_offset());
        let recovery_point = self.recovery_point();
        let usable = snapshots.partition_point(|offset| *offset <= recovery_point);
        let old = snapshots.partition_point(|offset| *offset < first);
        for offset in snapshots.drain(..old.min(usable.saturating_sub(1))) {
            let path = self.folder.join(file_name(offset, "snapshot"));
            if let Err(error) = durable::remove_if_there(&path).map_err(LogError::io(path)) {
                tracing::warn!(%error, "cannot remove an old snapshot");
            }
        }
    }
}
