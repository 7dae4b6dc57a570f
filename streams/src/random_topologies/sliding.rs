//! Sliding windows against loops over the rows that came in time.
//!
//! The oracle knows each row and the watermark that its partition had before it, and nothing of epochs, tasks or slices. What comes later than grace
//! is in those of its windows that are open just then: of that it only asks that no window has what it should not, and that late rows are late.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json as json_of;

use super::{END, PARTITIONS, key, value};
use crate::prelude::*;
use crate::window::tests::millis_of_day;
use crate::{TestDriver, TestRecord};

#[derive(Debug, Clone)]
struct Description {
    size: i64,
    grace: i64,
    /// How far out of order partitions may be.
    bound: i64,
    on_close: bool,
    /// The size of windows over what comes out.
    again: i64,
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: key, partition and time.
    Row(Option<u8>, i32, Option<i64>),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Restart,
    Silence(u64),
}

/// A row as the oracle sees it.
#[derive(Debug, Clone)]
struct Fact {
    key: Option<String>,
    at: Option<i64>,
    id: i64,
    watermark: Option<i64>,
}

/// What there is by key and start: how many rows, and the sum of their ids.
type Windows = BTreeMap<(Option<String>, i64), (i64, i64)>;

fn description() -> impl Strategy<Value = Description> {
    let grace = prop_oneof![Just(0), 0..40_i64];
    (1..40_i64, grace, 0..40_i64, any::<bool>(), 10..150_i64).prop_map(
        |(size, grace, bound, on_close, again)| Description {
            size,
            grace,
            bound,
            on_close,
            again,
        },
    )
}

fn moves(silence: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = proptest::option::weighted(0.9, 0..4_u8);
    let at = proptest::option::weighted(0.95, 0..300_i64);
    let one = prop_oneof![
        60 => (key, 0..PARTITIONS, at).prop_map(|(key, partition, at)| Move::Row(key, partition, at)),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        4 => Just(Move::Restart),
        silence => (1..8_u64).prop_map(Move::Silence),
    ];
    // Times that go on, so that windows close meanwhile.
    proptest::collection::vec(one, 1..120).prop_map(|mut moves| {
        let length = moves.len() as i64;
        for (place, next) in (0..).zip(&mut moves) {
            if let Move::Row(_, _, Some(at)) = next {
                *at = *at / 5 + place * 300 / length;
            }
        }
        moves
    })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("l");
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
    ]);
    let strategy = bounded(col("at"), ms(description.bound)).idle_after(Duration::from_secs(5));
    let windows = app
        .stream("in", json_schema(schema))
        .watermark(strategy)
        .group_by([col("key")])
        .window(sliding(ms(description.size)).grace(ms(description.grace)));
    let windows = match description.on_close {
        true => windows.suppress(),
        false => windows,
    };
    let windows = windows.aggregate(
        "windows",
        [
            count_all().alias("n"),
            sum(col("id")).alias("sum"),
            min(col("at")).alias("first"),
            max(col("at")).alias("last"),
        ],
    );
    windows.to("out", json());
    windows.late().to("late", json());
    if description.on_close {
        let again = windows
            .results()
            .select([col("key"), col("n")])
            .group_by([col("key")])
            .window(tumbling(ms(description.again)))
            .emit(OnWindowClose)
            .aggregate(
                "again",
                [count_all().alias("windows"), sum(col("n")).alias("rows")],
            );
        again.to("again", json());
        again.late().to("late-again", json());
    }
    app
}

/// Pipes a row; gives it as the oracle sees it.
fn pipe(
    driver: &mut TestDriver,
    bound: i64,
    latest: &mut BTreeMap<i32, i64>,
    (key, partition, at): (Option<String>, i32, Option<i64>),
    id: i64,
) -> Fact {
    let text = json_of!({"key": key, "at": at, "id": id}).to_string();
    driver
        .pipe("in", TestRecord::new(text).partition(partition))
        .unwrap();
    let watermark = latest.get(&partition).map(|latest| latest - bound);
    if let Some(at) = at {
        let before = latest.entry(partition).or_insert(at);
        *before = at.max(*before);
    }
    Fact {
        key,
        at,
        id,
        watermark,
    }
}

