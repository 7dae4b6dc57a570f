//! Streams joined with what tables had at their time, against a search through all rows that the tables ever got.
//!
//! The oracle knows each row and the watermark that its partition had before it, and nothing of epochs, tasks, histories, or in which order
//! both inputs came. Rows of the table are never late by their own partition, because what comes of those hangs on when they came.
mod repeated;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json as json_of};

use super::joins::{ms, partition_of};
use super::{END, PARTITIONS, value};
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

const ROWS: usize = 0;
const TABLE: usize = 1;

#[derive(Debug, Clone)]
struct Description {
    left: bool,
    grace: i64,
    /// How much longer than that versions are kept.
    longer: i64,
    /// How far out of order each topic may be.
    bounds: [i64; 2],
    /// The topics are partitioned by the key already; else they are brought together.
    direct: [bool; 2],
    /// The size of windows over what comes out.
    again: i64,
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: its key, partition if that is not the key's, and time.
    Row(Option<u8>, i32, Option<i64>),
    /// A row of the table: its key, what it has, if it is not deleted, and time.
    Version(Option<u8>, Option<u8>, Option<i64>),
    Epoch(usize, usize),
    Aborted(usize, usize),
    /// One that dies; the next one is of the same records.
    Torn(usize, usize, u64),
    Restart,
    Silence(u64),
}

/// A row of the stream, with the watermark that its partition had before it.
#[derive(Debug, Clone)]
struct Fact {
    key: Option<String>,
    at: Option<i64>,
    id: i64,
    watermark: Option<i64>,
}

/// A row of the table.
#[derive(Debug, Clone)]
struct Version {
    key: Option<String>,
    at: i64,
    value: Option<String>,
}

#[derive(Debug, Default)]
struct Played {
    facts: Vec<Fact>,
    /// In the order of the log.
    versions: Vec<Version>,
    latest: BTreeMap<(usize, i32), i64>,
    id: i64,
}

fn description() -> impl Strategy<Value = Description> {
    let (grace, bound) = (prop_oneof![Just(0), 0..40_i64], 0..60_i64);
    let longer = prop_oneof![Just(0), 0..50_i64];
    let (bounds, direct) = ([bound.clone(), bound], [any::<bool>(), any::<bool>()]);
    (any::<bool>(), grace, longer, bounds, direct, 10..150_i64).prop_map(
        |(left, grace, longer, mut bounds, direct, again)| {
            if direct[TABLE] {
                // It goes by the times of records, in order.
                bounds[TABLE] = 0;
            }
            Description {
                left,
                grace,
                longer,
                bounds,
                direct,
                again,
            }
        },
    )
}

fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = || proptest::option::weighted(0.9, 0..4_u8);
    let at = || proptest::option::weighted(0.95, 0..300_i64);
    let has = proptest::option::weighted(0.8, 0..3_u8);
    let one = prop_oneof![
        40 => (key(), 0..PARTITIONS, at()).prop_map(|(key, partition, at)| Move::Row(key, partition, at)),
        40 => (key(), has, at()).prop_map(|(key, has, at)| Move::Version(key, has, at)),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..12_usize, 0..8_usize, any::<u64>()).prop_map(|(task, records, seed)| Move::Torn(task, records, seed)),
        4 => Just(Move::Restart),
        silence => (1..8_u64).prop_map(Move::Silence),
    ];
    // Times that go on, so that not all but the first rows are late.
    proptest::collection::vec(one, 1..150).prop_map(|mut moves| {
        let length = moves.len() as i64;
        for (place, next) in (0..).zip(&mut moves) {
            if let Move::Row(_, _, Some(at)) | Move::Version(_, _, Some(at)) = next {
                *at = *at / 6 + place * 300 / length;
            }
        }
        moves
    })
}

