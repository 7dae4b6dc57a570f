//! Rows that pass once, first rows, counts of different values and cogrouped streams against plain loops over the rows.
//!
//! The oracle knows each row and the watermark that its partition had before it. Rows of a key come from one partition where their order matters.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json as json_of};

use super::{END, PARTITIONS, value};
use crate::format::murmur2;
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

const TOPICS: [&str; 2] = ["ins", "mores"];

#[derive(Debug, Clone)]
enum Family {
    /// How near, and whether the topic is partitioned by the key already.
    Deduplicate(i64, bool),
    /// Of so many rows, with ties or not.
    Top(usize, bool),
    /// The same of the rows of a table, which change and go.
    TopOfTable(usize, bool),
    TopInWindows(usize, bool),
    Cogroup,
    CogroupInWindows,
    CountDistinct,
}

#[derive(Debug, Clone)]
struct Description {
    family: Family,
    /// The size of windows.
    size: i64,
    grace: i64,
    /// How far out of order each topic may be.
    bounds: [i64; 2],
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: its topic, key, number and time.
    Row(usize, Option<u8>, Option<i64>, Option<i64>),
    /// A record without a value: what deletes a row of a table.
    Gone(u8),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Restart,
    Silence(u64),
}

/// A row, with the watermark that its partition had before it.
#[derive(Debug, Clone)]
struct Fact {
    topic: usize,
    key: Option<String>,
    /// None for one that deletes.
    row: Option<(Option<i64>, Option<i64>)>,
    id: i64,
    watermark: Option<i64>,
}

impl Fact {
    fn n(&self) -> Option<i64> {
        self.row.and_then(|row| row.0)
    }

    fn at(&self) -> Option<i64> {
        self.row.and_then(|row| row.1)
    }

    fn is_late(&self, grace: i64) -> bool {
        let Some(at) = self.at() else { return true };
        self.watermark.is_some_and(|mark| mark > at + grace)
    }

    /// The start of its window, if that is open.
    fn window(&self, description: &Description) -> Option<i64> {
        let at = self.at()?;
        let start = at - at % description.size;
        let end = start + description.size + description.grace;
        self.watermark.is_none_or(|mark| mark < end).then_some(start)
    }
}

fn description() -> impl Strategy<Value = Description> {
    let most = || (1..4_usize, any::<bool>());
    let family = prop_oneof![
        3 => (0..120_i64, any::<bool>()).prop_map(|(within, direct)| Family::Deduplicate(within, direct)),
        1 => most().prop_map(|(most, ties)| Family::Top(most, ties)),
        2 => most().prop_map(|(most, ties)| Family::TopOfTable(most, ties)),
        2 => most().prop_map(|(most, ties)| Family::TopInWindows(most, ties)),
        1 => Just(Family::Cogroup),
        2 => Just(Family::CogroupInWindows),
        1 => Just(Family::CountDistinct),
    ];
    let grace = prop_oneof![Just(0), 0..40_i64];
    (family, 10..120_i64, grace, [0..60_i64, 0..60_i64]).prop_map(|(family, size, grace, bounds)| {
        Description {
            family,
            size,
            grace,
            bounds,
        }
    })
}