/// Plays the moves, and rows that end it all; gives all rows. If it is to be `exact`, rows are in grace, or late.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move], exact: bool) -> Vec<Fact> {
    let (mut facts, mut latest) = (Vec::new(), BTreeMap::new());
    let tasks = driver.task_ids();
    let Description {
        size, grace, bound, ..
    } = *description;
    let mut id = 0;
    for next in moves {
        match *next {
            Move::Row(key, partition, at) => {
                id += 1;
                let mark = latest.get(&partition).map_or(0, |latest| latest - bound);
                let fits = |at: i64| mark <= at + grace || mark > at + size + grace;
                let at = at.map(|at| if exact && !fits(at) { mark } else { at });
                let row = (key.map(|key| format!("key{key}")), partition, at);
                facts.push(pipe(driver, bound, &mut latest, row, id));
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
        }
    }
    for partition in 0..PARTITIONS {
        id += 1;
        let row = (Some(format!("end{id}")), partition, Some(1_000_000));
        facts.push(pipe(driver, bound, &mut latest, row, id));
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    facts
}

/// The windows of the rows that are not late, and the ids of those that are.
fn expected(description: &Description, facts: &[Fact]) -> (Windows, Vec<i64>) {
    let size = description.size;
    let mut late = Vec::new();
    let mut rows: BTreeMap<Option<String>, Vec<(i64, i64)>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.at.is_none_or(|at| at < END)) {
        let limit = size + description.grace;
        match fact.at {
            Some(at) if fact.watermark.is_none_or(|mark| mark <= at + limit) => {
                rows.entry(fact.key.clone()).or_default().push((at, fact.id));
            }
            _ => late.push(fact.id),
        }
    }
    let mut windows = Windows::new();
    for (key, rows) in rows {
        let ends: BTreeSet<i64> = rows
            .iter()
            .flat_map(|(at, _)| [(*at).max(size), at + 1 + size])
            .collect();
        for start in ends.into_iter().map(|end| end - size) {
            let within = rows.iter().filter(|(at, _)| start <= *at && *at <= start + size);
            let ids: Vec<i64> = within.map(|(_, id)| *id).collect();
            if !ids.is_empty() {
                windows.insert((key.clone(), start), (ids.len() as i64, ids.iter().sum()));
            }
        }
    }
    (windows, late)
}

/// The last result of each window, without those of the end.
fn found(driver: &mut TestDriver, description: &Description) -> Windows {
    let mut windows = Windows::new();
    for record in driver.read("out") {
        let columns = key(&record);
        let (start, end) = (millis_of_day(&columns[1]), millis_of_day(&columns[2]));
        assert_eq!(end, start + description.size + 1);
        let row = value(&record).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap();
        assert!(start <= number("first") && number("last") < end);
        let time = match description.on_close {
            true => end - 1,
            false => number("last"),
        };
        assert_eq!(record.timestamp, Some(time));
        if end >= END {
            continue;
        }
        let place = (columns[0].as_str().map(str::to_owned), start);
        let before = windows.insert(place, (number("n"), number("sum")));
        assert!(before.is_none() || !description.on_close, "a window closes once");
    }
    windows
}

fn late(driver: &mut TestDriver) -> Vec<i64> {
    let records = driver.read("late");
    let ids = records
        .iter()
        .map(|record| value(record).unwrap()["id"].as_i64().unwrap());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids
}

/// Windows over windows, each at the time of its end.
fn check_again(driver: &mut TestDriver, windows: &Windows, description: &Description) {
    let mut expected: Windows = BTreeMap::new();
    for ((key, start), (rows, _)) in windows {
        let last = start + description.size;
        let place = (key.clone(), last - last % description.again);
        let sums = expected.entry(place).or_default();
        *sums = (sums.0 + 1, sums.1 + rows);
    }
    let mut found = Windows::new();
    for record in driver.read("again") {
        let columns = key(&record);
        let place = (columns[0].as_str().map(str::to_owned), millis_of_day(&columns[1]));
        let row = value(&record).unwrap();
        let sums = (row["windows"].as_i64().unwrap(), row["rows"].as_i64().unwrap());
        assert_eq!(found.insert(place, sums), None, "a window closes once");
    }
    assert_eq!(found, expected);
    assert_eq!(
        driver.read("late-again").len(),
        0,
        "what windows give is never late"
    );
}

fn run(description: &Description, moves: &[Move], exact: bool, limit: Option<usize>) {
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let facts = play(&mut driver, description, moves, exact);
    let (windows, late) = (found(&mut driver, description), late(&mut driver));
    let (expected, expected_late) = expected(description, &facts);
    if exact {
        assert_eq!(windows, expected);
        assert_eq!(late, expected_late);
        if description.on_close {
            check_again(&mut driver, &windows, description);
        }
        return;
    }
    assert!(expected_late.iter().all(|id| late.binary_search(id).is_ok()));
    for (window, (rows, _)) in &windows {
        let most = expected.get(window).map_or(0, |(rows, _)| *rows);
        assert!(*rows <= most, "{window:?} has {rows} rows of {most}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the size, the epochs, aborts and restarts: windows of what is in grace are the oracle's, and no window behind misses any.
    #[test]
    fn sliding_windows_are_those_of_the_oracle(description in description(), moves in moves(0)) {
        run(&description, &moves, true, None);
    }

    /// What comes later, and where partitions fall silent: windows have no more than their rows.
    #[test]
    fn sliding_windows_have_no_more_than_their_rows(description in description(), moves in moves(6)) {
        run(&description, &moves, false, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn sliding_windows_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, true, Some(limit));
    }
}
