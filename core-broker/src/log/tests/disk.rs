//! Disks that fill up and disks that fail.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::*;

/// A disk with little room, on which syncing can fail or be held up.
#[derive(Debug, Default)]
struct BadDisk {
    /// Bytes that still fit, if limited.
    room: Mutex<Option<usize>>,
    cannot_truncate: AtomicBool,
    cannot_sync: AtomicBool,
    syncs: AtomicU64,
    /// Folders that were synced as folders.
    folders: AtomicU64,
    no_descriptors: AtomicBool,
    hold: Mutex<()>,
}

impl BadDisk {
    fn sync(&self) -> io::Result<()> {
        drop(self.hold.lock().unwrap());
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.cannot_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("lost page"));
        }
        Ok(())
    }
}

impl Disk for BadDisk {
    fn append(&self, mut file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let Some(left) = &mut *room else {
            return file.write_vectored(parts);
        };
        if *left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let part = parts.iter().find(|part| !part.is_empty()).unwrap();
        let written = file.write(&part[..part.len().min(*left)])?;
        *left -= written;
        Ok(written)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        if self.cannot_truncate.load(Ordering::SeqCst) {
            return Err(io::Error::other("stuck"));
        }
        file.set_len(length)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.sync().and_then(|()| file.sync_data())
    }

    fn open_dir(&self, path: &Path) -> io::Result<File> {
        if self.no_descriptors.load(Ordering::SeqCst) {
            return Err(rustix::io::Errno::MFILE.into());
        }
        File::open(path)
    }

    fn sync_dir(&self, directory: &File) -> io::Result<()> {
        self.folders.fetch_add(1, Ordering::SeqCst);
        self.sync().and_then(|()| directory.sync_all())
    }

    fn sync_filesystem(&self, _directory: &File) -> io::Result<()> {
        self.sync()
    }
}

fn on_bad_disk(path: &Path, config: &LogConfig) -> (Arc<BadDisk>, LogDir) {
    let disk = Arc::new(BadDisk::default());
    let options = LogOptions {
        disk: disk.clone(),
        ..LogOptions::default()
    };
    (disk, open_with(path, config, options))
}

#[test]
fn a_full_disk_takes_nothing_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    put(&partition, sequenced(0, 0, &[1]));
    let size = partition.size_bytes();
    // In the header, after it, in the records.
    for room in [0, 10, 61, 70] {
        *disk.room.lock().unwrap() = Some(room);
        let error = partition
            .append(sequenced(0, 1, &[2]), Origin::Client)
            .unwrap_err();
        assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
        assert_eq!(partition.log_end_offset(), Offset(1));
        assert_eq!(files(dir.path(), "log")[0].metadata().unwrap().len(), size);
    }
    // Enough room, but written in pieces.
    *disk.room.lock().unwrap() = Some(1000);
    put(&partition, sequenced(0, 1, &[2]));
    *disk.room.lock().unwrap() = None;
    put(&partition, sequenced(0, 2, &[3]));
    let copy = crashed_copy(dir.path());
    let recovered = open(copy.path(), &config);
    assert_eq!(
        bases(&read_all(&recovered.partition(&tp()).unwrap(), 0)),
        [0, 1, 2]
    );
}

#[test]
fn a_write_that_cannot_be_taken_back_fails_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    put(&partition, batch(&[1]));
    *disk.room.lock().unwrap() = Some(30);
    disk.cannot_truncate.store(true, Ordering::SeqCst);
    partition.append(batch(&[2]), Origin::Client).unwrap_err();
    *disk.room.lock().unwrap() = None;
    let error = partition.append(batch(&[2]), Origin::Client).unwrap_err();
    assert!(
        matches!(error, AppendError::Log(LogError::Failed { .. })),
        "{error}"
    );
    drop(log);
    let log = open(dir.path(), &config);
    assert_eq!(bases(&read_all(&log.partition(&tp()).unwrap(), 0)), [0]);
}

