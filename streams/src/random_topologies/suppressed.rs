//! Tables whose changes wait, against the table itself.
//!
//! The oracle knows what each key's count was after each row, and nothing of epochs. Which of them goes on hangs on when epochs end: that it is one of them, that
//! they ascend, that the last of them comes, and that none comes before its time or much later, does not.
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
    /// No row is later than partitions may be out of order.
    in_time: bool,
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
    /// All that was piped goes all the way.
    Commit,
    Silence(u64),
}

fn description() -> impl Strategy<Value = Description> {
    (1..150_i64, 0..40_i64, any::<bool>(), any::<bool>()).prop_map(
        |(limit, bound, comes_and_goes, in_time)| Description {
            limit,
            bound,
            comes_and_goes,
            in_time,
        },
    )
}

fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        60 => (0..6_u8, 0..300_i64).prop_map(|(key, at)| Move::Row(key, at)),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..12_usize, 0..8_usize, any::<u64>(), any::<bool>())
            .prop_map(|(task, records, seed, same)| Move::Torn(task, records, seed, same)),
        4 => Just(Move::Restart),
        6 => Just(Move::Commit),
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
    let windows = calm.changes().select([col("key"), col("n")]);
    let windows = windows.group_by([col("key")]).window(tumbling(ms(50)));
    let windows = windows
        .emit(OnWindowClose)
        .aggregate("windows", [count_all().alias("n")]);
    windows.to("windows", json());
    windows.late().to("late-windows", json());
    app
}

/// What each key had after each of its rows, and the event time of that row; `None` where it was deleted.
type History = BTreeMap<String, Vec<(Option<i64>, i64)>>;

/// A run of a job.
struct Play<'a> {
    driver: TestDriver,
    description: &'a Description,
    history: History,
    /// The latest row of each partition.
    latest: BTreeMap<i32, i64>,
    /// What came out, each with a watermark that was not passed by then.
    out: Vec<(TestRecord, i64)>,
    /// Of keys with changes that wait: which was the last that came, and since when they wait at the latest.
    waiting: BTreeMap<String, (usize, i64)>,
}

impl Play<'_> {
    fn pipe(&mut self, key: u8, at: i64) {
        let partition = i32::from(key) % PARTITIONS;
        let latest = self.latest.entry(partition).or_insert(at);
        let at = match self.description.in_time {
            true => at.max(*latest - self.description.bound),
            false => at,
        };
        *latest = at.max(*latest);
        let name = format!("key{key}");
        let states = self.history.entry(name.clone()).or_default();
        let n = states.len() as i64 + 1;
        let is_there = !self.description.comes_and_goes || n % 3 != 0;
        states.push((is_there.then_some(n), at));
        let text = json_of!({"key": name, "at": at, "n": n}).to_string();
        let record = TestRecord::new(text).partition(partition);
        self.driver.pipe("in", record).unwrap();
    }

    /// What came out since the last look, where partitions may fall silent or not.
    fn look(&mut self, silence: bool) {
        let latest = self.latest.values();
        let reached = match silence {
            true => latest.max(),
            false => latest.min().filter(|_| self.latest.len() == PARTITIONS as usize),
        };
        let reached = reached.map_or(i64::MIN, |latest| latest - self.description.bound);
        let came = self.driver.read("out").into_iter();
        self.out.extend(came.map(|record| (record, reached)));
    }

    /// All is worked on, and no partition is silent: counts that have waited for their time are out.
    fn look_for_due(&mut self) {
        if self.latest.len() < PARTITIONS as usize || self.description.comes_and_goes {
            return;
        }
        let watermark = self.latest.values().min().unwrap() - self.description.bound;
        for (key, states) in &self.history {
            let of_key = |record: &TestRecord| record.key.as_deref() == Some(key.as_bytes());
            let came = self.out.iter().rev().find(|(record, _)| of_key(record));
            let came = came.map_or(0, |(record, _)| value(record).unwrap()["n"].as_u64().unwrap());
            let came = usize::try_from(came).unwrap();
            if came == states.len() {
                self.waiting.remove(key);
                continue;
            }
            let latest = states.iter().map(|(_, at)| *at).max().unwrap();
            let since = self.waiting.entry(key.clone()).or_insert((came, latest));
            if since.0 != came {
                *since = (came, latest);
            }
            let due = since.1 + self.description.limit;
            assert!(
                watermark <= due,
                "{key}: {came} of {states:?} came by {watermark}"
            );
        }
    }

    fn play(&mut self, moves: &[Move], silence: bool) {
        let tasks = self.driver.task_ids();
        for next in moves {
            let driver = &mut self.driver;
            match *next {
                Move::Row(key, at) => self.pipe(key, at),
                Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
                Move::Aborted(task, records) => {
                    driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap();
                }
                Move::Torn(task, records, seed, same) => {
                    let task = tasks[task % tasks.len()];
                    driver.torn_epoch(task, records, seed).unwrap();
                    if same {
                        driver.epoch(task, records).unwrap();
                    }
                }
                Move::Restart => driver.restart().unwrap(),
                Move::Commit => driver.commit().unwrap(),
                Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
            }
            self.look(silence);
            if matches!(next, Move::Commit) && !silence {
                self.look_for_due();
            }
        }
        self.driver.commit().unwrap();
        self.look(silence);
        for key in 6..6 + u8::try_from(PARTITIONS).unwrap() {
            self.pipe(key, 1_000_000);
        }
        (0..6).for_each(|_| self.driver.commit().unwrap());
        self.look(silence);
        // They wait still.
        self.history.retain(|_, states| states[0].1 < END);
    }
}

