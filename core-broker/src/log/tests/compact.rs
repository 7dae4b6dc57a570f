//! Compaction of real logs, against a model, with crashes in between and in the middle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::log::batch::{Compression, EndMarker, RecordBatch};
use crate::log::cleaner::CleanerOptions;

const KEYS: u8 = 6;
const DELETE_RETENTION_MS: i64 = 100;

/// A disk that fails for good after a number of calls.
#[derive(Debug)]
struct FailingDisk(AtomicI64);

impl FailingDisk {
    fn call(&self) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            1.. => Ok(()),
            _ => Err(io::Error::other("the disk has failed")),
        }
    }
}

impl Disk for FailingDisk {
    fn append(&self, file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.call()?;
        SystemDisk.append(file, parts)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.call()?;
        SystemDisk.sync_data(file)
    }

    fn sync_dir(&self, directory: &File) -> io::Result<()> {
        self.call()?;
        SystemDisk.sync_dir(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        SystemDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        SystemDisk.remove_file(path)
    }
}

fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        compact: true,
        min_cleanable_ratio_ppm: 0,
        delete_retention_ms: DELETE_RETENTION_MS,
        ..LogConfig::default()
    }
}

#[derive(Clone, Debug)]
struct Written {
    key: u8,
    value: Option<Vec<u8>>,
    timestamp: i64,
    /// Of which producer's transaction.
    producer: Option<i64>,
    /// As far as it is decided.
    committed: Option<bool>,
}

/// A log and what is known about it.
struct World {
    dir: tempfile::TempDir,
    log: Option<LogDir>,
    partition: Arc<Partition>,
    disk: Arc<FailingDisk>,
    clock: Arc<ManualClock>,
    dedupe_buffer_bytes: usize,
    written: BTreeMap<i64, Written>,
    sequences: BTreeMap<i64, i32>,
    /// Where the log ended when a pass failed, which may have done a part of its work.
    tried_to: i64,
}

