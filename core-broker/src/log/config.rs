//! Settings of logs and of the directory that holds them, and the seams to clock and disk.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::batch::{Compression, DECOMPRESSED_BYTES_MAX, TimestampType};
use super::cleaner::CleanerOptions;
use crate::ids::Timestamp;

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// After `fdatasync`. A single node has no replica to fall back on.
    #[default]
    Sync,
    /// Once the operating system has it, as Kafka does. A power cut can lose acknowledged records.
    Os,
}

/// Effective settings of one log: topic overrides over broker defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: size at which a new segment is begun. Default 1 GiB; more than `i32::MAX` counts as that.
    pub segment_bytes: u32,
    /// `segment.ms`: age in milliseconds at which a new segment is begun. Default 7 days.
    pub segment_ms: i64,
    /// `preallocate`: takes `segment.bytes` of the disk when a segment gets its first batch, and gives back what is left
    /// when it is closed. Default no.
    pub preallocate: bool,
    /// `index.interval.bytes`: log bytes between two index entries. Default 4096; fewer find faster, cost memory.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: size limit of one batch. Default 1,048,588.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`. Default CreateTime.
    pub timestamp_type: TimestampType,
    /// Whether `cleanup.policy` contains `compact`: records without a key are refused. Default no.
    pub compact: bool,
    /// Whether `cleanup.policy` contains `delete`: old records are deleted, and clients may delete records. Default yes.
    pub delete: bool,
    /// `retention.ms`: age in milliseconds from which on records are deleted; negative for never. Default 7 days.
    pub retention_ms: i64,
    /// `retention.bytes`: size from which on the oldest segments are deleted; negative (default) for never.
    pub retention_bytes: i64,
    /// `file.delete.delay.ms`: how long files of removed segments stay on the disk. Default 60 s.
    pub file_delete_delay_ms: i64,
    /// `segment.jitter.ms`: at most so much is taken from `segment.ms`, another part for each segment, so that not all
    /// logs begin new ones at once. Default 0.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: size of an index at which a new segment is begun. Default 10 MiB.
    pub segment_index_bytes: u32,
    /// `delete.retention.ms`: how long a tombstone stays after compaction has first seen it. Default 1 day.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: younger records are not compacted. Default 0.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: older ones are, whatever the ratio. Default: no bound.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio` in millionths: share of uncompacted bytes from which on compaction is worth its
    /// copying. Default 500,000.
    pub min_cleanable_ratio_ppm: u32,
    /// `compression.type`: the codec that batches are stored in. Default: the producer's.
    pub compression: Option<Compression>,
    /// `compression.gzip.level`: 1 to 9, or −1 (default) for gzip's own default.
    pub gzip_level: i32,
    /// `compression.lz4.level`: 1 to 17. Default 9, the fast compressor; all others search longer, the longer the higher.
    pub lz4_level: i32,
    /// `compression.zstd.level`. Default 3.
    pub zstd_level: i32,
    /// `message.timestamp.before.max.ms`: how much older than the broker's clock a record may be. Default: no bound.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record may be ahead of the broker's clock. Default: no bound
    /// here; the broker's configuration says one hour, as Kafka does.
    pub timestamp_after_max_ms: i64,
    /// When appends are acknowledged and visible. Default [`FlushMode::Sync`].
    pub flush: FlushMode,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            preallocate: false,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            compact: false,
            delete: true,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            file_delete_delay_ms: 60_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_ratio_ppm: 500_000,
            compression: None,
            gzip_level: -1,
            lz4_level: 9,
            zstd_level: 3,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            flush: FlushMode::Sync,
        }
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the real time comes in"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// How much room a volume has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// In all.
    pub total: u64,
    /// What this process may still use.
    pub free: u64,
}

