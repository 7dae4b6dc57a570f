//! Sessions, sliding windows and changes that wait, row by row.
use std::time::Duration;

use crate::prelude::*;
use crate::{PlanError, StreamsError, TestDriver, TestRecord};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Rows in event time without disorder.
fn timed(app: &Streams, topic: &str) -> Stream {
    rows_within(app, topic, Duration::ZERO)
}

/// Rows that are out of order by so much.
fn rows_within(app: &Streams, topic: &str, bound: Duration) -> Stream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
    ]);
    let rows = app.stream(topic, json_schema(schema));
    rows.watermark(bounded(col("at"), bound))
}

fn rows(app: &Streams) -> GroupedStream {
    timed(app, "in").group_by([col("key")])
}

fn sums() -> [Expr; 2] {
    let value = cast(col("value"), DataType::Int64);
    [count_all().alias("n"), sum(value).alias("sum")]
}

/// Pipes rows of one key, each an epoch.
fn pipe(driver: &mut TestDriver, rows: &[(i64, &str)]) {
    rows.iter()
        .for_each(|(at, value)| pipe_to(driver, "in", "a", *at, value));
}

/// Pipes a row, and ends the epoch.
fn pipe_to(driver: &mut TestDriver, topic: &str, key: &str, at: i64, value: &str) {
    let value = format!(r#"{{"key":"{key}","at":{at},"value":"{value}"}}"#);
    driver.pipe(topic, TestRecord::new(value)).unwrap();
    driver.commit().unwrap();
}

/// Records of windows: start and end in milliseconds, and the value.
fn shown(driver: &mut TestDriver, topic: &str) -> Vec<(i64, i64, String)> {
    let records = driver.read(topic);
    let shown = records.iter().map(|record| {
        let key = crate::random_topologies::key(record);
        let [start, end] = [1, 2].map(|column: usize| super::tests::millis_of_day(&key[column]));
        let value = record
            .value
            .clone()
            .map(|value| String::from_utf8(value).unwrap());
        (start, end, value.unwrap_or_else(|| "gone".to_owned()))
    });
    shown.collect()
}

fn window(start: i64, end: i64, value: &str) -> (i64, i64, String) {
    (start, end, value.to_owned())
}

fn sum_of(n: u32, sum: u32) -> String {
    format!(r#"{{"n":{n},"sum":{sum}}}"#)
}

#[test]
fn a_row_between_two_sessions_makes_one_of_them() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10)).grace(ms(100)));
    sessions.aggregate("sums", sums()).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[(0, "1"), (20, "2")]);
    let first = [window(0, 1, &sum_of(1, 1)), window(20, 21, &sum_of(1, 2))];
    assert_eq!(shown(&mut driver, "out"), first);
    driver.restart().unwrap();
    pipe(&mut driver, &[(10, "3"), (20, "4")]);
    let expected = [
        window(0, 1, "gone"),
        window(20, 21, "gone"),
        window(0, 21, &sum_of(3, 6)),
        window(0, 21, &sum_of(4, 10)),
    ];
    assert_eq!(shown(&mut driver, "out"), expected);
}

#[test]
fn changes_of_sessions_say_what_was() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10)).grace(ms(100)));
    sessions
        .aggregate("sums", sums())
        .to("out", debezium_json(Schema::empty()));
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[(0, "1"), (0, "2"), (5, "3")]);
    let changes = driver.read("out").into_iter().filter_map(|record| {
        let change: serde_json::Value = serde_json::from_slice(&record.value?).unwrap();
        let change = change.get("payload").unwrap_or(&change).clone();
        let n = |side: &str| change[side]["n"].as_i64();
        Some((n("before"), n("after")))
    });
    let expected = [
        (None, Some(1)),
        (Some(1), Some(2)),
        (Some(2), None),
        (None, Some(3)),
    ];
    let (mut changes, mut expected) = (changes.collect::<Vec<_>>(), expected.to_vec());
    changes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(changes, expected);
}

#[test]
fn what_is_later_than_grace_joins_what_is_open_or_is_late() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10))).suppress();
    let sessions = sessions.aggregate("sums", sums());
    sessions.to("out", json());
    sessions.late().to("late", json());
    let mut driver = TestDriver::new(&app).unwrap();
    // The watermark is 100 for all but the first.
    let later = [(100, "1"), (95, "2"), (70, "3"), (86, "4"), (75, "5")];
    pipe(&mut driver, &later);
    driver.restart().unwrap();
    pipe(&mut driver, &[(110, "6"), (121, "7")]);
    assert_eq!(shown(&mut driver, "out"), [window(86, 111, &sum_of(4, 13))]);
    let late = driver.read("late");
    let late: Vec<&str> = late.iter().map(|record| record.as_text().1).collect();
    let row = |at, value| format!(r#"{{"key":"a","at":{at},"value":"{value}"}}"#);
    assert_eq!(late, [row(70, 3), row(75, 5)]);
    // What was closed is gone from the state, and comes no more.
    pipe(&mut driver, &[(121, "8")]);
    driver.restart().unwrap();
    pipe(&mut driver, &[(200, "9"), (201, "1")]);
    assert_eq!(shown(&mut driver, "out"), [window(121, 122, &sum_of(2, 15))]);
}