fn moves(silence: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = proptest::option::weighted(0.9, 0..5_u8);
    let at = proptest::option::weighted(0.95, 0..300_i64);
    let n = proptest::option::weighted(0.9, 0..6_i64);
    let row = (0..2_usize, key, n, at);
    let one = prop_oneof![
        60 => row.prop_map(|(topic, key, n, at)| Move::Row(topic, key, n, at)),
        6 => (0..5_u8).prop_map(Move::Gone),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
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

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn rows(app: &Streams, description: &Description, topic: usize) -> Stream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
    ]);
    let format = json_schema(schema).with_key("record_key");
    let strategy = bounded(col("at"), ms(description.bounds[topic])).idle_after(Duration::from_secs(5));
    app.stream(TOPICS[topic], format).watermark(strategy)
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("k");
    let first = rows(&app, description, 0);
    let windows = || tumbling(ms(description.size)).grace(ms(description.grace));
    let order = || {
        let unique = [col("n").sort(false, false), col("id").sort(true, false)];
        unique.into_iter()
    };
    match &description.family {
        Family::Deduplicate(within, direct) => {
            let key = match direct {
                true => cast(col("record_key"), DataType::Utf8),
                false => col("key"),
            };
            let once = first
                .deduplicate("once", [key], ms(*within))
                .grace(ms(description.grace));
            once.to("out", json());
            once.late().to("late", json());
            once.group_by([col("key")])
                .window(windows())
                .emit(OnWindowClose)
                .aggregate("windows", [count_all().alias("count")])
                .to("windows", json());
        }
        Family::Top(most, ties) => {
            let grouped = first.group_by([col("key")]);
            let top = match ties {
                true => grouped.top("top", *most, order().take(1)).with_ties(),
                false => grouped.top("top", *most, order()),
            };
            top.to("out", json());
        }
        Family::TopOfTable(most, ties) => {
            let table = first.to_table("table", [col("record_key")]);
            let grouped = table.group_by([(col("n") % lit(2)).alias("half")]);
            let top = match ties {
                true => grouped.top("top", *most, order().take(1)).with_ties(),
                false => grouped.top("top", *most, order()),
            };
            top.to("out", json());
        }
        Family::TopInWindows(most, ties) => {
            let grouped = first.group_by([col("key")]).window(windows()).emit(OnWindowClose);
            let top = match ties {
                true => grouped.top("top", *most, order().take(1)).with_ties(),
                false => grouped.top("top", *most, order()),
            };
            top.to("out", json());
            top.late().to("late", json());
        }
        Family::Cogroup => {
            let both = cogrouped(&first, &rows(&app, description, 1));
            both.aggregate("both").to("out", json());
        }
        Family::CogroupInWindows => {
            let both = cogrouped(&first, &rows(&app, description, 1));
            let both = both.window(windows()).emit(OnWindowClose).aggregate("both");
            both.to("out", json());
            both.late().to("late", json());
        }
        Family::CountDistinct => {
            first
                .count_distinct_of("counts", [col("key")], col("n") % lit(4))
                .alias("all")
                .and_where("some", col("n").gt(lit(2)))
                .to("out", json());
        }
    }
    app
}

fn cogrouped(first: &Stream, second: &Stream) -> CogroupedStream {
    let second = second.select([col("key").alias("name"), col("n").alias("number")]);
    first
        .group_by([col("key")])
        .with([count_all().alias("count"), sum(col("n")).alias("sum")])
        .cogroup(
            second.group_by([col("name")]).with([
                max(col("number")).alias("max"),
                count(col("number"))
                    .filter(col("number").gt(lit(2)))
                    .alias("large"),
            ]),
        )
}

/// Where Kafka's producers put a key, and all without one in the same place.
fn partition_of(key: Option<&str>) -> i32 {
    key.map_or(0, |key| {
        ((murmur2(key.as_bytes()) & 0x7fff_ffff) as i32) % PARTITIONS
    })
}

/// Pipes a row; gives it as the oracle sees it.
fn pipe(
    driver: &mut TestDriver,
    description: &Description,
    latest: &mut BTreeMap<(usize, i32), i64>,
    mut fact: Fact,
    partition: i32,
) -> Fact {
    let text = fact
        .row
        .map(|(n, at)| json_of!({"key": fact.key, "n": n, "at": at, "id": fact.id}).to_string());
    let record = text
        .map_or_else(TestRecord::null, TestRecord::new)
        .partition(partition);
    let record = match &fact.key {
        Some(key) => record.key(key.as_str()),
        None => record,
    };
    driver.pipe(TOPICS[fact.topic], record).unwrap();
    let place = (fact.topic, partition);
    fact.watermark = latest
        .get(&place)
        .map(|latest| latest - description.bounds[fact.topic]);
    if let Some(at) = fact.at() {
        let before = latest.entry(place).or_insert(at);
        *before = at.max(*before);
    }
    fact
}

