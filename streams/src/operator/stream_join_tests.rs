//! Joins of two streams: which rows meet, what becomes of those that do not, and what is refused.
use std::time::Duration;

use serde_json::{Value, json as json_of};

use crate::prelude::*;
use crate::{JoinedStream, PlanError, StreamsError, TestDriver, TestRecord};

const LEFT: &str = "lefts";
const RIGHT: &str = "rights";
/// Far behind all rows: closes everything.
const END: i64 = 1_000_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Texts by a key: `l` and `r`, at the records' times.
fn sides(app: &Streams) -> (Stream, Stream) {
    let side = |topic: &str, column: &str| {
        let rows = app.stream(topic, text(column).with_key("key"));
        rows.watermark(record_time(ms(50)))
    };
    (side(LEFT, "l"), side(RIGHT, "r"))
}

/// Joins both sides, and writes pairs and late rows.
fn job(window: JoinWindow, kind: impl Fn(JoinedStream) -> JoinedStream) -> Streams {
    let app = Streams::new("j");
    let (left, right) = sides(&app);
    let joined = kind(left.join(&right, on("key", "key")).within("joined", window));
    joined.to("out", json());
    joined.late_left().to("late-lefts", json());
    joined.late_right().to("late-rights", json());
    app
}

/// A record of a key, a text and a time.
fn pipe(driver: &mut TestDriver, topic: &str, key: Option<&str>, text: &str, at: i64) {
    let record = TestRecord::new(text).at(at);
    let record = match key {
        Some(key) => record.key(key),
        None => record,
    };
    driver.pipe(topic, record).unwrap();
}

/// The rows that came since the last call, with their times.
fn read(driver: &mut TestDriver, topic: &str) -> Vec<(Value, i64)> {
    let mut rows: Vec<(Value, i64)> = driver
        .read(topic)
        .iter()
        .map(|record| {
            let row: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            let text = |column: &str| row[column].as_str().unwrap_or("-").to_owned();
            let shown = match row.get("l").is_some() && row.get("r").is_some() {
                true => json_of!(format!("{}:{}", text("l"), text("r"))),
                false => row.clone(),
            };
            (shown, record.timestamp.unwrap())
        })
        .collect();
    rows.sort_by_key(|(row, at)| (*at, row.to_string()));
    rows
}

fn pairs(driver: &mut TestDriver) -> Vec<(String, i64)> {
    let rows = read(driver, "out").into_iter();
    rows.map(|(row, at)| (row.as_str().unwrap().to_owned(), at))
        .collect()
}

fn expected(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(pair, at)| ((*pair).to_owned(), *at)).collect()
}

/// A row for each side that lets event time go on to `at`, of keys that nobody has.
fn go_on(driver: &mut TestDriver, at: i64) {
    pipe(driver, LEFT, Some(&format!("left at {at}")), "end", at + 50);
    pipe(driver, RIGHT, Some(&format!("right at {at}")), "end", at + 50);
    driver.commit().unwrap();
}

#[test]
fn the_edges_of_the_window_belong_to_it() {
    for right_first in [false, true] {
        let app = job(join_window(ms(10)).after(ms(20)), |joined| joined);
        let mut driver = TestDriver::new(&app).unwrap();
        let left = |driver: &mut TestDriver| pipe(driver, LEFT, Some("k"), "a", 100);
        if !right_first {
            left(&mut driver);
        }
        for at in [89, 90, 100, 120, 121] {
            pipe(&mut driver, RIGHT, Some("k"), &at.to_string(), at);
            pipe(&mut driver, RIGHT, Some("other"), "no", at);
            driver.commit().unwrap();
        }
        if right_first {
            left(&mut driver);
        }
        driver.commit().unwrap();
        // The time of a pair is the later one of both.
        let all = [("a:100", 100), ("a:90", 100), ("a:120", 120)];
        assert_eq!(pairs(&mut driver), expected(&all), "right first: {right_first}");
    }
}

#[test]
fn who_met_none_comes_once_when_nobody_can_follow() {
    for kind in ["left", "outer"] {
        let app = job(
            join_window(ms(10)).after(ms(20)).grace(ms(5)),
            |joined| match kind {
                "left" => joined.left(),
                _ => joined.outer(),
            },
        );
        let mut driver = TestDriver::new(&app).unwrap();
        pipe(&mut driver, LEFT, Some("a"), "alone", 100);
        pipe(&mut driver, LEFT, Some("b"), "met", 100);
        pipe(&mut driver, RIGHT, Some("c"), "lonely", 100);
        driver.commit().unwrap();
        pipe(&mut driver, RIGHT, Some("b"), "later", 101);
        driver.commit().unwrap();
        assert_eq!(pairs(&mut driver), expected(&[("met:later", 101)]));
        // The left row may meet rights up to 120, which may come until the watermark is beyond 125; the right one lefts up to 110.
        go_on(&mut driver, 115);
        assert_eq!(pairs(&mut driver), expected(&[]));
        go_on(&mut driver, 116);
        let lonely = expected(&[("-:lonely", 100)]);
        assert_eq!(pairs(&mut driver), if kind == "outer" { lonely } else { vec![] });
        go_on(&mut driver, 125);
        assert_eq!(pairs(&mut driver), expected(&[]));
        driver.restart().unwrap();
        go_on(&mut driver, 126);
        assert_eq!(pairs(&mut driver), expected(&[("alone:-", 100)]));
        driver.restart().unwrap();
        go_on(&mut driver, 500);
        let of_the_end = pairs(&mut driver);
        assert!(
            of_the_end.iter().all(|(pair, _)| pair.contains("end")),
            "{of_the_end:?}"
        );
    }
}

