//! Envelopes of Debezium's own, in `connectors/golden/debezium`, and faulty ones.
use std::collections::BTreeMap;
use std::io::Read;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use flate2::read::GzDecoder;
use serde_json::{Value, json as object};

use crate::{
    Streams, StreamsError, TestDriver, TestRecord, cast, col, count_all, dead_letter, debezium_json, json,
    lit, skip, sum,
};

/// What Debezium wrote to `topic` in one of its golden cases: keys and values, `{"schema": …, "payload": …}`.
fn golden(case: &str, topic: &str) -> Vec<(Option<String>, Option<Value>)> {
    let path = format!(
        "{}/../connectors/golden/debezium/{case}/records.jsonl.gz",
        env!("CARGO_MANIFEST_DIR")
    );
    let (file, mut text) = (std::fs::File::open(path).unwrap(), String::new());
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records = records.filter(|record| record["topic"] == topic);
    let part = |part: &Value| (!part.is_null()).then(|| part.clone());
    let records: Vec<_> = records
        .map(|record| {
            (
                part(&record["key"]).map(|key| key.to_string()),
                part(&record["value"]),
            )
        })
        .collect();
    assert!(!records.is_empty());
    records
}

/// The same as records, with the schema or without.
fn golden_records(case: &str, topic: &str, with_schema: bool) -> Vec<TestRecord> {
    let records = golden(case, topic).into_iter();
    let records = records.map(|(key, value)| {
        let value = value.map(|value| match with_schema {
            true => value.to_string(),
            false => value["payload"].to_string(),
        });
        let record = value.map_or_else(TestRecord::null, TestRecord::new);
        match key {
            Some(key) => record.key(key),
            None => record,
        }
    });
    records.collect()
}