impl World {
    fn new(dedupe_buffer_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FailingDisk(AtomicI64::new(i64::MAX)));
        let clock = Arc::new(ManualClock::default());
        let log = open_log(dir.path(), &disk, &clock, dedupe_buffer_bytes);
        let partition = log.create_partition(&tp(), compacted()).unwrap();
        Self {
            dir,
            log: Some(log),
            partition,
            disk,
            clock,
            dedupe_buffer_bytes,
            written: BTreeMap::new(),
            sequences: BTreeMap::new(),
            tried_to: 0,
        }
    }

    fn log(&self) -> &LogDir {
        self.log.as_ref().unwrap()
    }

    fn now(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    /// A batch of records; producers 1 and 2 write in transactions.
    fn write(&mut self, producer: i64, keys: &[u8], seed: u8) {
        let sequence = self.sequences.entry(producer).or_insert(0);
        let mut builder = BatchBuilder::new().producer(producer, 0, *sequence);
        *sequence += keys.len() as i32;
        let in_transaction = producer < 3;
        if in_transaction {
            builder = builder.transactional();
        }
        let now = self.now();
        let mut records = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let tombstone = (seed as usize + index).is_multiple_of(4);
            let value = (!tombstone).then(|| vec![seed; 20 + index]);
            builder.push(now + index as i64, Some(&[*key]), value.as_deref(), &[]);
            records.push(Written {
                key: *key,
                value,
                timestamp: now + index as i64,
                producer: in_transaction.then_some(producer),
                committed: (!in_transaction).then_some(true),
            });
        }
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Lz4,
            Compression::Zstd,
        ];
        let batch = builder.build_compressed(codecs[seed as usize % 4]);
        // Transactional batches of clients would need a coordinator.
        let origin = if in_transaction {
            Origin::Coordinator
        } else {
            Origin::Client
        };
        let appended = self.partition.append(batch, origin).unwrap();
        wait(&self.partition, appended.last_offset.plus(1)).unwrap();
        assert!(!appended.duplicate);
        for (index, record) in records.into_iter().enumerate() {
            self.written.insert(appended.base_offset.0 + index as i64, record);
        }
    }

    fn end_transaction(&mut self, producer: i64, commit: bool) {
        let marker = EndMarker {
            commit,
            coordinator_epoch: 0,
        };
        let marker = BatchBuilder::end_marker(self.now(), producer, 0, marker);
        let appended = self.partition.append(marker, Origin::Coordinator).unwrap();
        wait(&self.partition, appended.last_offset.plus(1)).unwrap();
        for record in self.written.values_mut() {
            if record.producer == Some(producer) && record.committed.is_none() {
                record.committed = Some(commit);
            }
        }
    }

    fn reopen(&mut self, clean: bool) {
        let log = self.log.take().unwrap();
        if clean {
            log.close().unwrap();
        } else {
            let copy = crashed_copy(self.dir.path());
            drop(log);
            self.dir = copy;
        }
        self.disk.0.store(i64::MAX, Ordering::SeqCst);
        self.open();
        for ending in ["cleaned", "swap", "tmp"] {
            assert!(files(self.dir.path(), ending).is_empty(), "{ending}");
        }
    }

    fn open(&mut self) {
        let log = open_log(self.dir.path(), &self.disk, &self.clock, self.dedupe_buffer_bytes);
        self.partition = log.partition(&tp()).unwrap();
        self.log = Some(log);
    }

    fn compact(&self) {
        while self.log().compact_now().unwrap() > 0 {}
    }

    /// Records that can be read, by offset: key and value.
    fn visible(&self) -> BTreeMap<i64, (u8, Option<Vec<u8>>, i64)> {
        let mut found = BTreeMap::new();
        let mut next = 0;
        for bytes in read_all(&self.partition, 0) {
            let batch = RecordBatch::parse(&bytes).unwrap();
            assert!(batch.header().base_offset >= next);
            next = batch.header().next_offset();
            if batch.header().is_control() {
                continue;
            }
            for record in &batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                let value = record.value.map(<[u8]>::to_vec);
                found.insert(record.offset, (record.key.unwrap()[0], value, record.timestamp));
            }
        }
        found
    }

    fn check(&self) {
        let visible = self.visible();
        for (offset, (key, value, timestamp)) in &visible {
            let written = &self.written[offset];
            assert_eq!(
                (&written.key, &written.value, &written.timestamp),
                (key, value, timestamp)
            );
        }
        let cleaned_to = self.partition.cleaned_to();
        for offset in self
            .written
            .range(cleaned_to.max(self.tried_to)..)
            .map(|(offset, _)| offset)
        {
            assert!(
                visible.contains_key(offset),
                "{offset} is gone, cleaned to {cleaned_to}"
            );
        }
        for key in 0..KEYS {
            let newest = |w: &&Written| w.key == key && w.committed == Some(true);
            let expected = self
                .written
                .values()
                .rev()
                .find(newest)
                .and_then(|w| w.value.clone());
            let is = |offset: &i64| self.written[offset].committed == Some(true);
            let mut of_key = visible.iter().filter(|(o, (k, ..))| *k == key && is(o));
            let found = of_key.next_back().and_then(|(_, (_, value, _))| value.clone());
            assert_eq!(found, expected, "key {key}");
        }
        for (offset, _) in visible.range(..cleaned_to) {
            assert_eq!(self.written[offset].committed, Some(true), "{offset} was aborted");
        }
        self.check_committed(&visible);
        self.check_reads(&visible);
    }

    /// A consumer of committed records takes exactly those, going by what it is told of aborted transactions.
    fn check_committed(&self, visible: &BTreeMap<i64, (u8, Option<Vec<u8>>, i64)>) {
        let end = self.partition.last_stable_offset();
        let mut told = self.partition.aborted_transactions(Offset(0), end);
        told.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut skipped = std::collections::BTreeSet::new();
        let mut taken = Vec::new();
        for bytes in read_all(&self.partition, 0) {
            let batch = RecordBatch::parse(&bytes).unwrap();
            let header = batch.header();
            if header.base_offset >= end.0 {
                break;
            }
            while told
                .last()
                .is_some_and(|a| a.first_offset <= header.last_offset())
            {
                skipped.insert(told.pop().unwrap().producer_id);
            }
            if header.is_control() {
                if batch.end_marker().unwrap().is_some_and(|marker| !marker.commit) {
                    skipped.remove(&header.producer_id);
                }
            } else if !(header.is_transactional() && skipped.contains(&header.producer_id)) {
                taken.extend(batch.records(1 << 20).unwrap().iter().map(|r| r.unwrap().offset));
            }
        }
        let committed = visible.range(..end.0).map(|(offset, _)| *offset);
        let committed: Vec<_> = committed
            .filter(|o| self.written[o].committed == Some(true))
            .collect();
        assert_eq!(taken, committed);
    }

    /// A read at any offset gives the batch with the next record that is left.
    fn check_reads(&self, visible: &BTreeMap<i64, (u8, Option<Vec<u8>>, i64)>) {
        let end = self.partition.high_watermark();
        for offset in (0..end.0).step_by(3) {
            let next = read_all(&self.partition, offset).iter().find_map(|bytes| {
                let batch = RecordBatch::parse(bytes).unwrap();
                if batch.header().is_control() {
                    return None;
                }
                let records = batch.records(1 << 20).unwrap();
                records.iter().map(|r| r.unwrap().offset).find(|o| *o >= offset)
            });
            assert_eq!(next, visible.range(offset..).next().map(|(o, _)| *o));
        }
        let greatest = visible.values().map(|(_, _, timestamp)| *timestamp).max();
        let found = self
            .partition
            .max_timestamp()
            .unwrap()
            .map(|(_, timestamp)| timestamp.0);
        if let Some(greatest) = greatest {
            assert!(found >= Some(greatest), "{found:?} {greatest}");
        }
    }
}

