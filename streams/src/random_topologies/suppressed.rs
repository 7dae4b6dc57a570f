//! Tables whose changes wait, against the table itself.
//!
//! The oracle knows what each key's count was after each row, and nothing of epochs. Which of them goes on hangs on when epochs end: that it is one of them, that
//! they ascend, that the last of them comes, and that none comes before its time, does not.
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json as json_of;

use super::{END, PARTITIONS, value};
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

#[derive(Debug, Clone)]
struct Description {
    limit: i64,
    /// How far out of order partitions may be.
    bound: i64,
    /// The rows are of a table whose rows come and go, not of counts.
    comes_and_goes: bool,
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: key and time.
    Row(u8, i64),
    Epoch(usize, usize),
    Aborted(usize, usize),
    /// One that dies, and whether the next one is of the same records.
    Torn(usize, usize, u64, bool),
    Restart,
    Silence(u64),
}

fn description() -> impl Strategy<Value = Description> {
    (1..150_i64, 0..40_i64, any::<bool>()).prop_map(|(limit, bound, comes_and_goes)| Description {
        limit,
        bound,
        comes_and_goes,
    })
}

fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        60 => (0..6_u8, 0..300_i64).prop_map(|(key, at)| Move::Row(key, at)),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..12_usize, 0..8_usize, any::<u64>(), any::<bool>())
            .prop_map(|(task, records, seed, same)| Move::Torn(task, records, seed, same)),
        4 => Just(Move::Restart),
        silence => (1..8_u64).prop_map(Move::Silence),
    ];
    // Times that go on, so that changes go on meanwhile.
    let moves = (proptest::collection::vec(one, 1..150), any::<bool>());
    moves.prop_map(|(mut moves, all_same)| {
        let length = moves.len() as i64;
        for (place, next) in (0..).zip(&mut moves) {
            match next {
                Move::Row(_, at) => *at = *at / 5 + place * 600 / length,
                // All of them in some cases: only these end with the groups that they should.
                Move::Torn(.., same) => *same |= all_same,
                _ => {}
            }
        }
        moves
    })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("u");
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let strategy = bounded(col("at"), ms(description.bound)).idle_after(Duration::from_secs(5));
    let rows = app.stream("in", json_schema(schema)).watermark(strategy);
    let table = match description.comes_and_goes {
        true => {
            let goes = (col("n") % lit(3_i64)).eq(lit(0_i64));
            rows.to_table_deleting("last", [col("key")], goes)
        }
        false => rows
            .group_by([col("key")])
            .aggregate("last", [count_all().alias("n")]),
    };
    let calm = table.suppress("calm", until(ms(description.limit)));
    calm.to("out", json());
    // What was has to be said as well as what is.
    calm.group_by([col("n") % lit(2_i64)])
        .aggregate("odd", [count_all().alias("keys"), max(col("n")).alias("most")])
        .to("odd", json());
    app
}

/// What each key had after each of its rows, and the event time of that row; `None` where it was deleted.
type History = BTreeMap<String, Vec<(Option<i64>, i64)>>;

fn pipe(driver: &mut TestDriver, history: &mut History, comes_and_goes: bool, key: u8, at: i64) {
    let name = format!("key{key}");
    let states = history.entry(name.clone()).or_default();
    let n = states.len() as i64 + 1;
    let is_there = !comes_and_goes || n % 3 != 0;
    states.push((is_there.then_some(n), at));
    let text = json_of!({"key": name, "at": at, "n": n}).to_string();
    let partition = i32::from(key) % PARTITIONS;
    driver
        .pipe("in", TestRecord::new(text).partition(partition))
        .unwrap();
}

