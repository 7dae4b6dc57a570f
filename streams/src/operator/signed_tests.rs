//! Aggregates that add and take back, against those that keep the members of each group.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::table_tests::{Move, PARTITIONS, moves, play, read, users};
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

/// All that is made of sums, but averages of decimals: DataFusion's accumulator divides by the zero values of a group without members.
fn sums() -> Vec<Expr> {
    let cents = || cast(col("age"), DataType::Decimal128(12, 2)) / lit(3);
    let old = count(lit(1)).filter(col("age").gt(lit(50)));
    let young = sum(col("age")).filter(col("age").lt(lit(50)));
    vec![
        count_all().alias("n"),
        count(col("age")).alias("ages"),
        sum(col("age")).alias("sum"),
        avg(col("age")).alias("avg"),
        sum(cents()).alias("cents"),
        sum(cast(col("age"), DataType::UInt8)).alias("small"),
        old.alias("old"),
        young.alias("young"),
    ]
}

/// The same once by sums, and once by members: that is what the last aggregate asks for. Then tables over both.
fn job() -> Streams {
    let app = Streams::new("t");
    let users = app
        .stream("users", users().with_key("user"))
        .to_table("users", [col("user")]);
    let kept = sums().into_iter().chain([max(col("age")).alias("max")]);
    for (name, aggregates) in [("sums", sums()), ("kept", kept.collect())] {
        let regions = users.group_by([col("region")]).aggregate(name, aggregates);
        regions.to(format!("{name}-now"), json());
        let sizes = [
            count_all().alias("regions"),
            avg(col("sum")).alias("avg"),
            sum(col("cents")),
        ];
        regions
            .group_by([col("n")])
            .aggregate(format!("{name}-sizes"), sizes)
            .to(format!("{name}-sizes-now"), json());
    }
    app
}

fn now(driver: &mut TestDriver, topic: &str) -> BTreeMap<String, Value> {
    let mut now = BTreeMap::new();
    read(driver, topic, &mut now);
    now
}

/// Averages of integers are not rounded at every step here.
fn rounded(rows: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let round = |mut row: Value| {
        row.as_object_mut().unwrap().remove("max");
        if let Some(avg) = row["avg"].as_f64() {
            row["avg"] = format!("{avg:.9}").into();
        }
        row
    };
    rows.into_iter().map(|(key, row)| (key, round(row))).collect()
}

