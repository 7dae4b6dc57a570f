//! Joins of two streams against nested loops over the rows that came in time.
//!
//! The oracle knows each row and the watermark that its partition had before it, and nothing of epochs, tasks, spans of time or in which order
//! the sides came.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json as json_of};

use super::{END, PARTITIONS, value};
use crate::format::murmur2;
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Outer,
}

/// A join, and windows over what it gives.
#[derive(Debug, Clone)]
struct Description {
    kind: Kind,
    before: i64,
    after: i64,
    grace: i64,
    /// How far out of order each topic may be.
    bounds: [i64; 2],
    /// The topics are partitioned by the key already; else they are brought together.
    direct: [bool; 2],
    /// The size of windows over what comes out.
    again: i64,
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: its side, key, partition if that is not the key's, and time.
    Row(usize, Option<u8>, i32, Option<i64>),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Torn(usize, usize, u64),
    Restart,
    Silence(u64),
}

/// A row, with the watermark that its partition had before it.
#[derive(Debug, Clone)]
struct Fact {
    key: Option<String>,
    at: Option<i64>,
    id: i64,
    watermark: Option<i64>,
}

fn description() -> impl Strategy<Value = Description> {
    let kind = prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Outer)];
    let reach = prop_oneof![1 => Just(0), 4 => 0..90_i64];
    let (grace, bound) = (prop_oneof![Just(0), 0..40_i64], 0..60_i64);
    let bounds = [bound.clone(), bound];
    let direct = [any::<bool>(), any::<bool>()];
    (kind, reach.clone(), reach, grace, bounds, direct, 10..150_i64).prop_map(
        |(kind, before, after, grace, bounds, direct, again)| Description {
            kind,
            before,
            after,
            grace,
            bounds,
            direct,
            again,
        },
    )
}

fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = proptest::option::weighted(0.9, 0..5_u8);
    let at = proptest::option::weighted(0.95, 0..300_i64);
    let row = (0..2_usize, key, 0..PARTITIONS, at);
    let one = prop_oneof![
        60 => row.prop_map(|(side, key, partition, at)| Move::Row(side, key, partition, at)),
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
            if let Move::Row(_, _, _, Some(at)) = next {
                *at = *at / 6 + place * 300 / length;
            }
        }
        moves
    })
}

pub(super) fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

const TOPICS: [&str; 2] = ["lefts", "rights"];

fn job(description: &Description) -> Streams {
    let app = Streams::new("j");
    let side = |side: usize| {
        let schema = Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("at", DataType::Int64, true),
            Field::new("id", DataType::Int64, true),
        ]);
        let format = json_schema(schema).with_key("record_key");
        let strategy = bounded(col("at"), ms(description.bounds[side])).idle_after(Duration::from_secs(5));
        let rows = app.stream(TOPICS[side], format).watermark(strategy);
        let key = match description.direct[side] {
            true => cast(col("record_key"), DataType::Utf8),
            false => col("key"),
        };
        let (at, id) = [("l_at", "l"), ("r_at", "r")][side];
        rows.select([key.alias("key"), col("at").alias(at), col("id").alias(id)])
    };
    let window = join_window(ms(description.before))
        .after(ms(description.after))
        .grace(ms(description.grace));
    let joined = side(0).join(&side(1), on("key", "key")).within("joined", window);
    let joined = match description.kind {
        Kind::Inner => joined,
        Kind::Left => joined.left(),
        Kind::Outer => joined.outer(),
    };
    joined.to("out", json());
    joined.late_left().to("late-lefts", json());
    joined.late_right().to("late-rights", json());
    let windows = joined
        .group_by([col("key")])
        .window(tumbling(ms(description.again)))
        .emit(OnWindowClose)
        .aggregate("windows", [count_all().alias("n")]);
    windows.to("windows", json());
    windows.late().to("late-windows", json());
    app
}

/// Pipes a row; gives it as the oracle sees it.
fn pipe(
    driver: &mut TestDriver,
    description: &Description,
    latest: &mut BTreeMap<(usize, i32), i64>,
    (side, key, partition, at): (usize, Option<String>, i32, Option<i64>),
    id: i64,
) -> Fact {
    let text = json_of!({"key": key, "at": at, "id": id}).to_string();
    let record = TestRecord::new(text).partition(partition);
    let record = match &key {
        Some(key) => record.key(key.as_str()),
        None => record,
    };
    driver.pipe(TOPICS[side], record).unwrap();
    let watermark = latest.get(&(side, partition));
    let watermark = watermark.map(|latest| latest - description.bounds[side]);
    if let Some(at) = at {
        let before = latest.entry((side, partition)).or_insert(at);
        *before = at.max(*before);
    }
    Fact {
        key,
        at,
        id,
        watermark,
    }
}

