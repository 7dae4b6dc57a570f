//! Deletion from the front of logs: by clients, by age, by size; and that it stays.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Mutex;

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn config() -> LogConfig {
    LogConfig {
        file_delete_delay_ms: 0,
        ..small_segments()
    }
}

/// A log on a disk of its own clock.
fn at_hand(path: &Path, config: &LogConfig) -> (Arc<ManualClock>, LogDir, Arc<Partition>) {
    let clock = Arc::new(ManualClock::default());
    let options = LogOptions {
        clock: clock.clone(),
        ..LogOptions::default()
    };
    let log = open_with(path, config, options);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    (clock, log, partition)
}

fn trim(log: &LogDir, partition: &Arc<Partition>, offset: i64) -> Result<i64, TrimError> {
    let deleted = log.delete_records(&[(partition.clone(), Offset(offset))]);
    deleted.into_iter().next().unwrap().map(|offset| offset.0)
}

/// Removal waits for the sync thread to write indexes.
fn swept(partition: &Partition, segments: usize) {
    for _ in 0..200 {
        partition.sweep();
        if partition.spans().len() == segments {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} segments are left", partition.spans().len());
}

#[test]
fn deleted_records_are_gone_at_once_and_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log, partition) = at_hand(dir.path(), &config());
    for value in 0..45 {
        put(&partition, batch(&[value]));
    }
    let segments = partition.spans().len();
    assert!(segments > 3);
    let slice = partition.read(Offset(0), 100, Offset(45), true).unwrap();
    assert_eq!(trim(&log, &partition, 5).unwrap(), 5);
    assert_eq!(partition.spans().len(), segments);
    // The offset is inside a segment, which stays.
    assert_eq!(trim(&log, &partition, 15).unwrap(), 15);
    assert_eq!(trim(&log, &partition, 3).unwrap(), 15);
    swept(&partition, segments - 1);
    assert_eq!(slice.read().unwrap().len(), slice.len());
    for offset in [0, 14] {
        let below = partition.read(Offset(offset), 100, Offset(45), true);
        assert!(
            matches!(
                below,
                Err(ReadError::OutOfRange {
                    log_start: Offset(15),
                    ..
                })
            ),
            "{below:?}"
        );
    }
    assert_eq!(bases(&read_all(&partition, 15)), (15..45).collect::<Vec<_>>());
    assert_eq!(
        partition.offset_for_timestamp(Timestamp(0)).unwrap(),
        Some((Offset(15), Timestamp(15)))
    );
    for beyond in [46, -2] {
        let refused = trim(&log, &partition, beyond);
        assert!(
            matches!(refused, Err(TrimError::OutOfRange { .. })),
            "{refused:?}"
        );
    }
    // After a crash, and after a proper end.
    let copy = crashed_copy(dir.path());
    let recovered = open(copy.path(), &config());
    let again = recovered.partition(&tp()).unwrap();
    assert_eq!(again.log_start_offset(), Offset(15));
    assert_eq!(bases(&read_all(&again, 15)), (15..45).collect::<Vec<_>>());
    assert_eq!(trim(&recovered, &again, -1).unwrap(), 45);
    recovered.close().unwrap();
    let reopened = open(copy.path(), &config());
    let again = reopened.partition(&tp()).unwrap();
    assert_eq!(
        (again.log_start_offset(), again.log_end_offset()),
        (Offset(45), Offset(45))
    );
    assert!(read_all(&again, 45).is_empty());
    assert_eq!(put(&again, batch(&[9])).base_offset, Offset(45));
}

#[test]
fn compacted_topics_keep_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let compacted = LogConfig {
        compact: true,
        delete: false,
        retention_ms: 1,
        retention_bytes: 1,
        ..config()
    };
    let (clock, log, partition) = at_hand(dir.path(), &compacted);
    for value in 0..30 {
        put(&partition, batch(&[value]));
    }
    assert!(matches!(trim(&log, &partition, 5), Err(TrimError::Policy { .. })));
    clock.0.store(DAY_MS, Ordering::Relaxed);
    assert_eq!(log.retain_now().unwrap(), 0);
    assert_eq!(partition.log_start_offset(), Offset(0));
    // With both policies, both apply.
    partition.set_config(LogConfig {
        delete: true,
        ..compacted
    });
    assert_eq!(log.retain_now().unwrap(), 1);
    assert_eq!(partition.log_start_offset(), Offset(30));
}