fn open_log(path: &Path, disk: &Arc<FailingDisk>, clock: &Arc<ManualClock>, bytes: usize) -> LogDir {
    let options = LogOptions {
        clock: clock.clone(),
        disk: disk.clone(),
        cleaner: CleanerOptions {
            backoff: Duration::from_millis(1),
            dedupe_buffer_bytes: bytes,
            threads: 2,
        },
        ..LogOptions::default()
    };
    open_with(path, &compacted(), options)
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, Vec<u8>, u8),
    End(u8, bool),
    Sleep(i64),
    Compact,
    Crash,
    Restart,
    FailWhileCompacting(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u8..4, prop::collection::vec(0..KEYS, 1..5), any::<u8>())
            .prop_map(|(producer, keys, seed)| Step::Write(producer, keys, seed)),
        4 => (1_u8..3, any::<bool>()).prop_map(|(producer, commit)| Step::End(producer, commit)),
        2 => (1..3 * DELETE_RETENTION_MS).prop_map(Step::Sleep),
        3 => Just(Step::Compact),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => (0_i64..60).prop_map(Step::FailWhileCompacting),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_of_each_key_survives_everything(
        steps in prop::collection::vec(step(), 1..90),
        small_map in any::<bool>(),
    ) {
        let mut world = World::new(if small_map { 64 * 5 } else { 1 << 20 });
        for step in &steps {
            match step {
                Step::Write(producer, keys, seed) => {
                    let producer = if *producer == 0 { 9 } else { i64::from(*producer) };
                    world.write(producer, keys, *seed);
                    continue;
                }
                Step::End(producer, commit) => {
                    world.end_transaction(i64::from(*producer), *commit);
                    continue;
                }
                Step::Sleep(ms) => {
                    world.clock.0.fetch_add(*ms, Ordering::Relaxed);
                    continue;
                }
                Step::Compact => world.compact(),
                Step::Crash => world.reopen(false),
                Step::Restart => world.reopen(true),
                Step::FailWhileCompacting(calls) => {
                    world.tried_to = world.partition.high_watermark().0;
                    world.disk.0.store(*calls, Ordering::SeqCst);
                    // It may have been enough.
                    let _ = world.log().compact_now();
                    world.reopen(false);
                }
            }
            world.check();
        }
        world.compact();
        world.check();
    }
}

/// Crashes at every single call to the disk, each followed by recovery and a pass to the end.
#[test]
fn a_crash_at_any_step_of_a_swap_leaves_the_old_or_the_new() {
    for calls in 0.. {
        let mut world = World::new(1 << 20);
        for round in 0..30_u8 {
            world.write(9, &[round % KEYS, (round + 1) % KEYS], round);
            if round % 5 == 0 {
                world.write(1, &[2], round);
                world.end_transaction(1, round % 2 == 0);
            }
        }
        world.tried_to = world.partition.high_watermark().0;
        world.disk.0.store(calls, Ordering::SeqCst);
        let finished = world.log().compact_now().is_ok_and(|count| count == 1);
        world.reopen(false);
        world.check();
        // As the advice for damaged files says: every log is then checked in full. What the pass has done is in no checkpoint.
        world.log.take().unwrap().close().unwrap();
        for checkpoint in ["recovery-point-offset-checkpoint", "cleaner-offset-checkpoint"] {
            let removed = std::fs::remove_file(world.dir.path().join(checkpoint));
            assert!(removed.is_ok() || checkpoint.starts_with("cleaner"));
        }
        world.open();
        world.check();
        world.compact();
        world.check();
        // Sequences go on where they were.
        world.write(9, &[1], 1);
        world.write(1, &[1], 1);
        if finished {
            assert!(calls > 10);
            return;
        }
    }
}

