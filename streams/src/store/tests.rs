//! Stores against a log made of memory.
mod reader;
mod standby;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::rows::NO_TIME;
use crate::sink::{Destination, RecordBuffer};

/// In the order of their bytes, as a scan needs them.
const PREFIXES: [&[u8]; 4] = [b"a", b"key1", b"key7", b"key8"];

static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000_000);

fn now_ms() -> u64 {
    NOW_MS.load(Ordering::Relaxed)
}

type Bytes = Vec<u8>;

/// A record of the log; none is one that was compacted away, a marker, or of an aborted transaction.
type Stored = Option<(Bytes, Option<Bytes>)>;

/// A changelog partition. Each making has other timestamps.
#[derive(Debug, Default)]
struct Log {
    making: i64,
    records: Vec<Stored>,
}

impl Log {
    fn table(&self) -> BTreeMap<Bytes, Bytes> {
        let mut table = BTreeMap::new();
        for (key, value) in self.records.iter().flatten() {
            match value {
                Some(value) => table.insert(key.clone(), value.clone()),
                None => table.remove(key),
            };
        }
        table
    }

    fn first(&self) -> Option<FirstRecord> {
        let offset = self.records.iter().position(Option::is_some)?;
        Some(self.place(offset))
    }

    fn place(&self, offset: usize) -> FirstRecord {
        FirstRecord {
            offset: offset as i64,
            timestamp: self.making * 1_000_000 + offset as i64,
        }
    }

    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    /// Keeps the latest record of each key, but never touches the last ones.
    fn compact(&mut self) {
        let upto = self.records.len().saturating_sub(3);
        for place in 0..upto {
            let Some((key, _)) = &self.records[place] else {
                continue;
            };
            let later = self.records[place + 1..].iter().flatten();
            if later.map(|(later, _)| later).any(|later| later == key) {
                self.records[place] = None;
            }
        }
    }
}

/// A process with one store: what its task has in memory, and what it read to have it.
struct Process {
    _stores: LocalStores,
    store: LocalStore,
    memory: BTreeMap<Bytes, Bytes>,
    loaded: usize,
    read: usize,
}

fn at() -> TopicPartition {
    TopicPartition {
        topic: "app-counts-changelog".into(),
        partition: 3,
    }
}

fn stores(directory: &Path) -> LocalStores {
    stores_with(directory, StoreMemory::default())
}

/// Stores that put a log that is read into a file from so many changes on.
fn spooling_stores(directory: &Path, spooled_from: usize) -> LocalStores {
    spooling_parts(directory, spooled_from, u64::MAX / 8)
}

/// The same, in parts of so many bytes.
fn spooling_parts(directory: &Path, spooled_from: usize, spool_bytes: u64) -> LocalStores {
    let memory = StoreMemory {
        spooled_from,
        spool_bytes,
        ..StoreMemory::default()
    };
    stores_with(directory, memory)
}

fn stores_with(directory: &Path, memory: StoreMemory) -> LocalStores {
    let slot = Arc::new(Slot::take(directory, "app").unwrap());
    LocalStores::open(slot, "cluster".to_owned(), now_ms, memory).unwrap()
}

impl Process {
    /// Starts as a worker does.
    fn start(stores: LocalStores, log: &Log) -> Self {
        let store = stores.claim(&at()).unwrap();
        let (mut memory, mut loaded, mut read, mut begin) = (BTreeMap::new(), 0, 0, 0);
        let fits = |position: &Position| position.offset <= log.end() && Some(position.first) == log.first();
        match store.resume().filter(fits) {
            Some(position) => {
                begin = position.offset as usize;
                let mut stored = store.stored().unwrap();
                while stored
                    .read(7, &mut |key, value| {
                        loaded += 1;
                        memory.insert(key.to_vec(), value.to_vec());
                        true
                    })
                    .unwrap()
                {}
            }
            None => store.begin_anew().unwrap(),
        }
        for (offset, record) in log.records.iter().enumerate().skip(begin) {
            let Some((key, value)) = record else { continue };
            read += 1;
            store.restore(log.place(offset), key, value.as_deref()).unwrap();
            match value {
                Some(value) => memory.insert(key.clone(), value.clone()),
                None => memory.remove(key),
            };
        }
        store.restored().unwrap();
        Self {
            _stores: stores,
            store,
            memory,
            loaded,
            read,
        }
    }