#[test]
fn segments_go_when_their_youngest_record_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_ms: 1000,
        ..config()
    };
    let (clock, log, partition) = at_hand(dir.path(), &config);
    for value in 0..45 {
        put(&partition, batch(&[value * 100]));
    }
    let next = partition.spans()[0].next.unwrap();
    let youngest = (next - 1) * 100;
    clock.0.store(youngest + 1000, Ordering::Relaxed);
    assert_eq!(log.retain_now().unwrap(), 0);
    clock.0.store(youngest + 1001, Ordering::Relaxed);
    assert_eq!(log.retain_now().unwrap(), 1);
    assert_eq!(partition.log_start_offset(), Offset(next));
    // All of it: the segment being written is closed, and goes once its successor is on disk.
    clock.0.store(DAY_MS, Ordering::Relaxed);
    assert_eq!(log.retain_now().unwrap(), 1);
    assert_eq!(partition.log_start_offset(), Offset(45));
    swept(&partition, 1);
    assert_eq!(partition.size_bytes(), 0);
    assert_eq!(files(dir.path(), "log").len(), 1);
    assert_eq!(
        files(dir.path(), "index").len(),
        files(dir.path(), "timeindex").len()
    );
    assert!(files(dir.path(), "index").len() <= 1);
    assert_eq!(files(dir.path(), "snapshot").len(), 1);
    assert_eq!(log.retain_now().unwrap(), 0);
    assert_eq!(put(&partition, batch(&[DAY_MS])).base_offset, Offset(45));
    assert_eq!(bases(&read_all(&partition, 45)), [45]);
    partition.set_config(LogConfig {
        retention_ms: -1,
        ..config
    });
    clock.0.store(i64::MAX, Ordering::Relaxed);
    assert_eq!(log.retain_now().unwrap(), 0);
}

#[test]
fn a_damaged_time_index_makes_no_segment_older() {
    let config = LogConfig {
        retention_ms: 1000,
        ..config()
    };
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.fill(0),
        |bytes| bytes.truncate(12),
        |bytes| {
            let last = bytes.len() - 12;
            bytes[last..].fill(0);
        },
        |bytes| {
            let low = bytes.len() - 6;
            bytes[low] ^= 4;
        },
    ];
    for damage in damages {
        let dir = tempfile::tempdir().unwrap();
        let (_, log, partition) = at_hand(dir.path(), &config);
        for value in 0..45 {
            put(&partition, batch(&[value * 100]));
        }
        let next = partition.spans()[0].next.unwrap();
        log.close().unwrap();
        for file in files(dir.path(), "timeindex") {
            let mut bytes = fs::read(&file).unwrap();
            assert!(bytes.len() > 12);
            damage(&mut bytes);
            fs::write(&file, bytes).unwrap();
        }
        let (clock, log, partition) = {
            let clock = Arc::new(ManualClock::default());
            let options = LogOptions {
                clock: clock.clone(),
                ..LogOptions::default()
            };
            let log = open_with(dir.path(), &config, options);
            let partition = log.partition(&tp()).unwrap();
            (clock, log, partition)
        };
        let youngest = (next - 1) * 100;
        clock.0.store(youngest + 1000, Ordering::Relaxed);
        assert_eq!(log.retain_now().unwrap(), 0);
        for offset in [0, 7, 30, 44] {
            let found = partition.offset_for_timestamp(Timestamp(offset * 100)).unwrap();
            assert_eq!(found, Some((Offset(offset), Timestamp(offset * 100))));
        }
        clock.0.store(youngest + 1001, Ordering::Relaxed);
        assert_eq!(log.retain_now().unwrap(), 1);
        assert_eq!(partition.log_start_offset(), Offset(next));
        clock.0.store(4400 + 1000, Ordering::Relaxed);
        log.retain_now().unwrap();
        assert!(partition.log_start_offset() < Offset(45));
    }
}

#[test]
fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_bytes: 2500,
        retention_ms: -1,
        ..config()
    };
    let (_, log, partition) = at_hand(dir.path(), &config);
    for value in 0..60 {
        put(&partition, batch(&[value]));
    }
    let first = partition.spans()[0].segment.size();
    assert_eq!(log.retain_now().unwrap(), 1);
    // As Kafka: never below the bound.
    swept(&partition, partition.spans().len());
    let left = partition.size_bytes();
    assert!((2500..2500 + first).contains(&left), "{left}");
    assert_eq!(log.retain_now().unwrap(), 0);
    partition.set_config(LogConfig {
        retention_bytes: 0,
        ..config
    });
    assert_eq!(log.retain_now().unwrap(), 1);
    assert_eq!(partition.log_start_offset(), Offset(60));
    swept(&partition, 1);
    assert_eq!(log.retain_now().unwrap(), 0);
}

