//! Random topologies against an interpreter of the same description over plain vectors.
//!
//! A description is a tree of steps with ends. [`job`] makes a topology of it, [`oracle`] says what each output topic must hold; the two share
//! nothing but the description.
mod description;
mod foreign;
mod job;
mod joins;
mod keyed;
mod oracle;
mod repeated;
mod sessions;
mod sliding;
mod stores;
mod suppressed;
mod versions;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use crate::{TestDriver, TestRecord};
use description::{Move, Tree, description, moves};
use oracle::{Expected, Fact};

const PARTITIONS: i32 = 3;
/// Windows that begin later hold the rows that end the test, and stay open.
const END: i64 = 500_000;

/// Pipes a row; gives it as the oracle sees it.
fn pipe(
    driver: &mut TestDriver,
    latest: &mut BTreeMap<i64, i64>,
    bound: i64,
    (user, n, at): (i64, Option<i64>, Option<i64>),
    id: i64,
) -> Fact {
    let partition = user % i64::from(PARTITIONS);
    let number = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
    let text = format!(
        r#"{{"user":{user},"k":{},"n":{},"at":{},"id":{id}}}"#,
        number(n),
        number(n),
        number(at)
    );
    let record = TestRecord::new(text).partition(i32::try_from(partition).unwrap());
    driver.pipe("in", record).unwrap();
    let watermark = latest.get(&partition).map(|latest| latest - bound);
    if let Some(at) = at {
        let before = latest.entry(partition).or_insert(at);
        *before = at.max(*before);
    }
    Fact {
        user,
        k: n,
        n,
        at,
        id,
        watermark,
    }
}

/// Plays the moves, and rows that close all windows; gives all rows.
fn play(driver: &mut TestDriver, moves: &[Move], bound: i64) -> Vec<Fact> {
    let (mut facts, mut latest) = (Vec::new(), BTreeMap::new());
    let tasks = driver.task_ids();
    let mut id = 0;
    for next in moves {
        match *next {
            Move::Row(user, n, at) => {
                id += 1;
                facts.push(pipe(driver, &mut latest, bound, (user, n, at), id));
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Torn(task, records, seed) => {
                let task = tasks[task % tasks.len()];
                driver.torn_epoch(task, records, seed).unwrap();
                driver.epoch(task, records).unwrap();
            }
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
        }
    }
    for user in 6..6 + i64::from(PARTITIONS) {
        id += 1;
        let last = (user, Some(1), Some(1_000_000));
        facts.push(pipe(driver, &mut latest, bound, last, id));
    }
    // A sub-topology may write to one before it, where streams are merged.
    (0..6).for_each(|_| driver.commit().unwrap());
    facts
}

fn value(record: &TestRecord) -> Option<Value> {
    let value = record.value.as_ref()?;
    Some(serde_json::from_slice(value).unwrap())
}

/// The key of a table's record; of several columns, or of one that is no string, a JSON array.
pub(crate) fn key(record: &TestRecord) -> Vec<Value> {
    match serde_json::from_str(record.as_text().0).unwrap() {
        Value::Array(key) => key,
        other => vec![other],
    }
}

/// What a reader of a compacted topic has in the end.
fn table(driver: &mut TestDriver, topic: &str) -> BTreeMap<Option<i64>, Value> {
    let mut rows = BTreeMap::new();
    for record in driver.read(topic) {
        let key = key(&record)[0].as_i64();
        match value(&record) {
            Some(row) => drop(rows.insert(key, row)),
            None => assert!(
                rows.remove(&key).is_some() || driver.repeats(),
                "{key:?} was deleted, but not there"
            ),
        }
    }
    rows
}

/// All results of each key and window.
fn windows(driver: &mut TestDriver, topic: &str) -> BTreeMap<(Option<i64>, i64), Vec<Value>> {
    let mut results: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for record in driver.read(topic) {
        let key = key(&record);
        let start = crate::window::tests::millis_of_day(&key[1]);
        // The rows of the end are of later windows, whatever their day.
        let Some(row) = value(&record).filter(|_| record.timestamp.is_some_and(|time| time < END)) else {
            continue;
        };
        results.entry((key[0].as_i64(), start)).or_default().push(row);
    }
    results
}

fn same_rows(found: &Value, expected: &Value) -> bool {
    let close = |(one, other): (f64, f64)| (one - other).abs() < 1e-9;
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && expected
                    .iter()
                    .all(|(name, value)| found.get(name).is_some_and(|found| same_rows(found, value)))
        }
        _ => found == expected || found.as_f64().zip(expected.as_f64()).is_some_and(close),
    }
}