/// What came of one key, each with the watermark that was not passed by then.
fn check_key(key: &str, states: &[(Option<i64>, i64)], found: &[(Option<i64>, i64)], play: &Play<'_>) {
    let limit = play.description.limit;
    let numbers: Vec<i64> = found.iter().filter_map(|(n, _)| *n).collect();
    assert!(
        numbers.iter().all(|n| states[*n as usize - 1].0.is_some()),
        "{key}: {found:?}"
    );
    let (last, _) = states[states.len() - 1];
    let found_last = found.last().and_then(|(n, _)| *n);
    assert_eq!(found_last, last, "{key}: {found:?} of {states:?}");
    if play.driver.repeats() {
        return;
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{key}: {found:?}");
    let is_twice = |pair: &[(Option<i64>, i64)]| pair[0].0.is_none() && pair[1].0.is_none();
    assert!(
        found.first().is_none_or(|(n, _)| n.is_some()),
        "{key} was deleted before it was there"
    );
    assert!(
        !found.windows(2).any(is_twice),
        "{key} was deleted twice: {found:?}"
    );
    let mut before = 0;
    for (n, reached) in found {
        // Of a deletion it is not known which it is.
        let newest = n.map_or(states.len(), |n| n as usize);
        let since = states[before..newest].iter().map(|(_, at)| *at).min();
        let since = since.expect("something changed");
        assert!(
            since + limit <= *reached,
            "{key}: {n:?} came by {reached}: {found:?} of {states:?}"
        );
        before = n.map_or(before + 1, |n| n as usize);
    }
}

fn check(play: &Play<'_>) {
    let mut found: BTreeMap<String, Vec<(Option<i64>, i64)>> = BTreeMap::new();
    for (record, reached) in &play.out {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        let n = value(record).map(|row| row["n"].as_i64().unwrap());
        let states = &play.history[&key];
        if let Some(n) = n {
            let mut times = states[..n as usize].iter().map(|(_, at)| *at);
            assert!(
                times.any(|at| record.timestamp == Some(at)),
                "{key} {n}: {record:?}"
            );
        }
        found.entry(key).or_default().push((n, *reached));
    }
    for (key, states) in &play.history {
        let found = found.remove(key).unwrap_or_default();
        check_key(key, states, &found, play);
    }
}

/// Windows over the changes miss none of them.
fn check_windows(play: &mut Play<'_>) {
    let there = play.out.iter().filter(|(record, _)| record.value.is_some());
    let windows = play.driver.read("windows");
    let counts = windows
        .iter()
        .map(|record| value(record).unwrap()["n"].as_i64().unwrap());
    assert_eq!(counts.sum::<i64>(), there.count() as i64);
    let late = play.driver.read("late-windows");
    assert_eq!(late.len(), 0, "what has waited is never late");
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

fn run(description: &Description, moves: &[Move], silence: bool, limit: Option<usize>) {
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
    let mut play = Play {
        driver,
        description,
        history: History::new(),
        latest: BTreeMap::new(),
        out: Vec::new(),
        waiting: BTreeMap::new(),
    };
    play.play(moves, silence);
    check(&play);
    // Who was in a group only for an epoch that died stays there.
    if !are_others {
        check_groups(&mut play.driver, &play.history);
    }
    if description.in_time && !silence && !is_torn {
        check_windows(&mut play);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the time, the epochs, aborts and restarts.
    #[test]
    fn changes_that_wait_end_as_the_table_does(description in description(), moves in moves(0, 0)) {
        run(&description, &moves, false, None);
    }

    /// The same where partitions fall silent.
    #[test]
    fn changes_that_wait_end_as_the_table_does_with_idle_partitions(description in description(), moves in moves(6, 0)) {
        run(&description, &moves, true, None);
    }

    /// The same where processes die while they write an epoch.
    #[test]
    fn changes_that_wait_end_as_the_table_does_where_epochs_are_repeated(
        description in description(), moves in moves(0, 12),
    ) {
        run(&description, &moves, false, None);
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
        run(&description, &moves, false, Some(limit));
    }
}