/// Plays the moves, and rows that end it all; gives all rows.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move]) -> Vec<Fact> {
    let (mut facts, mut latest) = (Vec::new(), BTreeMap::new());
    let tasks = driver.task_ids();
    let has_two = matches!(description.family, Family::Cogroup | Family::CogroupInWindows);
    let is_table = matches!(description.family, Family::TopOfTable(..));
    for next in moves {
        let id = facts.len() as i64;
        let fact = |topic: usize, key: Option<u8>, row| Fact {
            topic: if has_two { topic } else { 0 },
            key: key.map(|key| format!("key{key}")),
            row,
            id,
            watermark: None,
        };
        let fact = match *next {
            Move::Row(topic, key, n, at) => Some(fact(topic, key, Some((n, at)))),
            Move::Gone(key) if is_table => Some(fact(0, Some(key), None)),
            Move::Gone(_) => None,
            Move::Epoch(task, records) => {
                driver.epoch(tasks[task % tasks.len()], records).unwrap();
                None
            }
            Move::Aborted(task, records) => {
                driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap();
                None
            }
            Move::Restart => {
                driver.restart().unwrap();
                None
            }
            Move::Silence(seconds) => {
                driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap();
                None
            }
        };
        if let Some(fact) = fact {
            let partition = partition_of(fact.key.as_deref());
            facts.push(pipe(driver, description, &mut latest, fact, partition));
        }
    }
    for topic in 0..1 + usize::from(has_two) {
        for partition in 0..PARTITIONS {
            let id = facts.len() as i64;
            let fact = Fact {
                topic,
                key: Some(format!("end{id}")),
                row: Some((Some(7), Some(1_000_000))),
                id,
                watermark: None,
            };
            facts.push(pipe(driver, description, &mut latest, fact, partition));
        }
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    facts
}

/// The members of a row or key, as one text.
type Rows = BTreeMap<String, Value>;

fn ids(driver: &mut TestDriver, topic: &str) -> Vec<i64> {
    let records = driver.read(topic);
    let mut ids: Vec<i64> = records
        .iter()
        .map(|record| value(record).unwrap()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// What a reader of a compacted topic has in the end.
fn table(driver: &mut TestDriver) -> Rows {
    let mut rows = Rows::new();
    for record in driver.read("out") {
        let key = String::from_utf8(record.key.clone().unwrap_or_default()).unwrap();
        match value(&record) {
            Some(row) => drop(rows.insert(key, row)),
            None => assert!(rows.remove(&key).is_some(), "{key} was deleted, but not there"),
        }
    }
    rows
}

/// What closed windows gave, by key, start and, if they have one, rank.
fn windows(driver: &mut TestDriver, topic: &str) -> BTreeMap<(String, i64, i64), Value> {
    let mut rows = BTreeMap::new();
    for record in driver.read(topic) {
        if record.timestamp.is_some_and(|at| at >= END) {
            continue;
        }
        let Value::Array(key) = serde_json::from_str(record.as_text().0).unwrap() else {
            panic!("a key of several columns")
        };
        let start = crate::window::tests::millis_of_day(&key[1]);
        let rank = key.get(3).and_then(Value::as_i64).unwrap_or(0);
        let row = (key[0].to_string(), start, rank);
        let before = rows.insert(row.clone(), value(&record).unwrap());
        assert!(before.is_none(), "{row:?} came twice");
    }
    rows
}

fn check_deduplicated(
    driver: &mut TestDriver,
    description: &Description,
    within: i64,
    facts: &[Fact],
    exact: bool,
) {
    let mut passed: BTreeMap<&Option<String>, Vec<&Fact>> = BTreeMap::new();
    let (mut expected, mut late) = (Vec::new(), Vec::new());
    for fact in facts {
        if fact.is_late(description.grace) {
            late.push(fact.id);
            continue;
        }
        let others = passed.entry(&fact.key).or_default();
        if others
            .iter()
            .all(|other| (fact.at().unwrap() - other.at().unwrap()).abs() > within)
        {
            others.push(fact);
            expected.push(fact.id);
        }
    }
    let (found, found_late) = (ids(driver, "out"), ids(driver, "late"));
    if exact {
        assert_eq!((&found, &found_late), (&expected, &late));
        let passed = facts
            .iter()
            .filter(|fact| expected.binary_search(&fact.id).is_ok());
        let passed: Vec<Fact> = passed.cloned().collect();
        let counts = open(description, &passed).into_iter();
        let counts = counts.map(|((key, start), rows)| ((key, start, 0), json_of!({"count": rows.len()})));
        assert_eq!(windows(driver, "windows"), counts.collect());
        return;
    }
    // More may be late where partitions were idle; what was not, passed or was near one that did.
    assert!(late.iter().all(|id| found_late.binary_search(id).is_ok()));
    let near = |one: &Fact, other: &Fact| {
        one.key == other.key && (one.at().unwrap() - other.at().unwrap()).abs() <= within
    };
    for fact in facts {
        let (passed, is_late) = (
            found.binary_search(&fact.id).is_ok(),
            found_late.binary_search(&fact.id).is_ok(),
        );
        assert!(!(passed && is_late), "{fact:?} has two fates");
        if is_late {
            continue;
        }
        let others = found.iter().map(|id| &facts[*id as usize]);
        let met = others
            .filter(|other| other.id != fact.id && near(fact, other))
            .count();
        assert_eq!(met == 0, passed, "{fact:?}");
    }
}

/// The first rows in the order of their numbers, nulls last; equal ones as they came.
fn first_rows(mut rows: Vec<&Fact>, most: usize, ties: bool) -> Vec<&Fact> {
    let order = |fact: &Fact| (fact.n().is_none(), fact.n().map(|n| -n));
    rows.sort_by_key(|fact| (order(fact), fact.id));
    let last = rows.get(most - 1).map(|fact| order(fact));
    let mut place = 0;
    rows.retain(|fact| {
        place += 1;
        place <= most || (ties && Some(order(fact)) == last)
    });
    rows
}

/// Rows by something that they have in common.
fn grouped<'a, K: Ord>(
    facts: impl Iterator<Item = &'a Fact>,
    key: impl Fn(&Fact) -> Option<K>,
) -> BTreeMap<K, Vec<&'a Fact>> {
    let mut groups: BTreeMap<K, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        if let Some(key) = key(fact) {
            groups.entry(key).or_default().push(fact);
        }
    }
    groups
}

