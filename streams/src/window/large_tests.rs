//! Many rows, sessions and slices at once: what they come to, in a time and with a memory that is not the square of them.
use std::time::Duration;

use crate::prelude::*;
use crate::{TestDriver, TestRecord};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rows(app: &Streams) -> GroupedStream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let rows = app.stream("in", json_schema(schema));
    rows.watermark(bounded(col("at"), Duration::ZERO))
        .group_by([col("key")])
}

fn pipe(driver: &mut TestDriver, rows: impl Iterator<Item = (i64, i64)>) {
    for (key, at) in rows {
        let value = format!(r#"{{"key":{key},"at":{at}}}"#);
        driver.pipe("in", TestRecord::new(value)).unwrap();
    }
    driver.commit().unwrap();
}

/// The counts of the results.
fn counts(driver: &mut TestDriver) -> Vec<i64> {
    let records = driver.read("out").into_iter();
    let count = |record: TestRecord| {
        let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        value["n"].as_i64().unwrap()
    };
    records.map(count).collect()
}

/// All windows of the key were made as lists of slices before the first was merged.
#[test]
fn windows_over_many_slices_of_one_key() {
    const SLICES: i64 = 2_000;
    let app = Streams::new("s");
    let windows = rows(&app).window(sliding(ms(100_000)));
    windows
        .aggregate("counts", [count_all().alias("n")])
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, (0..SLICES).map(|row| (1, 200_000 + row)));
    // Of each row there is the window that ends with it, and of all but the last one that begins behind it.
    let counts = counts(&mut driver);
    assert_eq!(counts.len() as i64, 2 * SLICES - 1);
    assert_eq!(counts.iter().sum::<i64>(), SLICES * SLICES);
}

/// Each row was put into a list of all of its session anew.
#[test]
fn many_late_rows_of_one_session() {
    const ROWS: i64 = 60_000;
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10))).suppress();
    let sessions = sessions.aggregate("counts", [count_all().alias("n")]);
    sessions.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, std::iter::once((1, 1_000_000)));
    // Each is over by itself, and near the one before it.
    pipe(&mut driver, (1..ROWS).map(|row| (1, 1_000_000 - row)));
    pipe(&mut driver, std::iter::once((1, 2_000_000)));
    assert_eq!(counts(&mut driver), [ROWS]);
}

/// Whatever was still to be done was looked at again for each part that memory had room for.
#[test]
fn many_sessions_that_close_at_once_with_little_memory() {
    const SESSIONS: i64 = 20_000;
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10))).suppress();
    let sessions = sessions.aggregate("counts", [count_all().alias("n")]);
    sessions.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap().limited(0).unwrap();
    pipe(&mut driver, (0..SESSIONS).map(|key| (key, 1_000)));
    pipe(&mut driver, std::iter::once((-1, 2_000)));
    let counts = counts(&mut driver);
    assert_eq!(counts.len() as i64, SESSIONS);
    assert!(counts.iter().all(|count| *count == 1));
}
