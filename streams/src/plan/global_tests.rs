//! Global tables: rows of any partition are looked up in them, whatever they are partitioned by.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::prelude::{DataType, Field, Schema};
use crate::{
    GlobalTable, Streams, TestDriver, TestRecord, cast, col, dead_letter, json as json_out, json_schema, key,
    lower, on, skip, text,
};

fn rates(app: &Streams) -> GlobalTable {
    let fields = vec![
        Field::new("currency", DataType::Utf8, true),
        Field::new("rate", DataType::Int64, true),
    ];
    app.global_table("rates", json_schema(Schema::new(fields)), key("currency"))
}

fn job() -> Streams {
    let app = Streams::new("shop");
    let orders = app.stream("orders", text("money"));
    let rates = rates(&app);
    orders
        .join(&rates, on("money", "currency"))
        .to("inner", json_out());
    orders
        .join(&rates, on(lower(col("money")), "currency"))
        .left()
        .to("left", json_out());
    app
}

fn rows(driver: &mut TestDriver, topic: &str) -> Vec<Value> {
    let records = driver.read(topic);
    records
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap())
        .collect()
}

#[test]
fn it_is_no_input_of_tasks_and_described_once() {
    let topology = job().build().unwrap();
    assert_eq!(topology.source_topics(), ["orders"]);
    assert_eq!(topology.global_topics(), ["rates"]);
    assert_eq!(topology.globals.len(), 1, "both joins share it");
    assert!(topology.internal_topics().is_empty());
    assert_eq!(
        topology.describe(),
        "\
job shop
global table rates as json(currency, rate)
sub-topology 0
  source orders as text(money)
    join with global table rates on money = currency
      sink inner as json
    left join with global table rates on lower(money) = currency
      sink left as json
"
    );
}

#[test]
fn what_cannot_be_joined_is_said() {
    let refused = |make: &dyn Fn(&Streams)| {
        let app = Streams::new("shop");
        make(&app);
        app.build().unwrap_err().to_string()
    };
    let orders = |app: &Streams| app.stream("orders", text("money"));
    let error = refused(&|app| {
        drop(
            orders(app)
                .join(&rates(app), on("money", "rate"))
                .to("out", json_out()),
        )
    });
    assert!(
        error.contains("join with global table rates: a row is looked up by the whole key"),
        "{error}"
    );
    let error = refused(&|app| {
        let rates = rates(app).on_error(dead_letter("letters"));
        orders(app)
            .join(&rates, on("money", "currency"))
            .to("out", json_out());
    });
    assert!(error.contains("let it skip() them, or fail()"), "{error}");
    let error = refused(&|app| {
        let number = cast(col("money"), DataType::Int64);
        orders(app)
            .join(&rates(app), on(number, "currency"))
            .to("out", json_out());
    });
    assert!(error.contains("are of no common type"), "{error}");
}

#[test]
fn records_that_cannot_be_read_follow_its_policy() {
    let app = Streams::new("shop");
    let rates = rates(&app).on_error(skip());
    app.stream("orders", text("money"))
        .join(&rates, on("money", "currency"))
        .to("out", json_out());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    driver
        .pipe("rates", TestRecord::new("no json").partition(1))
        .unwrap();
    driver
        .pipe(
            "rates",
            TestRecord::new(r#"{"currency":"usd","rate":3}"#).partition(1),
        )
        .unwrap();
    driver
        .pipe("orders", TestRecord::new("usd").partition(0))
        .unwrap();
    driver.commit().unwrap();
    assert_eq!(
        rows(&mut driver, "out"),
        [json!({"money": "usd", "currency": "usd", "rate": 3})]
    );
    assert_eq!(driver.rows_dropped().0, 1);

    let mut driver = TestDriver::with_partitions(&job(), 2).unwrap();
    driver
        .pipe("rates", TestRecord::new("no json").partition(1))
        .unwrap();
    let error = driver.commit().unwrap_err().to_string();
    assert!(error.contains("rates-1"), "{error}");
}

#[derive(Debug, Clone)]
enum Move {
    /// A currency's rate, or its deletion.
    Rate(u8, Option<i64>),
    Order(u8, i32),
    Aborted(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let next = prop_oneof![
        5 => (0..6_u8, proptest::option::weighted(0.7, 0..100_i64)).prop_map(|(id, rate)| Move::Rate(id, rate)),
        5 => (0..8_u8, 0..3_i32).prop_map(|(id, partition)| Move::Order(id, partition)),
        1 => (0..3_usize).prop_map(Move::Aborted),
        1 => Just(Move::Restart),
    ];
    proptest::collection::vec(next, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Each row meets the table as it is when its epoch ends, from whatever partition both are.
    #[test]
    fn rows_meet_the_table_as_it_is(moves in moves()) {
        let mut driver = TestDriver::with_partitions(&job(), 3).unwrap();
        let tasks = driver.task_ids();
        let mut now: BTreeMap<u8, i64> = BTreeMap::new();
        for next in moves {
            match next {
                Move::Rate(id, rate) => {
                    let value = json!({"currency": format!("c{id}"), "rate": rate}).to_string();
                    // What is said of a key is said in one partition.
                    driver.pipe("rates", TestRecord::new(value).partition(i32::from(id) % 3)).unwrap();
                    match rate {
                        Some(rate) => drop(now.insert(id, rate)),
                        None => drop(now.remove(&id)),
                    }
                }
                Move::Order(id, partition) => {
                    driver.pipe("orders", TestRecord::new(format!("c{id}")).partition(partition)).unwrap();
                    driver.commit().unwrap();
                    let (money, rate) = (format!("c{id}"), now.get(&id));
                    let inner: Vec<Value> =
                        rate.map(|rate| json!({"money": money, "currency": money, "rate": rate})).into_iter().collect();
                    prop_assert_eq!(rows(&mut driver, "inner"), inner);
                    let currency = rate.map(|_| money.clone());
                    let left = json!({"money": money, "currency": currency, "rate": rate});
                    prop_assert_eq!(rows(&mut driver, "left"), [left]);
                }
                Move::Aborted(task) => driver.aborted_epoch(tasks[task % tasks.len()], 9).unwrap(),
                Move::Restart => driver.restart().unwrap(),
            }
        }
    }
}

/// Rows were encoded for a changelog that nobody has, and had to fit there.
#[test]
fn its_rows_may_be_larger_than_what_the_job_writes() {
    let app = Streams::new("shop");
    let names = app.global_table("names", text("name").with_key("id"), key("id"));
    app.stream("orders", text("money"))
        .join(&names, on("money", "id"))
        .select([col("money")])
        .to("out", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    let large = "x".repeat(1_500_000);
    driver.pipe("names", TestRecord::new(large).key("usd")).unwrap();
    driver.pipe("orders", TestRecord::new("usd")).unwrap();
    driver.commit().unwrap();
    assert_eq!(rows(&mut driver, "out"), [json!({"money": "usd"})]);
}