/// Compares an output with what the oracle expects of it; `exact` if no partition was idle.
fn check(driver: &mut TestDriver, topic: &str, expected: &Expected, exact: bool) {
    match expected {
        Expected::Rows(expected) => {
            let mut found: Vec<(String, Option<i64>)> = driver
                .read(topic)
                .iter()
                .map(|record| (value(record).unwrap().to_string(), record.timestamp))
                .collect();
            found.sort();
            assert_eq!(found, *expected, "{topic}");
        }
        Expected::Table(expected) => {
            let found = table(driver, topic);
            let same = found.len() == expected.len()
                && expected
                    .iter()
                    .all(|(key, row)| found.get(key).is_some_and(|found| same_rows(found, row)));
            assert!(same, "{topic}: {found:?} instead of {expected:?}");
        }
        Expected::Windows {
            results,
            on_close,
            tumbling,
            late,
        } => {
            let mut found = windows(driver, topic);
            let mut ids: Vec<i64> = driver
                .read(&format!("{topic}-late"))
                .iter()
                .map(|record| value(record).unwrap()["id"].as_i64().unwrap())
                .collect();
            ids.sort_unstable();
            if *on_close {
                assert!(
                    found.values().all(|results| results.len() == 1),
                    "{topic}: {found:?}"
                );
            }
            let last = |results: &mut Vec<Value>| results.pop().unwrap();
            let found: BTreeMap<_, Value> = found.iter_mut().map(|(key, rows)| (*key, last(rows))).collect();
            if !exact {
                // Windows may have closed without some rows, which are late then.
                assert!(late.iter().all(|id| ids.binary_search(id).is_ok()), "{topic}");
                for (window, row) in &found {
                    let count = |row: &Value| row["count"].as_i64().unwrap();
                    assert!(count(row) <= count(&results[window]), "{topic}: {window:?}");
                }
                if *tumbling && *on_close {
                    let counts = |rows: &BTreeMap<_, Value>| {
                        rows.values().filter_map(|row| row["count"].as_u64()).sum::<u64>()
                    };
                    let (came, total) = (
                        counts(&found) + ids.len() as u64,
                        counts(results) + late.len() as u64,
                    );
                    assert_eq!(came, total, "{topic}: no row is lost or counted twice");
                }
                return;
            }
            let same = found.len() == results.len()
                && results
                    .iter()
                    .all(|(key, row)| found.get(key).is_some_and(|found| same_rows(found, row)));
            assert!(same, "{topic}: {found:?} instead of {results:?}");
            assert_eq!(ids, *late, "{topic}");
        }
        Expected::WindowsOfWindows(results) => {
            if exact {
                let found = windows(driver, topic);
                let expected: BTreeMap<_, _> = results
                    .iter()
                    .map(|(key, row)| (*key, vec![row.clone()]))
                    .collect();
                assert_eq!(found, expected, "{topic}");
            }
        }
    }
}

fn run(tree: &Tree, moves: &[Move], bound: i64, exact: bool, limit: Option<usize>) {
    let app = job::job(tree, bound);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let facts = play(&mut driver, moves, bound);
    let expected: Vec<_> = oracle::expected(tree, &facts).into_iter().collect();
    stores::check(&mut driver, expected.iter().map(|(_, expected)| expected));
    for (topic, expected) in expected {
        check(&mut driver, &topic, &expected, exact);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the topology, the epochs, aborts and restarts: every output is the oracle's.
    #[test]
    fn outputs_are_those_of_the_oracle(tree in description(), moves in moves(0, 0), bound in 0..60_i64) {
        run(&tree, &moves, bound, true, None);
    }

    /// The same where partitions fall silent, as far as windows have an answer then.
    #[test]
    fn outputs_are_those_of_the_oracle_with_idle_partitions(
        tree in description(), moves in moves(6, 0), bound in 0..60_i64,
    ) {
        run(&tree, &moves, bound, false, None);
    }

    /// Where processes die while they write an epoch: each row has its effect in each output, and some have it more than once.
    #[test]
    fn outputs_have_what_the_oracle_has_where_epochs_are_repeated(
        tree in description(), moves in moves(0, 12), bound in 0..60_i64,
    ) {
        let app = job::job(&tree, bound);
        let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap().repeating();
        let facts = play(&mut driver, &moves, bound);
        for (topic, expected) in oracle::expected(&tree, &facts) {
            repeated::check(&mut driver, &topic, &expected);
        }
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn outputs_are_those_of_the_oracle_with_little_memory(
        tree in description(), moves in moves(0, 0), bound in 0..60_i64, limit in crate::testing::limit(),
    ) {
        run(&tree, &moves, bound, true, Some(limit));
    }
}
