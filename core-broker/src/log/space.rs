//! Room on the disk: records are refused while there is still enough to delete some.
//!
//! Why: on a full disk not even a deletion could be made durable, and there would be no way out but by hand. So some of
//! the volume is kept from records (`log.dir.reserve.bytes`): when less than that is free, producers are refused, and when
//! less than half of it, the broker's own records (offsets, markers), too. As much again is held by a file, which is freed
//! when others have filled the disk to the last byte and a small file must be written nevertheless.
//! Owns: that file, the measuring, and the log lines that name the remedy. Does not own: retention (`upkeep`).
//! Invariant: the volume is measured again before the room that was seen free could be used up by appends.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::config::{Disk, LogOptions};
use super::durable;
use super::lock::lock;

/// Holds room for small files.
pub(crate) const RESERVE_FILE: &str = ".reserve";

const RESERVE_BYTES_MAX: u64 = 16 << 20;
/// Of a small volume, this part.
const RESERVE_PART: u64 = 16;
/// Bytes that may be appended without measuring again.
const ALLOWANCE_MAX: u64 = 64 << 20;
/// While there is no room, it is measured no more often than this.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// Whether there is no room on the disk, or no more for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What is known of the room on the volume.
#[derive(Debug)]
pub(crate) struct Space {
    /// 0 if nothing is watched.
    reserve_bytes: u64,
    /// Bytes that may still be appended before the next measuring.
    allowance: AtomicI64,
    short: AtomicBool,
    /// The reserve file has all its bytes.
    held: AtomicBool,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    measured: Option<Instant>,
    /// Without what the reserve file lacks.
    free: u64,
}

impl Space {
    pub(crate) fn new(root: &Path, options: &LogOptions) -> Self {
        let automatic = || {
            let volume = options.disk.volume(root);
            volume.map_or(RESERVE_BYTES_MAX, |v| {
                RESERVE_BYTES_MAX.min(v.total / RESERVE_PART)
            })
        };
        let reserve_bytes = options.reserve_bytes.unwrap_or_else(automatic);
        if reserve_bytes == 0 {
            // Of an earlier start with other settings; if it stays, it does no harm.
            let _ = durable::remove_if_there(&root.join(RESERVE_FILE));
        }
        let held = std::fs::metadata(root.join(RESERVE_FILE)).is_ok_and(|file| file.len() >= reserve_bytes);
        Self {
            reserve_bytes,
            allowance: AtomicI64::new(0),
            short: AtomicBool::new(false),
            held: AtomicBool::new(held),
            last: Mutex::default(),
        }
    }

    /// Whether records are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Acquire)
    }

    /// The next append measures again: the disk has said that it is full.
    pub(crate) fn distrust(&self) {
        self.allowance.store(0, Ordering::Release);
    }

    pub(crate) fn admit(&self, root: &Path, disk: &dyn Disk, bytes: u64, urgent: bool) -> io::Result<()> {
        let wanted = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.reserve_bytes == 0
            || !self.is_short() && self.allowance.fetch_sub(wanted, Ordering::AcqRel) >= wanted
        {
            return Ok(());
        }
        let free = self.measure(root, disk, bytes, MEASURE_EVERY);
        let floor = match urgent {
            true => self.reserve_bytes / 2,
            false => self.reserve_bytes,
        };
        if free < floor.saturating_add(bytes) || self.is_short() && !urgent {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{free} bytes are free, and {floor} are kept for deletions (log.dir.reserve.bytes)"),
            ));
        }
        Ok(())
    }

    /// Looks how much is free, unless it did within `every` and found too little, and says so if that has changed.
    fn measure(&self, root: &Path, disk: &dyn Disk, bytes: u64, every: Duration) -> u64 {
        let mut last = lock(&self.last);
        if self.is_short() && last.measured.is_some_and(|at| at.elapsed() < every) {
            return last.free;
        }
        let free = match disk.volume(root) {
            Ok(volume) => volume.free,
            Err(error) => {
                tracing::warn!(dir = %root.display(), %error, "cannot tell how much room the disk has");
                u64::MAX
            }
        };
        // What the reserve file should have counts as used.
        let missing = if self.held.load(Ordering::Acquire) {
            0
        } else {
            self.reserve_bytes
        };
        let free = free.saturating_sub(missing);
        *last = Last {
            measured: Some(Instant::now()),
            free,
        };
        // A little more, so that one batch more or less does not turn it over and over.
        let slack = if self.is_short() {
            self.reserve_bytes / 4
        } else {
            0
        };
        let least = self.reserve_bytes.saturating_add(bytes).saturating_add(slack);
        if free < least {
            self.allowance.store(0, Ordering::Release);
            if !self.short.swap(true, Ordering::AcqRel) {
                tracing::error!(dir = %root.display(), free, kept = self.reserve_bytes, "the disk is nearly full: records \
                    are refused until there is room again; delete topics or records, lower retention.ms or \
                    retention.bytes, or make the volume larger");
            }
        } else {
            let allowance = ((free - self.reserve_bytes) / 2).min(ALLOWANCE_MAX);
            self.allowance
                .store(i64::try_from(allowance).unwrap_or(i64::MAX), Ordering::Release);
            if self.short.swap(false, Ordering::AcqRel) {
                tracing::info!(dir = %root.display(), free, "there is room on the disk again, records are taken");
            }
        }
        free
    }

    /// Whether copies of so many bytes leave room for records; for work that can wait.
    pub(crate) fn has_room(&self, root: &Path, disk: &dyn Disk, bytes: u64) -> bool {
        self.reserve_bytes == 0
            || self.measure(root, disk, 0, MEASURE_EVERY) >= self.reserve_bytes.saturating_add(bytes)
    }

    /// Looks again, and fills the reserve file once there is room for it.
    pub(crate) fn refresh(&self, root: &Path, disk: &dyn Disk) {
        if self.reserve_bytes == 0 {
            return;
        }
        let free = self.measure(root, disk, 0, Duration::ZERO);
        if !self.held.load(Ordering::Acquire) && free >= self.reserve_bytes {
            let path = root.join(RESERVE_FILE);
            let filled = File::create(&path).and_then(|file| disk.allocate(&file, self.reserve_bytes));
            match filled {
                Ok(()) => self.held.store(true, Ordering::Release),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot reserve room; trying again later");
                    // Part of it would be of no use.
                    let _ = durable::remove_if_there(&path);
                }
            }
        }
    }

    /// Frees the reserve; false if there is none.
    pub(crate) fn release(&self, root: &Path) -> bool {
        let path = root.join(RESERVE_FILE);
        let removed = self.held.swap(false, Ordering::AcqRel) && std::fs::remove_file(&path).is_ok();
        if removed {
            tracing::warn!(file = %path.display(), "the disk is full; using the room that was reserved");
        }
        self.distrust();
        removed
    }
}
