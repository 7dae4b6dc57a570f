//! Joins by another table's key: what is refused, and when which result comes.
use std::time::Duration;

use serde_json::{Value, json};

use crate::prelude::{DataType, Field, Schema};
use crate::{
    Guarantee, Streams, Table, TestDriver, TestRecord, cast, col, count_all, json as json_out, json_schema,
    key, skip, text, tumbling, until,
};

const ASKED: &str = "shop-buyers-subscriptions-repartition";

fn orders(app: &Streams) -> Table {
    let fields = vec![
        Field::new("customer", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ];
    let format = json_schema(Schema::new(fields)).with_key("order");
    app.table(
        "orders",
        format,
        [cast(col("order"), DataType::Utf8View).alias("order")],
    )
}

fn customers(app: &Streams) -> Table {
    app.table("customers", text("name").with_key("id"), key("id"))
}

fn job(left: bool) -> Streams {
    let app = Streams::new("shop");
    let joined = orders(&app).join_by("buyers", &customers(&app), [col("customer")]);
    let joined = if left { joined.left() } else { joined };
    joined
        .select([col("order"), col("n"), col("name")])
        .to("out", json_out());
    app
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let refused = |make: &dyn Fn(&Streams) -> crate::ForeignJoin| {
        let app = Streams::new("shop");
        make(&app).to("out", json_out());
        app.build().unwrap_err().to_string()
    };
    let error = refused(&|app| orders(app).join_by("j", &customers(app), [col("n")]));
    assert!(
        error.contains("join_by j: n (Int64) and id (BinaryView) are of no common type"),
        "{error}"
    );
    let error = refused(&|app| orders(app).join_by("j", &customers(app), [col("n"), col("customer")]));
    assert!(
        error.contains("whole key of the table, which is (id), not by (n, customer)"),
        "{error}"
    );
    let error = refused(&|app| {
        let others = app.table("others", text("n").with_key("id"), key("id"));
        orders(app).join_by("j", &others, [col("customer")])
    });
    for part in [
        "two columns are named \"n\"",
        "in one of them above the join, with select([…, col(\"n\").alias(…)])",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // Its watermark would wait for itself.
    let app = Streams::new("shop");
    let joined = orders(&app).join_by("j", &customers(&app), [col("customer")]);
    let minutes = tumbling(std::time::Duration::from_secs(60));
    let windows = joined.changes().group_by([col("name")]).window(minutes);
    windows
        .aggregate("w", [count_all().alias("n")])
        .results()
        .to("out", json_out());
    let error = app.build().unwrap_err().to_string();
    assert!(error.starts_with("event time would stand still"), "{error}");
}

#[test]
fn what_it_is_made_of_can_be_read() {
    let topology = job(true).build().unwrap();
    let described = topology.describe();
    let expected = "\
job shop
sub-topology 0
  source orders as json(customer, n) with key as order
";
    assert!(described.starts_with(expected), "{described}");
    for line in [
        "subscriptions of join_by buyers",
        "repartition shop-buyers-subscriptions-repartition",
        "answers of join_by buyers",
        "changelog shop-buyers-subscriptions-changelog",
        "repartition shop-buyers-answers-repartition",
        "left join_by buyers (table)",
        "changelog shop-buyers-changelog",
    ] {
        assert!(
            described.lines().any(|found| found.trim() == line),
            "{line}: {described}"
        );
    }
    assert_eq!(topology.sub_topologies.len(), 2);
}

struct Shop(TestDriver);

impl Shop {
    fn order(&mut self, order: &str, customer: Option<&str>, n: i64) {
        let record = TestRecord::new(json!({"customer": customer, "n": n}).to_string());
        self.0.pipe("orders", record.key(order)).unwrap();
    }

    fn delete(&mut self, topic: &str, key: &str) {
        self.0.pipe(topic, TestRecord::null().key(key)).unwrap();
    }

    fn customer(&mut self, id: &str, name: &str) {
        self.0.pipe("customers", TestRecord::new(name).key(id)).unwrap();
    }

    /// What came since the last call: keys with their rows, or none.
    fn news(&mut self) -> Vec<(String, Value)> {
        (0..2).for_each(|_| self.0.commit().unwrap());
        let records = self.0.read("out");
        let news = records.iter().map(|record| {
            let row = record
                .value
                .as_ref()
                .map(|value| serde_json::from_slice::<Value>(value).unwrap());
            let row = row.map_or(Value::Null, |row| json!([row["n"], row["name"]]));
            (record.as_text().0.to_owned(), row)
        });
        news.collect()
    }
}

fn news(expected: &[(&str, Value)]) -> Vec<(String, Value)> {
    expected
        .iter()
        .map(|(key, row)| ((*key).to_owned(), row.clone()))
        .collect()
}

#[test]
fn a_row_is_what_it_was_until_it_is_answered() {
    let mut shop = Shop(TestDriver::new(&job(false)).unwrap());
    shop.customer("7", "Ann");
    shop.order("a", Some("7"), 1);
    assert_eq!(shop.news(), news(&[("a", json!([1, "Ann"]))]));
    // Nothing is asked for again.
    shop.order("a", Some("7"), 2);
    shop.0.read(ASKED);
    assert_eq!(shop.news(), news(&[("a", json!([2, "Ann"]))]));
    assert_eq!(shop.0.read(ASKED).len(), 0);
    // One change, not a deletion and a row.
    shop.customer("8", "Ben");
    shop.order("a", Some("8"), 3);
    assert_eq!(shop.news(), news(&[("a", json!([3, "Ben"]))]));
    shop.customer("7", "Anna");
    assert_eq!(shop.news(), news(&[]));
    // Nobody has this one.
    shop.order("a", Some("9"), 4);
    assert_eq!(shop.news(), news(&[("a", Value::Null)]));
    shop.customer("9", "Cleo");
    assert_eq!(shop.news(), news(&[("a", json!([4, "Cleo"]))]));
    shop.delete("customers", "9");
    assert_eq!(shop.news(), news(&[("a", Value::Null)]));
    shop.delete("orders", "a");
    assert_eq!(shop.news(), news(&[]));
    shop.customer("9", "Cleo again");
    assert_eq!(shop.news(), news(&[]));
}

#[test]
fn a_left_join_keeps_rows_without_a_partner() {
    let mut shop = Shop(TestDriver::new(&job(true)).unwrap());
    shop.order("a", Some("7"), 1);
    shop.order("b", None, 2);
    let mut first = shop.news();
    first.sort_by_key(|(key, _)| key.clone());
    assert_eq!(first, news(&[("a", json!([1, null])), ("b", json!([2, null]))]));
    shop.customer("7", "Ann");
    assert_eq!(shop.news(), news(&[("a", json!([1, "Ann"]))]));
    shop.order("b", Some("7"), 3);
    assert_eq!(shop.news(), news(&[("b", json!([3, "Ann"]))]));
    shop.order("a", None, 4);
    assert_eq!(shop.news(), news(&[("a", json!([4, null]))]));
    shop.delete("customers", "7");
    assert_eq!(shop.news(), news(&[("b", json!([3, null]))]));
    shop.delete("orders", "b");
    assert_eq!(shop.news(), news(&[("b", Value::Null)]));
}

#[test]
fn a_restart_between_a_question_and_its_answer_loses_nothing() {
    let mut shop = Shop(TestDriver::new(&job(false)).unwrap());
    shop.customer("7", "Ann");
    shop.order("a", Some("7"), 1);
    let tasks = shop.0.task_ids();
    for round in 0..6 {
        shop.0.epoch(tasks[round % tasks.len()], 10).unwrap();
        shop.0.restart().unwrap();
    }
    assert_eq!(shop.news(), news(&[("a", json!([1, "Ann"]))]));
    shop.0.restart().unwrap();
    shop.delete("customers", "7");
    assert_eq!(shop.news(), news(&[("a", Value::Null)]));
}

#[test]
fn rows_whose_key_fails_are_not_in_it() {
    let app = Streams::new("shop");
    let id = cast(cast(col("id"), DataType::Utf8View), DataType::Int64).alias("id");
    let customers = app.table("customers", text("name").with_key("id"), [id]);
    let joined = orders(&app).join_by("buyers", &customers, [cast(col("customer"), DataType::Int64)]);
    joined
        .on_error(skip())
        .select([col("order"), col("n"), col("name")])
        .to("out", json_out());
    let mut shop = Shop(TestDriver::new(&app).unwrap());
    shop.customer("7", "Ann");
    shop.order("a", Some("7"), 1);
    assert_eq!(shop.news(), news(&[("a", json!([1, "Ann"]))]));
    shop.order("a", Some("seven"), 2);
    assert_eq!(shop.news(), news(&[("a", Value::Null)]));
    shop.order("a", Some("7"), 3);
    assert_eq!(shop.news(), news(&[("a", json!([3, "Ann"]))]));
}

#[test]
fn what_may_be_lost_is_asked_for_again() {
    let app = job(false).guarantee(Guarantee::AtLeastOnce);
    let mut shop = Shop(TestDriver::new(&app).unwrap().repeating());
    shop.customer("7", "Ann");
    shop.order("a", Some("7"), 1);
    assert_eq!(shop.news(), news(&[("a", json!([1, "Ann"]))]));
    shop.0.read(ASKED);
    shop.order("a", Some("7"), 2);
    // As it is known, and as it is answered again.
    let twice = ("a", json!([2, "Ann"]));
    assert_eq!(shop.news(), news(&[twice.clone(), twice]));
    assert_eq!(shop.0.read(ASKED).len(), 1);
}

/// All answers of an epoch waited in memory together.
#[test]
fn who_is_asked_by_many_answers_all_in_batches() {
    for limit in [None, Some(1)] {
        let mut driver = TestDriver::new(&job(false)).unwrap();
        if let Some(limit) = limit {
            driver = driver.limited(limit).unwrap();
        }
        let mut shop = Shop(driver);
        let mut expected: Vec<(String, Value)> = Vec::new();
        let name = |version: usize, id: usize| format!("{version} {id} {}", "x".repeat(id * 100));
        for version in 0..3 {
            expected.clear();
            for id in 0..6 {
                shop.customer(&id.to_string(), &name(version, id));
            }
            for order in 0..97 {
                let (key, id) = (format!("o{order}"), (order % 5).to_string());
                // The others ask for nothing anew.
                if version == 0 || order % 3 == 0 {
                    shop.order(&key, Some(&id), order);
                }
                expected.push((key, json!([order, name(version, order as usize % 5)])));
            }
            let mut found = shop.news();
            // Who changes itself, may be told of it before what it asks for has changed.
            let (mut last, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
            while let Some(row) = found.pop() {
                if seen.insert(row.0.clone()) {
                    last.push(row);
                }
            }
            last.sort_by_key(|(key, _)| key[1..].parse::<i64>().unwrap());
            assert_eq!(last, expected);
            shop.0.restart().unwrap();
        }
    }
}

/// Finer times and wider numbers were cut to the other table's key, and met rows that they are not equal to.
#[test]
fn what_is_not_the_other_tables_key_meets_none() {
    let app = Streams::new("shop");
    let number = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let orders = vec![number("rate", DataType::Float64), number("n", DataType::Int64)];
    let orders = json_schema(Schema::new(orders)).with_key("order");
    let order = cast(col("order"), DataType::Utf8View).alias("order");
    let orders = app.table("orders", orders, [order]);
    let rates = vec![number("rate", DataType::Float32), number("name", DataType::Utf8)];
    let rates = app.stream("rates", json_schema(Schema::new(rates)));
    let rates = rates.to_table("rates", [col("rate").alias("at")]);
    let rates = rates.select([col("at"), col("name")]);
    orders
        .join_by("rated", &rates, [col("rate")])
        .select([col("order"), col("n"), col("name")])
        .to("out", json_out());
    let mut shop = Shop(TestDriver::new(&app).unwrap());
    for (rate, name) in [(0.5, "half"), (0.1, "tenth")] {
        let record = TestRecord::new(json!({"rate": rate, "name": name}).to_string());
        shop.0.pipe("rates", record).unwrap();
    }
    // As a wider number, the tenth is another one.
    for (order, rate) in [("a", 0.5), ("b", 0.1), ("c", f64::from(0.1_f32))] {
        let record = TestRecord::new(json!({"rate": rate, "n": 1}).to_string());
        shop.0.pipe("orders", record.key(order)).unwrap();
    }
    shop.0.commit().unwrap();
    let mut found = shop.news();
    found.sort_by_key(|(key, _)| key.clone());
    assert_eq!(
        found,
        news(&[("a", json!([1, "half"])), ("c", json!([1, "tenth"]))])
    );
}

#[test]
fn what_follows_from_changes_of_a_table_begins_with_it() {
    let followers = |app: &Streams| {
        let topology = app.build().unwrap();
        let followers = topology.followers.iter();
        let mut followers: Vec<String> = followers
            .map(|follower| format!("{} of {}", follower.topic, follower.of))
            .collect();
        followers.sort();
        followers
    };
    let of_orders = [
        "shop-buyers-changelog of shop-orders-changelog",
        "shop-buyers-subscriptions-changelog of shop-orders-changelog",
    ];
    assert_eq!(followers(&job(false)), of_orders);

    // The rows of aggregates are kept for those that look them up; what keeps nothing is the table above.
    let app = Streams::new("shop");
    let large = orders(&app).filter(col("n").gt(crate::lit(5)));
    let most = large
        .group_by([col("customer")])
        .aggregate("most", [crate::max(col("n")).alias("most")]);
    app.stream("asks", text("ask").with_key("who"))
        .join(&most, crate::on("ask", "customer"))
        .named("asked")
        .to("out", json_out());
    assert_eq!(
        followers(&app),
        [
            "shop-most-changelog of shop-orders-changelog",
            "shop-most-rows-changelog of shop-most-changelog",
        ]
    );

    // What waits is not the table: changes came to an aggregate that had never heard of the rows that changed.
    let app = Streams::new("shop");
    orders(&app)
        .suppress("calm", until(Duration::from_secs(60)))
        .filter(col("n").gt(crate::lit(5)))
        .group_by([col("customer")])
        .aggregate("sums", [count_all().alias("n")])
        .to("out", json_out());
    assert_eq!(
        followers(&app),
        [
            "shop-sums-changelog of shop-calm-changelog",
            "shop-sums-changelog of shop-orders-changelog",
        ]
    );
}
