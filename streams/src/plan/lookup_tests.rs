//! Streams joined with tables, against plain maps.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::prelude::{DataType, Field, Schema};
use crate::{
    Format, Streams, TestDriver, TestRecord, cast, col, count_all, json as json_out, json_schema, key, lower,
    on, skip, text,
};

fn values(driver: &mut TestDriver, topic: &str) -> Vec<Value> {
    let records = driver.read(topic);
    let values = records.iter().map(|record| record.value.as_deref().unwrap());
    values
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect()
}

fn columns(fields: &[(&str, DataType)]) -> Format {
    let fields = fields.iter();
    let fields: Vec<Field> = fields
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
        .collect();
    json_schema(Schema::new(fields))
}

#[test]
fn a_topic_by_its_key_is_read_where_it_is() {
    let app = Streams::new("app");
    let users = app.table("users", text("name").with_key("id"), key("id"));
    let visits = app.stream("visits", text("page").with_key("user"));
    visits.join(&users, on("user", "id")).left().to("out", json_out());
    let lines = columns(&[("who", DataType::Utf8)]);
    app.stream("lines", lines)
        .join(&users, on("who", "id"))
        .named("whose")
        .to("whose", json_out());
    let described = "\
job app
sub-topology 0
  source lines as json(who)
    join whose by who
      repartition app-whose-left-repartition
sub-topology 1
  source users as text(name) with key as id
    select
      to_table users (table)
        changelog app-users-changelog
  source visits as text(page) with key as user
    left join with to_table users (table) on user = id
      reads to_table users (table)
      sink out as json
  repartition app-whose-left-repartition
    join whose on who = id
      reads to_table users (table)
      sink whose as json
";
    let text = app.build().unwrap().describe();
    let shape = |text: &str| -> Vec<String> {
        let lines = text.lines();
        let mut lines: Vec<String> = lines
            .filter(|line| {
                line.contains("repartition") || line.contains("reads") || line.contains("sub-topology")
            })
            .map(|line| line.trim().to_owned())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(shape(&text), shape(described), "{text}");
    assert_eq!(app.build().unwrap().sub_topologies.len(), 2);
}

#[test]
fn keys_are_the_tables_in_any_order_and_of_any_type_that_compares() {
    let app = Streams::new("app");
    let items = columns(&[
        ("item", DataType::Int32),
        ("shop", DataType::Utf8),
        ("price", DataType::Int64),
    ]);
    let items = app.table("items", items, [col("shop"), col("item")]);
    let orders = columns(&[("what", DataType::Int64), ("shop", DataType::Utf8)]);
    app.stream("orders", orders)
        .join(&items, on("what", "item").and(lower(col("shop")), "shop"))
        .named("prices")
        .to("out", json_out());
    // Both have a column `shop`, and they are not the same.
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("two columns are named \"shop\""), "{error}");

    let app = Streams::new("app");
    let items = columns(&[
        ("item", DataType::Int32),
        ("shop", DataType::Utf8),
        ("price", DataType::Int64),
    ]);
    let items = app.table("items", items, [col("shop"), col("item")]);
    let orders = columns(&[("what", DataType::Int64), ("shop", DataType::Utf8)]);
    app.stream("orders", orders)
        .join(&items, on("what", "item").and("shop", "shop"))
        .left()
        .named("prices")
        .to("out", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    for item in [
        r#"{"item":1,"shop":"a","price":7}"#,
        r#"{"item":2,"shop":"a","price":8}"#,
    ] {
        driver.pipe("items", TestRecord::new(item)).unwrap();
    }
    let far = (1_i64 << 32) + 1;
    for order in [
        json!({"what": 1, "shop": "a"}),
        json!({"what": 1, "shop": "b"}),
        json!({"what": null, "shop": "a"}),
        // As a number of 32 bits it would be another.
        json!({"what": far, "shop": "a"}),
    ] {
        driver.pipe("orders", TestRecord::new(order.to_string())).unwrap();
    }
    (0..3).for_each(|_| driver.commit().unwrap());
    let mut found = values(&mut driver, "out");
    found.sort_by_key(ToString::to_string);
    let mut expected = vec![
        json!({"what": 1, "shop": "a", "item": 1, "price": 7}),
        json!({"what": 1, "shop": "b", "item": null, "price": null}),
        json!({"what": null, "shop": "a", "item": null, "price": null}),
        json!({"what": far, "shop": "a", "item": null, "price": null}),
    ];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_joined_is_said() {
    let app = || {
        let app = Streams::new("app");
        let users = app.table("users", text("name").with_key("id"), key("id"));
        (app.stream("lines", text("line").with_key("user")), users, app)
    };
    let error = |app: &Streams| app.build().unwrap_err().to_string();

    let (lines, users, streams) = app();
    lines.join(&users, on("user", "name")).to("out", json_out());
    let expected = "join with to_table users (table): a row is looked up by the whole key of the table, which is (id), not by (name)";
    assert!(error(&streams).starts_with(expected), "{}", error(&streams));

    let (lines, users, streams) = app();
    let twice = on("user", "id").and("line", "id");
    lines.join(&users, twice).to("out", json_out());
    assert!(error(&streams).contains("not by (id, id)"), "{}", error(&streams));

    let (lines, users, streams) = app();
    lines.join(&users, on("line", "id")).to("out", json_out());
    assert!(error(&streams).contains(".named(name)"), "{}", error(&streams));

    let (lines, _, streams) = app();
    let counts = lines
        .group_by([col("line")])
        .aggregate("n", [count_all().alias("user")]);
    lines
        .join(&counts, on("line", "line"))
        .named("c")
        .to("out", json_out());
    assert!(
        error(&streams).contains("two columns are named \"user\""),
        "{}",
        error(&streams)
    );
}

#[test]
fn rows_on_which_a_key_fails_and_records_that_cannot_be_read_follow_their_policies() {
    let app = Streams::new("app");
    let users = columns(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let users = app.table("users", users, key("id")).on_error(skip());
    let user = cast(col("line"), DataType::Int64);
    app.stream("lines", text("line"))
        .join(&users, on(user, "id"))
        .named("names")
        .on_error(skip())
        .to("out", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("users", TestRecord::new("no json")).unwrap();
    driver
        .pipe("users", TestRecord::new(r#"{"id":1,"name":"Ann"}"#))
        .unwrap();
    for line in ["1", "one", "2"] {
        driver.pipe("lines", TestRecord::new(line)).unwrap();
    }
    (0..3).for_each(|_| driver.commit().unwrap());
    assert_eq!(
        values(&mut driver, "out"),
        [json!({"line": "1", "id": 1, "name": "Ann"})]
    );
    assert_eq!(driver.rows_dropped().0, 2);
}

/// What happens to a job.
#[derive(Debug, Clone)]
enum Move {
    /// A user gets a name, or goes.
    User(u8, Option<u16>),
    Word(u8),
    Visit(u8),
    Aborted(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let next = prop_oneof![
        4 => (0..20u8, proptest::option::weighted(0.7, 0..1000u16)).prop_map(|(user, name)| Move::User(user, name)),
        2 => (0..20u8).prop_map(Move::Word),
        4 => (0..30u8).prop_map(Move::Visit),
        1 => (0..8usize).prop_map(Move::Aborted),
        1 => Just(Move::Restart),
    ];
    proptest::collection::vec(next, 1..80)
}

/// Visits with the names of their users, and with how often a word came.
fn job() -> Streams {
    let app = Streams::new("app");
    let users = app.table("users", text("name").with_key("id"), key("id"));
    let visits = app.stream("visits", text("word").with_key("user"));
    let text_of = |key: &str| cast(col(key), DataType::Utf8View).alias(key);
    let shown = [col("word"), text_of("user"), text_of("id"), col("name")];
    visits
        .join(&users, on("user", "id"))
        .select(shown.clone())
        .to("names", json_out());
    visits
        .join(&users, on("user", "id"))
        .left()
        .select(shown)
        .to("all-names", json_out());
    let counts = app
        .stream("words", text("said"))
        .group_by([col("said")])
        .aggregate("counts", [count_all().alias("n")]);
    visits
        .join(&counts, on("word", "said"))
        .named("counted")
        .left()
        .select([col("word"), col("n")])
        .to("numbers", json_out());
    app
}

fn play(driver: &mut TestDriver, moves: &[Move]) {
    let (mut users, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let text = |number: u8| format!("key {number}");
    for next in moves {
        match next {
            Move::User(user, name) => {
                let record = match name {
                    Some(name) => TestRecord::new(format!("name {name}")),
                    None => TestRecord::null(),
                };
                driver.pipe("users", record.key(text(*user))).unwrap();
                match name {
                    Some(name) => drop(users.insert(*user, format!("name {name}"))),
                    None => drop(users.remove(user)),
                }
            }
            Move::Word(word) => {
                driver.pipe("words", TestRecord::new(text(*word))).unwrap();
                *counts.entry(*word).or_insert(0_u64) += 1;
            }
            Move::Visit(visit) => {
                // The table of the row's epoch is what all of its input has made of it.
                (0..3).for_each(|_| driver.commit().unwrap());
                let record = TestRecord::new(text(*visit)).key(text(*visit));
                driver.pipe("visits", record).unwrap();
                (0..3).for_each(|_| driver.commit().unwrap());
                let (id, name) = (text(*visit), users.get(visit));
                let visited = |id: Option<&str>, name: Option<&String>| json!({"word": text(*visit), "user": text(*visit), "id": id, "name": name});
                let inner: Vec<Value> = name.iter().map(|name| visited(Some(&id), Some(name))).collect();
                assert_eq!(values(driver, "names"), inner);
                let left = visited(name.map(|_| &*id), name);
                assert_eq!(values(driver, "all-names"), [left]);
                let number = json!({"word": text(*visit), "n": counts.get(visit)});
                assert_eq!(values(driver, "numbers"), [number]);
            }
            Move::Aborted(task) => {
                let tasks = driver.task_ids();
                driver.aborted_epoch(tasks[task % tasks.len()], 100).unwrap();
            }
            Move::Restart => driver.restart().unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_have_what_the_table_had(moves in moves()) {
        play(&mut TestDriver::with_partitions(&job(), 3).unwrap(), &moves);
    }

    #[test]
    fn tables_that_are_looked_up_need_not_fit_in_memory(moves in moves(), limit in crate::testing::limit()) {
        play(&mut TestDriver::with_partitions(&job(), 3).unwrap().limited(limit).unwrap(), &moves);
    }
}