/// What met a row in a later epoch than the one that stored it was forgotten at a restart, so that the row came as unmatched as well.
#[test]
fn a_restart_forgets_neither_rows_nor_what_they_met() {
    let app = job(join_window(ms(100)), JoinedStream::outer);
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, LEFT, Some("a"), "one", 100);
    pipe(&mut driver, RIGHT, Some("b"), "two", 100);
    driver.commit().unwrap();
    driver.restart().unwrap();
    pipe(&mut driver, RIGHT, Some("a"), "1", 110);
    pipe(&mut driver, LEFT, Some("b"), "2", 120);
    driver.commit().unwrap();
    assert_eq!(pairs(&mut driver), expected(&[("one:1", 110), ("2:two", 120)]));
    driver.restart().unwrap();
    pipe(&mut driver, RIGHT, Some("a"), "again", 130);
    driver.commit().unwrap();
    assert_eq!(pairs(&mut driver), expected(&[("one:again", 130)]));
    driver.restart().unwrap();
    go_on(&mut driver, 140);
    go_on(&mut driver, END);
    let found = pairs(&mut driver);
    assert!(found.iter().all(|(pair, _)| pair.contains("end")), "{found:?}");
}

#[test]
fn an_aborted_epoch_is_as_if_it_had_not_been() {
    let app = job(join_window(ms(100)), JoinedStream::left);
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, LEFT, Some("a"), "one", 100);
    driver.commit().unwrap();
    for _ in 0..2 {
        pipe(&mut driver, RIGHT, Some("a"), "1", 110);
        for task in driver.task_ids() {
            driver.aborted_epoch(task, usize::MAX).unwrap();
        }
    }
    driver.commit().unwrap();
    assert_eq!(pairs(&mut driver), expected(&[("one:1", 110), ("one:1", 110)]));
}

#[test]
fn late_rows_meet_none_and_come_out_as_they_were() {
    let app = job(join_window(ms(1000)).grace(ms(5)), JoinedStream::outer);
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, LEFT, Some("k"), "l", 200);
    pipe(&mut driver, RIGHT, Some("k"), "r", 200);
    // Each side's watermark is at 150; grace is over for what is before 145.
    pipe(&mut driver, LEFT, Some("k"), "in time", 145);
    pipe(&mut driver, LEFT, Some("k"), "late left", 144);
    pipe(&mut driver, RIGHT, Some("k"), "late right", 144);
    driver.commit().unwrap();
    let found = pairs(&mut driver);
    assert_eq!(found, expected(&[("in time:r", 200), ("l:r", 200)]));
    let late = |driver: &mut TestDriver, topic: &str| {
        let rows = driver.read(topic);
        rows.iter()
            .map(|row| row.as_text().1.to_owned())
            .collect::<Vec<_>>()
    };
    let (lefts, rights) = (late(&mut driver, "late-lefts"), late(&mut driver, "late-rights"));
    assert_eq!((lefts.len(), rights.len()), (1, 1));
    assert!(lefts[0].contains("late left"), "{lefts:?}");
    assert!(rights[0].contains("late right"), "{rights:?}");
    go_on(&mut driver, END);
    let found = pairs(&mut driver);
    assert!(found.iter().all(|(pair, _)| pair.contains("end")), "{found:?}");
}

#[test]
fn rows_without_a_key_meet_none_and_wait_for_none() {
    let count = |kind: fn(JoinedStream) -> JoinedStream| {
        let app = job(join_window(ms(1000)), kind);
        let mut driver = TestDriver::new(&app).unwrap();
        pipe(&mut driver, LEFT, None, "l", 100);
        pipe(&mut driver, RIGHT, None, "r", 100);
        pipe(&mut driver, LEFT, Some(""), "empty", 100);
        driver.commit().unwrap();
        pairs(&mut driver)
    };
    assert_eq!(count(|joined| joined), expected(&[]));
    assert_eq!(count(JoinedStream::left), expected(&[("l:-", 100)]));
    assert_eq!(
        count(JoinedStream::outer),
        expected(&[("-:r", 100), ("l:-", 100)])
    );
}

