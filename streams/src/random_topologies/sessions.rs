//! Sessions against the connected components of the rows that came in time.
//!
//! The oracle knows each row and the watermark that its partition had before it, and nothing of epochs, tasks or in which order partitions came. What comes
//! later than grace may be taken or be late, by what is open just then: of that it only asks that each row has one fate.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json as json_of;

use super::{END, PARTITIONS, key, value};
use crate::prelude::*;
use crate::window::tests::millis_of_day;
use crate::{TestDriver, TestRecord};

/// Rows begin here; what comes at 0 is later than anything is open for.
const BEGIN: i64 = 1_000;

/// How many of a session's rows are ranked.
const RANKS: usize = 2;

/// A window by sessions, and windows over what it gives.
#[derive(Debug, Clone)]
struct Description {
    gap: i64,
    grace: i64,
    /// How far out of order partitions may be.
    bound: i64,
    on_close: bool,
    /// Somebody takes late rows; else partial states are judged, not rows.
    takes_late: bool,
    /// The size of windows over what comes out.
    again: i64,
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: key, partition and time.
    Row(Option<u8>, i32, Option<i64>),
    /// A row that is late whatever is open.
    Ancient(u8, i32),
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

#[derive(Serialize, Deserialize)]
struct Id {
    id: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct Ids {
    ids: Vec<i64>,
}

/// The ids of the rows of each session, by its key, start and end.
type Sessions = BTreeMap<(Option<String>, i64, i64), Vec<i64>>;

fn description() -> impl Strategy<Value = Description> {
    let grace = prop_oneof![Just(0), 0..40_i64];
    let flags = (any::<bool>(), any::<bool>());
    (1..30_i64, grace, 0..40_i64, flags, 10..150_i64).prop_map(
        |(gap, grace, bound, (on_close, takes_late), again)| Description {
            gap,
            grace,
            bound,
            on_close,
            takes_late,
            again,
        },
    )
}

fn moves(silence: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = proptest::option::weighted(0.9, 0..4_u8);
    let at = proptest::option::weighted(0.95, 0..600_i64);
    let one = prop_oneof![
        60 => (key, 0..PARTITIONS, at).prop_map(|(key, partition, at)| Move::Row(key, partition, at)),
        3 => (0..4_u8, 0..PARTITIONS).prop_map(|(key, partition)| Move::Ancient(key, partition)),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        4 => Just(Move::Restart),
        silence => (1..8_u64).prop_map(Move::Silence),
    ];
    // Times that go on, so that sessions close meanwhile.
    proptest::collection::vec(one, 1..150).prop_map(|mut moves| {
        let length = moves.len() as i64;
        for (place, next) in (0..).zip(&mut moves) {
            if let Move::Row(_, _, Some(at)) = next {
                *at = BEGIN + *at / 6 + place * 600 / length;
            }
        }
        moves
    })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("s");
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
    let grouped = app
        .stream("in", json_schema(schema))
        .watermark(strategy)
        .group_by([col("key")])
        .window(session(ms(description.gap)).grace(ms(description.grace)))
        .emit(if description.on_close {
            OnWindowClose
        } else {
            OnUpdate
        });
    let first = grouped.top("first", RANKS, [col("id").sort(true, false)]);
    first.to("first", json());
    let sessions = grouped.aggregate(
        "sessions",
        [
            count_all().alias("n"),
            sum(col("id")).alias("sum"),
            min(col("at")).alias("first"),
            max(col("at")).alias("last"),
            ids.alias("all"),
        ],
    );
    sessions.to("out", json());
    if description.takes_late {
        sessions.late().to("late", json());
    }
    let windows = sessions
        .results()
        .select([col("key"), col("n")])
        .group_by([col("key")])
        .window(tumbling(ms(description.again)))
        .emit(OnWindowClose)
        .aggregate(
            "windows",
            [count_all().alias("sessions"), sum(col("n")).alias("rows")],
        );
    windows.to("windows", json());
    windows.late().to("late-windows", json());
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

/// Plays the moves, and rows that end it all; gives all rows. If it is to be `exact`, none but ancient ones are beyond grace.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move], exact: bool) -> Vec<Fact> {
    let (mut facts, mut latest) = (Vec::new(), BTreeMap::new());
    let tasks = driver.task_ids();
    let Description {
        gap, grace, bound, ..
    } = *description;
    let mut id = 0;
    for next in moves {
        match *next {
            Move::Row(key, partition, at) => {
                id += 1;
                let least = latest.get(&partition).map_or(0, |latest| latest - bound - grace);
                let at = at.map(|at| if exact { at.max(least) } else { at });
                let row = (key.map(|key| format!("key{key}")), partition, at);
                facts.push(pipe(driver, bound, &mut latest, row, id));
            }
            Move::Ancient(key, partition) => {
                if latest
                    .get(&partition)
                    .is_some_and(|latest| latest - bound > gap + grace)
                {
                    id += 1;
                    let row = (Some(format!("key{key}")), partition, Some(0));
                    facts.push(pipe(driver, bound, &mut latest, row, id));
                }
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

/// The components of the rows that are no further apart than the gap, and the ids of late rows.
fn expected(description: &Description, facts: &[Fact]) -> (Sessions, Vec<i64>) {
    let mut late = Vec::new();
    let mut rows: BTreeMap<Option<String>, Vec<(i64, i64)>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.at.is_none_or(|at| at < END)) {
        match fact.at {
            Some(at) if fact.watermark.is_none_or(|mark| mark <= at + description.grace) => {
                rows.entry(fact.key.clone()).or_default().push((at, fact.id));
            }
            _ => late.push(fact.id),
        }
    }
    let mut sessions = Sessions::new();
    for (key, mut rows) in rows {
        rows.sort_unstable();
        let components = rows.chunk_by(|(one, _), (next, _)| next - one <= description.gap);
        for component in components {
            let mut ids: Vec<i64> = component.iter().map(|(_, id)| *id).collect();
            ids.sort_unstable();
            let (start, last) = (component[0].0, component[component.len() - 1].0);
            sessions.insert((key.clone(), start, last + 1), ids);
        }
    }
    (sessions, late)
}

/// Results by key and the time of a session's last row: how many, and of how many rows.
type Results = BTreeMap<(Option<String>, i64), (i64, i64)>;

/// The sessions of the output, and all results that were there once, without those of the end.
fn found(driver: &mut TestDriver, on_close: bool) -> (Sessions, Results) {
    let (mut table, mut results) = (Sessions::new(), Results::new());
    for record in driver.read("out") {
        let columns = key(&record);
        let (start, end) = (millis_of_day(&columns[1]), millis_of_day(&columns[2]));
        let place = (columns[0].as_str().map(str::to_owned), start, end);
        let Some(row) = value(&record) else {
            assert!(
                !on_close && table.remove(&place).is_some(),
                "{place:?} was not there"
            );
            continue;
        };
        assert_eq!(record.timestamp, Some(end - 1));
        let number = |name: &str| row[name].as_i64().unwrap();
        let mut ids: Vec<i64> = serde_json::from_value(row["all"]["ids"].clone()).unwrap();
        ids.sort_unstable();
        assert_eq!((number("first"), number("last")), (start, end - 1));
        let sums = (ids.len() as i64, ids.iter().sum::<i64>());
        assert_eq!((number("n"), number("sum")), sums);
        if start < END {
            let sums = results.entry((place.0.clone(), end - 1)).or_default();
            *sums = (sums.0 + 1, sums.1 + ids.len() as i64);
        }
        let before = table.insert(place.clone(), ids);
        assert!(before.is_none() || !on_close, "{place:?} closed twice");
    }
    table.retain(|(_, start, _), _| *start < END);
    (table, results)
}

fn ids(driver: &mut TestDriver, topic: &str) -> Vec<i64> {
    let records = driver.read(topic);
    let ids = records
        .iter()
        .map(|record| value(record).unwrap()["id"].as_i64().unwrap());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids
}

/// Of each session the rows that came first.
fn check_first(driver: &mut TestDriver, sessions: &Sessions) {
    let mut found = BTreeMap::new();
    for record in driver.read("first") {
        let columns = key(&record);
        let [start, end] = [1, 2].map(|column: usize| millis_of_day(&columns[column]));
        let session = (columns[0].as_str().map(str::to_owned), start, end);
        let place = (session, columns[3].as_i64().unwrap());
        match value(&record) {
            Some(row) => drop(found.insert(place, row["id"].as_i64().unwrap())),
            None => assert!(found.remove(&place).is_some(), "{place:?} was not there"),
        }
    }
    found.retain(|((_, start, _), _), _| *start < END);
    let ranks = sessions.iter().flat_map(|(session, ids)| {
        let ranks = (1..).zip(ids.iter().take(RANKS));
        ranks.map(|(rank, id)| ((session.clone(), rank), *id))
    });
    assert_eq!(found, ranks.collect());
}

/// Windows over results, each at the time of its last row.
fn check_windows(driver: &mut TestDriver, results: &Results, again: i64) {
    let mut expected: BTreeMap<(Option<String>, i64), (i64, i64)> = BTreeMap::new();
    for ((key, last), (results, rows)) in results {
        let sums = expected.entry((key.clone(), last - last % again)).or_default();
        *sums = (sums.0 + results, sums.1 + rows);
    }
    let mut found = BTreeMap::new();
    for record in driver.read("windows") {
        let columns = key(&record);
        let place = (columns[0].as_str().map(str::to_owned), millis_of_day(&columns[1]));
        let row = value(&record).unwrap();
        let sums = (row["sessions"].as_i64().unwrap(), row["rows"].as_i64().unwrap());
        assert_eq!(found.insert(place, sums), None, "a window closes once");
    }
    assert_eq!(found, expected);
    assert_eq!(
        driver.read("late-windows").len(),
        0,
        "what sessions give is never late"
    );
}

/// Each row is in one session or late, and sessions are what they are taken for.
fn check_fates(description: &Description, facts: &[Fact], sessions: &Sessions, late: &[i64]) {
    let times: BTreeMap<i64, i64> = facts
        .iter()
        .filter_map(|fact| Some((fact.id, fact.at?)))
        .collect();
    let mut fates: BTreeSet<i64> = late.iter().copied().collect();
    assert_eq!(fates.len(), late.len(), "a row is late twice");
    // Those of partial states may begin where one has closed.
    let mut starts = BTreeSet::new();
    for ((key, start, end), ids) in sessions {
        let is_first = starts.insert((key, start));
        assert!(
            is_first || !description.takes_late,
            "{key:?}: two begin at {start}"
        );
        let mut rows: Vec<i64> = ids.iter().map(|id| times[id]).collect();
        rows.sort_unstable();
        assert_eq!((rows[0], rows[rows.len() - 1] + 1), (*start, *end), "{key:?}");
        let near = rows.windows(2).all(|pair| pair[1] - pair[0] <= description.gap);
        assert!(near, "{key:?}: {rows:?} is no session");
        assert!(
            ids.iter().all(|id| fates.insert(*id)),
            "{key:?}: one of {ids:?} has two fates"
        );
    }
    let all = facts.iter().filter(|fact| fact.at.is_none_or(|at| at < END));
    let all: BTreeSet<i64> = all.map(|fact| fact.id).collect();
    match description.takes_late {
        true => assert_eq!(fates, all),
        false => assert!(fates.is_subset(&all)),
    }
}

fn run(description: &Description, moves: &[Move], exact: bool, limit: Option<usize>) {
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let facts = play(&mut driver, description, moves, exact);
    let (sessions, results) = found(&mut driver, description.on_close);
    let late = ids(&mut driver, "late");
    if exact {
        let (expected, expected_late) = expected(description, &facts);
        assert_eq!(sessions, expected);
        assert!(!description.takes_late || late == expected_late);
        check_windows(&mut driver, &results, description.again);
        check_first(&mut driver, &sessions);
    } else {
        check_fates(description, &facts, &sessions, &late);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the gap, the epochs, aborts and restarts: sessions of what is in grace are the oracle's, and no window behind misses any.
    #[test]
    fn sessions_are_those_of_the_oracle(description in description(), moves in moves(0)) {
        run(&description, &moves, true, None);
    }

    /// What comes later, and where partitions fall silent: each row has one fate.
    #[test]
    fn rows_are_in_one_session_or_late(description in description(), moves in moves(6)) {
        run(&description, &moves, false, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn sessions_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, true, Some(limit));
    }
}