/// Where Kafka's producers put a key.
pub(super) fn partition_of(key: &str) -> i32 {
    ((murmur2(key.as_bytes()) & 0x7fff_ffff) as i32) % PARTITIONS
}

/// Plays the moves, and rows that end it all; gives the rows of each side.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move]) -> [Vec<Fact>; 2] {
    let (mut facts, mut latest) = ([Vec::new(), Vec::new()], BTreeMap::new());
    let tasks = driver.task_ids();
    let mut id = 0;
    for next in moves {
        match *next {
            Move::Row(side, key, partition, at) => {
                id += 1;
                let key = key.map(|key| format!("key{key}"));
                let partition = match (&key, description.direct[side]) {
                    (Some(key), true) => partition_of(key),
                    _ => partition,
                };
                let row = (side, key, partition, at);
                facts[side].push(pipe(driver, description, &mut latest, row, id));
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Torn(task, records, seed) => {
                driver
                    .torn_epoch(tasks[task % tasks.len()], records, seed)
                    .unwrap();
            }
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
        }
    }
    for (side, facts) in facts.iter_mut().enumerate() {
        for partition in 0..PARTITIONS {
            id += 1;
            // Not even a partner for each other.
            let row = (side, Some(format!("end{id}")), partition, Some(1_000_000));
            facts.push(pipe(driver, description, &mut latest, row, id));
        }
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    facts
}

/// What must come out.
#[derive(Debug, Default)]
struct Expected {
    /// Rows with their times.
    rows: Vec<(String, Option<i64>)>,
    /// The ids of late rows of each side.
    late: [Vec<i64>; 2],
    /// How many rows there are by key and window.
    windows: BTreeMap<(Option<String>, i64), u64>,
}

fn is_late(fact: &Fact, grace: i64) -> bool {
    let Some(at) = fact.at else { return true };
    fact.watermark.is_some_and(|mark| mark > at + grace)
}

fn expected(description: &Description, facts: &[Vec<Fact>; 2]) -> Expected {
    let mut expected = Expected::default();
    let mut in_time: [Vec<&Fact>; 2] = [Vec::new(), Vec::new()];
    for (side, facts) in facts.iter().enumerate() {
        for fact in facts {
            match is_late(fact, description.grace) {
                true => expected.late[side].push(fact.id),
                false => in_time[side].push(fact),
            }
        }
    }
    let mut met: BTreeSet<i64> = BTreeSet::new();
    let mut rows: Vec<(Option<&Fact>, Option<&Fact>)> = Vec::new();
    for left in &in_time[0] {
        for right in &in_time[1] {
            let apart = right.at.unwrap() - left.at.unwrap();
            let near = -description.before <= apart && apart <= description.after;
            if near && left.key.is_some() && left.key == right.key {
                rows.push((Some(left), Some(right)));
                met.extend([left.id, right.id]);
            }
        }
    }
    // The rows of the end wait for others still.
    let alone = |fact: &&&Fact| !met.contains(&fact.id) && fact.at < Some(END);
    if description.kind != Kind::Inner {
        rows.extend(in_time[0].iter().filter(alone).map(|left| (Some(*left), None)));
    }
    if description.kind == Kind::Outer {
        rows.extend(in_time[1].iter().filter(alone).map(|right| (None, Some(*right))));
    }
    for (left, right) in rows {
        let at = left
            .and_then(|left| left.at)
            .max(right.and_then(|right| right.at));
        let key = left.or(right).and_then(|fact| fact.key.clone());
        let row = json_of!({
            "key": key,
            "l_at": left.and_then(|left| left.at), "l": left.map(|left| left.id),
            "r_at": right.and_then(|right| right.at), "r": right.map(|right| right.id),
        });
        expected.rows.push((row.to_string(), at));
        let start = at.unwrap() - at.unwrap() % description.again;
        *expected.windows.entry((key, start)).or_default() += 1;
    }
    expected.rows.sort();
    expected.late.iter_mut().for_each(|late| late.sort_unstable());
    expected
}

fn late(driver: &mut TestDriver, topic: &str, id: &str) -> Vec<i64> {
    let records = driver.read(topic);
    let mut ids: Vec<i64> = records
        .iter()
        .map(|record| value(record).unwrap()[id].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

pub(super) fn windows(driver: &mut TestDriver) -> BTreeMap<(Option<String>, i64), u64> {
    let mut windows = BTreeMap::new();
    for record in driver.read("windows") {
        let Value::Array(key) = serde_json::from_str(record.as_text().0).unwrap() else {
            panic!("a key of several columns")
        };
        let start = crate::window::tests::millis_of_day(&key[1]);
        let count = value(&record).unwrap()["n"].as_u64().unwrap();
        let before = windows.insert((key[0].as_str().map(str::to_owned), start), count);
        assert_eq!(before, None, "a window closes once");
    }
    windows
}

fn check_exactly(driver: &mut TestDriver, found: &[(Value, Option<i64>)], expected: &Expected) {
    let mut rows: Vec<(String, Option<i64>)> = found.iter().map(|(row, at)| (row.to_string(), *at)).collect();
    rows.sort();
    assert_eq!(rows, expected.rows);
    assert_eq!(late(driver, "late-lefts", "l"), expected.late[0]);
    assert_eq!(late(driver, "late-rights", "r"), expected.late[1]);
    assert_eq!(windows(driver), expected.windows);
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
    facts: &[Vec<Fact>; 2],
) {
    let pairs: BTreeSet<&str> = expected.rows.iter().map(|(row, _)| row.as_str()).collect();
    let (mut met, mut alone) = (
        [BTreeSet::new(), BTreeSet::new()],
        [BTreeSet::new(), BTreeSet::new()],
    );
    let mut seen = BTreeSet::new();
    for (row, _) in found {
        assert!(seen.insert(row.to_string()), "{row} came twice");
        match (row["l"].as_i64(), row["r"].as_i64()) {
            (Some(left), Some(right)) => {
                assert!(pairs.contains(row.to_string().as_str()), "{row} is no pair");
                met[0].insert(left);
                met[1].insert(right);
            }
            (Some(left), None) => drop(alone[0].insert(left)),
            (None, Some(right)) => drop(alone[1].insert(right)),
            (None, None) => panic!("{row} is of nobody"),
        }
    }
    let sides = [("late-lefts", "l"), ("late-rights", "r")];
    for (side, (topic, id)) in sides.into_iter().enumerate() {
        let late = late(driver, topic, id);
        assert!(
            expected.late[side]
                .iter()
                .all(|id| late.binary_search(id).is_ok())
        );
        let late: BTreeSet<i64> = late.into_iter().collect();
        let keeps = match description.kind {
            Kind::Inner => false,
            Kind::Left => side == 0,
            Kind::Outer => true,
        };
        for fact in facts[side].iter().filter(|fact| fact.at < Some(END)) {
            let fates = [&met[side], &alone[side], &late].map(|ids| usize::from(ids.contains(&fact.id)));
            let fates: usize = fates.iter().sum();
            assert!(fates <= 1 && (fates == 1 || !keeps), "{fact:?} has {fates} fates");
        }
    }
}

/// Where epochs were repeated, rows came again, some of them too late then: pairs and unmatched rows are those of the oracle.
fn check_repeated(driver: &mut TestDriver, found: &[(Value, Option<i64>)], expected: &Expected) {
    let rows: BTreeSet<(String, Option<i64>)> =
        found.iter().map(|(row, at)| (row.to_string(), *at)).collect();
    assert_eq!(rows, expected.rows.iter().cloned().collect());
    for (side, (topic, id)) in [("late-lefts", "l"), ("late-rights", "r")]
        .into_iter()
        .enumerate()
    {
        let late = late(driver, topic, id);
        assert!(
            expected.late[side]
                .iter()
                .all(|id| late.binary_search(id).is_ok())
        );
    }
    let mut counts: BTreeMap<(Option<String>, i64), u64> = BTreeMap::new();
    for record in driver.read("windows") {
        let Value::Array(key) = serde_json::from_str(record.as_text().0).unwrap() else {
            panic!("a key of several columns")
        };
        let window = (
            key[0].as_str().map(str::to_owned),
            crate::window::tests::millis_of_day(&key[1]),
        );
        counts.insert(window, value(&record).unwrap()["n"].as_u64().unwrap());
    }
    for (window, rows) in &expected.windows {
        assert!(counts[window] >= *rows, "{window:?}");
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
    let facts = play(&mut driver, description, moves);
    let expected = expected(description, &facts);
    let records = driver.read("out");
    let found: Vec<(Value, Option<i64>)> = records
        .iter()
        .map(|record| (value(record).unwrap(), record.timestamp))
        .collect();
    match exact {
        true if is_torn => check_repeated(&mut driver, &found, &expected),
        true => check_exactly(&mut driver, &found, &expected),
        false => check_fates(&mut driver, description, &found, &expected, &facts),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the window, the epochs, aborts and restarts: pairs, unmatched and late rows are the oracle's, and no window behind misses any.
    #[test]
    fn joins_are_those_of_the_oracle(description in description(), moves in moves(0, 0)) {
        run(&description, &moves, true, None);
    }

    /// Where partitions fall silent, each row is still in pairs, alone or late, and never two of these.
    #[test]
    fn rows_of_joins_have_one_fate_with_idle_partitions(description in description(), moves in moves(6, 0)) {
        run(&description, &moves, false, None);
    }

    /// Where processes die while they write an epoch.
    #[test]
    fn joins_have_what_the_oracle_has_where_epochs_are_repeated(description in description(), moves in moves(0, 12)) {
        run(&description, &moves, true, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn joins_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0, 0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, true, Some(limit));
    }
}