    /// Works through an epoch: the log has it if it is committed.
    fn epoch(&mut self, log: &mut Log, changes: &[(Bytes, Option<Bytes>)], committed: bool) {
        log.records
            .extend(changes.iter().map(|change| committed.then(|| change.clone())));
        // The marker.
        log.records.push(None);
        if committed {
            self.store.apply(&buffer(changes)).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => self.memory.insert(key.clone(), value.clone()),
                    None => self.memory.remove(key),
                };
            }
        }
    }

    fn checkpoint(&self, log: &Log) {
        let first = (!self.store.knows_first()).then(|| log.first()).flatten();
        self.store
            .checkpoint(Some(log.end()), first, Duration::MAX)
            .unwrap();
    }

    /// What is found of the [`PREFIXES`].
    fn ranges(&self) -> BTreeMap<Bytes, Bytes> {
        let mut found = BTreeMap::new();
        let read = self.store.scan(&PREFIXES, &mut |key, value| {
            assert_eq!(found.insert(key.to_vec(), value.to_vec()), None);
            true
        });
        assert_eq!(read.unwrap(), PREFIXES.len());
        found
    }

    /// What lookups find of all keys of the log.
    fn looked_up(&self, log: &Log) -> BTreeMap<Bytes, Bytes> {
        let keys: std::collections::BTreeSet<&Bytes> =
            log.records.iter().flatten().map(|(key, _)| key).collect();
        let keys: Vec<&Bytes> = keys.into_iter().collect();
        let mut found = BTreeMap::new();
        self.store
            .get_sorted(
                keys.iter().map(|key| key.as_slice()).enumerate(),
                &mut |number, value| {
                    found.insert(keys[number].clone(), value.to_vec());
                },
            )
            .unwrap();
        found
    }
}

fn buffer(changes: &[(Bytes, Option<Bytes>)]) -> RecordBuffer {
    let mut buffer = RecordBuffer::new(Destination::Partition {
        topic: at().topic,
        partition: at().partition,
        batch_header: None,
    });
    for (key, value) in changes {
        buffer.push(
            NO_TIME,
            |out| {
                out.extend(key);
                true
            },
            |out| {
                out.extend(value.iter().flatten());
                value.is_some()
            },
        );
    }
    buffer
}

fn change(key: &str, value: Option<&str>) -> (Bytes, Option<Bytes>) {
    (key.into(), value.map(Into::into))
}

fn changes(numbers: std::ops::Range<usize>) -> Vec<(Bytes, Option<Bytes>)> {
    numbers
        .map(|n| change(&format!("key{n}"), Some(&format!("{n}"))))
        .collect()
}

/// A directory, a log with 100 keys, and a process that has worked on them and written a checkpoint.
fn begun() -> (TempDir, Log, Process) {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let mut process = Process::start(stores(directory.path()), &log);
    process.epoch(&mut log, &changes(0..100), true);
    process.checkpoint(&log);
    (directory, log, process)
}

#[test]
fn a_restart_reads_the_checkpoint_and_only_the_rest_of_the_log() {
    let (directory, mut log, mut process) = begun();
    // Not in the checkpoint: the crash comes between the commit and the disk.
    process.epoch(
        &mut log,
        &[change("key1", Some("new")), change("key2", None)],
        true,
    );
    drop(process);
    let process = Process::start(stores(directory.path()), &log);
    assert_eq!((process.loaded, process.read), (100, 2));
    assert_eq!(process.memory, log.table());
    process.checkpoint(&log);
    drop(process);
    let process = Process::start(stores(directory.path()), &log);
    assert_eq!((process.loaded, process.read), (99, 0));
    assert_eq!(process.memory, log.table());
}

#[test]
fn what_was_not_committed_never_comes_to_the_disk() {
    let (directory, mut log, mut process) = begun();
    process.epoch(&mut log, &[change("key1", Some("aborted"))], false);
    process.checkpoint(&log);
    drop(process);
    let process = Process::start(stores(directory.path()), &log);
    assert_eq!((process.loaded, process.read), (100, 0));
    assert_eq!(process.memory, log.table());
}