/// A task that died had shipped what was closed before it could commit. Its successor shipped it again: that was a session of its own, which took the
/// place of the one with all rows.
#[test]
fn what_comes_again_when_it_is_closed_is_no_session() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10))).suppress();
    sessions.aggregate("sums", sums()).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[(15, "1"), (20, "2"), (1_000, "3")]);
    assert_eq!(shown(&mut driver, "out"), [window(15, 21, &sum_of(2, 3))]);
    // Nothing of it is stored any more.
    driver.commit().unwrap();
    driver.repeat("s-sums-repartition");
    driver.commit().unwrap();
    assert_eq!(shown(&mut driver, "out"), []);
}

/// Its rows were in time by their own partition, which had said nothing yet, and cut sessions were made of them wherever an epoch ended.
#[test]
fn rows_of_a_topic_that_is_new_to_a_job_are_late_for_what_is_closed() {
    let job = |more: bool| {
        let app = Streams::new("s");
        let rows = match more {
            true => timed(&app, "in").merge(&timed(&app, "more")),
            false => timed(&app, "in"),
        };
        let sessions = rows.group_by([col("key")]).window(session(ms(10))).suppress();
        let sessions = sessions.aggregate("sums", sums());
        sessions.to("out", json());
        sessions.late().to("late", json());
        app
    };
    let mut driver = TestDriver::new(&job(false)).unwrap();
    pipe(&mut driver, &[(0, "1"), (5, "2"), (1_000, "3")]);
    assert_eq!(shown(&mut driver, "out"), [window(0, 6, &sum_of(2, 3))]);
    driver.replace(&job(true)).unwrap();
    pipe_to(&mut driver, "more", "a", 4, "4");
    pipe_to(&mut driver, "more", "a", 990, "5");
    for topic in ["in", "more"] {
        pipe_to(&mut driver, topic, "a", 2_000, "6");
    }
    assert_eq!(shown(&mut driver, "out"), [window(990, 1_001, &sum_of(2, 8))]);
    let late = driver.read("late");
    let late: Vec<&str> = late.iter().map(|record| record.as_text().1).collect();
    assert_eq!(late, [r#"{"key":"a","at":4,"value":"4"}"#]);
}

#[test]
fn rows_that_fail_follow_the_policy_and_leave_sessions_as_they_were() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10))).suppress();
    let sessions = sessions.aggregate("sums", sums()).on_error(dead_letter("dead"));
    sessions.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    // One in grace, one that is later.
    let rows = [
        (100, "1"),
        (101, "x"),
        (99, "2"),
        (98, "y"),
        (97, "3"),
        (200, "4"),
    ];
    for (at, value) in rows {
        let value = format!(r#"{{"key":"a","at":{at},"value":"{value}"}}"#);
        driver.pipe("in", TestRecord::new(value)).unwrap();
    }
    driver.commit().unwrap();
    assert_eq!(shown(&mut driver, "out"), [window(97, 101, &sum_of(3, 6))]);
    let dead = driver.read("dead");
    let dead: Vec<bool> = dead
        .iter()
        .map(|record| record.as_text().1.contains('x'))
        .collect();
    assert_eq!(dead, [true, false]);
}

#[test]
fn windows_slide_along_rows() {
    let app = Streams::new("s");
    let windows = rows(&app).window(sliding(ms(10)).grace(ms(5)));
    windows.aggregate("sums", sums()).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[(3, "1"), (20, "2"), (25, "3")]);
    driver.restart().unwrap();
    // The window up to 22 is new, the one behind 20 changes, and so does the one up to 25; one behind 22 begins.
    pipe(&mut driver, &[(22, "4")]);
    let expected = [
        window(0, 11, &sum_of(1, 1)),
        window(10, 21, &sum_of(1, 2)),
        window(15, 26, &sum_of(2, 5)),
        window(21, 32, &sum_of(1, 3)),
        window(12, 23, &sum_of(2, 6)),
        window(15, 26, &sum_of(3, 9)),
        window(21, 32, &sum_of(2, 7)),
        window(23, 34, &sum_of(1, 3)),
    ];
    assert_eq!(shown(&mut driver, "out"), expected);
}