#[test]
fn deleted_files_wait_and_the_next_start_removes_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        file_delete_delay_ms: 3_600_000,
        ..config()
    };
    let (_, log, partition) = at_hand(dir.path(), &config);
    for value in 0..30 {
        put(&partition, batch(&[value]));
    }
    let segments = partition.spans().len();
    trim(&log, &partition, 30).unwrap();
    swept(&partition, 1);
    assert!(files(dir.path(), "deleted").len() >= 2 * (segments - 1));
    drop(log);
    drop(open(dir.path(), &config));
    assert!(files(dir.path(), "deleted").is_empty());
}

#[test]
fn an_open_transaction_stays_open_when_its_beginning_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log, partition) = at_hand(dir.path(), &config());
    let transactional = |sequence: i32| {
        let builder = BatchBuilder::new().producer(9, 0, sequence).transactional();
        fill(builder, &[1])
    };
    let append = |bytes| {
        let mut budget = 1 << 20;
        let guard = match partition.verification(crate::ids::ProducerId(9), crate::ids::ProducerEpoch(0)) {
            Verification::Needed(guard) => Some(guard),
            Verification::NotNeeded => None,
        };
        let appended = partition
            .append_verified(bytes, Origin::Client, guard, &mut budget)
            .unwrap();
        wait(&partition, appended.last_offset.plus(1)).unwrap();
    };
    append(transactional(0));
    append(transactional(1));
    assert_eq!(partition.last_stable_offset(), Offset(0));
    trim(&log, &partition, 1).unwrap();
    assert_eq!(partition.last_stable_offset(), Offset(1));
    trim(&log, &partition, -1).unwrap();
    append(transactional(2));
    assert_eq!(partition.last_stable_offset(), Offset(2));
    assert_eq!(partition.open_transactions(), 1);
    let copy = crashed_copy(dir.path());
    let recovered = open(copy.path(), &config());
    assert_eq!(
        recovered.partition(&tp()).unwrap().last_stable_offset(),
        Offset(2)
    );
}

/// A disk on which renaming fails from some moment on, as if the process had ended there.
#[derive(Debug, Default)]
struct Breaking {
    renames_left: Mutex<Option<usize>>,
}

impl Disk for Breaking {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(left) = &mut *self.renames_left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("broken"))?;
        }
        std::fs::rename(from, to)
    }
}

#[test]
fn a_removal_that_was_cut_short_is_finished_by_the_next_start() {
    for renames in 0..9 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Breaking::default());
        let options = LogOptions {
            disk: disk.clone(),
            ..LogOptions::default()
        };
        let log = open_with(dir.path(), &config(), options);
        let partition = log.create_partition(&tp(), config()).unwrap();
        for value in 0..45 {
            put(&partition, batch(&[value]));
        }
        *disk.renames_left.lock().unwrap() = Some(renames);
        assert_eq!(trim(&log, &partition, 41).unwrap(), 41);
        swept(&partition, partition.spans().len());
        let copy = crashed_copy(dir.path());
        let recovered = open(copy.path(), &config());
        let again = recovered.partition(&tp()).unwrap();
        assert_eq!(again.log_start_offset(), Offset(41));
        assert_eq!(bases(&read_all(&again, 41)), [41, 42, 43, 44]);
        assert_eq!(files(copy.path(), "log").len(), 1, "{renames} renames");
    }
}

/// A log start that cannot be made durable is not shown to anybody.
#[test]
fn a_failed_checkpoint_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log, partition) = at_hand(dir.path(), &config());
    put(&partition, batch(&[1, 2]));
    let file = dir.path().join("log-start-offset-checkpoint.tmp");
    std::fs::create_dir(&file).unwrap();
    assert!(matches!(
        trim(&log, &partition, 1),
        Err(TrimError::Log(LogError::Io { .. }))
    ));
    assert_eq!(partition.log_start_offset(), Offset(0));
    assert_eq!(read_all(&partition, 0).len(), 1);
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(trim(&log, &partition, 1).unwrap(), 1);
}

