//! Windows against an oracle: plain vectors, one row after the other.
use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::Value;

use super::{Emit, Windows, hopping, tumbling};
use crate::{Streams, TestDriver, TestRecord, bounded, col, count_all, json, json_schema, max, min, sum};

const PARTITIONS: i32 = 3;

/// A row as it is written to the source.
#[derive(Debug, Clone)]
struct Event {
    partition: i32,
    key: u8,
    /// None is a row without an event time.
    at: Option<i64>,
    value: i64,
}

impl Event {
    fn record(&self) -> TestRecord {
        let at = self.at.map_or("null".to_owned(), |at| at.to_string());
        let (key, value) = (self.key, self.value);
        let text = format!(r#"{{"key":"k{key}","at":{at},"value":{value}}}"#);
        TestRecord::new(text).partition(self.partition)
    }
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn job(windows: &Windows, emit: Emit, out_of_orderness: i64) -> Streams {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
    ]);
    let app = Streams::new("w");
    let strategy = bounded(col("at"), ms(out_of_orderness)).idle_after(Duration::from_secs(5));
    let table = app
        .stream("events", json_schema(schema))
        .watermark(strategy)
        .group_by([col("key")])
        .window(windows.clone())
        .emit(emit)
        .aggregate(
            "sums",
            [
                count_all().alias("n"),
                sum(col("value")).alias("sum"),
                min(col("value")).alias("min"),
                max(col("value")).alias("max"),
            ],
        );
    table.to("results", json());
    table.late().to("late", json());
    app
}

/// A key and the start of its window.
type KeyWindow = (String, i64);

/// Count, sum, least and greatest of a key's window.
type Sums = (i64, i64, i64, i64);

/// What has to come out: the sums of each key and window start, and the values of the late rows, in order.
fn oracle(
    events: &[Event],
    windows: (i64, i64, i64),
    out_of_orderness: i64,
) -> (BTreeMap<KeyWindow, Sums>, Vec<i64>) {
    let (size, advance, grace) = windows;
    let mut seen: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut sums, mut late) = (BTreeMap::new(), Vec::new());
    for event in events {
        let watermark = seen.get(&event.partition).map(|latest| latest - out_of_orderness);
        let mut taken = false;
        if let Some(at) = event.at {
            for start in (0..=at)
                .rev()
                .filter(|start| start % advance == 0)
                .take_while(|start| start + size > at)
            {
                if watermark.is_some_and(|watermark| start + size + grace <= watermark) {
                    continue;
                }
                taken = true;
                let v = event.value;
                let sum: &mut Sums = sums
                    .entry((format!("k{}", event.key), start))
                    .or_insert((0, 0, v, v));
                *sum = (sum.0 + 1, sum.1 + v, sum.2.min(v), sum.3.max(v));
            }
            let latest = seen.entry(event.partition).or_insert(at);
            *latest = at.max(*latest);
        }
        if !taken {
            late.push(event.value);
        }
    }
    late.sort_unstable();
    (sums, late)
}

fn parse(record: &TestRecord) -> (Value, Value) {
    let (key, value) = record.as_text();
    (
        serde_json::from_str(key).unwrap(),
        serde_json::from_str(value).unwrap(),
    )
}

/// The milliseconds of a time of the first day.
pub(crate) fn millis_of_day(time: &Value) -> i64 {
    let text = time.as_str().unwrap();
    // 1970-01-01T00:00:00.123Z, within the first day.
    let number =
        |range: std::ops::Range<usize>| text.get(range).map_or(0, |digits| digits.parse::<i64>().unwrap());
    let seconds = number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    let fraction = text
        .get(20..text.len() - 1)
        .map_or(0, |digits| format!("{digits:0<3}").parse().unwrap());
    seconds * 1000 + fraction
}

/// What came out: every result of each key and window, in order; the values of late rows.
fn results(driver: &mut TestDriver, size: i64) -> (BTreeMap<KeyWindow, Vec<Sums>>, Vec<i64>) {
    let mut all: BTreeMap<KeyWindow, Vec<Sums>> = BTreeMap::new();
    for record in driver.read("results") {
        let (key, value) = parse(&record);
        let start = millis_of_day(&key[1]);
        assert_eq!(millis_of_day(&key[2]), start + size);
        let of = |name: &str| value[name].as_i64().unwrap();
        let sums = (of("n"), of("sum"), of("min"), of("max"));
        all.entry((key[0].as_str().unwrap().to_owned(), start))
            .or_default()
            .push(sums);
    }
    let late = driver.read("late");
    let value = |record: &TestRecord| {
        let row: Value = serde_json::from_str(record.as_text().1).unwrap();
        row["value"].as_i64().unwrap()
    };
    let mut late: Vec<i64> = late.iter().map(value).collect();
    late.sort_unstable();
    (all, late)
}