/// The ids of ranked rows, by what their key begins with.
fn ranked(rows: &Rows) -> BTreeMap<String, Vec<i64>> {
    let mut groups: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for (key, row) in rows {
        let Value::Array(key) = serde_json::from_str(key).unwrap() else {
            panic!("a key of several columns")
        };
        let (rank, group) = (key[1].as_i64().unwrap(), key[0].to_string());
        groups
            .entry(group)
            .or_default()
            .push((rank, row["id"].as_i64().unwrap()));
    }
    let in_order = |(group, mut rows): (String, Vec<(i64, i64)>)| {
        rows.sort_unstable();
        assert!(rows.iter().zip(1..).all(|((rank, _), place)| *rank == place));
        (group, rows.into_iter().map(|(_, id)| id).collect())
    };
    groups.into_iter().map(in_order).collect()
}

fn ids_of<'a>(rows: impl IntoIterator<Item = &'a Fact>) -> Vec<i64> {
    rows.into_iter().map(|fact| fact.id).collect()
}

fn check_top(driver: &mut TestDriver, facts: &[Fact], most: usize, ties: bool) {
    let groups = grouped(facts.iter(), |fact| Some(json_of!(fact.key).to_string()));
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    assert_eq!(ranked(&table(driver)), expected.collect());
}

fn check_top_of_table(driver: &mut TestDriver, facts: &[Fact], most: usize, ties: bool) {
    let mut users: BTreeMap<&Option<String>, &Fact> = BTreeMap::new();
    for fact in facts {
        match fact.row {
            Some(_) => drop(users.insert(&fact.key, fact)),
            None => drop(users.remove(&fact.key)),
        }
    }
    let half = |fact: &Fact| Some(json_of!(fact.n().map(|n| n % 2)).to_string());
    let groups = grouped(users.into_values(), half);
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    let (mut found, mut expected) = (ranked(&table(driver)), expected.collect::<BTreeMap<_, _>>());
    if ties {
        // Users are in several partitions, so that there is no order among equals.
        found
            .values_mut()
            .chain(expected.values_mut())
            .for_each(|ids| ids.sort_unstable());
    }
    assert_eq!(found, expected);
}

/// The rows whose windows were open, by key and start.
fn open<'a>(description: &Description, facts: &'a [Fact]) -> BTreeMap<(String, i64), Vec<&'a Fact>> {
    let in_time = facts.iter().filter(|fact| fact.at() < Some(END));
    grouped(in_time, |fact| {
        Some((json_of!(fact.key).to_string(), fact.window(description)?))
    })
}

fn late<'a>(description: &Description, facts: impl IntoIterator<Item = &'a Fact>) -> Vec<i64> {
    let late = facts
        .into_iter()
        .filter(|fact| fact.window(description).is_none());
    ids_of(late)
}