#[test]
fn a_log_that_was_lost_or_made_anew_takes_the_store_with_it() {
    let lost: [fn(&mut Log); 3] = [
        |log| log.records.truncate(50),
        |log| log.making += 1,
        |log| log.records.clear(),
    ];
    for lose in lost {
        let (directory, mut log, process) = begun();
        drop(process);
        lose(&mut log);
        let mut process = Process::start(stores(directory.path()), &log);
        assert_eq!((process.loaded, &process.memory), (0, &log.table()));
        process.epoch(&mut log, &changes(0..3), true);
        process.checkpoint(&log);
        drop(process);
        let process = Process::start(stores(directory.path()), &log);
        assert_eq!((process.read, &process.memory), (0, &log.table()));
    }
}

#[test]
fn the_stores_of_another_cluster_or_form_and_old_ones_are_not_used() {
    let (directory, log, process) = begun();
    drop(process);
    let slot = Arc::new(Slot::take(directory.path(), "app").unwrap());
    let other = LocalStores::open(slot, "other".to_owned(), now_ms, StoreMemory::default()).unwrap();
    assert_eq!(other.claim(&at()).unwrap().resume(), None);
    drop(other);
    let slot = Arc::new(Slot::take(directory.path(), "app").unwrap());
    let much_later = || now_ms() + AGE_MAX_MS + 1;
    let later = LocalStores::open(slot, "cluster".to_owned(), much_later, StoreMemory::default()).unwrap();
    assert_eq!(later.claim(&at()).unwrap().resume(), None);
    drop(later);
    assert_eq!(Process::start(stores(directory.path()), &log).loaded, 100);
}

