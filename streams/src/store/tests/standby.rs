//! Stores that follow a log beside its owner, and are taken over.
use std::sync::mpsc::channel;
use std::time::Instant;

use super::*;

/// Nothing takes longer here that does not wait for the end of the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does what must not wait for the disk, which is held up.
fn at_once<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(act()));
    told.recv_timeout(PATIENCE).expect("it waits for the disk")
}

/// The store to follow, once what was left of it is on the disk.
fn followed(stores: &LocalStores) -> LocalStore {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(store) = stores.follow(&at()).unwrap() {
            return store;
        }
        assert!(
            Instant::now() < deadline,
            "nobody has it, and it cannot be followed"
        );
        std::thread::yield_now();
    }
}

/// A log of so many records, of which each key has several.
fn long_log(records: usize) -> Log {
    let record = |number: usize| {
        let key = format!("key {:03}", number % 97).into_bytes();
        let value = (number % 13 != 5).then(|| format!("value {number}").into_bytes());
        Some((key, value))
    };
    Log {
        records: (0..records).map(record).collect(),
        ..Log::default()
    }
}

/// Has `store` take a part of the log.
fn take(store: &LocalStore, log: &Log, part: std::ops::Range<usize>) {
    for offset in part {
        if let Some((key, value)) = &log.records[offset] {
            store.restore(log.place(offset), key, value.as_deref()).unwrap();
        }
    }
}

/// What a worker finds that claims the store: where it goes on, and what it has by then.
fn taken_over(stores: &LocalStores) -> (Option<i64>, BTreeMap<Bytes, Bytes>) {
    let owner = stores.claim(&at()).unwrap();
    let position = owner.resume();
    let (mut stored, mut table) = (owner.stored().unwrap(), BTreeMap::new());
    while stored
        .read(10, &mut |key, value| {
            table.insert(key.to_vec(), value.to_vec());
            true
        })
        .unwrap()
    {}
    (position.map(|position| position.offset), table)
}

fn part_of(log: &Log, upto: usize) -> BTreeMap<Bytes, Bytes> {
    let part = Log {
        records: log.records[..upto].to_vec(),
        ..Log::default()
    };
    part.table()
}

#[test]
fn a_take_over_finds_all_that_was_followed_whatever_is_on_the_disk() {
    let log = long_log(500);
    // With and without a file for what a long log has; the log is read to its end, or not yet.
    for (spooled_from, caught_up_at) in [(usize::MAX, 100), (50, 300), (50, 10), (50, 1_000)] {
        let directory = tempfile::tempdir().unwrap();
        let stores = spooling_stores(directory.path(), spooled_from);
        let standby = stores.follow(&at()).unwrap().unwrap();
        assert_eq!(standby.resume(), None);
        standby.begin_anew().unwrap();
        for number in 0..10 {
            let part = number * 50..(number + 1) * 50;
            if part.contains(&caught_up_at) {
                standby.stands_at(part.start as i64).unwrap();
            }
            take(&standby, &log, part);
        }
        assert_eq!(
            taken_over(&stores),
            (Some(500), log.table()),
            "{spooled_from} {caught_up_at}"
        );
        // Whoever followed is out.
        assert!(!standby.is_current());
        standby.restore(log.place(0), b"key 000", Some(b"late")).unwrap();
        assert_eq!(taken_over(&stores).1, log.table());
    }
}

#[test]
fn a_standby_goes_on_from_where_it_left() {
    let (directory, log) = (tempfile::tempdir().unwrap(), long_log(400));
    let stores = stores(directory.path());
    let standby = stores.follow(&at()).unwrap().unwrap();
    take(&standby, &log, 0..100);
    standby.stands_at(100).unwrap();
    take(&standby, &log, 100..200);
    // The end of the log is behind marks that nobody reads.
    standby.stands_at(203).unwrap();
    standby.keep(true).unwrap();
    drop(standby);
    let standby = followed(&stores);
    assert_eq!(standby.resume().map(|position| position.offset), Some(203));
    assert_eq!(taken_over(&stores), (Some(203), part_of(&log, 200)));
}

#[test]
fn what_somebody_works_with_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let stores = stores(directory.path());
    let owner = stores.claim(&at()).unwrap();
    assert!(stores.follow(&at()).unwrap().is_none());
    drop(owner);
    let _standby = followed(&stores);
    assert!(stores.follow(&at()).unwrap().is_none(), "it is followed already");
}