fn check_top_in_windows(
    driver: &mut TestDriver,
    description: &Description,
    (facts, most, ties): (&[Fact], usize, bool),
    exact: bool,
) {
    let mut found: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for ((key, start, rank), row) in windows(driver, "out") {
        let ids = found.entry((key, start)).or_default();
        ids.push(row["id"].as_i64().unwrap());
        assert_eq!(ids.len() as i64, rank, "ranks are in order");
    }
    let (came_late, expected_late) = (ids(driver, "late"), late(description, facts));
    let groups = if exact {
        assert_eq!(came_late, expected_late);
        open(description, facts)
    } else {
        assert!(expected_late.iter().all(|id| came_late.binary_search(id).is_ok()));
        let others: Vec<Fact> = facts
            .iter()
            .filter(|fact| came_late.binary_search(&fact.id).is_err())
            .cloned()
            .collect();
        let groups = open(description, &others).into_iter();
        let ids = groups.map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
        assert_eq!(found, ids.collect());
        return;
    };
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    assert_eq!(found, expected.collect());
}

fn both(rows: &[&Fact]) -> Value {
    let of = |topic: usize| rows.iter().filter(move |fact| fact.topic == topic);
    let sum = of(0).filter_map(|fact| fact.n()).reduce(|one, other| one + other);
    let max = of(1).filter_map(|fact| fact.n()).max();
    let large = of(1).filter(|fact| fact.n() > Some(2)).count();
    json_of!({"count": of(0).count(), "sum": sum, "max": max, "large": large})
}

fn check_cogroup(driver: &mut TestDriver, facts: &[Fact]) {
    let groups = grouped(facts.iter(), |fact| Some(fact.key.clone().unwrap_or_default()));
    let expected = groups.into_iter().map(|(key, rows)| (key, both(&rows)));
    assert_eq!(table(driver), expected.collect());
}

fn check_cogroup_in_windows(driver: &mut TestDriver, description: &Description, facts: &[Fact], exact: bool) {
    let found: BTreeMap<(String, i64), Value> = windows(driver, "out")
        .into_iter()
        .map(|((key, start, _), row)| ((key, start), row))
        .collect();
    let (late_rows, expected_late) = (driver.read("late").len(), late(description, facts).len());
    let groups = open(description, facts);
    if exact {
        assert_eq!(late_rows, expected_late);
        let expected = groups.into_iter().map(|(key, rows)| (key, both(&rows)));
        assert_eq!(found, expected.collect());
        return;
    }
    assert!(late_rows >= expected_late);
    for (key, row) in &found {
        let count = |row: &Value| row["count"].as_u64();
        assert!(count(row) <= count(&both(&groups[key])), "{key:?}");
    }
}

fn check_distinct(driver: &mut TestDriver, facts: &[Fact]) {
    let groups = grouped(facts.iter(), |fact| Some(fact.key.clone().unwrap_or_default()));
    let expected = groups.into_iter().map(|(key, rows)| {
        let values = |least: i64| {
            let numbers = rows.iter().filter_map(|fact| fact.n()).filter(|n| *n > least);
            numbers.map(|n| n % 4).collect::<BTreeSet<_>>().len()
        };
        (key, json_of!({"all": values(i64::MIN), "some": values(2)}))
    });
    assert_eq!(table(driver), expected.collect());
}

fn check(driver: &mut TestDriver, description: &Description, facts: &[Fact], exact: bool) {
    match description.family {
        Family::Deduplicate(within, _) => check_deduplicated(driver, description, within, facts, exact),
        Family::Top(most, ties) => check_top(driver, facts, most, ties),
        Family::TopOfTable(most, ties) => check_top_of_table(driver, facts, most, ties),
        Family::TopInWindows(most, ties) => {
            check_top_in_windows(driver, description, (facts, most, ties), exact);
        }
        Family::Cogroup => check_cogroup(driver, facts),
        Family::CogroupInWindows => check_cogroup_in_windows(driver, description, facts, exact),
        Family::CountDistinct => check_distinct(driver, facts),
    }
}

fn run(description: &Description, moves: &[Move], exact: bool, limit: Option<usize>) {
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let facts = play(&mut driver, description, moves);
    check(&mut driver, description, &facts, exact);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the step, the epochs, aborts and restarts: outputs are the oracle's.
    #[test]
    fn keyed_steps_are_those_of_the_oracle(description in description(), moves in moves(0)) {
        run(&description, &moves, true, None);
    }

    /// Where partitions fall silent, rows that are not late count as they should.
    #[test]
    fn rows_of_keyed_steps_have_one_fate_with_idle_partitions(description in description(), moves in moves(6)) {
        run(&description, &moves, false, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The same where most of the state is on the disk.
    #[test]
    fn keyed_steps_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, true, Some(limit));
    }
}
