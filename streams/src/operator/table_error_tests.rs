//! Tables whose rows fail: they are rows of no group, whatever was before them.
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

fn users() -> crate::Format {
    json_schema(Schema::new(vec![
        Field::new("user", DataType::Utf8, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("age", DataType::Utf8, true),
    ]))
}

fn pipe(driver: &mut TestDriver, rows: &[(&str, &str, &str)]) {
    for (user, region, age) in rows {
        let value = format!(r#"{{"user":"{user}","region":"{region}","age":"{age}"}}"#);
        driver.pipe("users", TestRecord::new(value)).unwrap();
    }
    driver.commit().unwrap();
}

/// The last value of each key, as text.
fn now(driver: &mut TestDriver, topic: &str, known: &mut std::collections::BTreeMap<String, String>) {
    for record in driver.read(topic) {
        let (key, value) = record.as_text();
        match record.value {
            Some(_) => drop(known.insert(key.to_owned(), value.to_owned())),
            None => drop(known.remove(key)),
        }
    }
}

fn number(column: &str) -> Expr {
    cast(col(column), DataType::Int64)
}

fn texts(records: &[TestRecord]) -> Vec<&str> {
    records.iter().map(|record| record.as_text().1).collect()
}

#[test]
fn a_row_without_a_group_leaves_the_one_it_was_in() {
    let app = Streams::new("t");
    app.stream("users", users())
        .to_table("users", [col("user")])
        .group_by([number("region").alias("region")])
        .aggregate(
            "regions",
            [count_all().alias("n"), sum(number("age")).alias("age")],
        )
        .on_error(dead_letter("dead"))
        .to("regions", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    let mut regions = std::collections::BTreeMap::new();
    pipe(
        &mut driver,
        &[("a", "1", "30"), ("b", "1", "40"), ("c", "x", "50")],
    );
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions["[1]"], r#"{"n":2,"age":70}"#);
    let dead = driver.read("dead");
    assert_eq!(texts(&dead), [r#"{"user":"c","region":"x","age":"50"}"#]);

    // One leaves its group for none, one comes from none; the group it was in takes it back once.
    pipe(
        &mut driver,
        &[("a", "y", "30"), ("c", "1", "50"), ("d", "2", "1")],
    );
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions["[1]"], r#"{"n":2,"age":90}"#);
    assert_eq!(regions["[2]"], r#"{"n":1,"age":1}"#);
    assert_eq!(driver.read("dead").len(), 1);

    driver.restart().unwrap();
    pipe(
        &mut driver,
        &[("a", "z", "30"), ("b", "2", "40"), ("c", "2", "50")],
    );
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions.get("[1]"), None);
    assert_eq!(regions["[2]"], r#"{"n":3,"age":91}"#);
    assert_eq!(driver.rows_dropped(), (0, 3));
}

#[test]
fn a_row_that_an_aggregate_cannot_read_is_no_member() {
    let app = Streams::new("t");
    app.stream("users", users())
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate(
            "regions",
            [count_all().alias("n"), sum(number("age")).alias("age")],
        )
        .on_error(skip())
        .to("regions", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    let mut regions = std::collections::BTreeMap::new();
    pipe(
        &mut driver,
        &[("a", "r", "30"), ("b", "r", "x"), ("c", "r", "50")],
    );
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions["r"], r#"{"n":2,"age":80}"#);
    pipe(&mut driver, &[("a", "r", "y"), ("b", "r", "1"), ("d", "q", "z")]);
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions["r"], r#"{"n":2,"age":51}"#);
    assert_eq!(regions.get("q"), None, "a group without members");
    driver.restart().unwrap();
    pipe(&mut driver, &[("a", "r", "9"), ("c", "r", "-")]);
    now(&mut driver, "regions", &mut regions);
    assert_eq!(regions["r"], r#"{"n":2,"age":10}"#);
    assert_eq!(driver.rows_dropped(), (4, 0));
}

#[test]
fn a_row_of_which_nobody_knows_whether_it_deletes_changes_nothing() {
    let app = Streams::new("t");
    app.stream("users", users())
        .to_table_deleting("users", [col("user")], number("age").lt(lit(0_i64)))
        .on_error(dead_letter("dead"))
        .to("users-now", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let mut users = std::collections::BTreeMap::new();
    pipe(&mut driver, &[("a", "r", "1"), ("a", "r", "x"), ("b", "r", "2")]);
    now(&mut driver, "users-now", &mut users);
    assert_eq!(
        users.get("a").map_or("", String::as_str),
        r#"{"region":"r","age":"1"}"#,
        "{users:?}"
    );
    assert_eq!(
        texts(&driver.read("dead")),
        [r#"{"user":"a","region":"r","age":"x"}"#]
    );
    pipe(&mut driver, &[("a", "r", "-1"), ("b", "r", "y")]);
    now(&mut driver, "users-now", &mut users);
    assert_eq!(users.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn without_a_policy_the_job_fails() {
    let app = Streams::new("t");
    app.stream("users", users())
        .to_table("users", [col("user")])
        .group_by([col("region")])
        .aggregate("regions", [sum(number("age")).alias("age")])
        .to("regions", json());
    let mut driver = TestDriver::new(&app).unwrap();
    driver
        .pipe("users", TestRecord::new(r#"{"region":"r","age":"x"}"#).key("a"))
        .unwrap();
    let error = driver.commit().unwrap_err().to_string();
    assert!(error.contains("Cannot cast string 'x'"), "{error}");
}