/// The few calls to the disk on which durability hangs, so that tests can let them fail.
pub trait Disk: Send + Sync + Debug {
    /// The room on the volume of `directory`.
    ///
    /// # Errors
    /// The operating system's.
    fn volume(&self, directory: &Path) -> io::Result<Volume> {
        let volume = rustix::fs::statvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Volume {
            total: bytes(volume.f_blocks),
            free: bytes(volume.f_bavail),
        })
    }

    /// Takes `bytes` of the volume for `file`, which is empty.
    ///
    /// # Errors
    /// The operating system's; the file may have part of it then.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            result => return Ok(result?),
        }
        let mut file = file;
        let zeros = vec![0; 64 << 10];
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(&zeros[..part])?;
            left -= part as u64;
        }
        file.sync_data()
    }

    /// Takes room of the volume for `bytes` in all of `file`, whose length stays.
    ///
    /// # Errors
    /// The operating system's; the file may have part of it then.
    fn preallocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(
            file,
            rustix::fs::FallocateFlags::KEEP_SIZE,
            0,
            bytes,
        )?)
    }

    /// Gives the file `from` the name `to`, in place of what has it.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Takes the file's name away.
    ///
    /// # Errors
    /// The operating system's.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Appends part of `parts` to `file`, as [`Write::write_vectored`] does.
    ///
    /// # Errors
    /// The operating system's.
    fn append(&self, file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file = file;
        file.write_vectored(parts)
    }

    /// Cuts `file` to `length` bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Returns when the data of `file` and what is needed to find it are on the disk.
    ///
    /// # Errors
    /// The operating system's. After an error the data may be lost: never call again as if it had not been.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Opens a folder, so that it can be synced.
    ///
    /// # Errors
    /// The operating system's.
    fn open_dir(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// Returns when the entries of the folder `directory` are on the disk.
    ///
    /// # Errors
    /// The operating system's, as of [`Disk::sync_data`].
    fn sync_dir(&self, directory: &File) -> io::Result<()> {
        directory.sync_all()
    }

    /// Returns when everything on the file system of `directory` is on the disk.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::Unsupported`] where there is no such call.
    fn sync_filesystem(&self, directory: &File) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return Ok(rustix::fs::syncfs(directory)?);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = directory;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {}

/// Settings of a [`super::LogDir`].
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Where the time comes from. Default [`SystemClock`].
    pub clock: Arc<dyn Clock>,
    /// How data reaches the disk. Default [`SystemDisk`].
    pub disk: Arc<dyn Disk>,
    /// `node.id`, kept in `meta.properties`. Default 1.
    pub node_id: i32,
    /// Threads that recover partitions. Default: one a core, at most 8.
    pub recovery_threads: usize,
    /// Time between two recovery-point checkpoints. Default 60 s; less shortens recovery after a crash.
    pub checkpoint_interval: Duration,
    /// Appended bytes after which a checkpoint is made early. Default 256 MiB: about a second of recovery.
    pub checkpoint_bytes: u64,
    /// From this many dirty files on, one `syncfs` replaces one `fdatasync` each. Default 64:
    /// fewer are synced at once by several threads, without what others have written to the file system.
    pub sync_filesystem_files_min: usize,
    /// Segment files kept open at once, besides those with unsynced data. Default 512: a process
    /// often may open no more than 1024.
    pub open_files_max: usize,
    /// `producer.id.expiration.ms`: how long an idle producer is remembered. Default 1 day.
    pub producer_expiration_ms: i64,
    /// Limit for the decompressed records of one batch. Default 128 MiB.
    pub decompressed_bytes_max: usize,
    /// Compaction, once [`super::LogDir::start_cleaner`] is called.
    pub cleaner: CleanerOptions,
    /// Time between two looks for records to delete, once [`super::LogDir::start_upkeep`] is called. Default 5 min.
    pub retention_interval: Duration,
    /// Bytes of the volume kept from records, so that deletions and offsets can still be written: a file holds so many,
    /// and records are refused when fewer are free beside it. 0 turns both off. Default: 16 MiB, or a sixteenth of a
    /// volume of less than 256 MiB.
    pub reserve_bytes: Option<u64>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            disk: Arc::new(SystemDisk),
            node_id: 1,
            recovery_threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_bytes: 256 << 20,
            sync_filesystem_files_min: 64,
            open_files_max: 512,
            producer_expiration_ms: 24 * 60 * 60 * 1000,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            cleaner: CleanerOptions::default(),
            retention_interval: Duration::from_secs(300),
            reserve_bytes: None,
        }
    }
}
