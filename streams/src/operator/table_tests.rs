//! Tables, and aggregates over their rows, against an oracle of plain maps.
use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Format, Streams, TestDriver, TestRecord, avg, col, count_all, json as json_out, json_schema, lit, max,
    min, sum,
};

pub(super) const PARTITIONS: i32 = 3;

pub(super) fn users() -> Format {
    json_schema(Schema::new(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("age", DataType::Int64, true),
        Field::new("weight", DataType::Float64, true),
    ]))
}

fn job() -> Streams {
    let app = Streams::new("t");
    let users = app
        .stream("users", users().with_key("user"))
        .to_table("users", [col("user")]);
    users.to("users-now", json_out());
    let regions = users.group_by([col("region")]).aggregate(
        "regions",
        [
            count_all().alias("n"),
            sum(col("age")).alias("sum"),
            min(col("age")).alias("min"),
            max(col("age")).alias("max"),
            sum(col("weight")).alias("weight"),
            avg(col("age")).alias("avg"),
        ],
    );
    regions.to("regions-now", json_out());
    // A table over a table over a table: how many regions have as many users.
    regions
        .group_by([col("n")])
        .aggregate(
            "sizes",
            [count_all().alias("regions"), sum(col("sum")).alias("sum")],
        )
        .to("sizes-now", json_out());
    app
}

