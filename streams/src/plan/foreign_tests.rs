//! Joins by another table's key: what is refused, and when which result comes.
use serde_json::{Value, json};

use crate::prelude::{DataType, Field, Schema};
use crate::{
    Guarantee, Streams, Table, TestDriver, TestRecord, cast, col, count_all, json as json_out, json_schema,
    key, skip, text, tumbling,
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
    assert!(error.contains("two columns are named \"n\""), "{error}");
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