/// A pass that takes markers away and is cut short: nobody may be told of a transaction whose marker is gone, for the end of
/// its aborted records would never be found.
#[test]
fn committed_records_are_seen_when_a_pass_that_removes_markers_is_cut_short() {
    for calls in 0.. {
        let mut world = World::new(1 << 20);
        for round in 0..12_u8 {
            world.write(1, &[round % KEYS], round);
            world.end_transaction(1, round % 3 == 0);
            world.write(9, &[round % KEYS, (round + 1) % KEYS], round | 1);
        }
        // The aborted records go, then their markers are given a horizon, which passes.
        for _ in 0..3 {
            world.compact();
            world.check();
            world
                .clock
                .0
                .fetch_add(2 * DELETE_RETENTION_MS, Ordering::Relaxed);
            for round in 0..6_u8 {
                world.write(9, &[round % KEYS], round | 1);
            }
        }
        world.tried_to = world.partition.high_watermark().0;
        world.disk.0.store(calls, Ordering::SeqCst);
        let finished = world.log().compact_now().is_ok_and(|count| count == 1);
        world.reopen(false);
        world.check();
        if finished {
            assert!(calls > 10);
            return;
        }
    }
}

#[test]
fn small_segments_become_one_and_gaps_survive_a_full_check() {
    let mut world = World::new(1 << 20);
    for round in 0..120_u8 {
        world.write(9, &[round % 3, 4], round | 1);
    }
    let before = files(world.dir.path(), "log").len();
    world.compact();
    // What is left of each is small enough by now.
    for round in 0..20_u8 {
        world.write(9, &[round % 3, 4], round | 1);
    }
    world.compact();
    let after = files(world.dir.path(), "log").len();
    assert!(after < 7 && before > 15, "{before} {after}");
    world.check();
    world.log.take().unwrap().close().unwrap();
    // As the advice for damaged files says: every log is then checked in full.
    std::fs::remove_file(world.dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    world.open();
    world.check();
    world.reopen(true);
    world.write(9, &[1], 1);
}

/// Readers that run while segments change under them never see anything but whole batches in order.
#[test]
fn readers_go_on_while_segments_are_replaced() {
    let mut world = World::new(1 << 20);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = {
        let (partition, stop) = (world.partition.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                let found = bases(&read_all(&partition, 0));
                assert!(found.is_sorted());
                partition.max_timestamp().unwrap();
                rounds += 1;
            }
            rounds
        })
    };
    world.log().start_cleaner().unwrap();
    for round in 0..200_u8 {
        world.write(9, &[round % KEYS, (round + 1) % KEYS], round | 1);
    }
    while world.log().compact_now().unwrap() > 0 {}
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    world.check();
    world.reopen(true);
    world.check();
}

/// One partition with damage must not keep the others from being compacted.
#[test]
fn what_cannot_be_read_is_set_aside() {
    let mut world = World::new(1 << 20);
    for round in 0..30_u8 {
        world.write(9, &[1, 2], round | 1);
    }
    let first = &files(world.dir.path(), "log")[0];
    let mut bytes = std::fs::read(first).unwrap();
    bytes[80] ^= 1;
    std::fs::write(first, bytes).unwrap();
    assert_eq!(world.log().compact_now().unwrap(), 0);
    assert!(world.partition.is_set_aside());
    world.write(9, &[1], 1);
}

#[test]
fn lags_and_the_ratio_decide() {
    let mut world = World::new(1 << 20);
    let set = |world: &World, min_lag, max_lag, ratio| {
        world.partition.set_config(LogConfig {
            min_compaction_lag_ms: min_lag,
            max_compaction_lag_ms: max_lag,
            min_cleanable_ratio_ppm: ratio,
            ..compacted()
        });
    };
    for round in 0..30_u8 {
        world.write(9, &[1, 2], round | 1);
    }
    set(&world, 1000, i64::MAX, 0);
    assert_eq!(world.log().compact_now().unwrap(), 0);
    set(&world, 0, i64::MAX, 1_000_000);
    assert_eq!(world.log().compact_now().unwrap(), 1);
    for round in 0..30_u8 {
        world.write(9, &[1, 2], round | 1);
    }
    assert_eq!(world.log().compact_now().unwrap(), 0);
    set(&world, 0, 50, 1_000_000);
    assert_eq!(world.log().compact_now().unwrap(), 0);
    world.clock.0.fetch_add(100, Ordering::Relaxed);
    assert_eq!(world.log().compact_now().unwrap(), 1);
    world.check();
}
