//! The partition's half of group commit: what is to be synced, and what follows from it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LogPosition, Partition, Rolled};
use crate::log::config::FlushMode;
use crate::log::durable;
use crate::log::lock::lock;
use crate::log::segment::{Segment, file_name};
use crate::log::space::is_full;
use crate::log::sync_pool::Order;

/// Snapshots kept before the recovery point, in case the newest is damaged.
const OLD_SNAPSHOTS: usize = 1;

/// Files of one partition that must be synced, and what may be done then.
#[derive(Debug)]
pub(crate) struct SyncWork {
    partition: Arc<Partition>,
    pub(crate) order: Order,
    end: LogPosition,
    closed: Vec<Arc<Segment>>,
    recovery_point: Option<i64>,
    index_written: Option<(Arc<Segment>, (usize, usize))>,
    /// A data file is among the files.
    advances: bool,
}

impl Partition {
    /// Whether a checkpoint would find anything to do.
    pub(crate) fn needs_checkpoint(&self) -> bool {
        self.recovery_point() < self.log_end_offset().0
    }

    /// Collects what is not durable. With `checkpoint`, also indexes and producers, so that recovery can
    /// begin at the end; and the data even of logs that leave flushing to the operating system.
    /// Nothing if there is nothing to do.
    pub(crate) fn begin_sync(self: &Arc<Self>, checkpoint: bool) -> Option<SyncWork> {
        self.queued.store(false, Ordering::Release);
        let mut snapshots = lock(&self.files);
        if self.check_not_deleted().is_err() {
            return None;
        }
        let mut writer = lock(&self.writer);
        // First of all: as long as nothing was taken out, running out of descriptors loses nothing.
        let folder = match checkpoint || writer.folder_dirty || !writer.rolled.is_empty() {
            true => Some(self.open_folder()?),
            false => None,
        };
        let mut work = SyncWork {
            partition: self.clone(),
            order: Order::default(),
            end: writer.end,
            closed: Vec::new(),
            recovery_point: None,
            index_written: None,
            advances: false,
        };
        let rolled = std::mem::take(&mut writer.rolled);
        work.order
            .files
            .extend(rolled.iter().filter_map(|r| r.file.clone()));
        // Under FlushMode::Os all is visible at once, unless the mode was changed a moment ago.
        let waited_for =
            || self.config().flush == FlushMode::Sync || self.high_watermark().0 < writer.end.offset;
        if writer.synced < writer.end.offset && (checkpoint || waited_for()) {
            work.order.files.extend(writer.file.clone());
            work.advances = true;
        }
        let folder_dirty = std::mem::take(&mut writer.folder_dirty);
        let index_written = writer.index_written;
        let active = writer.active.clone();
        let snapshot = checkpoint.then(|| writer.producers.encode());
        drop(writer);

        let written = (|| {
            for closed in &rolled {
                self.write_closed(closed, &mut work, &mut snapshots)?;
            }
            if let Some(snapshot) = &snapshot {
                if let Some(index) = active.write_index(index_written)? {
                    work.order.files.extend(index.files);
                    work.index_written = Some((active.clone(), index.lens));
                }
                work.order
                    .files
                    .push(self.write_snapshot(work.end.offset, snapshot, &mut snapshots)?);
                work.recovery_point = Some(work.end.offset);
            }
            io::Result::Ok(())
        })();
        if let Err(error) = written {
            // Indexes and snapshots can be rebuilt from the log. They are tried again later, and until then
            // recovery begins before them.
            tracing::warn!(partition = %self.topic_partition, %error, "cannot write indexes; trying again later");
            self.put_back(rolled.into_iter().skip(work.closed.len()).collect());
            // Without them, no segment of a full disk could be deleted.
            if is_full(&error) && self.shared.release_reserve() {
                self.enqueue_later();
            }
        }
        if folder_dirty || snapshot.is_some() || !work.closed.is_empty() {
            work.order.folder = folder;
        }
        (!work.order.is_empty()).then_some(work)
    }

