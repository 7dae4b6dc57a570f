//! Aggregates over epochs, partitions and restarts, against one pass over the rows.
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::prelude::{
    AggregateExt, DataType, Expr, Field, OnUpdate, OnWindowClose, Schema, Streams, array_agg, avg, bool_and,
    bounded, col, count, count_all, dead_letter, first, first_by, fold, json as as_json, json_schema, last,
    last_by, lit, max, median, min, schema_of, skip, stddev, sum, tumbling,
};
use crate::{Stream, TestDriver, TestRecord};

/// A row: its key, an order that no other row has, and values that may be null.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    key: String,
    at: i64,
    number: Option<i64>,
    text: Option<String>,
}

/// All numbers and texts, in the order in which they were folded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct All {
    numbers: Vec<Option<i64>>,
    texts: String,
}

fn rows(app: &Streams) -> Stream {
    app.stream("rows", json_schema(schema_of::<Row>().unwrap()))
}

fn everything() -> Expr {
    fold(
        "everything",
        All::default,
        |all: &mut All, row: &Row| {
            all.numbers.push(row.number);
            all.texts += row.text.as_deref().unwrap_or("-");
        },
        |all, later| {
            all.numbers.extend(later.numbers);
            all.texts += &later.texts;
        },
    )
}

fn aggregates() -> Vec<Expr> {
    let number = || col("number");
    vec![
        first(number()).alias("first"),
        last(col("text")).alias("last"),
        first_by(col("text"), col("at")).alias("first_by"),
        last_by(number(), col("at")).alias("last_by"),
        sum(number()).alias("sum"),
        min(col("text")).alias("min"),
        max(number()).alias("max"),
        avg(number()).alias("avg"),
        count(number()).alias("count"),
        count_all().alias("rows"),
        array_agg(col("text")).alias("list"),
        median(number()).alias("median"),
        stddev(number()).alias("stddev"),
        bool_and(number().gt(lit(0))).alias("positive"),
        sum(number()).filter(number().gt(lit(0))).alias("gains"),
        everything().alias("all"),
    ]
}

/// What the aggregates give for rows in the order in which they came.
fn expected(rows: &[Row]) -> Value {
    let numbers: Vec<i64> = rows.iter().filter_map(|row| row.number).collect();
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<i64>() as f64 / count;
    let some = |value: Value| if numbers.is_empty() { Value::Null } else { value };
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    let median = || {
        let half = (sorted.len() - 1) / 2;
        let upper = sorted[sorted.len() / 2];
        (sorted[half] + upper) as f64 / 2.0
    };
    let variance = numbers
        .iter()
        .map(|number| (*number as f64 - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    let gains: Vec<i64> = numbers.iter().copied().filter(|number| *number > 0).collect();
    let all = All {
        numbers: rows.iter().map(|row| row.number).collect(),
        texts: rows
            .iter()
            .map(|row| row.text.as_deref().unwrap_or("-"))
            .collect(),
    };
    json!({
        "first": rows[0].number,
        "last": rows[rows.len() - 1].text,
        "first_by": rows.iter().min_by_key(|row| row.at).unwrap().text,
        "last_by": rows.iter().max_by_key(|row| row.at).unwrap().number,
        "sum": some(json!(numbers.iter().sum::<i64>())),
        "min": rows.iter().filter_map(|row| row.text.clone()).min(),
        "max": numbers.iter().max(),
        "avg": some(json!(mean)),
        "count": numbers.len(),
        "rows": rows.len(),
        "list": rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>(),
        "median": if numbers.is_empty() { Value::Null } else { json!(median()) },
        "stddev": if numbers.len() < 2 { Value::Null } else { json!(variance.sqrt()) },
        "positive": some(json!(numbers.iter().all(|number| *number > 0))),
        "gains": if gains.is_empty() { Value::Null } else { json!(gains.iter().sum::<i64>()) },
        "all": all,
    })
}

/// The same but for the last bits of numbers that are not whole.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len() && found.iter().all(|(name, value)| same(value, &expected[name]))
        }
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
        }
        _ => found == expected,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Row(Row, i32),
    Commit,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = proptest::option::weighted(0.7, -3..9_i64);
    let text = proptest::option::weighted(0.7, "[a-d]{1,2}");
    let row =
        ("[a-h]", any::<i64>(), number, text, 0..3_i32).prop_map(|(key, at, number, text, partition)| {
            Step::Row(
                Row {
                    key,
                    at,
                    number,
                    text,
                },
                partition,
            )
        });
    let step = prop_oneof![8 => row, 2 => Just(Step::Commit), 1 => Just(Step::Restart)];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_cut_of_the_rows_gives_what_one_pass_gives(steps in steps(), ends_twice: bool) {
        let app = Streams::new("app");
        rows(&app).group_by([col("key")]).aggregate("all", aggregates()).to("out", as_json());
        let mut driver = TestDriver::with_partitions(&app, 3).unwrap();
        let mut rows_piped = 0;
        let mut came: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        // Rows come partition by partition: those of an epoch in the order of partitions.
        let mut epoch: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        for step in steps.into_iter().chain([Step::Commit]).chain(ends_twice.then_some(Step::Restart)) {
            match step {
                Step::Row(mut row, partition) => {
                    rows_piped += 1;
                    row.at = (row.at << 10) | rows_piped;
                    let value = serde_json::to_vec(&row).unwrap();
                    driver.pipe("rows", TestRecord::new(value).partition(partition)).unwrap();
                    epoch.entry(partition).or_default().push(row);
                }
                Step::Commit | Step::Restart => {
                    driver.commit().unwrap();
                    for row in std::mem::take(&mut epoch).into_values().flatten() {
                        came.entry(row.key.clone()).or_default().push(row);
                    }
                    for record in driver.read("out") {
                        let (key, value) = record.as_text();
                        found.insert(key.to_owned(), serde_json::from_str(value).unwrap());
                    }
                    for (key, rows) in &came {
                        let expected = expected(rows);
                        prop_assert!(same(&found[key], &expected), "{key}: {} is not {expected}", found[key]);
                    }
                    if matches!(step, Step::Restart) {
                        driver.restart().unwrap();
                    }
                }
            }
        }
    }
}