fn rows(app: &Streams, topic: &str, columns: &[(&str, DataType)], bound: i64) -> Stream {
    let mut fields = vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
    ];
    fields.extend(
        columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true)),
    );
    let format = json_schema(Schema::new(fields)).with_key("record_key");
    let strategy = bounded(col("at"), ms(bound)).idle_after(Duration::from_secs(5));
    app.stream(topic, format).watermark(strategy)
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("j");
    let history = ms(description.grace + description.longer);
    let table = match description.direct[TABLE] {
        true => {
            let key = cast(col("key"), DataType::Utf8).alias("key");
            app.table("table", text("has").with_key("key"), [key])
        }
        false => {
            let rows = rows(
                &app,
                "table",
                &[("has", DataType::Utf8)],
                description.bounds[TABLE],
            );
            rows.select([col("key"), col("has")])
                .to_table("versions", [col("key")])
        }
    };
    let table = table.versioned(history);
    table.to("newest", json());
    table
        .group_by([col("has")])
        .aggregate("by-value", [count_all().alias("n")])
        .to("by-value", json());
    let rows = rows(&app, "rows", &[("id", DataType::Int64)], description.bounds[ROWS]);
    let own = match description.direct[ROWS] {
        true => cast(col("record_key"), DataType::Utf8),
        false => col("key"),
    };
    let rows = rows.select([own.alias("k"), col("id")]);
    let joined = rows.join(&table, on("k", "key")).as_of("joined");
    let joined = joined.grace(ms(description.grace));
    let joined = match description.left {
        true => joined.left(),
        false => joined,
    };
    joined.select([col("k"), col("id"), col("has")]).to("out", json());
    joined.late().to("late", json());
    let windows = joined
        .group_by([col("k")])
        .window(tumbling(ms(description.again)))
        .emit(OnWindowClose)
        .aggregate("windows", [count_all().alias("n")]);
    windows.to("windows", json());
    windows.late().to("late-windows", json());
    app
}

fn name(key: Option<u8>) -> Option<String> {
    key.map(|key| format!("key{key}"))
}

impl Played {
    /// The watermark of the partition before a row of it, which may go on with it.
    fn came(&mut self, topic: usize, partition: i32, at: Option<i64>, bound: i64) -> Option<i64> {
        let watermark = self.latest.get(&(topic, partition)).map(|latest| latest - bound);
        if let Some(at) = at {
            let latest = self.latest.entry((topic, partition)).or_insert(at);
            *latest = at.max(*latest);
        }
        watermark
    }

    fn row(
        &mut self,
        driver: &mut TestDriver,
        description: &Description,
        key: Option<String>,
        partition: i32,
        at: Option<i64>,
    ) {
        self.id += 1;
        let id = self.id;
        let partition = match &key {
            Some(key) if description.direct[ROWS] => partition_of(key),
            _ => partition,
        };
        let record = TestRecord::new(json_of!({"key": key, "at": at, "id": id}).to_string());
        let record = match &key {
            Some(key) => record.key(key.as_str()),
            None => record,
        };
        driver.pipe("rows", record.partition(partition)).unwrap();
        let watermark = self.came(ROWS, partition, at, description.bounds[ROWS]);
        self.facts.push(Fact {
            key,
            at,
            id,
            watermark,
        });
    }

    fn version(
        &mut self,
        driver: &mut TestDriver,
        description: &Description,
        key: Option<String>,
        has: Option<String>,
        at: Option<i64>,
        partition: i32,
    ) {
        let latest = self.latest.get(&(TABLE, partition));
        let earliest = latest.map_or(0, |latest| (latest - description.bounds[TABLE]).max(0));
        let at = at.map(|at| at.max(earliest));
        let record = match (&has, description.direct[TABLE]) {
            (Some(has), true) => TestRecord::new(has.as_str()),
            (None, true) => TestRecord::null(),
            (_, false) => TestRecord::new(json_of!({"key": key, "at": at, "has": has}).to_string()),
        };
        let record = match &key {
            Some(key) => record.key(key.as_str()),
            None => record,
        };
        let record = match at {
            Some(at) => record.at(at),
            None => record,
        };
        driver.pipe("table", record.partition(partition)).unwrap();
        self.came(TABLE, partition, at, description.bounds[TABLE]);
        // What has no time is no version.
        if let Some(at) = at {
            self.versions.push(Version { key, at, value: has });
        }
    }
}