    /// The folder, to be synced. Without it the partition waits for another try if only descriptors are short;
    /// any other error fails the directory.
    fn open_folder(&self) -> Option<File> {
        match self.shared.options.disk.open_dir(&self.folder) {
            Ok(folder) => Some(folder),
            Err(error) if durable::is_out_of_files(&error) => {
                tracing::warn!(partition = %self.topic_partition, %error, "cannot sync now, trying again; \
                    raise the open files limit (ulimit -n) or lower max.connections");
                self.enqueue_later();
                None
            }
            Err(error) => {
                self.shared
                    .fail(&format!("cannot open {}: {error}", self.folder.display()));
                None
            }
        }
    }

    fn write_closed(&self, closed: &Rolled, work: &mut SyncWork, snapshots: &mut Vec<i64>) -> io::Result<()> {
        closed.segment.give_back_room();
        if let Some(index) = closed.segment.write_index(closed.index_written)? {
            work.order.files.extend(index.files);
        }
        work.order
            .files
            .push(self.write_snapshot(closed.end_offset, &closed.snapshot, snapshots)?);
        work.closed.push(closed.segment.clone());
        work.recovery_point = Some(closed.end_offset);
        Ok(())
    }

    fn put_back(&self, mut rolled: Vec<Rolled>) {
        // Their data is among the files that are synced now.
        for closed in &mut rolled {
            closed.file = None;
        }
        let mut writer = lock(&self.writer);
        rolled.append(&mut writer.rolled);
        writer.rolled = rolled;
    }

    fn write_snapshot(&self, offset: i64, bytes: &[u8], snapshots: &mut Vec<i64>) -> io::Result<Arc<File>> {
        let path = self.folder.join(file_name(offset, "snapshot"));
        if offset <= self.recovery_point() && snapshots.binary_search(&offset).is_ok() {
            // Recovery may begin with it: it is not written a second time, which a crash could interrupt.
            return File::open(path).map(Arc::new);
        }
        let file = File::create(path)?;
        io::Write::write_all(&mut &file, bytes)?;
        if let Err(place) = snapshots.binary_search(&offset) {
            snapshots.insert(place, offset);
        }
        Ok(Arc::new(file))
    }

    /// Removes snapshots that recovery will not need; the recovery point is in the checkpoint file.
    pub(crate) fn prune_snapshots(&self) -> io::Result<()> {
        let mut snapshots = lock(&self.files);
        if self.check_not_deleted().is_err() {
            return Ok(());
        }
        let recovery_point = self.recovery_point();
        let usable = snapshots
            .iter()
            .filter(|offset| **offset <= recovery_point)
            .count();
        for offset in snapshots.drain(..usable.saturating_sub(1 + OLD_SNAPSHOTS)) {
            durable::remove_if_there(&self.folder.join(file_name(offset, "snapshot")))?;
        }
        Ok(())
    }
}

impl SyncWork {
    /// What follows when all files are synced: more is visible, closed segments leave memory, and the
    /// recovery point moves.
    pub(crate) fn finish(self) {
        let partition = &self.partition;
        for segment in &self.closed {
            segment.release_index();
        }
        {
            let mut writer = lock(&partition.writer);
            if self.advances {
                writer.synced = writer.synced.max(self.end.offset);
                if writer.end == self.end {
                    writer.file = None;
                }
            }
            if let Some((segment, lens)) = self.index_written
                && Arc::ptr_eq(&segment, &writer.active)
            {
                writer.index_written = lens;
            }
        }
        if let Some(offset) = self.recovery_point {
            partition.recovery_point.fetch_max(offset, Ordering::AcqRel);
        }
        if self.advances {
            // First, so that who waits for the high watermark finds both moved. What ends is decided and on disk.
            if partition.first_unstable.load(Ordering::Acquire) != i64::MAX {
                partition.retire_transactions(&mut lock(&partition.writer), self.end.offset);
            }
            partition.advance(self.end);
        }
    }
}