/// What happens to the job next.
#[derive(Debug, Clone)]
enum Move {
    Event(Event),
    /// A task reads so many records and commits.
    Epoch(usize, usize),
    /// The same, but the transaction is aborted.
    Aborted(usize, usize),
    Restart,
    /// So many seconds of silence.
    Silence(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let at = prop_oneof![30 => (0..400_i64).prop_map(Some), 1 => Just(None)];
    (0..PARTITIONS, 0..4_u8, at, -50..50_i64).prop_map(|(partition, key, at, value)| Event {
        partition,
        key,
        at,
        value,
    })
}

/// `silence` is how often there is silence, beside 100 other moves.
fn moves(silence: u32) -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        60 => event().prop_map(Move::Event),
        30 => (0..6_usize, 0..6_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..6_usize, 0..6_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        4 => Just(Move::Restart),
        silence => (3..9_u64).prop_map(Move::Silence),
    ];
    proptest::collection::vec(one, 1..150)
}

fn windows() -> impl Strategy<Value = (i64, i64, i64)> {
    (1..80_i64, 1..4_i64, 0..40_i64).prop_map(|(size, overlap, grace)| (size, (size / overlap).max(1), grace))
}

fn play(driver: &mut TestDriver, moves: &[Move]) -> Vec<Event> {
    let mut events = Vec::new();
    let tasks = driver.task_ids();
    for next in moves {
        match next {
            Move::Event(event) => {
                driver.pipe("events", event.record()).unwrap();
                events.push(event.clone());
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], *records).unwrap(),
            Move::Aborted(task, records) => {
                driver.aborted_epoch(tasks[task % tasks.len()], *records).unwrap()
            }
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(*seconds)).unwrap(),
        }
    }
    events
}

