//! Rows that pass once: which are copies, what is late, and what is refused.
use std::time::Duration;

use crate::prelude::*;
use crate::{PlanError, StreamsError, TestDriver, TestRecord};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Texts by a key, at the records' times, which may be 50 ms out of order.
fn rows(app: &Streams) -> Stream {
    let rows = app.stream("in", text("text").with_key("key"));
    rows.watermark(record_time(ms(50)))
}

fn job(within: u64, grace: u64) -> Streams {
    let app = Streams::new("d");
    let once = rows(&app)
        .deduplicate("once", [col("key")], ms(within))
        .grace(ms(grace));
    once.to("out", text("text"));
    once.late().to("late", text("text"));
    app
}

fn pipe(driver: &mut TestDriver, key: Option<&str>, at: i64) {
    let record = TestRecord::new(format!("{}@{at}", key.unwrap_or("-"))).at(at);
    let record = match key {
        Some(key) => record.key(key),
        None => record,
    };
    driver.pipe("in", record).unwrap();
}

fn read(driver: &mut TestDriver, topic: &str) -> Vec<String> {
    let records = driver.read(topic);
    let text = |record: &TestRecord| record.as_text().1.to_owned();
    records.iter().map(text).collect()
}

#[test]
fn a_row_passes_if_none_of_its_key_did_that_is_near() {
    for epochs in [false, true] {
        let mut driver = TestDriver::new(&job(10, 100)).unwrap();
        let rows = [
            ("a", 100),
            ("a", 100),
            ("b", 105),
            ("a", 110),
            ("a", 111),
            // Before it passes nothing that is near behind it.
            ("a", 90),
            ("a", 89),
            ("a", 121),
            ("a", 122),
        ];
        for (key, at) in rows {
            pipe(&mut driver, Some(key), at);
            if epochs {
                driver.commit().unwrap();
                driver.restart().unwrap();
            }
        }
        driver.commit().unwrap();
        let expected = ["a@100", "b@105", "a@111", "a@89", "a@122"];
        assert_eq!(read(&mut driver, "out"), expected, "epochs: {epochs}");
    }
}

#[test]
fn null_is_a_key_and_a_span_of_nothing_is_one_instant() {
    let mut driver = TestDriver::new(&job(0, 0)).unwrap();
    for (key, at) in [(None, 100), (None, 100), (Some("a"), 100), (None, 101)] {
        pipe(&mut driver, key, at);
    }
    driver.commit().unwrap();
    assert_eq!(read(&mut driver, "out"), ["-@100", "a@100", "-@101"]);
}

#[test]
fn what_comes_too_late_is_not_judged() {
    let mut driver = TestDriver::new(&job(10, 20)).unwrap();
    for at in [1_000, 930, 929] {
        pipe(&mut driver, Some("a"), at);
        driver.commit().unwrap();
    }
    assert_eq!(read(&mut driver, "out"), ["a@1000", "a@930"]);
    assert_eq!(read(&mut driver, "late"), ["a@929"]);
}

#[test]
fn keys_are_kept_as_long_as_somebody_may_ask() {
    let mut driver = TestDriver::new(&job(10, 20)).unwrap();
    pipe(&mut driver, Some("a"), 940);
    driver.commit().unwrap();
    // Event time goes on as far as a row of 930 is in time.
    pipe(&mut driver, Some("b"), 1_000);
    driver.commit().unwrap();
    driver.restart().unwrap();
    pipe(&mut driver, Some("a"), 930);
    driver.commit().unwrap();
    assert_eq!(read(&mut driver, "out"), ["a@940", "b@1000"]);
}

#[test]
fn a_key_that_fails_is_an_error_of_its_row() {
    let app = Streams::new("d");
    let number = cast(cast(col("key"), DataType::Utf8), DataType::Int64);
    rows(&app)
        .deduplicate("once", [number], ms(10))
        .on_error(skip())
        .to("out", text("text"));
    let mut driver = TestDriver::new(&app).unwrap();
    for (key, at) in [("1", 100), ("one", 100), ("01", 101), ("2", 102)] {
        pipe(&mut driver, Some(key), at);
    }
    driver.commit().unwrap();
    assert_eq!(read(&mut driver, "out"), ["1@100", "2@102"]);
    assert_eq!(driver.rows_dropped().0, 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |once: fn(Stream)| {
        let app = Streams::new("d");
        once(rows(&app));
        match app.build().unwrap_err() {
            StreamsError::Plan(error) => error,
            other => panic!("{other}"),
        }
    };
    let error = refused(|rows| {
        let once = rows.deduplicate("once", [col("key")], Duration::from_micros(1_500));
        once.to("out", text("text"));
    });
    assert!(matches!(error, PlanError::Windows { .. }), "{error}");
    let error = refused(|rows| {
        rows.deduplicate("once", [], ms(1)).to("out", text("text"));
    });
    assert!(matches!(error, PlanError::Nothing { .. }), "{error}");
    let error = refused(|rows| {
        rows.deduplicate("once", [col("nokey")], ms(1))
            .to("out", text("text"));
    });
    assert!(error.to_string().contains("nokey"), "{error}");
}

#[test]
fn rows_stay_where_they_are_if_their_keys_say_so() {
    let repartitions = |key: Expr| {
        let app = Streams::new("d");
        rows(&app)
            .deduplicate("once", [key], ms(1))
            .to("out", text("text"));
        app.build().unwrap().describe().contains("d-once-repartition")
    };
    assert!(!repartitions(col("key")));
    assert!(repartitions(col("text")));
}
