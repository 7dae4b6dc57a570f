//! Those who read a store beside its owner.
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::partition::STATE;
use super::*;

/// All that a reader finds, in the order of the keys.
pub(super) fn all(reader: &StoreReader) -> BTreeMap<Bytes, Bytes> {
    let mut found: Vec<(Bytes, Bytes)> = Vec::new();
    let scanned = reader.scan(b"", &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    });
    scanned.unwrap();
    assert!(
        found.is_sorted_by(|one, other| one.0 < other.0),
        "keys come once, in their order"
    );
    found.into_iter().collect()
}

fn key(number: u32) -> Bytes {
    format!("key {number:05}").into_bytes()
}

/// Changes of `keys` that all say `value`.
fn changes(keys: std::ops::Range<u32>, value: u32) -> Vec<(Bytes, Option<Bytes>)> {
    let value = value.to_string().into_bytes();
    keys.map(|number| (key(number), Some(value.clone()))).collect()
}

#[test]
fn readers_find_what_waits_and_what_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let mut process = Process::start(stores(directory.path()), &log);
    process.epoch(&mut log, &changes(0..100, 1), true);
    process.checkpoint(&log);
    process.epoch(&mut log, &changes(50..150, 2), true);
    process.epoch(&mut log, &[(key(7), None), (key(149), None)], true);
    process.epoch(&mut log, &changes(20..30, 3), false);
    let reader = process.store.reader();
    assert_eq!(all(&reader), log.table());
    let value = |number| reader.get(&key(number)).unwrap();
    assert_eq!(value(7), None);
    assert_eq!(
        value(25),
        Some(b"1".to_vec()),
        "what is not committed is not there"
    );
    assert_eq!(value(120), Some(b"2".to_vec()));
    assert_eq!(value(149), None);

    let mut some = Vec::new();
    let scanned = reader.scan(b"key 0001", &mut |key, _| {
        some.push(key.to_vec());
        some.len() < 3
    });
    scanned.unwrap();
    assert_eq!(some, [key(10), key(11), key(12)]);
}

#[test]
fn a_store_that_is_anothers_or_not_whole_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let stores = stores(directory.path());
    let mut process = Process::start(stores.clone(), &log);
    process.epoch(&mut log, &changes(0..3, 1), true);
    let reader = process.store.reader();
    let claimed = stores.claim(&at()).unwrap();
    let error = |reader: &StoreReader| reader.get(&key(1)).unwrap_err();
    assert!(matches!(error(&reader), LocalStoreError::Taken { .. }));
    assert!(matches!(
        error(&claimed.reader()),
        LocalStoreError::Restoring { .. }
    ));
    claimed.restored().unwrap();
    assert!(matches!(error(&reader), LocalStoreError::Taken { .. }));
    assert_eq!(claimed.reader().get(&key(1)).unwrap(), Some(b"1".to_vec()));
}

#[test]
fn readers_beside_a_writer_see_one_epoch_after_the_other() {
    const KEYS: u32 = 3_000;
    const EPOCHS: u32 = 40;
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let mut process = Process::start(stores(directory.path()), &log);
    process.epoch(&mut log, &changes(0..KEYS, 0), true);
    let (reader, done) = (process.store.reader(), Arc::new(AtomicBool::new(false)));
    let reads: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (reader.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let number = |value: &[u8]| str::from_utf8(value).unwrap().parse::<u32>().unwrap();
                let (mut before, mut reads) = (0, 0_u32);
                // What comes later in an epoch is never ahead of what comes earlier.
                while !done.load(Ordering::Acquire) {
                    let last = number(&reader.get(&key(KEYS - 1)).unwrap().unwrap());
                    let first = number(&reader.get(&key(0)).unwrap().unwrap());
                    assert!(before <= last && last <= first, "{before} {last} {first}");
                    let values: Vec<u32> = all(&reader).values().map(|value| number(value)).collect();
                    assert_eq!(values.len(), KEYS as usize);
                    assert!(values.is_sorted_by(|one, other| one >= other));
                    assert!(values[0] - values[KEYS as usize - 1] <= 1);
                    (before, reads) = (values[KEYS as usize - 1], reads + 1);
                }
                reads
            })
        })
        .collect();
    for epoch in 1..=EPOCHS {
        process.epoch(&mut log, &changes(0..KEYS, epoch), true);
        if epoch % 7 == 0 {
            process.checkpoint(&log);
        }
    }
    done.store(true, Ordering::Release);
    assert!(reads.into_iter().all(|read| read.join().is_ok()));
    assert_eq!(all(&reader), log.table());
}

#[test]
fn many_changes_are_found_at_once_from_the_first_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let mut process = Process::start(stores(directory.path()), &log);
    let many = INDEXED_MAX as u32 + 5_000;
    process.epoch(&mut log, &changes(0..many, 1), true);
    process.epoch(&mut log, &changes(many - 10..many, 2), true);
    let reader = process.store.reader();
    assert_eq!(reader.get(&key(many - 1)).unwrap(), Some(b"2".to_vec()));
    assert_eq!(reader.get(&key(many - 11)).unwrap(), Some(b"1".to_vec()));
    assert!(process.store.reader().get(&key(many)).unwrap().is_none());
    process.checkpoint(&log);
    process.epoch(&mut log, &changes(0..many, 3), true);
    assert_eq!(all(&reader), log.table());
}

/// What had been sealed before was looked through from the back for each key, as long as it was not on the disk.
#[test]
fn what_was_sealed_before_the_first_read_is_found_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::default();
    let process = Process::start(stores(directory.path()), &log);
    let mut pending = Pending::new(10);
    for (key, value) in changes(0..1_000, 1).into_iter().chain(changes(990..1_000, 2)) {
        pending.put(&[&[STATE], &key[..]].concat(), value.as_deref());
    }
    let sealed = Arc::new(Sealed::new(pending, None));
    process.store.own().unwrap().sealed = Some(Arc::clone(&sealed));
    assert!(!sealed.is_indexed());
    let reader = process.store.reader();
    assert_eq!(reader.get(&key(5)).unwrap(), Some(b"1".to_vec()));
    assert!(sealed.is_indexed());
    assert_eq!(reader.get(&key(989)).unwrap(), Some(b"1".to_vec()));
    assert_eq!(reader.get(&key(990)).unwrap(), Some(b"2".to_vec()));
    assert_eq!(reader.get(&key(1_000)).unwrap(), None);
    sealed.end(Ok(()));
}