#[test]
fn a_large_store_is_looked_up_once_it_is_taken_over() {
    let (directory, log) = (tempfile::tempdir().unwrap(), long_log(300));
    let memory = StoreMemory::default().looked_up_from(1);
    let stores = stores_with(directory.path(), memory);
    let standby = stores.follow(&at()).unwrap().unwrap();
    take(&standby, &log, 0..100);
    standby.stands_at(100).unwrap();
    standby.keep(true).unwrap();
    take(&standby, &log, 100..200);
    let owner = stores.claim(&at()).unwrap();
    assert_eq!(owner.resume().map(|position| position.offset), Some(200));
    // The last part waits for the disk, and is found.
    assert!(owner.is_merged(PATIENCE).unwrap());
    assert!(owner.is_looked_up());
    take(&owner, &log, 200..300);
    owner.restored().unwrap();
    let expected = log.table();
    let keys: Vec<Bytes> = (0..97).map(|key| format!("key {key:03}").into_bytes()).collect();
    let mut found = BTreeMap::new();
    let sorted = keys.iter().enumerate().map(|(number, key)| (number, &key[..]));
    owner
        .get_sorted(sorted, &mut |number, value| {
            found.insert(keys[number].clone(), value.to_vec());
        })
        .unwrap();
    assert_eq!(found, expected);
    // Who needs all of it in memory gets it, and looks nothing up.
    drop(owner.stored().unwrap());
    assert!(!owner.is_looked_up());
}

/// All claims waited for what was left of one store.
#[test]
fn while_what_was_left_is_written_the_store_is_not_followed_and_others_are_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let stores = stores(directory.path());
    let standby = stores.follow(&at()).unwrap().unwrap();
    let written = standby.hold_up();
    drop(standby);
    let follows = stores.clone();
    assert!(at_once(move || follows.follow(&at()).unwrap().is_none()));
    let (claims, other) = (stores.clone(), TopicPartition { partition: 4, ..at() });
    drop(at_once(move || claims.claim(&other).unwrap()));
    written(Ok(()));
    drop(followed(&stores));
}

/// The worker stood still with all of its tasks while the disk merged what the copy had read.
#[test]
fn a_take_over_does_not_wait_for_what_is_being_merged() {
    let log = long_log(300);
    // What came behind it waits in memory, or in a file.
    for (spooled_from, caught_up) in [(usize::MAX, true), (50, true), (50, false)] {
        for looks_up in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let memory = StoreMemory {
                spooled_from,
                ..StoreMemory::default().looked_up_from(if looks_up { 1 } else { usize::MAX })
            };
            let stores = stores_with(directory.path(), memory);
            let standby = stores.follow(&at()).unwrap().unwrap();
            standby.begin_anew().unwrap();
            take(&standby, &log, 0..100);
            if caught_up {
                standby.stands_at(100).unwrap();
            }
            let merged = standby.hold_up();
            take(&standby, &log, 100..200);
            let claims = stores.clone();
            let owner = at_once(move || claims.claim(&at()).unwrap());
            assert_eq!(owner.resume().map(|position| position.offset), Some(200));
            assert!(!owner.is_merged(Duration::ZERO).unwrap());
            assert!(!owner.is_looked_up(), "it cannot be found yet");
            merged(Ok(()));
            assert!(owner.is_merged(PATIENCE).unwrap());
            // Who has most of the log still to read loads all.
            assert_eq!(owner.is_looked_up(), looks_up && caught_up);
            assert!(owner.is_on_disk(PATIENCE).unwrap());
            drop((owner, standby));
            assert_eq!(taken_over(&stores), (Some(200), part_of(&log, 200)));
        }
    }
}

/// The worker that claimed it ended, with the job, though the log has all of it.
#[test]
fn a_copy_that_could_not_be_written_is_given_up_by_whoever_takes_over() {
    let (directory, log) = (tempfile::tempdir().unwrap(), long_log(200));
    let stores = stores(directory.path());
    let standby = stores.follow(&at()).unwrap().unwrap();
    take(&standby, &log, 0..100);
    standby.stands_at(100).unwrap();
    standby.hold_up()(Err("no room".to_owned()));
    take(&standby, &log, 100..200);
    assert_eq!(taken_over(&stores), (None, BTreeMap::new()));
    // The same if it is known only later.
    drop(standby);
    let standby = followed(&stores);
    take(&standby, &log, 0..100);
    let written = standby.hold_up();
    let owner = stores.claim(&at()).unwrap();
    written(Err("no room".to_owned()));
    let error = owner.is_merged(PATIENCE).unwrap_err();
    assert!(matches!(error, LocalStoreError::Write { .. }), "{error}");
    owner.begin_anew().unwrap();
    assert!(owner.is_merged(PATIENCE).unwrap() && owner.is_on_disk(PATIENCE).unwrap());
}