#[test]
fn indexes_and_jitter_begin_segments() {
    let dir = tempfile::tempdir().unwrap();
    let indexed = LogConfig {
        segment_index_bytes: 24,
        index_interval_bytes: 1,
        ..LogConfig::default()
    };
    let (_, _log, partition) = at_hand(dir.path(), &indexed);
    for value in 0..20 {
        put(&partition, batch(&[value]));
    }
    let segments = partition.spans().len();
    assert!((5..=20).contains(&segments), "{segments}");
    for index in files(dir.path(), "index") {
        assert!(index.metadata().unwrap().len() <= 24);
    }
    let dir = tempfile::tempdir().unwrap();
    let jittered = LogConfig {
        segment_ms: 1000,
        segment_jitter_ms: 1000,
        ..LogConfig::default()
    };
    let (_, _log, partition) = at_hand(dir.path(), &jittered);
    for value in 0..200 {
        put(&partition, batch(&[value * 10]));
    }
    let ages: Vec<i64> = partition
        .spans()
        .iter()
        .filter_map(|span| Some(span.next? - span.segment.base_offset()))
        .collect();
    assert!(ages.iter().all(|age| *age <= 101), "{ages:?}");
    assert!(ages.iter().any(|age| *age < 95), "{ages:?}");
}

/// A small pseudo-random generator, so that a failure names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Produces, deletes, retains, compacts, crashes and reopens at random; the oracle is a map of what was acknowledged.
#[test]
fn log_starts_never_go_back() {
    let seeds = std::env::var("MILLSTREAM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    for seed in 1..=seeds.unwrap_or(8_u64) {
        simulate(seed);
    }
}

fn simulate(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let config = LogConfig {
        retention_ms: 3_000,
        retention_bytes: if seed.is_multiple_of(3) { 4_000 } else { -1 },
        compact: seed.is_multiple_of(2),
        min_cleanable_ratio_ppm: 0,
        file_delete_delay_ms: (seed % 2).cast_signed() * 3_600_000,
        ..small_segments()
    };
    let clock = Arc::new(ManualClock::default());
    let options = || LogOptions {
        clock: clock.clone(),
        ..LogOptions::default()
    };
    let mut dir = tempfile::tempdir().unwrap();
    let mut log = open_with(dir.path(), &config, options());
    log.create_partition(&tp(), config.clone()).unwrap();
    // By offset, the key and the time.
    let mut acknowledged: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
    let (mut start, mut now) = (0, 0);
    for step in 0..250 {
        let partition = log.partition(&tp()).unwrap();
        let at = || format!("seed {seed}, step {step}");
        match dice.roll(100) {
            0..=69 => {
                let mut builder = BatchBuilder::new();
                let keys: Vec<u64> = (0..=dice.roll(3)).map(|_| dice.roll(8)).collect();
                for key in &keys {
                    builder.push(now, Some(key.to_string().as_bytes()), Some(b"value"), &[]);
                }
                let appended = put(&partition, builder.build().unwrap());
                for (place, key) in keys.into_iter().enumerate() {
                    acknowledged.insert(appended.base_offset.0 + place as i64, (key, now));
                }
            }
            70..=77 => {
                let end = partition.high_watermark().0;
                let to = start + dice.roll((end - start).cast_unsigned() + 1).cast_signed();
                start = trim(&log, &partition, to).unwrap();
                assert_eq!(start, to, "{}", at());
            }
            78..=83 => {
                log.retain_now().unwrap();
                let after = partition.log_start_offset().0;
                assert!(after >= start, "{}", at());
                for (offset, (_, time)) in acknowledged.range(start..after) {
                    let expired = now - time > config.retention_ms;
                    assert!(
                        expired || config.retention_bytes >= 0,
                        "{}: offset {offset} of {time}",
                        at()
                    );
                }
                start = after;
            }
            84..=88 => {
                log.compact_now().unwrap();
            }
            89..=93 => now += i64::try_from(dice.roll(1500)).unwrap(),
            94..=97 => {
                let copy = crashed_copy(dir.path());
                drop(partition);
                drop(std::mem::replace(
                    &mut log,
                    open_with(copy.path(), &config, options()),
                ));
                dir = copy;
            }
            _ => {
                drop(partition);
                log.close().unwrap();
                log = open_with(dir.path(), &config, options());
            }
        }
        clock.0.store(now, Ordering::Relaxed);
        let partition = log.partition(&tp()).unwrap();
        assert_eq!(partition.log_start_offset().0, start, "{}", at());
        let end = acknowledged.last_key_value().map_or(0, |(offset, _)| offset + 1);
        assert_eq!(partition.high_watermark().0, end, "{}", at());
        check_records(&partition, &acknowledged, start, config.compact, &at());
        if start > 0 {
            let below = partition.read(Offset(start - 1), 100, Offset(end), true);
            assert!(matches!(below, Err(ReadError::OutOfRange { .. })), "{}", at());
        }
        acknowledged = acknowledged.split_off(&start.min(end - 1).max(0));
    }
}