#[test]
fn damaged_files_are_given_up() {
    let (directory, log, process) = begun();
    drop(process);
    let mut damaged = 0;
    for path in files(directory.path()) {
        let mut bytes = std::fs::read(&path).unwrap();
        if path.file_name().is_some_and(|name| name != "lock") && bytes.len() > 100 {
            let middle = bytes.len() / 2;
            bytes[middle..].iter_mut().for_each(|byte| *byte ^= 0x5a);
            bytes.truncate(middle + middle / 2);
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    let process = Process::start(stores(directory.path()), &log);
    assert_eq!((process.loaded, &process.memory), (0, &log.table()));
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}

#[test]
fn a_claim_ends_the_one_before() {
    let (_directory, mut log, mut process) = begun();
    process.epoch(&mut log, &[change("key1", Some("before"))], true);
    let next = process._stores.claim(&at()).unwrap();
    assert!(next.is_current() && !process.store.is_current());
    // What the first still has to say comes too late.
    process
        .store
        .apply(&buffer(&[change("key1", Some("late"))]))
        .unwrap();
    process.checkpoint(&log);
    let found = process
        .store
        .get_sorted([(0, &b"key1"[..])].into_iter(), &mut |_, _| {});
    assert!(
        matches!(found, Err(LocalStoreError::Taken { .. })),
        "it may be empty by now"
    );
    process.store = next.clone();
    assert_eq!(process.looked_up(&log), log.table());
    assert!(
        !next.is_due() && !next.is_dirty(true),
        "nothing is known of it yet"
    );
}

#[test]
fn the_store_of_another_partition_is_another() {
    let (_directory, _, process) = begun();
    let other = TopicPartition { partition: 4, ..at() };
    assert_eq!(process._stores.claim(&other).unwrap().resume(), None);
}

#[test]
fn lookups_find_what_waits_and_what_is_on_the_disk() {
    let (_directory, mut log, mut process) = begun();
    process.epoch(
        &mut log,
        &[
            change("key7", None),
            change("key8", Some("waits")),
            change("a", Some("")),
        ],
        true,
    );
    assert_eq!(process.looked_up(&log), log.table());
    assert_eq!(process.ranges(), ranges_of(&log));
    process.checkpoint(&log);
    assert_eq!(process.looked_up(&log), log.table());
    assert_eq!(process.ranges(), ranges_of(&log));
}

/// What begins with one of the [`PREFIXES`].
fn ranges_of(log: &Log) -> BTreeMap<Bytes, Bytes> {
    let mut table = log.table();
    table.retain(|key, _| PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    table
}

#[test]
fn a_range_is_read_to_its_end_before_it_is_told_to_stop() {
    let (_directory, log, process) = begun();
    let mut found = BTreeMap::new();
    let read = process.store.scan(&PREFIXES, &mut |key, value| {
        found.insert(key.to_vec(), value.to_vec());
        !key.starts_with(PREFIXES[1])
    });
    assert_eq!(read.unwrap(), 2);
    let mut expected = ranges_of(&log);
    expected.retain(|key, _| key.starts_with(PREFIXES[1]));
    assert_eq!(found, expected);
}

#[test]
fn a_key_that_the_store_cannot_take_is_named() {
    let (_directory, mut log, mut process) = begun();
    let key = "k".repeat(65_535);
    log.records.push(Some(change(&key, None)));
    let error = process
        .store
        .apply(&buffer(&[change(&key, None)]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("a key of 65535 bytes"), "{error}");
    process.memory.clear();
}

#[test]
fn without_the_logs_end_the_old_offset_stays_and_the_states_are_written() {
    let (directory, mut log, mut process) = begun();
    process.epoch(&mut log, &[change("key1", Some("new"))], true);
    process.store.checkpoint(None, None, Duration::MAX).unwrap();
    drop(process);
    let process = Process::start(stores(directory.path()), &log);
    assert_eq!((process.loaded, process.read), (100, 1));
    assert_eq!(process.memory, log.table());
}

#[test]
fn many_changes_are_written_while_the_log_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StoreMemory {
        lookups: true,
        ..StoreMemory::default()
    };
    let long = "x".repeat(1 << 20);
    let mut log = Log::default();
    for n in 0..80 {
        log.records.push(Some(change(&format!("key{n}"), Some(&long))));
    }
    let process = Process::start(stores_with(directory.path(), memory), &log);
    // The crash comes before the first checkpoint.
    drop(process);
    let process = Process::start(stores_with(directory.path(), memory), &log);
    assert!(
        process.loaded >= 60 && process.read < 20,
        "{} + {}",
        process.loaded,
        process.read
    );
    assert_eq!(process.memory, log.table());
}

#[test]
fn a_long_log_is_written_behind_its_restore() {
    let mut log = Log::default();
    log.records.extend(changes(0..100).into_iter().map(Some));
    log.records.push(Some(change("key3", None)));
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(spooling_stores(directory.path(), 10), &log);
    assert_eq!((process.loaded, process.read), (0, 101));
    process.epoch(
        &mut log,
        &[change("key1", Some("new")), change("key2", None)],
        true,
    );
    // The crash comes before a checkpoint of that.
    drop(process);
    let process = Process::start(spooling_stores(directory.path(), 10), &log);
    assert_eq!((process.loaded, process.read), (99, 2));
    assert_eq!(process.memory, log.table());
    process.checkpoint(&log);
    drop(process);
    let process = Process::start(spooling_stores(directory.path(), 10), &log);
    assert_eq!((process.loaded, process.read), (98, 0));
    assert_eq!(process.memory, log.table());
}

/// Begins to restore, and stops after 50 records.
fn restore_half(stores: &LocalStores, log: &Log) -> LocalStore {
    let store = stores.claim(&at()).unwrap();
    store.begin_anew().unwrap();
    for (offset, record) in log.records.iter().enumerate().take(50) {
        let (key, value) = record.as_ref().unwrap();
        store.restore(log.place(offset), key, value.as_deref()).unwrap();
    }
    store
}

#[test]
fn a_long_restore_goes_on_behind_the_part_that_is_written() {
    let mut log = Log::default();
    log.records.extend(changes(0..100).into_iter().map(Some));
    let directory = tempfile::tempdir().unwrap();
    drop(restore_half(&spooling_parts(directory.path(), 10, 40), &log));
    let process = Process::start(spooling_stores(directory.path(), 10), &log);
    assert!((10..=50).contains(&process.loaded), "{}", process.loaded);
    assert_eq!(process.loaded + process.read, 100);
    assert_eq!(process.memory, log.table());
}

#[test]
fn a_restore_that_another_takes_over_leaves_nothing_behind() {
    let mut log = Log::default();
    log.records.extend(changes(0..100).into_iter().map(Some));
    let directory = tempfile::tempdir().unwrap();
    let stores = spooling_stores(directory.path(), 10);
    let store = restore_half(&stores, &log);
    let process = Process::start(stores, &log);
    assert_eq!((process.loaded, process.read), (0, 100));
    drop((process, store));
    let process = Process::start(spooling_stores(directory.path(), 10), &log);
    assert_eq!((process.loaded, process.read), (100, 0));
    assert_eq!(process.memory, log.table());
}

#[derive(Debug, Clone)]
enum Act {
    Epoch(Vec<(u8, Option<u8>)>, bool),
    Checkpoint,
    /// Without the log's end.
    Flush,
    Crash,
    /// Another thread of the process takes over.
    Claim,
    /// Another process works on, which has no such store.
    Away(Vec<(u8, Option<u8>)>),
    Compact,
    Reset,
}

fn act() -> impl Strategy<Value = Act> {
    let changes = || prop::collection::vec((0..12_u8, prop::option::weighted(0.8, any::<u8>())), 1..8);
    prop_oneof![
        6 => (changes(), prop::bool::weighted(0.8)).prop_map(|(changes, committed)| Act::Epoch(changes, committed)),
        3 => Just(Act::Checkpoint),
        1 => Just(Act::Flush),
        2 => Just(Act::Crash),
        1 => Just(Act::Claim),
        1 => changes().prop_map(Act::Away),
        1 => Just(Act::Compact),
        1 => Just(Act::Reset),
    ]
}

fn named(changes: &[(u8, Option<u8>)]) -> Vec<(Bytes, Option<Bytes>)> {
    let named = |(key, value): &(u8, Option<u8>)| (vec![b'k', *key], value.map(|value| vec![value; 3]));
    changes.iter().map(named).collect()
}

#[test]
fn who_reads_a_range_sees_an_epoch_whole() {
    let (_directory, _log, process) = begun();
    let reader = process.store.reader();
    let count = |reader: &super::StoreReader| {
        let mut count = 0;
        reader
            .scan(b"whole", &mut |_, _| {
                count += 1;
                true
            })
            .map(|()| count)
    };
    assert_eq!(count(&reader).unwrap(), 0);
    process.store.begin_epoch();
    process
        .store
        .apply(&buffer(&[change("whole1", Some("x"))]))
        .unwrap();
    assert!(matches!(count(&reader), Err(LocalStoreError::Restoring { .. })));
    let waiting = {
        let reader = reader.clone();
        std::thread::spawn(move || {
            loop {
                match count(&reader) {
                    Err(LocalStoreError::Restoring { .. }) => {}
                    counted => return counted.unwrap(),
                }
            }
        })
    };
    process
        .store
        .apply(&buffer(&[change("whole2", Some("x"))]))
        .unwrap();
    process.store.end_epoch();
    assert_eq!(waiting.join().unwrap(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_start_finds_what_the_log_says(
        acts in prop::collection::vec(act(), 1..30),
        spooled_from in prop_oneof![Just(0_usize), Just(3), Just(usize::MAX)],
        spool_bytes in prop_oneof![Just(0_u64), Just(100), Just(u64::MAX / 8)],
    ) {
        let stores = |directory: &Path| spooling_parts(directory, spooled_from, spool_bytes);
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::default();
        let mut process = Some(Process::start(stores(directory.path()), &log));
        let restart = |process: &mut Option<Process>, log: &Log| {
            // The folder must be free before it is taken again.
            process.take();
            *process = Some(Process::start(stores(directory.path()), log));
        };
        for act in acts {
            let running = process.as_mut().unwrap();
            match act {
                Act::Epoch(changes, committed) => running.epoch(&mut log, &named(&changes), committed),
                Act::Checkpoint => running.checkpoint(&log),
                Act::Flush => running.store.checkpoint(None, None, Duration::MAX).unwrap(),
                Act::Compact => log.compact(),
                Act::Crash => restart(&mut process, &log),
                Act::Claim => {
                    let stores = running._stores.clone();
                    process = Some(Process::start(stores, &log));
                }
                Act::Away(changes) => {
                    process.take();
                    log.records.extend(named(&changes).into_iter().map(Some));
                    restart(&mut process, &log);
                }
                Act::Reset => {
                    process.take();
                    (log.making, log.records) = (log.making + 1, Vec::new());
                    restart(&mut process, &log);
                }
            }
            let running = process.as_ref().unwrap();
            prop_assert_eq!(&running.memory, &log.table());
            if spooled_from == usize::MAX {
                // What is on its way through a file is not found, because nobody looks for it.
                prop_assert_eq!(running.looked_up(&log), log.table());
            }
            prop_assert_eq!(reader::all(&running.store.reader()), log.table());
        }
    }
}