/// Rows of JSON with these columns.
fn rows(app: &Streams, topic: &str, columns: &[(&str, DataType)]) -> Stream {
    let fields = columns.iter();
    let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    app.stream(topic, json_schema(Schema::new(fields.collect::<Vec<_>>())))
}

#[test]
fn keys_of_other_types_and_names_meet_as_numbers_do() {
    let app = Streams::new("j");
    let left = rows(
        &app,
        LEFT,
        &[
            ("id", DataType::Int32),
            ("x", DataType::Float64),
            ("l", DataType::Utf8),
        ],
    );
    let right = rows(
        &app,
        RIGHT,
        &[
            ("id", DataType::Int64),
            ("y", DataType::Float64),
            ("r", DataType::Utf8),
        ],
    );
    let joined = left
        .join(&right, on("id", "id").and("x", "y"))
        .within("joined", join_window(ms(100)))
        .outer();
    joined.to("out", json());
    let mut driver = TestDriver::with_partitions(&app, 3).unwrap();
    let mut pipe = |topic: &str, row: &str| {
        driver.pipe(topic, TestRecord::new(row).at(100)).unwrap();
    };
    pipe(LEFT, r#"{"id":7,"x":0.0,"l":"one"}"#);
    pipe(RIGHT, r#"{"id":7,"y":-0.0,"r":"1"}"#);
    pipe(RIGHT, r#"{"id":8,"y":0.5,"r":"2"}"#);
    pipe(RIGHT, r#"{"id":9,"y":null,"r":"3"}"#);
    (0..3).for_each(|_| driver.commit().unwrap());
    let records = driver.read("out");
    let mut found: Vec<Value> = records
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap())
        .collect();
    found.sort_by_key(|row| row["id"].as_i64());
    // The key of one name is one column, whichever side it is of. The row of 8 waits.
    assert_eq!(
        found,
        [
            json_of!({"id": 7, "x": 0.0, "l": "one", "y": -0.0, "r": "1"}),
            json_of!({"id": 9, "x": null, "l": null, "y": null, "r": "3"}),
        ]
    );
}

#[test]
fn a_stream_meets_itself() {
    let app = Streams::new("j");
    let left = rows(&app, LEFT, &[("k", DataType::Utf8), ("l", DataType::Utf8)]);
    let again = left.select([col("k"), col("l").alias("r")]);
    let joined = left
        .join(&again, on("k", "k"))
        .within("joined", join_window(ms(5)));
    joined.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for (text, at) in [("a", 100), ("b", 103), ("c", 110)] {
        let row = json_of!({"k": "k", "l": text}).to_string();
        driver.pipe(LEFT, TestRecord::new(row).at(at)).unwrap();
    }
    (0..3).for_each(|_| driver.commit().unwrap());
    let all = [
        ("a:a", 100),
        ("a:b", 103),
        ("b:a", 103),
        ("b:b", 103),
        ("c:c", 110),
    ];
    assert_eq!(pairs(&mut driver), expected(&all));
}

#[test]
fn rows_on_which_a_key_fails_follow_the_policy() {
    for fails in [LEFT, RIGHT] {
        let app = Streams::new("j");
        let (left, right) = sides(&app);
        let right = right.select([col("r")]);
        let number = |topic: &str, column: &str| match topic == fails {
            true => cast(col(column), DataType::Int64),
            false => try_cast(col(column), DataType::Int64),
        };
        let keys = on(number(LEFT, "l"), number(RIGHT, "r"));
        let joined = left.join(&right, keys).within("joined", join_window(ms(100)));
        joined.on_error(dead_letter("letters")).to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for text in ["1", "none", "2"] {
            pipe(&mut driver, LEFT, None, text, 100);
            pipe(&mut driver, RIGHT, None, text, 100);
        }
        (0..3).for_each(|_| driver.commit().unwrap());
        assert_eq!(pairs(&mut driver), expected(&[("1:1", 100), ("2:2", 100)]));
        let letters = driver.read("letters");
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert!(letters[0].as_text().1.contains("none"), "{letters:?}");
    }
}

/// A row of more than half a megabyte was kept, met others, and ended the job with its epoch.
#[test]
fn large_rows_are_kept_up_to_what_a_record_takes() {
    let app = job(join_window(ms(100)), |joined| joined);
    let mut driver = TestDriver::new(&app).unwrap();
    let large = "x".repeat(600_000);
    pipe(&mut driver, LEFT, Some("a"), &large, 100);
    pipe(&mut driver, LEFT, Some("a"), "small", 100);
    driver.commit().unwrap();
    driver.restart().unwrap();
    pipe(&mut driver, RIGHT, Some("a"), "r", 110);
    driver.commit().unwrap();
    let found = pairs(&mut driver);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].0.as_str(), found[1].0.len()),
        ("small:r", large.len() + 2)
    );

    // Beyond that, the row is named, and its policy says what becomes of it.
    let too_large = "y".repeat(1_200_000);
    pipe(&mut driver, RIGHT, Some("the key"), &too_large, 110);
    let refused = driver.commit().unwrap_err().to_string();
    for part in [
        "join joined",
        "the key the key",
        "j-joined-changelog",
        "message.max.bytes",
        "on_error",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

#[test]
fn rows_that_are_too_large_follow_the_policy() {
    let app = Streams::new("j");
    let (left, right) = sides(&app);
    let joined = left
        .join(&right, on("key", "key"))
        .within("joined", join_window(ms(100)));
    joined.left().on_error(skip()).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for (topic, text) in [(LEFT, "a"), (RIGHT, "1")] {
        pipe(&mut driver, topic, Some("k"), text, 100);
        pipe(&mut driver, topic, Some("k"), &"y".repeat(1_200_000), 100);
        pipe(&mut driver, topic, Some("k"), "b", 101);
    }
    driver.commit().unwrap();
    let all = [("a:1", 100), ("a:b", 101), ("b:1", 101), ("b:b", 101)];
    assert_eq!(pairs(&mut driver), expected(&all));
}

#[test]
fn a_join_with_another_window_or_kind_refuses_what_is_stored() {
    let window = || join_window(ms(100));
    let app = job(window(), |joined| joined);
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, LEFT, Some("a"), "one", 100);
    driver.commit().unwrap();
    for other in [
        job(window().grace(ms(1)), |joined| joined),
        job(window().after(ms(1)), |joined| joined),
        job(window(), JoinedStream::left),
    ] {
        let refused = driver.replace(&other);
        assert!(
            refused
                .as_ref()
                .is_err_and(|error| error.to_string().contains("within")),
            "{refused:?}"
        );
    }
}

fn refusal(app: &Streams) -> PlanError {
    match app.build() {
        Err(StreamsError::Plan(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn joins_that_cannot_be_are_refused() {
    let refused = |keys: On, window: JoinWindow| {
        let app = Streams::new("j");
        let left = rows(
            &app,
            LEFT,
            &[
                ("k", DataType::Utf8),
                ("n", DataType::Int64),
                ("x", DataType::Utf8),
            ],
        );
        let right = rows(&app, RIGHT, &[("k", DataType::Utf8), ("m", DataType::Utf8)]);
        left.join(&right, keys).within("joined", window).to("out", json());
        refusal(&app).to_string()
    };
    let second = || join_window(Duration::from_secs(1));
    let twice = refused(on("x", "m"), second());
    assert_eq!(
        twice,
        "join joined: two columns are named \"k\", one of each side; rename it in one of them above the join, with \
         select([…, col(\"k\").alias(…)])"
    );
    let types = refused(on("n", "m"), second());
    assert!(types.contains("of no common type"), "{types}");
    let unknown = refused(on("k", "z"), second());
    assert!(unknown.contains("no column \"z\""), "{unknown}");
    let window = refused(on("k", "k"), join_window(Duration::from_micros(1)));
    assert!(window.contains("whole milliseconds"), "{window}");

    let app = Streams::new("j");
    let (left, right) = sides(&app);
    for _ in 0..2 {
        let joined = left.join(&right, on("key", "key")).within("joined", second());
        joined.to("out", json());
    }
    assert!(matches!(refusal(&app), PlanError::DuplicateStep { .. }));
}

#[test]
fn a_join_says_what_it_is() {
    let app = job(join_window(ms(5)).grace(ms(1)), JoinedStream::left);
    let expected = "\
job j
sub-topology 0
  source lefts as text(l) with key as key
    watermark record time - 50ms
      join joined: left on key = key within 5ms grace 1ms
        changelog j-joined-changelog
        sink out as json
        sink late-lefts as json
        sink late-rights as json
  source rights as text(r) with key as key
    watermark record time - 50ms
      join joined: left on key = key within 5ms grace 1ms (see above)
";
    assert_eq!(app.build().unwrap().describe(), expected);
    assert_eq!(app.build().unwrap().internal_topics(), ["j-joined-changelog"]);

    // What is not in the partitions of its keys is brought there.
    let app = Streams::new("j");
    let left = rows(&app, "others", &[("k", DataType::Utf8)]);
    let right = app.stream(RIGHT, text("r").with_key("key"));
    let joined = left
        .join(&right, on("k", cast(col("key"), DataType::Utf8)))
        .within("joined", join_window(ms(5)));
    joined.to("out", json());
    let topics = ["j-joined-left-repartition", "j-joined-changelog"];
    assert_eq!(app.build().unwrap().internal_topics(), topics);
}