/// The last value of each key; none where it was deleted.
fn latest(records: Vec<TestRecord>) -> BTreeMap<String, String> {
    let mut latest = BTreeMap::new();
    for record in records {
        let (key, value) = record.as_text();
        match record.value {
            Some(_) => latest.insert(key.to_owned(), value.to_owned()),
            None => latest.remove(key),
        };
    }
    latest
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    pairs.map(owned).into()
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Pipes the records, ending an epoch behind each or behind all.
fn pipe(driver: &mut TestDriver, topic: &str, records: Vec<TestRecord>, each: bool) {
    for record in records {
        driver.pipe(topic, record).unwrap();
        if each {
            driver.commit().unwrap();
        }
    }
    driver.commit().unwrap();
}

#[test]
fn a_captured_table_is_the_table_and_its_aggregates_take_back_what_changed() {
    let people = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        field("name", DataType::Utf8),
        field("age", DataType::Int32),
        field(
            "joined",
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ),
    ]);
    for (case, with_schema, each) in [
        ("mariadb-basic", true, false),
        ("mariadb-basic", false, true),
        ("mysql97-basic", true, true),
        ("mysql97-basic", false, false),
    ] {
        let app = Streams::new("people");
        let table = app.table("people", debezium_json(people.clone()), [col("id")]);
        table.to("copy", json());
        table
            .group_by([col("joined").is_null().alias("stranger")])
            .aggregate("ages", [count_all().alias("n"), sum(col("age")).alias("ages")])
            .to("ages", json());
        let mut driver = TestDriver::new(&app).unwrap();
        let records = golden_records(case, "records.g.people", with_schema);
        assert!(records.iter().any(|record| record.value.is_none()));
        pipe(&mut driver, "people", records, each);
        let expected = texts([
            (
                "[1]",
                r#"{"name":"Ann","age":31,"joined":"2026-01-02T03:04:05.678Z"}"#,
            ),
            ("[20]", r#"{"name":"Bob","age":null,"joined":null}"#),
            (
                "[4]",
                r#"{"name":"Dan","age":44,"joined":"2026-05-06T07:08:09.123Z"}"#,
            ),
            ("[5]", r#"{"name":"nobody","age":5,"joined":null}"#),
            ("[6]", r#"{"name":"Eve","age":2,"joined":null}"#),
            ("[8]", r#"{"name":"Gus","age":50,"joined":null}"#),
        ]);
        assert_eq!(latest(driver.read("copy")), expected, "{case}");
        let expected = texts([
            ("[false]", r#"{"n":2,"ages":75}"#),
            ("[true]", r#"{"n":4,"ages":57}"#),
        ]);
        assert_eq!(latest(driver.read("ages")), expected, "{case}");
    }
}

#[test]
fn a_truncation_is_an_error_of_its_record() {
    let lines = Schema::new(vec![
        Field::new("a", DataType::Utf8, false),
        Field::new("n", DataType::Int32, false),
        field("note", DataType::Utf8),
    ]);
    let table = || {
        let app = Streams::new("lines");
        let table = app.table("lines", debezium_json(lines.clone()), [col("a"), col("n")]);
        table.to("copy", json().object_keys());
        (app, table)
    };
    let records = || golden_records("mariadb-basic", "records.g.lines", true);
    let (app, policed) = table();
    policed.on_error(dead_letter("dead"));
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, "lines", records(), false);
    let expected = texts([
        (r#"{"a":"x","n":1}"#, r#"{"note":"first"}"#),
        (r#"{"a":"y","n":3}"#, r#"{"note":"same key"}"#),
        (r#"{"a":"z","n":9}"#, r#"{"note":"after"}"#),
    ]);
    assert_eq!(latest(driver.read("copy")), expected);
    let dead = driver.read("dead");
    assert_eq!(dead.len(), 1);
    assert!(dead[0].as_text().1.contains(r#""op":"t""#));
    let message = dead[0].headers.iter().find(|(name, _)| name.ends_with("message"));
    let message = String::from_utf8(message.unwrap().1.clone().unwrap()).unwrap();
    assert!(message.contains("skipped.operations=t"), "{message}");

    let mut driver = TestDriver::new(&table().0).unwrap();
    let failed = records()
        .into_iter()
        .try_for_each(|record| driver.pipe("lines", record));
    let error = failed.and_then(|()| driver.commit()).unwrap_err().to_string();
    assert!(
        error.starts_with("the record at offset 6 of lines-0 cannot be read: it cannot be read as debezium_json: it truncates"),
        "{error}"
    );
}

#[test]
fn times_and_decimals_are_what_the_connector_was_told() {
    // adaptive_time_microseconds is Debezium's default: days, microseconds.
    let times = Schema::new(vec![
        field("da", DataType::Date32),
        field("dt6", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ]);
    let mut changes = golden("mysql97-types", "records.g.times").into_iter();
    let row = changes.find_map(|(_, value)| {
        let after = value?["payload"]["after"].clone();
        (after["da"].is_number() && after["dt6"].is_number()).then_some(after)
    });
    let Some(row) = row else {
        // The columns of the case have other names than those.
        panic!("no row with a date and a time of microseconds");
    };
    let app = Streams::new("times");
    app.stream("times", debezium_json(times))
        .select([
            cast(col("da"), DataType::Int32).alias("da"),
            cast(col("dt6"), DataType::Int64).alias("dt6"),
        ])
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let change = object!({"after": row, "op": "c"});
    pipe(
        &mut driver,
        "times",
        vec![TestRecord::new(change.to_string())],
        false,
    );
    let read: Value = serde_json::from_str(driver.read("out")[0].as_text().1).unwrap();
    assert_eq!(read, object!({"da": row["da"], "dt6": row["dt6"]}));
}

fn users() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        field("email", DataType::Utf8),
        field("note", DataType::Utf8),
    ])
}

fn change(op: &str, before: Value, after: Value) -> TestRecord {
    TestRecord::new(object!({"before": before, "after": after, "op": op}).to_string())
}

#[test]
fn an_update_that_changes_the_key_of_the_table_moves_the_row() {
    for each in [false, true] {
        let app = Streams::new("users");
        app.table("users", debezium_json(users()), [col("email")])
            .to("copy", json());
        let mut driver = TestDriver::new(&app).unwrap();
        let user = |id: i64, email: &str| object!({"id": id, "email": email});
        let changes = vec![
            change("r", Value::Null, user(1, "a@b")),
            change("c", Value::Null, user(2, "c@d")),
            change("u", user(1, "a@b"), user(1, "e@f")),
            // Who takes over the key of another that has moved keeps it.
            change("u", user(2, "c@d"), user(2, "a@b")),
            // A row before that is not known moves nothing.
            change("u", Value::Null, user(2, "a@b")),
            change("u", user(2, "__debezium_unavailable_value"), user(2, "a@b")),
        ];
        pipe(&mut driver, "users", changes, each);
        let expected = texts([
            ("a@b", r#"{"id":2,"note":null}"#),
            ("e@f", r#"{"id":1,"note":null}"#),
        ]);
        assert_eq!(latest(driver.read("copy")), expected);
    }
}

#[test]
fn what_debezium_does_not_know_stays_what_it_was() {
    for each in [false, true] {
        let app = Streams::new("users");
        let table = app.table("users", debezium_json(users()), [col("id")]);
        table.to("copy", json());
        table
            .group_by([col("note")])
            .aggregate("notes", [count_all().alias("n")])
            .to("notes", json());
        let mut driver = TestDriver::new(&app).unwrap();
        let user = |id: i64, email: &str, note: &str| object!({"id": id, "email": email, "note": note});
        let unknown = [
            "__debezium_unavailable_value",
            "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
        ];
        let changes = vec![
            change("c", Value::Null, user(1, "a", "long")),
            change("u", Value::Null, user(1, "b", unknown[0])),
            change("u", Value::Null, user(1, "c", unknown[1])),
            change("c", Value::Null, user(2, "d", "short")),
            change("d", object!({"id": 2}), Value::Null),
            // Nobody ever said what this one has.
            change("u", Value::Null, user(2, "e", unknown[0])),
        ];
        pipe(&mut driver, "users", changes, each);
        let copy = latest(driver.read("copy"));
        assert_eq!(copy["[1]"], r#"{"email":"c","note":"long"}"#);
        assert_eq!(copy["[2]"], r#"{"email":"e","note":null}"#);
        driver.restart().unwrap();
        let changes = vec![change("u", Value::Null, user(1, "f", unknown[0]))];
        pipe(&mut driver, "users", changes, each);
        assert_eq!(
            latest(driver.read("copy"))["[1]"],
            r#"{"email":"f","note":"long"}"#
        );
        let notes = latest(driver.read("notes"));
        assert_eq!(notes.get("long").map(String::as_str), Some(r#"{"n":1}"#));
        assert!(!notes.contains_key("short"), "{notes:?}");
    }
}

#[test]
fn envelopes_that_say_nothing_of_a_row_are_named() {
    let user = object!({"id": 1});
    let bad = [
        (
            object!({"op": "m", "message": {}}),
            "its \"op\" is \"m\"; there are",
        ),
        (object!({"after": user}), "no envelope of a change"),
        (
            object!({"schema": {}, "payload": null}),
            "no envelope of a change",
        ),
        (object!({"op": "u", "before": user}), "its \"after\" is null"),
        (object!({"op": "d", "after": user}), "REPLICA IDENTITY"),
        (
            object!({"op": "c", "after": {"email": "a"}}),
            "no value in column \"id\"",
        ),
        (object!({"op": "c", "after": {"id": "x"}}), "id"),
        (object!([1]), "expected"),
    ];
    for policy in [dead_letter("dead"), skip()] {
        let app = Streams::new("users");
        app.stream("users", debezium_json(users()).with_offset("offset"))
            .on_error(policy.clone())
            .to("changes", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for (value, _) in &bad {
            driver.pipe("users", TestRecord::new(value.to_string())).unwrap();
            driver.pipe("users", TestRecord::null()).unwrap();
        }
        pipe(
            &mut driver,
            "users",
            vec![change("d", user.clone(), Value::Null)],
            false,
        );
        // The only row is of the last record.
        let changes = driver.read("changes");
        let expected = r#"{"id":1,"email":null,"note":null,"$op":"d","offset":16}"#;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].as_text().1, expected);
        let dead = driver.read("dead");
        if policy == skip() {
            assert!(dead.is_empty());
            continue;
        }
        assert_eq!(dead.len(), bad.len());
        for (letter, (value, cause)) in dead.iter().zip(&bad) {
            assert_eq!(letter.as_text().1, value.to_string());
            let message = letter.headers.iter().find(|(name, _)| name.ends_with("message"));
            let message = String::from_utf8(message.unwrap().1.clone().unwrap()).unwrap();
            assert!(message.contains(cause), "{value}: {message}");
        }
    }
}

#[test]
fn a_table_is_written_as_its_changes() {
    let app = Streams::new("users");
    app.table("users", debezium_json(users()), [col("id")])
        .to("copy", debezium_json(users()));
    // What is written is read again, and is the same table.
    let other = Streams::new("copies");
    other
        .table("copy", debezium_json(users()), [col("id")])
        .to("again", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let user = |id: i64, email: &str| object!({"id": id, "email": email});
    let epochs = [
        vec![
            change("c", Value::Null, user(1, "a")),
            change("c", Value::Null, user(2, "b")),
        ],
        vec![
            change("u", user(1, "a"), user(1, "c")),
            change("d", user(2, "b"), Value::Null),
        ],
        // What is made and gone within an epoch was never there.
        vec![
            change("c", Value::Null, user(3, "d")),
            change("d", user(3, "d"), Value::Null),
        ],
    ];
    for epoch in epochs {
        let epoch = epoch.into_iter().map(|record| record.at(7)).collect();
        pipe(&mut driver, "users", epoch, false);
    }
    let mut copy = driver.read("copy");
    let mut again = TestDriver::new(&other).unwrap();
    pipe(&mut again, "copy", copy.clone(), false);
    let texts_of = |record: &TestRecord| {
        let (key, value) = record.as_text();
        (key.to_owned(), value.to_owned())
    };
    copy.sort_by(|one, other| one.key.cmp(&other.key));
    let copy: Vec<_> = copy.iter().map(texts_of).collect();
    let row = |id: i64, email: &str| format!(r#"{{"id":{id},"email":"{email}","note":null}}"#);
    let envelope = |before: &str, after: &str, op: &str| {
        format!(r#"{{"before":{before},"after":{after},"op":"{op}","ts_ms":7}}"#)
    };
    let (one, two) = (r#"{"id":1}"#, r#"{"id":2}"#);
    let expected = [
        (one, envelope("null", &row(1, "a"), "c")),
        (one, envelope(&row(1, "a"), &row(1, "c"), "u")),
        (two, envelope("null", &row(2, "b"), "c")),
        (two, envelope(&row(2, "b"), "null", "d")),
        (two, "?".to_owned()),
    ];
    assert_eq!(copy, expected.map(|(key, value)| (key.to_owned(), value)));
    assert_eq!(
        latest(again.read("again")),
        texts([("[1]", r#"{"email":"c","note":null}"#)])
    );
}

/// Where epochs may be repeated, that a key has no row is told of keys that never had one as well.
#[test]
fn of_what_neither_was_nor_is_only_the_deletion_is_written() {
    let app = Streams::new("users");
    app.table("users", debezium_json(users()), [col("id")])
        .filter(col("email").eq(lit("a")))
        .to("copy", debezium_json(users()));
    let mut driver = TestDriver::new(&app).unwrap().repeating();
    let user = |id: i64, email: &str| object!({"id": id, "email": email});
    let changes = vec![
        change("c", Value::Null, user(1, "a")),
        change("c", Value::Null, user(2, "b")),
    ];
    pipe(&mut driver, "users", changes, true);
    let mut copy = driver.read("copy");
    copy.sort_by(|one, other| one.key.cmp(&other.key));
    let keys: Vec<_> = copy.iter().map(|record| record.as_text().0.to_owned()).collect();
    assert_eq!(keys, [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert!(copy[0].value.is_some() && copy[1].value.is_none(), "{copy:?}");
}

#[test]
fn aggregates_and_streams_are_written_as_envelopes() {
    let app = Streams::new("users");
    let changes = app.stream("users", debezium_json(users()));
    changes
        .group_by([col("email")])
        .aggregate("counts", [count_all().alias("n")])
        .to("counts", debezium_json(Schema::empty()));
    changes
        .filter(col("$op").eq(lit("c")))
        .select([col("id"), col("email")])
        .to("created", debezium_json(Schema::empty()).with_key("email"));
    let mut driver = TestDriver::new(&app).unwrap();
    let user = object!({"id": 1, "email": "a"});
    pipe(
        &mut driver,
        "users",
        vec![change("c", Value::Null, user.clone()).at(1)],
        false,
    );
    pipe(
        &mut driver,
        "users",
        vec![change("u", Value::Null, user).at(2)],
        false,
    );
    let counts: Vec<_> = driver.read("counts");
    assert_eq!(
        counts[1].as_text(),
        (
            r#"{"email":"a"}"#,
            r#"{"before":{"email":"a","n":1},"after":{"email":"a","n":2},"op":"u","ts_ms":2}"#
        )
    );
    assert_eq!(counts.len(), 2);
    let created = driver.read("created");
    assert_eq!(
        created[0].as_text(),
        ("a", r#"{"before":null,"after":{"id":1},"op":"c","ts_ms":1}"#)
    );
    assert_eq!(created.len(), 1);
}

#[test]
fn a_topic_is_either_changes_or_a_table() {
    let app = Streams::new("users");
    app.stream("users", debezium_json(users())).to("changes", json());
    app.table("users", debezium_json(users()), [col("id")])
        .to("copy", json());
    let error = app.build().unwrap_err();
    assert!(matches!(error, StreamsError::Plan(_)));
    assert!(error.to_string().contains("debezium_json by id"), "{error}");
}