/// Linux forgets a lost page once it has reported it: a second fdatasync that succeeds proves nothing.
#[test]
fn a_failed_sync_fails_the_log_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    let other = log
        .create_partition(&TopicPartition::new("other", 0), config)
        .unwrap();
    put(&partition, batch(&[1]));
    disk.cannot_sync.store(true, Ordering::SeqCst);
    let appended = partition.append(batch(&[2]), Origin::Client).unwrap();
    let error = wait(&partition, appended.last_offset.plus(1)).unwrap_err();
    assert!(
        matches!(&error, LogError::Failed { reason } if reason.contains("lost page")),
        "{error}"
    );
    disk.cannot_sync.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    for partition in [&partition, &other] {
        let error = partition.append(batch(&[3]), Origin::Client).unwrap_err();
        assert!(
            matches!(error, AppendError::Log(LogError::Failed { .. })),
            "{error}"
        );
    }
    assert_eq!(partition.high_watermark(), Offset(1));
    assert_eq!(read_all(&partition, 0).len(), 1);
    assert!(matches!(log.close(), Err(LogError::Failed { .. })));
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs);
    assert!(!dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn nothing_is_visible_before_it_is_synced_and_one_sync_serves_many() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    put(&partition, batch(&[1]));
    let before = disk.syncs.load(Ordering::SeqCst);
    let held = disk.hold.lock().unwrap();
    for index in 0..100 {
        partition.append(batch(&[index]), Origin::Client).unwrap();
    }
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(partition.log_end_offset(), Offset(101));
    assert_eq!(partition.high_watermark(), Offset(1));
    assert!(
        partition
            .read(Offset(1), 1000, Offset(101), true)
            .unwrap()
            .is_empty()
    );
    assert_eq!(partition.offset_for_timestamp(Timestamp(50)).unwrap(), None);
    assert_eq!(
        partition.max_timestamp().unwrap(),
        Some((Offset(0), Timestamp(1)))
    );
    drop(held);
    wait(&partition, Offset(101)).unwrap();
    assert_eq!(read_all(&partition, 0).len(), 101);
    // Ten segments of ten batches, five files each, the folder; and the first round.
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < 70, "{syncs}");
}

#[test]
fn flush_mode_os_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        flush: FlushMode::Os,
        ..LogConfig::default()
    };
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    let held = disk.hold.lock().unwrap();
    put(&partition, batch(&[1]));
    assert_eq!(read_all(&partition, 0).len(), 1);
    assert_eq!(disk.syncs.load(Ordering::SeqCst), 0);
    drop(held);
    // Asked for more, it gives more.
    partition.set_config(LogConfig::default());
    put(&partition, batch(&[1]));
    assert!(disk.syncs.load(Ordering::SeqCst) > 0);
    log.close().unwrap();
    let log = open(dir.path(), &config);
    assert_eq!(log.partition(&tp()).unwrap().high_watermark(), Offset(2));
}

/// A process that may open no more files has lost nothing; everything goes on once it may.
#[test]
fn running_out_of_descriptors_only_delays() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (disk, log) = on_bad_disk(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    put(&partition, batch(&[1]));
    assert!(disk.folders.load(Ordering::SeqCst) > 0);
    disk.no_descriptors.store(true, Ordering::SeqCst);
    for value in 0..40 {
        partition.append(batch(&[value]), Origin::Client).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    // Not before the folder with the new segments' names is on disk.
    assert!(partition.high_watermark() < Offset(41));
    disk.no_descriptors.store(false, Ordering::SeqCst);
    wait(&partition, Offset(41)).unwrap();
    assert_eq!(read_all(&partition, 0).len(), 41);
    assert!(partition.recovery_point() > 0);
    log.close().unwrap();
    let log = open(dir.path(), &config);
    assert_eq!(read_all(&log.partition(&tp()).unwrap(), 0).len(), 41);
}

/// Indexes can be made again from the log: that one cannot be written is no reason to stop.
#[test]
fn an_index_that_cannot_be_written_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    let index = dir.path().join("orders-0/00000000000000000000.index");
    std::fs::create_dir(&index).unwrap();
    for value in 0..40 {
        put(&partition, batch(&[value]));
    }
    assert_eq!(partition.recovery_point(), 0);
    assert_eq!(read_all(&partition, 5).len(), 35);
    std::fs::remove_dir(&index).unwrap();
    put(&partition, batch(&[40]));
    log.close().unwrap();
    assert!(index.metadata().unwrap().len() > 0);
    let log = open(dir.path(), &config);
    assert_eq!(read_all(&log.partition(&tp()).unwrap(), 0).len(), 41);
}