fn play(driver: &mut TestDriver, description: &Description, moves: &[Move]) -> History {
    let mut history = History::new();
    let tasks = driver.task_ids();
    let comes_and_goes = description.comes_and_goes;
    for next in moves {
        match *next {
            Move::Row(key, at) => pipe(driver, &mut history, comes_and_goes, key, at),
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Torn(task, records, seed, same) => {
                let task = tasks[task % tasks.len()];
                driver.torn_epoch(task, records, seed).unwrap();
                if same {
                    driver.epoch(task, records).unwrap();
                }
            }
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
        }
    }
    driver.commit().unwrap();
    for key in 6..6 + u8::try_from(PARTITIONS).unwrap() {
        pipe(driver, &mut history, comes_and_goes, key, 1_000_000);
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    // They wait still.
    history.retain(|_, states| states[0].1 < END);
    history
}

fn check(driver: &mut TestDriver, history: &History) {
    let mut found: BTreeMap<String, Vec<Option<i64>>> = BTreeMap::new();
    for record in driver.read("out") {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        let n = value(&record).map(|row| row["n"].as_i64().unwrap());
        let states = &history[&key];
        if let Some(n) = n {
            let mut times = states[..n as usize].iter().map(|(_, at)| *at);
            assert!(
                times.any(|at| record.timestamp == Some(at)),
                "{key} {n}: {record:?}"
            );
        }
        found.entry(key).or_default().push(n);
    }
    for (key, states) in history {
        let found = found.remove(key).unwrap_or_default();
        let (last, _) = states[states.len() - 1];
        assert_eq!(
            found.last().copied().flatten(),
            last,
            "{key}: {found:?} of {states:?}"
        );
        let numbers: Vec<i64> = found.iter().flatten().copied().collect();
        assert!(
            numbers.iter().all(|n| states[*n as usize - 1].0.is_some()),
            "{key}: {found:?}"
        );
        if driver.repeats() {
            continue;
        }
        assert!(numbers.is_sorted_by(|one, next| one < next), "{key}: {found:?}");
        let is_twice = |pair: &[Option<i64>]| pair[0].is_none() && pair[1].is_none();
        assert!(
            found.first() != Some(&None),
            "{key} was deleted before it was there"
        );
        assert!(
            !found.windows(2).any(is_twice),
            "{key} was deleted twice: {found:?}"
        );
    }
}

/// The groups of what every key ended with.
fn check_groups(driver: &mut TestDriver, history: &History) {
    let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let last = history.values().filter_map(|states| states[states.len() - 1].0);
    for n in last {
        let group = expected.entry(n % 2).or_default();
        *group = (group.0 + 1, group.1.max(n));
    }
    let mut found = BTreeMap::new();
    for record in driver.read("odd") {
        let group: i64 = record_key(&record);
        match value(&record) {
            Some(row) => {
                let number = |name: &str| row[name].as_i64().unwrap();
                found.insert(group, (number("keys"), number("most")));
            }
            None => assert!(
                found.remove(&group).is_some() || driver.repeats(),
                "{group} was deleted, but not there"
            ),
        }
    }
    assert_eq!(found, expected);
}

fn record_key(record: &TestRecord) -> i64 {
    let key = super::key(record);
    key[0].as_i64().unwrap()
}

fn run(description: &Description, moves: &[Move], limit: Option<usize>) {
    let is_torn = moves.iter().any(|next| matches!(next, Move::Torn(..)));
    let are_others = moves.iter().any(|next| matches!(next, Move::Torn(.., false)));
    let description = &Description {
        // Counts would count rows that come again.
        comes_and_goes: description.comes_and_goes || is_torn,
        ..description.clone()
    };
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    if is_torn {
        driver = driver.repeating();
    }
    let history = play(&mut driver, description, moves);
    check(&mut driver, &history);
    // Who was in a group only for an epoch that died stays there.
    if !are_others {
        check_groups(&mut driver, &history);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the time, the epochs, aborts and restarts.
    #[test]
    fn changes_that_wait_end_as_the_table_does(description in description(), moves in moves(0, 0)) {
        run(&description, &moves, None);
    }

    /// The same where partitions fall silent.
    #[test]
    fn changes_that_wait_end_as_the_table_does_with_idle_partitions(description in description(), moves in moves(6, 0)) {
        run(&description, &moves, None);
    }

    /// The same where processes die while they write an epoch.
    #[test]
    fn changes_that_wait_end_as_the_table_does_where_epochs_are_repeated(
        description in description(), moves in moves(0, 12),
    ) {
        run(&description, &moves, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn changes_that_wait_end_as_the_table_does_with_little_memory(
        description in description(), moves in moves(0, 0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, Some(limit));
    }
}