fn check(mut driver: TestDriver, moves: Vec<Move>) -> Result<(), TestCaseError> {
    let users = play(&mut driver, moves);
    for what in ["now", "sizes-now"] {
        let by_sums = rounded(now(&mut driver, &format!("sums-{what}")));
        prop_assert_eq!(by_sums.is_empty(), users.is_empty());
        prop_assert_eq!(by_sums, rounded(now(&mut driver, &format!("kept-{what}"))));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the epochs, aborts and restarts.
    #[test]
    fn sums_are_those_of_the_members(moves in moves()) {
        check(TestDriver::with_partitions(&job(), PARTITIONS).unwrap(), moves)?;
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn sums_need_not_fit_in_memory(moves in moves(), limit in crate::testing::limit()) {
        check(TestDriver::with_partitions(&job(), PARTITIONS).unwrap().limited(limit).unwrap(), moves)?;
    }
}

fn set(driver: &mut TestDriver, key: &str, age: Option<i64>) {
    let row = age.map(|age| format!(r#"{{"region":"r","age":{age},"weight":0}}"#));
    let record = row.map_or(TestRecord::null(), TestRecord::new);
    driver.pipe("users", record.key(key)).unwrap();
    driver.commit().unwrap();
}

#[test]
fn integers_at_their_ends_come_back() {
    let app = Streams::new("t");
    app.stream("users", users().with_key("user"))
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate(
            "sums",
            [sum(col("age")).alias("sum"), avg(col("age")).alias("avg")],
        )
        .to("now", json());
    let mut driver = TestDriver::new(&app).unwrap();
    set(&mut driver, "low", Some(i64::MIN));
    set(&mut driver, "high", Some(i64::MAX));
    set(&mut driver, "more", Some(i64::MAX));
    // The sum is beyond what it can be, and the average is not.
    let avg = now(&mut driver, "now")["r"]["avg"].as_f64().unwrap();
    assert!((avg - i64::MAX as f64 / 3.0).abs() < 1e4, "{avg}");
    for gone in ["low", "high", "more"] {
        set(&mut driver, "some", Some(-7));
        set(&mut driver, gone, None);
    }
    assert_eq!(
        now(&mut driver, "now")["r"],
        serde_json::json!({"sum": -7, "avg": -7.0})
    );
}

#[test]
fn a_group_without_rows_is_forgotten_and_may_come_back() {
    let mut driver = TestDriver::new(&job()).unwrap();
    set(&mut driver, "a", Some(30));
    set(&mut driver, "a", None);
    driver.restart().unwrap();
    let gone = driver.read("sums-now");
    assert_eq!(gone.len(), 2);
    assert_eq!(gone[1], TestRecord::null().key("r").partition(0));
    let logged = driver.read("t-sums-changelog");
    let last = logged.last().unwrap();
    assert!(last.value.is_none(), "{last:?}");
    // Only nulls: there is no sum of them, and no average.
    let row = r#"{"region":"r","age":null,"weight":0}"#;
    driver.pipe("users", TestRecord::new(row).key("b")).unwrap();
    driver.commit().unwrap();
    let row = &now(&mut driver, "sums-now")["r"];
    assert_eq!((&row["n"], &row["ages"]), (&1.into(), &0.into()));
    assert_eq!((&row["sum"], &row["avg"]), (&Value::Null, &Value::Null));
}

#[test]
fn rows_of_streams_look_up_the_results() {
    let app = Streams::new("t");
    let regions = app
        .stream("users", users().with_key("user"))
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate("sums", [count_all().alias("n"), avg(col("age")).alias("avg")]);
    let asked = Schema::new(vec![Field::new("region", DataType::Utf8, true)]);
    app.stream("asks", json_schema(asked))
        .join(&regions, on("region", "region"))
        .left()
        .named("asks")
        .to("answers", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let ask = |driver: &mut TestDriver| {
        driver.pipe("asks", TestRecord::new(r#"{"region":"r"}"#)).unwrap();
        driver.commit().unwrap();
        let answers = driver.read("answers");
        let answer: Value = serde_json::from_slice(answers[0].value.as_ref().unwrap()).unwrap();
        (answer["n"].clone(), answer["avg"].clone())
    };
    assert_eq!(ask(&mut driver), (Value::Null, Value::Null));
    set(&mut driver, "a", Some(30));
    set(&mut driver, "b", Some(40));
    assert_eq!(ask(&mut driver), (2.into(), 35.0.into()));
    driver.restart().unwrap();
    set(&mut driver, "a", None);
    assert_eq!(ask(&mut driver), (1.into(), 40.0.into()));
    set(&mut driver, "b", None);
    assert_eq!(ask(&mut driver), (Value::Null, Value::Null));
}

#[test]
fn averages_of_decimals_are_null_without_values() {
    let app = Streams::new("t");
    app.stream("users", users().with_key("user"))
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate(
            "sums",
            [avg(cast(col("age"), DataType::Decimal128(12, 2))).alias("avg")],
        )
        .to("now", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let of_none = r#"{"region":"r","age":null,"weight":0}"#;
    driver
        .pipe("users", TestRecord::new(of_none).key("none"))
        .unwrap();
    driver.commit().unwrap();
    assert_eq!(now(&mut driver, "now")["r"]["avg"], Value::Null);
    set(&mut driver, "a", Some(3));
    set(&mut driver, "b", Some(4));
    let avg = now(&mut driver, "now")["r"]["avg"].to_string();
    assert!(avg.contains("3.5"), "{avg}");
    for gone in ["a", "b", "none"] {
        set(&mut driver, gone, None);
    }
    assert!(driver.read("now").last().unwrap().value.is_none());
}