/// What a reader of a compacted topic has in the end; key and value.
pub(super) fn read(driver: &mut TestDriver, topic: &str, now: &mut BTreeMap<String, Value>) {
    for record in driver.read(topic) {
        let key = record.as_text().0.to_owned();
        match &record.value {
            Some(value) => drop(now.insert(key, serde_json::from_slice(value).unwrap())),
            None => assert!(now.remove(&key).is_some(), "{key} was deleted, but not there"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct User {
    region: Option<u8>,
    age: Option<i64>,
    weight: f64,
}

#[derive(Debug, Clone)]
pub(super) enum Move {
    Set(u8, User),
    Delete(u8),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Restart,
}

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let region = proptest::option::weighted(0.9, 0..4_u8);
    let age = proptest::option::weighted(0.9, 0..100_i64);
    // Sums that would not come back to what they were if one took away what one had added.
    let weight = prop_oneof![Just(1e17), Just(1.0), Just(0.1), Just(-1e17)];
    let user = (region, age, weight).prop_map(|(region, age, weight)| User { region, age, weight });
    let one = prop_oneof![
        50 => (0..12_u8, user).prop_map(|(key, user)| Move::Set(key, user)),
        15 => (0..12_u8).prop_map(Move::Delete),
        25 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        4 => Just(Move::Restart),
    ];
    proptest::collection::vec(one, 1..120)
}

fn region_name(region: Option<u8>) -> String {
    region.map_or("[null]".to_owned(), |region| format!("r{region}"))
}

/// What the tables must hold in the end: regions and sizes.
fn oracle(users: &BTreeMap<u8, User>) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let mut members: BTreeMap<String, Vec<&User>> = BTreeMap::new();
    for user in users.values() {
        members.entry(region_name(user.region)).or_default().push(user);
    }
    let (mut regions, mut sizes) = (BTreeMap::new(), BTreeMap::<usize, (i64, Option<i64>)>::new());
    for (region, members) in members {
        let ages: Vec<i64> = members.iter().filter_map(|user| user.age).collect();
        let sum = (!ages.is_empty()).then(|| ages.iter().sum::<i64>());
        // Wide sums of these few values are exact in integers, tenths apart.
        let tenths: i128 = members.iter().map(|user| (user.weight * 10.0) as i128).sum();
        let row = json!({
            "n": members.len(), "sum": sum, "min": ages.iter().min(), "max": ages.iter().max(),
            "weight": tenths as f64 / 10.0, "avg": sum.map(|sum| sum as f64 / ages.len() as f64),
        });
        let size = sizes.entry(members.len()).or_default();
        *size = (
            size.0 + 1,
            match (size.1, sum) {
                (None, sum) => sum,
                (one, None) => one,
                (Some(one), Some(sum)) => Some(one + sum),
            },
        );
        regions.insert(region, row);
    }
    let sizes = sizes
        .into_iter()
        .map(|(n, (regions, sum))| (format!("[{n}]"), json!({"regions": regions, "sum": sum})));
    (regions, sizes.collect())
}

/// Plays the moves to their end; gives the users that there are then.
pub(super) fn play(driver: &mut TestDriver, moves: Vec<Move>) -> BTreeMap<u8, User> {
    let tasks = driver.task_ids();
    let mut users: BTreeMap<u8, User> = BTreeMap::new();
    for next in moves {
        match next {
            Move::Set(key, user) => {
                let region = user
                    .region
                    .map_or("null".to_owned(), |region| format!("\"r{region}\""));
                let text = format!(
                    r#"{{"region":{region},"age":{},"weight":{}}}"#,
                    user.age.map_or("null".to_owned(), |age| age.to_string()),
                    user.weight
                );
                driver
                    .pipe("users", TestRecord::new(text).key(format!("u{key}")))
                    .unwrap();
                users.insert(key, user);
            }
            Move::Delete(key) => {
                driver
                    .pipe("users", TestRecord::null().key(format!("u{key}")))
                    .unwrap();
                users.remove(&key);
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Restart => driver.restart().unwrap(),
        }
    }
    driver.commit().unwrap();
    users
}

/// Plays the moves; what comes out is what the oracle says.
fn check(mut driver: TestDriver, moves: Vec<Move>) -> Result<(), TestCaseError> {
    let users = play(&mut driver, moves);
    let (mut now, mut regions, mut sizes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    read(&mut driver, "users-now", &mut now);
    prop_assert_eq!(now.len(), users.len());
    read(&mut driver, "regions-now", &mut regions);
    read(&mut driver, "sizes-now", &mut sizes);
    let (expected, expected_sizes) = oracle(&users);
    let keys = |map: &BTreeMap<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(keys(&regions), keys(&expected));
    for (region, row) in &expected {
        let mut found = regions[region].clone();
        // A sum of floats depends on the order; that of whole members is as good as one can have.
        let (weight, found_weight) = (row["weight"].as_f64().unwrap(), found["weight"].as_f64().unwrap());
        prop_assert!((weight - found_weight).abs() <= 64.0, "{weight} {found_weight}");
        found["weight"] = row["weight"].clone();
        // The last digit is the JSON parser's.
        let avg = |row: &Value| row["avg"].as_f64().unwrap_or(-1.0);
        prop_assert!((avg(&found) - avg(row)).abs() < 1e-9);
        found["avg"] = row["avg"].clone();
        prop_assert_eq!(&found, row);
    }
    prop_assert_eq!(sizes, expected_sizes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the epochs, aborts and restarts: what a row contributed is taken back when it changes or goes.
    #[test]
    fn aggregates_over_tables_are_those_of_the_rows_that_are_there(moves in moves()) {
        check(TestDriver::with_partitions(&job(), PARTITIONS).unwrap(), moves)?;
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(25))]

    /// The same where most of the rows are on the disk.
    #[test]
    fn tables_need_not_fit_in_memory(moves in moves(), limit in crate::testing::limit()) {
        check(TestDriver::with_partitions(&job(), PARTITIONS).unwrap().limited(limit).unwrap(), moves)?;
    }
}

#[test]
fn a_sum_of_floats_comes_back_exactly() {
    let mut driver = TestDriver::new(&job()).unwrap();
    let set = |driver: &mut TestDriver, key: &str, weight: f64| {
        let text = format!(r#"{{"region":"r","age":1,"weight":{weight}}}"#);
        driver.pipe("users", TestRecord::new(text).key(key)).unwrap();
        driver.commit().unwrap();
    };
    set(&mut driver, "a", 0.1);
    set(&mut driver, "b", 1e20);
    driver.pipe("users", TestRecord::null().key("b")).unwrap();
    driver.commit().unwrap();
    let mut regions = BTreeMap::new();
    read(&mut driver, "regions-now", &mut regions);
    assert_eq!(regions["r"]["weight"], 0.1);
}

/// DataFusion's average of decimals divides by the number of values, which is none where a group has lost its members.
#[test]
fn a_group_without_members_has_no_average_of_decimals() {
    let app = Streams::new("t");
    app.stream("users", users().with_key("user"))
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate(
            "regions",
            [
                avg(crate::cast(col("age"), DataType::Decimal128(10, 2))).alias("avg"),
                max(col("age")).alias("max"),
            ],
        )
        .to("regions-now", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    let mut regions = BTreeMap::new();
    for (region, expected) in [("a", "a"), ("b", "b"), ("b", "b")] {
        let text = format!(r#"{{"region":"{region}","age":3,"weight":1}}"#);
        driver.pipe("users", TestRecord::new(text).key("u")).unwrap();
        driver.commit().unwrap();
        read(&mut driver, "regions-now", &mut regions);
        assert_eq!(regions.keys().collect::<Vec<_>>(), [expected]);
        let row = &regions[expected];
        assert_eq!((row["avg"].as_f64(), &row["max"]), (Some(3.0), &json!(3)));
    }
    driver.pipe("users", TestRecord::null().key("u")).unwrap();
    driver.commit().unwrap();
    read(&mut driver, "regions-now", &mut regions);
    assert!(regions.is_empty(), "{regions:?}");
}

#[test]
fn rows_say_themselves_what_they_delete_and_keep_their_time_through_a_repartition() {
    let app = Streams::new("d");
    let schema = Schema::new(
        ["id", "op"]
            .map(|name| Field::new(name, DataType::Utf8, true))
            .to_vec(),
    );
    app.stream("changes", json_schema(schema))
        .repartition("by-id", [col("id")])
        .to_table_deleting("rows", [col("id")], col("op").eq(lit("d")))
        .to("rows-now", json_out());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    for (at, id, op) in [
        (5, "a", "c"),
        (6, "b", "c"),
        (7, "a", "u"),
        (8, "b", "d"),
        (9, "never", "d"),
    ] {
        let change = TestRecord::new(format!(r#"{{"id":"{id}","op":"{op}"}}"#))
            .at(at)
            .partition(0);
        driver.pipe("changes", change).unwrap();
        driver.epoch((0, 0), usize::MAX).unwrap();
        driver.commit().unwrap();
    }
    let mut records = driver.read("rows-now");
    records.sort_by_key(|record| record.timestamp);
    let shown: Vec<_> = records
        .iter()
        .map(|record| (record.timestamp.unwrap(), record.as_text()))
        .collect();
    let op = |op| format!(r#"{{"op":"{op}"}}"#);
    assert_eq!(
        shown,
        [
            (5, ("a", &*op("c"))),
            (6, ("b", &op("c"))),
            (7, ("a", &op("u"))),
            (8, ("b", "?"))
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A table of counts, counted: what a word was is taken back when its count grows.
    #[test]
    fn counts_of_counts(steps in proptest::collection::vec((0..10_u8, "[a-e]", 0..6_usize, 0..5_usize), 1..100)) {
        let app = Streams::new("c");
        app.stream("words", crate::text("word"))
            .group_by([col("word")])
            .aggregate("counts", [count_all().alias("n")])
            .group_by([col("n")])
            .aggregate("counts-of-counts", [count_all().alias("words")])
            .to("now", json_out());
        let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
        let tasks = driver.task_ids();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (what, word, task, records) in steps {
            let task = tasks[task % tasks.len()];
            match what {
                0 => driver.restart().unwrap(),
                1 => driver.aborted_epoch(task, records).unwrap(),
                2..5 => driver.epoch(task, records).unwrap(),
                _ => {
                    driver.pipe("words", TestRecord::new(word.clone())).unwrap();
                    *counts.entry(word).or_default() += 1;
                }
            }
        }
        driver.commit().unwrap();
        let mut now = BTreeMap::new();
        read(&mut driver, "now", &mut now);
        let mut expected: BTreeMap<String, Value> = BTreeMap::new();
        for n in counts.values() {
            let words = counts.values().filter(|other| *other == n).count();
            expected.insert(format!("[{n}]"), json!({"words": words}));
        }
        prop_assert_eq!(now, expected);
    }
}

#[test]
fn rows_with_columns_that_are_never_null_can_be_deleted() {
    let app = Streams::new("n");
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("gone", DataType::Boolean, true),
    ]);
    app.stream("changes", json_schema(schema))
        .with_column("one", lit(1_i64))
        .to_table_deleting("rows", [col("id")], col("gone"))
        .group_by([col("one")])
        .aggregate("ones", [count_all().alias("n")])
        .to("ones-now", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    for (id, gone) in [("a", false), ("b", false), ("a", true)] {
        driver
            .pipe(
                "changes",
                TestRecord::new(format!(r#"{{"id":"{id}","gone":{gone}}}"#)),
            )
            .unwrap();
        driver.commit().unwrap();
        driver.restart().unwrap();
    }
    let now = driver.read("ones-now");
    assert_eq!(now.last().unwrap().as_text(), ("[1]", r#"{"n":1}"#));
}

/// The old results of a table of aggregates were computed for no group at all, which `first` has no answer to; and columns that are
/// never null had no room for a deleted row.
#[test]
fn tables_of_first_values_and_of_columns_without_nulls_can_be_grouped_and_deleted() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("op", DataType::Utf8, false),
    ]);
    let app = Streams::new("f");
    let changes = app.stream("changes", json_schema(schema));
    let table = changes.to_table_deleting("rows", [col("id")], col("op").eq(lit("d")));
    table.to("rows-now", json_out());
    changes
        .group_by([col("id")])
        .aggregate("firsts", [crate::first(col("op")).alias("op")])
        .group_by([col("op")])
        .aggregate("ops", [count_all().alias("n")])
        .to("ops-now", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    for (id, op) in [(1, "c"), (2, "c"), (1, "d")] {
        let change = format!(r#"{{"id":{id},"op":"{op}"}}"#);
        driver.pipe("changes", TestRecord::new(change)).unwrap();
        driver.commit().unwrap();
        driver.restart().unwrap();
    }
    let rows = driver.read("rows-now");
    let shown: Vec<_> = rows.iter().map(TestRecord::as_text).collect();
    assert_eq!(
        shown,
        [("[1]", r#"{"op":"c"}"#), ("[2]", r#"{"op":"c"}"#), ("[1]", "?")]
    );
    let ops = driver.read("ops-now");
    assert_eq!(ops.last().unwrap().as_text(), ("c", r#"{"n":2}"#));
}