fn error_of(app: &Streams) -> PlanError {
    match app.build() {
        Err(StreamsError::Plan(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    for windows in [
        session(Duration::ZERO),
        session(Duration::from_micros(1_500)),
        sliding(Duration::ZERO),
        sliding(ms(1)).grace(Duration::MAX),
    ] {
        let app = Streams::new("s");
        let table = rows(&app).window(windows).aggregate("sums", sums());
        table.to("out", json());
        assert!(matches!(error_of(&app), PlanError::Windows { .. }));
    }
    // Where these begin nobody knows yet.
    let app = Streams::new("s");
    let table = rows(&app).window(session(ms(5)));
    let table = table.aggregate("sums", [max(col("window_start")).alias("start")]);
    table.to("out", json());
    let error = error_of(&app);
    assert!(
        matches!(&error, PlanError::UnknownColumn { column, .. } if column == "window_start"),
        "{error}"
    );
    // Nor has a late row a window.
    for windows in [session(ms(5)), sliding(ms(5)), tumbling(ms(5))] {
        let app = Streams::new("s");
        let keys = [col("key"), col("window_start").alias("begin")];
        let rows = timed(&app, "in").group_by(keys).window(windows);
        rows.aggregate("sums", sums()).to("out", json());
        let error = error_of(&app);
        assert!(
            matches!(&error, PlanError::UnknownColumn { column, .. } if column == "window_start"),
            "{error}"
        );
    }
    for limit in [Duration::ZERO, Duration::from_micros(1_500), Duration::MAX] {
        let app = Streams::new("s");
        let table = rows(&app).aggregate("sums", sums());
        table.suppress("calm", until(limit)).to("out", json());
        let error = error_of(&app);
        assert!(error.to_string().contains("suppress calm"), "{error}");
    }
}

#[test]
fn a_change_waits_for_those_behind_it() {
    let app = Streams::new("s");
    let table = rows(&app).aggregate("sums", sums());
    table.suppress("calm", until(ms(10))).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[(0, "1"), (9, "2")]);
    assert_eq!(driver.read("out").len(), 0);
    driver.restart().unwrap();
    // The first waits since 0, the last of them is what goes on; then the next begins to wait.
    pipe(&mut driver, &[(10, "3"), (12, "4"), (21, "5"), (22, "6")]);
    let out = driver.read("out");
    let texts: Vec<(&str, &str)> = out.iter().map(TestRecord::as_text).collect();
    assert_eq!(texts, [("a", &*sum_of(3, 6)), ("a", &*sum_of(6, 21))]);
    let times: Vec<Option<i64>> = out.iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [Some(10), Some(22)]);
}

/// It was at the time of its last row, which may be earlier than the first, and than where windows behind it were.
#[test]
fn what_has_waited_is_late_for_no_window() {
    let app = Streams::new("s");
    let table = rows_within(&app, "in", ms(50)).to_table("last", [col("key")]);
    let calm = table.suppress("calm", until(ms(10)));
    let windows = calm
        .changes()
        .group_by([col("key")])
        .window(tumbling(ms(10)))
        .suppress();
    let windows = windows.aggregate("counts", [count_all().alias("n")]);
    windows.to("out", json());
    windows.late().to("late", json());
    let mut driver = TestDriver::new(&app).unwrap();
    // It waits since 100 until 110; the watermark is 109, then 111, at last far behind the window.
    let rows = [
        ("a", 100),
        ("a", 60),
        ("b", 159),
        ("b", 161),
        ("b", 199),
        ("b", 200),
    ];
    for (key, at) in rows {
        pipe_to(&mut driver, "in", key, at, "1");
    }
    assert_eq!(driver.read("late").len(), 0);
    assert_eq!(shown(&mut driver, "out"), [window(100, 110, r#"{"n":1}"#)]);
}

/// If a new process let a change of the same key go at once, the record of what the old one had let go stayed in the log.
#[test]
fn what_was_let_go_is_void_whoever_goes_on() {
    let live = |restarts: bool| {
        let app = Streams::new("s");
        let table = timed(&app, "in").to_table("last", [col("key")]);
        table.suppress("calm", until(ms(10))).to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        pipe_to(&mut driver, "in", "a", 0, "1");
        pipe_to(&mut driver, "in", "b", 15, "2");
        if restarts {
            driver.restart().unwrap();
        }
        pipe_to(&mut driver, "in", "a", 1, "3");
        pipe_to(&mut driver, "in", "b", 16, "4");
        assert_eq!(driver.read("out").len(), 2);
        let mut live = std::collections::BTreeSet::new();
        for record in driver.read("s-calm-changelog") {
            match record.value {
                Some(_) => live.insert(record.key),
                None => live.remove(&record.key),
            };
        }
        live
    };
    assert_eq!(live(true), live(false));
}

#[test]
fn more_parts_of_sessions_than_are_held_become_fewer_meanwhile() {
    let app = Streams::new("s");
    let sessions = rows(&app).window(session(ms(10)).grace(ms(1_000_000)));
    sessions.aggregate("sums", sums()).to("out", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    // Of each session, both partitions have a part; all in one epoch.
    const SESSIONS: i64 = 33_000;
    for row in 0..2 * SESSIONS {
        let value = format!(r#"{{"key":"a","at":{},"value":"1"}}"#, row / 2 * 16 + row % 2);
        let record = TestRecord::new(value).partition(i32::from(row % 2 == 1));
        driver.pipe("in", record).unwrap();
    }
    driver.commit().unwrap();
    let out = driver.read("out");
    assert_eq!(out.len(), SESSIONS as usize);
    let value = sum_of(2, 2);
    assert!(out.iter().all(|record| record.as_text().1 == value));
}