/// A row in each partition that closes all windows before it.
fn end(driver: &mut TestDriver) {
    for partition in 0..PARTITIONS {
        let last = Event {
            partition,
            key: 9,
            at: Some(1_000_000),
            value: 0,
        };
        driver.pipe("events", last.record()).unwrap();
    }
    driver.commit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the epochs, aborts and restarts: each window is emitted once, with what the oracle finds, and late is what the oracle
    /// finds late.
    #[test]
    fn closed_windows_are_those_of_the_oracle(
        moves in moves(0), (size, advance, grace) in windows(), out_of_orderness in 0..60_i64,
    ) {
        let spec = hopping(ms(size), ms(advance)).grace(ms(grace));
        let app = job(&spec, Emit::OnWindowClose, out_of_orderness);
        let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
        let events = play(&mut driver, &moves);
        end(&mut driver);
        let (sums, late) = oracle(&events, (size, advance, grace), out_of_orderness);
        let (emitted, came_late) = results(&mut driver, size);
        let expected: BTreeMap<_, _> = sums.into_iter().map(|(key, sums)| (key, vec![sums])).collect();
        prop_assert_eq!(emitted, expected);
        prop_assert_eq!(came_late, late);
    }

    /// With updates, the last result of each window is the oracle's, and no result is less than one before.
    #[test]
    fn updates_end_at_the_oracle(
        moves in moves(0), (size, advance, grace) in windows(), out_of_orderness in 0..60_i64,
    ) {
        let spec = hopping(ms(size), ms(advance)).grace(ms(grace));
        let app = job(&spec, Emit::OnUpdate, out_of_orderness);
        let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
        let events = play(&mut driver, &moves);
        driver.commit().unwrap();
        let (sums, late) = oracle(&events, (size, advance, grace), out_of_orderness);
        let (emitted, came_late) = results(&mut driver, size);
        for updates in emitted.values() {
            prop_assert!(updates.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        let last: BTreeMap<_, _> = emitted.into_iter().map(|(key, updates)| (key, *updates.last().unwrap())).collect();
        prop_assert_eq!(last, sums);
        prop_assert_eq!(came_late, late);
    }

    /// Partitions that fall silent may close windows without some rows, but no row is lost or counted twice.
    #[test]
    fn no_row_is_lost_when_partitions_are_idle(
        moves in moves(8), size in 1..80_i64, grace in 0..40_i64, out_of_orderness in 0..60_i64,
    ) {
        let app = job(&tumbling(ms(size)).grace(ms(grace)), Emit::OnWindowClose, out_of_orderness);
        let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
        let events = play(&mut driver, &moves);
        end(&mut driver);
        let (sums, late) = oracle(&events, (size, size, grace), out_of_orderness);
        let (emitted, came_late) = results(&mut driver, size);
        for (window, results) in &emitted {
            prop_assert_eq!(results.len(), 1, "{:?} is emitted once", window);
            prop_assert!(results[0].0 <= sums[window].0);
        }
        let counted: i64 = emitted.values().map(|results| results[0].0).sum();
        prop_assert_eq!(counted as usize + came_late.len(), events.len());
        let total: i64 = emitted.values().map(|results| results[0].1).sum::<i64>() + came_late.iter().sum::<i64>();
        prop_assert_eq!(total, events.iter().map(|event| event.value).sum::<i64>());
        prop_assert!(came_late.len() >= late.len());
    }
}

#[test]
fn a_silent_partition_no_longer_holds_up_the_others_and_wakes_up_late() {
    let app = job(&tumbling(ms(10)), Emit::OnWindowClose, 0);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    let event = |partition, at, value| Event {
        partition,
        key: 1,
        at: Some(at),
        value,
    };
    driver.pipe("events", event(0, 5, 1).record()).unwrap();
    driver.pipe("events", event(0, 25, 2).record()).unwrap();
    driver.pipe("events", event(1, 7, 3).record()).unwrap();
    driver.commit().unwrap();
    assert!(driver.read("results").is_empty(), "partition 2 has said nothing");

    driver.advance_wall_clock(Duration::from_secs(4)).unwrap();
    assert!(
        driver.read("results").is_empty(),
        "it is not silent for long enough"
    );
    driver.pipe("events", event(0, 26, 4).record()).unwrap();
    driver.advance_wall_clock(Duration::from_secs(5)).unwrap();
    driver.commit().unwrap();
    let (emitted, late) = results(&mut driver, 10);
    assert_eq!(
        emitted[&("k1".to_owned(), 0)],
        [(2, 4, 1, 3)],
        "both silent ones are idle"
    );
    assert!(late.is_empty());

    // Not late in its own partition, but its window has closed.
    driver.restart().unwrap();
    driver.pipe("events", event(1, 8, 5).record()).unwrap();
    driver.pipe("events", event(1, 21, 6).record()).unwrap();
    driver.commit().unwrap();
    assert_eq!(results(&mut driver, 10).1, [5]);
    end(&mut driver);
    let (emitted, late) = results(&mut driver, 10);
    assert_eq!(emitted[&("k1".to_owned(), 20)], [(3, 12, 2, 6)]);
    assert!(late.is_empty());
}

/// Rows that the new bound allows and the old one had closed windows for were counted as late, and lost.
#[test]
fn another_bound_loses_no_row_and_opens_no_window_again() {
    let event = |at, value| Event {
        partition: 0,
        key: 1,
        at: Some(at),
        value,
    };
    let of = |bound| job(&tumbling(ms(10)), Emit::OnWindowClose, bound);
    let mut driver = TestDriver::new(&of(0)).unwrap();
    for (at, value) in [(5, 1), (25, 2)] {
        driver.pipe("events", event(at, value).record()).unwrap();
    }
    driver.commit().unwrap();
    let first = ("k1".to_owned(), 0);
    assert_eq!(results(&mut driver, 10).0[&first], [(1, 1, 1, 1)]);

    driver.replace(&of(100)).unwrap();
    for (at, value) in [(7, 4), (22, 8), (60, 16)] {
        driver.pipe("events", event(at, value).record()).unwrap();
    }
    driver.commit().unwrap();
    let (emitted, late) = results(&mut driver, 10);
    assert!(emitted.is_empty(), "{emitted:?}");
    assert_eq!(late, [4], "its window is closed, and that of 22 is not");

    // A smaller one again: what was seen counts.
    driver.replace(&of(20)).unwrap();
    driver.pipe("events", event(28, 32).record()).unwrap();
    driver.commit().unwrap();
    let (emitted, late) = results(&mut driver, 10);
    assert_eq!(emitted[&("k1".to_owned(), 20)], [(2, 10, 2, 8)]);
    assert_eq!(late, [32]);
}

#[test]
fn results_have_the_time_of_their_window_and_can_be_windowed_again() {
    let app = Streams::new("twice");
    let counts = app
        .stream("lines", crate::text("line"))
        .group_by([col("line")])
        .window(tumbling(ms(10)).grace(ms(5)))
        .emit(Emit::OnWindowClose)
        .aggregate("counts", [count_all().alias("n")]);
    counts.to("counts", json());
    counts
        .results()
        .select([col("line"), col("n")])
        .group_by([col("line")])
        .window(tumbling(ms(100)))
        .emit(Emit::OnWindowClose)
        .aggregate("sums", [sum(col("n")).alias("n"), count_all().alias("windows")])
        .to("sums", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    for partition in 0..2 {
        for at in (0..300).step_by(5) {
            driver
                .pipe("lines", TestRecord::new("x").at(at).partition(partition))
                .unwrap();
        }
    }
    driver.commit().unwrap();
    let counts = driver.read("counts");
    let first = counts.iter().find(|count| count.timestamp == Some(9)).unwrap();
    assert_eq!(parse(first).1["n"], 4);
    let sums = driver.read("sums");
    let sums: Vec<(Value, Option<i64>)> = sums.iter().map(|sum| (parse(sum).1, sum.timestamp)).collect();
    let of = |time| (serde_json::json!({"n": 40, "windows": 10}), Some(time));
    assert_eq!(sums, [of(99), of(199)], "the third is open");
}
