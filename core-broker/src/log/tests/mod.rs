//! The log as its users see it: append, wait, read, crash, reopen.

mod codec;
mod compact;
mod crash;
mod directory;
mod disk;
mod reading;
mod retain;
mod space;
mod transactions;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

use super::batch::{BatchBuilder, EndMarker, RecordBatches};
use super::*;
use crate::ids::{Offset, Timestamp, TopicPartition};

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Small segments and dense indexes, so that little data shows everything.
fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 150,
        ..LogConfig::default()
    }
}

fn open(path: &Path, config: &LogConfig) -> LogDir {
    open_with(path, config, LogOptions::default())
}

fn open_with(path: &Path, config: &LogConfig, options: LogOptions) -> LogDir {
    LogDir::open(path, options, |_| config.clone()).unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn batch(timestamps: &[i64]) -> Bytes {
    fill(BatchBuilder::new(), timestamps)
}

fn sequenced(epoch: i16, first: i32, timestamps: &[i64]) -> Bytes {
    fill(BatchBuilder::new().producer(9, epoch, first), timestamps)
}

fn fill(mut builder: BatchBuilder, timestamps: &[i64]) -> Bytes {
    for timestamp in timestamps {
        builder.push(*timestamp, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

fn wait(partition: &Partition, offset: Offset) -> Result<(), LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(partition.wait_durable(offset))
}

/// Appends and waits until it is durable.
fn put(partition: &Partition, batch: Bytes) -> Appended {
    let appended = partition.append(batch, Origin::Client).unwrap();
    wait(partition, appended.last_offset.plus(1)).unwrap();
    appended
}

/// Everything visible from `offset` on, batch by batch.
fn read_all(partition: &Partition, mut offset: i64) -> Vec<Bytes> {
    let mut batches = Vec::new();
    loop {
        let limit = partition.high_watermark();
        let bytes = partition
            .read(Offset(offset), 700, limit, true)
            .unwrap()
            .read()
            .unwrap();
        if bytes.is_empty() {
            return batches;
        }
        for batch in RecordBatches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            offset = batch.header().next_offset();
            batches.push(Bytes::copy_from_slice(batch.bytes()));
        }
    }
}

fn bases(batches: &[Bytes]) -> Vec<i64> {
    batches
        .iter()
        .map(|b| i64::from_be_bytes(b[..8].try_into().unwrap()))
        .collect()
}

/// What a crash leaves behind: the files as they are, without anything that close would do.
fn crashed_copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_dir(from, to.path());
    to
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The partition's files with an ending, by name.
fn files(root: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(root.join("orders-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    found.sort();
    found
}

#[test]
fn appends_reads_and_reopens() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    for index in 0..10 {
        let appended = put(&partition, batch(&[index, index + 1]));
        assert_eq!(appended.base_offset, Offset(index * 2));
        assert_eq!(partition.high_watermark(), Offset(index * 2 + 2));
    }
    assert_eq!(bases(&read_all(&partition, 3)), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    log.close().unwrap();
    assert!(matches!(
        partition.append(batch(&[1]), Origin::Client),
        Err(AppendError::Log(LogError::Closed { .. }))
    ));
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    assert_eq!(partition.log_end_offset(), Offset(20));
    assert_eq!(partition.high_watermark(), Offset(20));
    assert_eq!(put(&partition, batch(&[1])).base_offset, Offset(20));
}

#[test]
fn retries_are_stored_once_even_after_a_restart() {
    for clean in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let config = small_segments();
        let log = open(dir.path(), &config);
        let partition = log.create_partition(&tp(), config.clone()).unwrap();
        for index in 0..20 {
            put(&partition, sequenced(2, index * 2, &[1, 2]));
        }
        let copy = crashed_copy(dir.path());
        log.close().unwrap();
        let path = if clean { dir.path() } else { copy.path() };
        let log = open(path, &config);
        let partition = log.partition(&tp()).unwrap();
        for index in 15..20 {
            let appended = partition
                .append(sequenced(2, index * 2, &[1, 2]), Origin::Client)
                .unwrap();
            assert!(appended.duplicate, "clean {clean}, batch {index}");
            assert_eq!(appended.base_offset, Offset(i64::from(index) * 2));
        }
        assert_eq!(partition.log_end_offset(), Offset(40));
        let old = partition.append(sequenced(2, 0, &[1, 2]), Origin::Client);
        assert!(
            matches!(old, Err(AppendError::DuplicateSequence { .. })),
            "{old:?}"
        );
        let gap = partition.append(sequenced(2, 41, &[1]), Origin::Client);
        assert!(
            matches!(
                gap,
                Err(AppendError::OutOfOrderSequence {
                    expected: 40,
                    found: 41,
                    ..
                })
            ),
            "{gap:?}"
        );
        let fenced = partition.append(sequenced(1, 40, &[1]), Origin::Client);
        assert!(
            matches!(fenced, Err(AppendError::InvalidProducerEpoch { current: 2, .. })),
            "{fenced:?}"
        );
        assert!(
            !partition
                .append(sequenced(2, 40, &[1]), Origin::Client)
                .unwrap()
                .duplicate
        );
    }
}

#[test]
fn append_time_is_the_brokers() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let clock = Arc::new(ManualClock::default());
    let options = LogOptions {
        clock: clock.clone(),
        ..LogOptions::default()
    };
    let log = open_with(dir.path(), &config, options);
    let partition = log.create_partition(&tp(), config).unwrap();
    clock.0.store(5000, Ordering::Relaxed);
    let appended = put(&partition, sequenced(0, 0, &[1, 2]));
    assert_eq!(appended.log_append_time, Some(Timestamp(5000)));
    clock.0.store(6000, Ordering::Relaxed);
    assert_eq!(
        put(&partition, sequenced(0, 0, &[1, 2])).log_append_time,
        Some(Timestamp(5000))
    );
    assert_eq!(
        partition.offset_for_timestamp(Timestamp(3)).unwrap(),
        Some((Offset(0), Timestamp(5000)))
    );
    assert_eq!(read_all(&partition, 0).len(), 1);
}

/// A producer that miscalculates the header's greatest timestamp must not hide records from searches.
#[test]
fn a_wrong_max_timestamp_is_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    let mut bytes = batch(&[100, 300, 200]).to_vec();
    bytes[35..43].copy_from_slice(&7_i64.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    put(&partition, bytes.into());
    assert_eq!(
        partition.max_timestamp().unwrap(),
        Some((Offset(1), Timestamp(300)))
    );
    assert_eq!(read_all(&partition, 0).len(), 1);
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        max_message_bytes: 500,
        segment_bytes: 400,
        compact: true,
        ..LogConfig::default()
    };
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    let append = |bytes: Bytes| partition.append(bytes, Origin::Client).unwrap_err();
    assert!(matches!(
        append(batch(&[1; 50])),
        AppendError::TooLarge { limit: 500, .. }
    ));
    assert!(matches!(
        append(batch(&[1; 25])),
        AppendError::LargerThanSegment { limit: 400, .. }
    ));
    assert!(matches!(append(Bytes::new()), AppendError::Corrupt { .. }));
    let two = [batch(&[1]), batch(&[1])].concat();
    assert!(matches!(append(two.into()), AppendError::InvalidRecord { .. }));
    let mut keyless = BatchBuilder::new();
    keyless.push(0, None, Some(b"v"), &[]);
    assert!(matches!(
        append(keyless.build().unwrap()),
        AppendError::InvalidRecord { .. }
    ));
    let mut old = batch(&[1]).to_vec();
    old[16] = 1;
    assert!(matches!(
        append(old.into()),
        AppendError::UnsupportedMagic { magic: 1, .. }
    ));
    let end = EndMarker {
        commit: true,
        coordinator_epoch: 0,
    };
    let control = BatchBuilder::end_marker(1, 9, 0, end);
    assert!(matches!(
        append(control.clone()),
        AppendError::InvalidRecord { .. }
    ));
    assert_eq!(partition.log_end_offset(), Offset(0));
    assert_eq!(partition.size_bytes(), 0);
    partition.append(control, Origin::Coordinator).unwrap();
    assert_eq!(partition.log_end_offset(), Offset(1));
}

#[test]
fn segments_roll_by_size_and_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_ms: 1000,
        ..small_segments()
    };
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    put(&partition, batch(&[0]));
    put(&partition, batch(&[1000]));
    put(&partition, batch(&[1001]));
    assert_eq!(files(dir.path(), "log").len(), 2);
    for _ in 0..40 {
        put(&partition, batch(&[1001]));
    }
    log.close().unwrap();
    let segments = files(dir.path(), "log");
    assert!(segments.len() > 3);
    assert_eq!(segments.len(), files(dir.path(), "index").len());
    assert_eq!(segments.len(), files(dir.path(), "timeindex").len());
    assert!(segments[1].ends_with("00000000000000000002.log"));
    assert!((1..=2).contains(&files(dir.path(), "snapshot").len()));
    for segment in &segments {
        assert!(segment.metadata().unwrap().len() <= 1000);
    }
}