/// What is read is what was acknowledged; without compaction all of it, with it at least the newest of each key.
fn check_records(
    partition: &Partition,
    acknowledged: &BTreeMap<i64, (u64, i64)>,
    start: i64,
    compact: bool,
    at: &str,
) {
    let mut found = BTreeMap::new();
    for bytes in read_all(partition, start) {
        let batch = super::super::batch::RecordBatch::parse(&bytes).unwrap();
        for record in &batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            let key: u64 = std::str::from_utf8(record.key.unwrap()).unwrap().parse().unwrap();
            if record.offset >= start {
                assert_eq!(
                    acknowledged.get(&record.offset),
                    Some(&(key, record.timestamp)),
                    "{at}"
                );
                found.insert(record.offset, key);
            }
        }
    }
    let newest: BTreeMap<u64, i64> = acknowledged
        .range(start..)
        .map(|(offset, (key, _))| (*key, *offset))
        .collect();
    for (offset, (key, _)) in acknowledged.range(start..) {
        if !compact || newest[key] == *offset {
            assert!(found.contains_key(offset), "{at}: offset {offset} is missing");
        }
    }
}

/// Writes, compaction, deletion and reading at the same time: readers see whole batches or that they are too late.
#[test]
fn readers_and_compaction_go_on_while_segments_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        compact: true,
        min_cleanable_ratio_ppm: 0,
        flush: FlushMode::Os,
        ..config()
    };
    let (_, log, partition) = at_hand(dir.path(), &config);
    let done = std::sync::atomic::AtomicBool::new(false);
    let over = || done.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over() {
                log.compact_now().unwrap();
            }
        });
        scope.spawn(|| {
            while !over() {
                let start = partition.log_start_offset().0;
                let to = i64::midpoint(start, partition.high_watermark().0);
                assert!(trim(&log, &partition, to).unwrap() >= to);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut late = 0;
                while !over() {
                    let start = partition.log_start_offset();
                    match partition.read(start, 500, Offset(i64::MAX), true) {
                        Ok(slice) => {
                            let bytes = slice.read().unwrap();
                            for batch in RecordBatches::new(&bytes) {
                                batch.unwrap().verify_crc().unwrap();
                            }
                        }
                        Err(ReadError::OutOfRange { .. }) => late += 1,
                        Err(error) => panic!("{error}"),
                    }
                    partition.offset_for_timestamp(Timestamp(0)).unwrap();
                    partition.max_timestamp().unwrap();
                }
                assert!(late < 1_000_000);
            });
        }
        for value in 0..3000 {
            partition.append(batch(&[value, value]), Origin::Client).unwrap();
            if value % 16 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    log.check().unwrap();
    let start = partition.log_start_offset();
    log.close().unwrap();
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    assert_eq!(
        (partition.log_start_offset(), partition.log_end_offset()),
        (start, Offset(6000))
    );
}

/// A compaction that was interrupted before records were deleted is finished after a crash, and brings their segment back.
#[test]
fn what_an_interrupted_compaction_brings_back_goes_again() {
    use super::super::swap::{Manifest, cleaned_path};
    let dir = tempfile::tempdir().unwrap();
    let (_, log, partition) = at_hand(dir.path(), &config());
    for value in 0..45 {
        put(&partition, batch(&[value]));
    }
    let spans = partition.spans();
    let (first, second) = (spans[0].segment.clone(), spans[0].next.unwrap());
    let extensions = vec!["log", "index", "timeindex"];
    // The sync thread writes indexes after the records.
    for _ in 0..200 {
        if partition.recovery_point() >= second {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let saved: Vec<_> = extensions
        .iter()
        .map(|e| std::fs::read(first.path(e)).unwrap())
        .collect();
    assert_eq!(trim(&log, &partition, second).unwrap(), second);
    swept(&partition, spans.len() - 1);
    // Whatever writes checkpoints later keeps the start in there.
    super::super::sync::write_checkpoints(log.shared_state()).unwrap();
    let copy = crashed_copy(dir.path());
    let folder = copy.path().join("orders-0");
    for (extension, bytes) in extensions.iter().zip(saved) {
        std::fs::write(cleaned_path(&folder, 0, extension), bytes).unwrap();
    }
    let manifest = Manifest {
        base: 0,
        extensions,
        replaced: Vec::new(),
    };
    std::fs::write(Manifest::path(&folder, 0), manifest.encode()).unwrap();
    let recovered = open(copy.path(), &config());
    let again = recovered.partition(&tp()).unwrap();
    assert_eq!(again.log_start_offset(), Offset(second));
    assert_eq!(again.spans().len(), spans.len() - 1);
    assert_eq!(bases(&read_all(&again, second)), (second..45).collect::<Vec<_>>());
    assert!(!folder.join("00000000000000000000.log").exists());
}