/// Closures before, and a fold within windows: times and watermarks go with the rows.
#[test]
fn folds_and_ends_of_windows_come_out_of_typed_streams() {
    for (emit, restarts) in [(OnUpdate, true), (OnWindowClose, true), (OnWindowClose, false)] {
        let app = Streams::new("app");
        rows(&app)
            .watermark(bounded(col("at"), Duration::ZERO))
            .typed::<Row>()
            .filter(|row| row.number != Some(13))
            .flat_map(|row| vec![row.clone(), row])
            .group_by([col("key")])
            .window(tumbling(Duration::from_millis(10)))
            .emit(emit)
            .aggregate(
                "all",
                [last(col("text")).alias("last"), everything().alias("all")],
            )
            .on_error(skip())
            .to("out", as_json());
        let mut driver = TestDriver::new(&app).unwrap();
        for (at, text) in [(1, "a"), (4, "b"), (3, "c"), (13, "x"), (12, "d"), (25, "e")] {
            let number = if text == "x" { 13 } else { at };
            pipe(
                &mut driver,
                &format!(r#"{{"key":"k","at":{at},"number":{number},"text":"{text}"}}"#),
            );
            driver.commit().unwrap();
            if restarts {
                driver.restart().unwrap();
            }
        }
        let mut found = BTreeMap::new();
        for record in driver.read("out") {
            let value: Value = serde_json::from_str(record.as_text().1).unwrap();
            found.insert(record.as_text().0.to_owned(), value);
        }
        let window = |texts: &str| {
            let all = found.values().find(|value| value["all"]["texts"] == texts);
            all.unwrap_or_else(|| panic!("{texts} is not in {found:?}"))["last"].clone()
        };
        assert_eq!(window("aabbcc"), "c");
        assert_eq!(window("dd"), "d");
        assert_eq!(found.len(), if emit == OnUpdate { 3 } else { 2 });
    }
}

fn pipe(driver: &mut TestDriver, value: &str) {
    driver.pipe("rows", TestRecord::new(value)).unwrap();
}

#[test]
fn a_row_that_a_fold_cannot_take_follows_the_policy_and_a_panic_fails_the_job() {
    #[derive(Serialize, Deserialize)]
    struct Number {
        number: i64,
    }
    let product = || {
        let times =
            |product: &mut i64, row: &Number| *product = product.checked_mul(row.number).expect("too large");
        fold("product", || 1, times, |product, later| *product *= later)
    };
    let app = Streams::new("app");
    let numbers = Schema::new(vec![Field::new("number", DataType::Int64, true)]);
    app.stream("rows", json_schema(numbers))
        .group_by([lit("all").alias("key")])
        .aggregate("product", [product()])
        .on_error(dead_letter("dead"))
        .to("out", as_json());
    let mut driver = TestDriver::new(&app).unwrap();
    for value in [r#"{"number":6}"#, "{}", r#"{"number":7}"#] {
        pipe(&mut driver, value);
    }
    driver.commit().unwrap();
    assert_eq!(
        driver.read("out")[0].as_text().1,
        r#"{"product(row(number))":42}"#
    );
    assert_eq!(driver.read("dead")[0].as_text().1, r#"{"number":null}"#);
    pipe(&mut driver, r#"{"number":9000000000000000000}"#);
    pipe(&mut driver, r#"{"number":2}"#);
    let error = driver.commit().unwrap_err().to_string();
    assert!(
        error.contains("fold \"product\": the closure panicked: too large"),
        "{error}"
    );
}

#[test]
fn floats_come_back_from_states_as_they_were() {
    #[derive(Serialize, Deserialize)]
    struct Price {
        price: f64,
    }
    let prices = fold(
        "prices",
        Vec::new,
        |prices: &mut Vec<u64>, row: &Price| prices.push(row.price.to_bits()),
        |prices, later| prices.extend(later),
    );
    let floats = fold(
        "floats",
        Vec::new,
        |floats: &mut Vec<f64>, row: &Price| floats.push(row.price),
        |floats, later| floats.extend(later),
    );
    let app = Streams::new("app");
    app.stream("rows", json_schema(schema_of::<Price>().unwrap()))
        .group_by([lit("all").alias("key")])
        .aggregate("both", [prices.alias("bits"), floats.alias("floats")])
        .to("out", as_json());
    let mut driver = TestDriver::new(&app).unwrap();
    let mut last = 0;
    for number in 0..300_u64 {
        // Digits all over, and exponents near and far.
        let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !(1 << 62);
        let price = f64::from_bits(bits);
        pipe(&mut driver, &format!("{{\"price\":{price:?}}}"));
        driver.commit().unwrap();
        last = bits;
    }
    let out = driver.read("out");
    let value: serde_json::Value =
        serde_json::from_slice(out.last().unwrap().value.as_deref().unwrap()).unwrap();
    let list = |name: &str| value[name].as_array().unwrap().clone();
    let floats: Vec<u64> = list("floats")
        .iter()
        .map(|float| float.as_f64().unwrap().to_bits())
        .collect();
    let bits: Vec<u64> = list("bits").iter().map(|bits| bits.as_u64().unwrap()).collect();
    assert_eq!(floats, bits);
    assert_eq!(bits.last(), Some(&last), "JSON is read exactly");
}

/// A policy is for rows. What fails when rows are already in the state would count twice if they were tried again.
#[test]
fn a_state_that_cannot_be_written_or_merged_fails_the_job_whatever_the_policy() {
    #[derive(Default, Serialize, Deserialize)]
    struct Unwritable {
        #[serde(serialize_with = "refuse")]
        count: i64,
    }
    fn refuse<S: serde::Serializer>(_: &i64, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not to be written"))
    }
    let unwritable = fold(
        "unwritable",
        Unwritable::default,
        |all: &mut Unwritable, _: &Row| all.count += 1,
        |all, later| all.count += later.count,
    );
    let unmergeable = fold(
        "unmergeable",
        || 0,
        |all: &mut i64, _: &Row| *all += 1,
        |_, _| panic!("never"),
    );
    for (aggregate, expected) in [
        (unwritable, "not to be written"),
        (unmergeable, "the closure panicked: never"),
    ] {
        let app = Streams::new("app");
        rows(&app)
            .group_by([col("key")])
            .aggregate("step", [aggregate.alias("x"), count_all().alias("n")])
            .on_error(skip())
            .to("out", as_json());
        let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
        // States of one key from two partitions come together within an epoch.
        for partition in 0..2 {
            let record = TestRecord::new(r#"{"key":"k","at":1,"number":1}"#);
            driver.pipe("rows", record.partition(partition)).unwrap();
        }
        let error = driver.commit().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(driver.rows_dropped(), (0, 0));
    }
}

#[test]
fn aggregates_that_a_stream_cannot_serve_are_refused() {
    let error = |aggregate: Expr| {
        let app = Streams::new("app");
        rows(&app)
            .group_by([col("key")])
            .aggregate("step", [aggregate])
            .to("out", as_json());
        app.build().unwrap_err().to_string()
    };
    let strings = fold(
        "f",
        || 0,
        |sum: &mut i64, row: &BTreeMap<String, i64>| *sum += row["a"],
        |a, b| *a += b,
    );
    assert!(error(strings).contains("the columns of BTreeMap<"));
    let map = fold("f", BTreeMap::<String, i64>::new, |_, _: &Row| {}, |_, _| {});
    assert!(error(map).contains("the columns of BTreeMap<"));
    #[derive(Serialize, Deserialize)]
    struct Other {
        numbre: i64,
    }
    let other = fold(
        "f",
        || 0,
        |sum: &mut i64, row: &Other| *sum += row.numbre,
        |a, b| *a += b,
    );
    assert!(
        error(other).contains("no column \"numbre\", only key, at, number, text; did you mean \"number\"?")
    );
    #[derive(Serialize, Deserialize)]
    struct Wrong {
        text: bool,
    }
    let wrong = fold(
        "f",
        || 0,
        |sum: &mut i64, row: &Wrong| *sum += i64::from(row.text),
        |a, b| *a += b,
    );
    assert!(error(wrong).contains("the rows are no "));
}