/// Plays the moves, and rows that end it all.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move]) -> Played {
    let mut played = Played::default();
    let tasks = driver.task_ids();
    for next in moves {
        match *next {
            Move::Row(key, partition, at) => played.row(driver, description, name(key), partition, at),
            Move::Version(key, has, at) => {
                // Records without a key would be rows of several partitions.
                let key = match description.direct[TABLE] {
                    true => name(key.or(Some(0))),
                    false => name(key),
                };
                let partition = key.as_deref().map_or(0, partition_of);
                let has = has.map(|has| format!("v{has}"));
                played.version(driver, description, key, has, at, partition);
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
    let ends: Vec<String> = (0..).map(|end| format!("end{end}")).take(50).collect();
    for partition in 0..PARTITIONS {
        let at = Some(1_000_000);
        let end = ends.iter().find(|end| partition_of(end) == partition).cloned();
        played.row(driver, description, end.clone(), partition, at);
        let has = Some("end".to_owned());
        played.version(driver, description, end, has, at, partition);
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    played
}

/// The last of some versions in event time, and of those of one time in the log.
fn last<'a>(versions: impl Iterator<Item = &'a Version>) -> Option<&'a str> {
    versions.max_by_key(|version| version.at)?.value.as_deref()
}

/// What must come out.
#[derive(Debug, Default)]
struct Expected {
    /// Rows with their times.
    rows: Vec<(String, Option<i64>)>,
    late: Vec<i64>,
    /// How many rows there are by key and window.
    windows: BTreeMap<(Option<String>, i64), u64>,
}

fn is_late(fact: &Fact, grace: i64) -> bool {
    let Some(at) = fact.at else { return true };
    fact.watermark.is_some_and(|mark| mark > at + grace)
}

fn expected(description: &Description, played: &Played) -> Expected {
    let mut expected = Expected::default();
    for fact in &played.facts {
        if is_late(fact, description.grace) {
            expected.late.push(fact.id);
            continue;
        }
        let at = fact.at.unwrap();
        let there = |version: &&Version| version.key == fact.key && version.at <= at;
        let has = last(
            played
                .versions
                .iter()
                .filter(there)
                .filter(|_| fact.key.is_some()),
        );
        // The rows of the end wait.
        if at > END || (has.is_none() && !description.left) {
            continue;
        }
        let row = json_of!({"k": fact.key, "id": fact.id, "has": has});
        expected.rows.push((row.to_string(), fact.at));
        let window = (fact.key.clone(), at - at % description.again);
        *expected.windows.entry(window).or_default() += 1;
    }
    expected.rows.sort();
    expected.late.sort_unstable();
    expected
}

/// What a reader of a compacted topic has in the end: one column by the key.
fn latest(driver: &mut TestDriver, topic: &str, column: &str) -> BTreeMap<String, Value> {
    let mut table = BTreeMap::new();
    for record in driver.read(topic) {
        let key = record.key.clone().unwrap_or_default();
        let key = String::from_utf8(key).unwrap().replace("[null]", "");
        match value(&record) {
            Some(row) => drop(table.insert(key, row[column].clone())),
            None => assert!(
                table.remove(&key).is_some() || driver.repeats(),
                "{key:?} was deleted, but not there"
            ),
        }
    }
    table
}

/// The table has the last version of each key, and who counts them counts those.
fn check_newest(driver: &mut TestDriver, versions: &[Version]) {
    let (mut newest, mut by_value) = (BTreeMap::new(), BTreeMap::new());
    let keys: BTreeSet<&Option<String>> = versions.iter().map(|version| &version.key).collect();
    for key in keys {
        if let Some(has) = last(versions.iter().filter(|version| version.key == *key)) {
            newest.insert(key.clone().unwrap_or_default(), json_of!(has));
            *by_value.entry(has.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(latest(driver, "newest", "has"), newest);
    if driver.repeats() {
        // A count counts twice who comes again.
        return;
    }
    let by_value: BTreeMap<String, Value> = by_value.into_iter().map(|(has, n)| (has, json_of!(n))).collect();
    assert_eq!(latest(driver, "by-value", "n"), by_value);
}

fn late(driver: &mut TestDriver) -> Vec<i64> {
    let records = driver.read("late");
    let ids = records
        .iter()
        .map(|record| value(record).unwrap()["id"].as_i64().unwrap());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids
}

fn check_exactly(driver: &mut TestDriver, found: &[(Value, Option<i64>)], expected: &Expected) {
    let mut rows: Vec<(String, Option<i64>)> = found.iter().map(|(row, at)| (row.to_string(), *at)).collect();
    rows.sort();
    assert_eq!(rows, expected.rows);
    assert_eq!(late(driver), expected.late);
    assert_eq!(super::joins::windows(driver), expected.windows);
    assert_eq!(
        driver.read("late-windows").len(),
        0,
        "what a join gives is never late"
    );
}

/// Where partitions were idle, more rows are late, and each row still has one fate.
fn check_fates(
    driver: &mut TestDriver,
    description: &Description,
    found: &[(Value, Option<i64>)],
    expected: &Expected,
    played: &Played,
) {
    let mut ids: Vec<i64> = found.iter().map(|(row, _)| row["id"].as_i64().unwrap()).collect();
    let late = late(driver);
    assert!(expected.late.iter().all(|id| late.binary_search(id).is_ok()));
    ids.extend(&late);
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "a row came twice");
    let facts: BTreeMap<i64, &Fact> = played.facts.iter().map(|fact| (fact.id, fact)).collect();
    for (row, at) in found {
        let fact = facts[&row["id"].as_i64().unwrap()];
        assert_eq!((row["k"].as_str(), *at), (fact.key.as_deref(), fact.at));
        // What came of the table while it was silent may be too late for a row, and never too early.
        let Some(has) = row["has"].as_str() else {
            assert!(description.left, "{row} has nothing");
            continue;
        };
        let is_it = |version: &Version| {
            version.key == fact.key && Some(version.at) <= fact.at && version.value.as_deref() == Some(has)
        };
        assert!(played.versions.iter().any(is_it), "{row} has what was not there");
    }
    if description.left {
        let rows = played.facts.iter().filter(|fact| fact.at < Some(END));
        let rows: Vec<i64> = rows.map(|fact| fact.id).collect();
        assert_eq!(ids, rows);
    }
}

fn run(description: &Description, moves: &[Move], exact: bool, limit: Option<usize>) {
    let is_torn = moves.iter().any(|next| matches!(next, Move::Torn(..)));
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    if is_torn {
        driver = driver.repeating();
    }
    let played = play(&mut driver, description, moves);
    let expected = expected(description, &played);
    let records = driver.read("out");
    let found: Vec<(Value, Option<i64>)> = records
        .iter()
        .map(|record| (value(record).unwrap(), record.timestamp))
        .collect();
    check_newest(&mut driver, &played.versions);
    match exact {
        true if is_torn => repeated::check(&mut driver, description, &found, &expected),
        true => check_exactly(&mut driver, &found, &expected),
        false => check_fates(&mut driver, description, &found, &expected, &played),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the history, the epochs, aborts and restarts: rows have what the table had at their time.
    #[test]
    fn rows_have_what_the_table_had_at_their_time(description in description(), moves in moves(0, 0)) {
        run(&description, &moves, true, None);
    }

    /// Where partitions fall silent, each row comes once, or is late.
    #[test]
    fn rows_of_versions_have_one_fate_with_idle_partitions(description in description(), moves in moves(6, 0)) {
        run(&description, &moves, false, None);
    }

    /// Where processes die while they write an epoch: each row comes, and the table ends with the last versions.
    #[test]
    fn rows_of_versions_come_where_epochs_are_repeated(description in description(), moves in moves(0, 12)) {
        run(&description, &moves, true, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn rows_have_what_the_table_had_with_little_memory(
        description in description(), moves in moves(0, 0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, true, Some(limit));
    }
}
