//! Sliding windows against loops over the rows that came in time.
//!
//! The oracle knows each row and the watermark that its partition had before it, and nothing of epochs, tasks or slices. What comes later than grace
//! is in those of its windows that are open just then: of that it only asks that no window has what it should not, that late rows are late and in no window, and
//! that no row is lost for which nothing can have closed.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
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
    /// No watermark was beyond this when the row was worked on.
    ceiling: i64,
}

#[derive(Serialize, Deserialize)]
struct Id {
    id: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct Ids {
    ids: Vec<i64>,
}

/// The ids of the rows of each window, by key and start.
type Windows = BTreeMap<(Option<String>, i64), Vec<i64>>;
/// How many results there are by key and time, and of how many rows.
type Results = BTreeMap<(Option<String>, i64), (i64, i64)>;

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
    let ids = fold(
        "ids",
        Ids::default,
        |ids: &mut Ids, row: &Id| ids.ids.push(row.id),
        |ids, more| ids.ids.extend(more.ids),
    );
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
            ids.alias("all"),
        ],
    );
    windows.to("out", json());
    windows.late().to("late", json());
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
        ceiling: i64::MAX,
    }
}

/// All that was piped has been worked on.
fn all_is_there(facts: &mut [Fact], latest: &BTreeMap<i32, i64>, bound: i64) {
    let ceiling = latest.values().max().map_or(i64::MIN, |latest| latest - bound);
    for fact in facts.iter_mut().rev().take_while(|fact| fact.ceiling == i64::MAX) {
        fact.ceiling = ceiling;
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
            Move::Silence(seconds) => {
                driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap();
                all_is_there(&mut facts, &latest, bound);
            }
        }
    }
    if !exact {
        (0..3).for_each(|_| driver.commit().unwrap());
        all_is_there(&mut facts, &latest, bound);
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
            let mut ids: Vec<i64> = within.map(|(_, id)| *id).collect();
            ids.sort_unstable();
            if !ids.is_empty() {
                windows.insert((key.clone(), start), ids);
            }
        }
    }
    (windows, late)
}

/// The last result of each window, and how many there were, without those of the end.
fn found(driver: &mut TestDriver, description: &Description) -> (Windows, Results) {
    let (mut windows, mut results) = (Windows::new(), Results::new());
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
        let mut ids: Vec<i64> = serde_json::from_value(row["all"]["ids"].clone()).unwrap();
        ids.sort_unstable();
        let sums = (ids.len() as i64, ids.iter().sum::<i64>());
        assert_eq!((number("n"), number("sum")), sums);
        let key = columns[0].as_str().map(str::to_owned);
        let result = results.entry((key.clone(), time)).or_default();
        *result = (result.0 + 1, result.1 + sums.0);
        let before = windows.insert((key, start), ids);
        assert!(before.is_none() || !description.on_close, "a window closes once");
    }
    (windows, results)
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

/// Windows over results, each at its time.
fn check_again(driver: &mut TestDriver, results: &Results, again: i64) {
    let mut expected = Results::new();
    for ((key, time), (windows, rows)) in results {
        let sums = expected.entry((key.clone(), time - time % again)).or_default();
        *sums = (sums.0 + windows, sums.1 + rows);
    }
    let mut found = Results::new();
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

/// No window has what it should not, nor has any what is late; and what nothing can have closed for is in the window that ends with it.
fn check_fates(
    description: &Description,
    facts: &[Fact],
    windows: &Windows,
    (expected, expected_late, late): (&Windows, &[i64], &[i64]),
) {
    let late: BTreeSet<i64> = late.iter().copied().collect();
    assert!(expected_late.iter().all(|id| late.contains(id)));
    for (window, ids) in windows {
        let most = expected.get(window).map_or(&[][..], Vec::as_slice);
        assert!(
            ids.iter().all(|id| most.binary_search(id).is_ok()),
            "{window:?} has {ids:?} of {most:?}"
        );
        let is_late = ids.iter().find(|id| late.contains(id));
        assert_eq!(is_late, None, "{window:?} has a row that is late");
    }
    for fact in facts.iter().filter(|fact| fact.at.is_some_and(|at| at < END)) {
        let at = fact.at.unwrap_or_default();
        if at + description.grace >= fact.ceiling {
            let place = (fact.key.clone(), at.max(description.size) - description.size);
            let ids = windows.get(&place).map_or(&[][..], Vec::as_slice);
            assert!(ids.contains(&fact.id), "{fact:?} is not in {place:?}: {ids:?}");
        }
    }
}

fn run(description: &Description, moves: &[Move], exact: bool, limit: Option<usize>) {
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let facts = play(&mut driver, description, moves, exact);
    let ((windows, results), late) = (found(&mut driver, description), late(&mut driver));
    let (expected, expected_late) = expected(description, &facts);
    if exact {
        assert_eq!(windows, expected);
        assert_eq!(late, expected_late);
        check_again(&mut driver, &results, description.again);
        return;
    }
    check_fates(description, &facts, &windows, (&expected, &expected_late, &late));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the size, the epochs, aborts and restarts: windows of what is in grace are the oracle's, and no window behind misses any.
    #[test]
    fn sliding_windows_are_those_of_the_oracle(description in description(), moves in moves(0)) {
        run(&description, &moves, true, None);
    }

    /// What comes later, and where partitions fall silent: windows have no more than their rows, and no row is lost that need not be.
    #[test]
    fn sliding_windows_have_their_rows_and_no_others(description in description(), moves in moves(6)) {
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
