//! Rows that pass once, first rows, counts of different values and cogrouped streams against plain loops over the rows.
//!
//! The oracle knows each row and the watermark that its partition had before it. Rows of a key come from one partition where their order matters.
mod checks;
mod repeated;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json as json_of;

use super::PARTITIONS;
use crate::format::murmur2;
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

const TOPICS: [&str; 2] = ["ins", "mores"];

#[derive(Debug, Clone)]
enum Family {
    /// How near, and whether the topic is partitioned by the key already.
    Deduplicate(i64, bool),
    /// Of so many rows, with ties or not.
    Top(usize, bool),
    /// The same of the rows of a table, which change and go.
    TopOfTable(usize, bool),
    TopInWindows(usize, bool),
    Cogroup,
    CogroupInWindows,
    CountDistinct,
}

#[derive(Debug, Clone)]
struct Description {
    family: Family,
    /// The size of windows.
    size: i64,
    grace: i64,
    /// How far out of order each topic may be.
    bounds: [i64; 2],
}

#[derive(Debug, Clone)]
enum Move {
    /// A row: its topic, key, number and time.
    Row(usize, Option<u8>, Option<i64>, Option<i64>),
    /// A record without a value: what deletes a row of a table.
    Gone(u8),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Torn(usize, usize, u64),
    Restart,
    Silence(u64),
}

/// What is known of the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fidelity {
    /// All.
    Exact,
    /// Partitions were idle.
    Idle,
    /// Epochs were repeated: what is there at least.
    Repeated,
}

/// A row, with the watermark that its partition had before it.
#[derive(Debug, Clone)]
struct Fact {
    topic: usize,
    key: Option<String>,
    /// None for one that deletes.
    row: Option<(Option<i64>, Option<i64>)>,
    id: i64,
    watermark: Option<i64>,
}

impl Fact {
    fn n(&self) -> Option<i64> {
        self.row.and_then(|row| row.0)
    }

    fn at(&self) -> Option<i64> {
        self.row.and_then(|row| row.1)
    }

    fn is_late(&self, grace: i64) -> bool {
        let Some(at) = self.at() else { return true };
        self.watermark.is_some_and(|mark| mark > at + grace)
    }

    /// The start of its window, if that is open.
    fn window(&self, description: &Description) -> Option<i64> {
        let at = self.at()?;
        let start = at - at % description.size;
        let end = start + description.size + description.grace;
        self.watermark.is_none_or(|mark| mark < end).then_some(start)
    }
}

fn description() -> impl Strategy<Value = Description> {
    let most = || (1..4_usize, any::<bool>());
    let family = prop_oneof![
        3 => (0..120_i64, any::<bool>()).prop_map(|(within, direct)| Family::Deduplicate(within, direct)),
        1 => most().prop_map(|(most, ties)| Family::Top(most, ties)),
        2 => most().prop_map(|(most, ties)| Family::TopOfTable(most, ties)),
        2 => most().prop_map(|(most, ties)| Family::TopInWindows(most, ties)),
        1 => Just(Family::Cogroup),
        2 => Just(Family::CogroupInWindows),
        1 => Just(Family::CountDistinct),
    ];
    let grace = prop_oneof![Just(0), 0..40_i64];
    (family, 10..120_i64, grace, [0..60_i64, 0..60_i64]).prop_map(|(family, size, grace, bounds)| {
        Description {
            family,
            size,
            grace,
            bounds,
        }
    })
}

fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let key = proptest::option::weighted(0.9, 0..5_u8);
    let at = proptest::option::weighted(0.95, 0..300_i64);
    let n = proptest::option::weighted(0.9, 0..6_i64);
    let row = (0..2_usize, key, n, at);
    let one = prop_oneof![
        60 => row.prop_map(|(topic, key, n, at)| Move::Row(topic, key, n, at)),
        6 => (0..5_u8).prop_map(Move::Gone),
        30 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..12_usize, 0..8_usize, any::<u64>()).prop_map(|(task, records, seed)| Move::Torn(task, records, seed)),
        4 => Just(Move::Restart),
        silence => (1..8_u64).prop_map(Move::Silence),
    ];
    // Times that go on, so that not all but the first rows are late.
    proptest::collection::vec(one, 1..150).prop_map(|mut moves| {
        let length = moves.len() as i64;
        for (place, next) in (0..).zip(&mut moves) {
            if let Move::Row(_, _, _, Some(at)) = next {
                *at = *at / 6 + place * 300 / length;
            }
        }
        moves
    })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn rows(app: &Streams, description: &Description, topic: usize) -> Stream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
    ]);
    let format = json_schema(schema).with_key("record_key");
    let strategy = bounded(col("at"), ms(description.bounds[topic])).idle_after(Duration::from_secs(5));
    app.stream(TOPICS[topic], format).watermark(strategy)
}

/// By number, or with ties forbidden by what is never equal.
fn order(ties: bool) -> impl Iterator<Item = SortExpr> {
    let unique = [col("n").sort(false, false), col("id").sort(true, false)];
    unique.into_iter().take(if ties { 1 } else { 2 })
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("k");
    let first = rows(&app, description, 0);
    let windows = || tumbling(ms(description.size)).grace(ms(description.grace));
    match &description.family {
        Family::Deduplicate(within, direct) => {
            let key = match direct {
                true => cast(col("record_key"), DataType::Utf8),
                false => col("key"),
            };
            let once = first
                .deduplicate("once", [key], ms(*within))
                .grace(ms(description.grace));
            once.to("out", json());
            once.late().to("late", json());
            once.group_by([col("key")])
                .window(windows())
                .emit(OnWindowClose)
                .aggregate("windows", [count_all().alias("count")])
                .to("windows", json());
        }
        Family::Top(most, ties) => {
            let top = first.group_by([col("key")]).top("top", *most, order(*ties));
            (if *ties { top.with_ties() } else { top }).to("out", json());
        }
        Family::TopOfTable(most, ties) => {
            let table = first.to_table("table", [col("record_key")]);
            let grouped = table.group_by([(col("n") % lit(2)).alias("half")]);
            let top = grouped.top("top", *most, order(*ties));
            (if *ties { top.with_ties() } else { top }).to("out", json());
        }
        Family::TopInWindows(most, ties) => {
            let grouped = first.group_by([col("key")]).window(windows()).emit(OnWindowClose);
            let top = grouped.top("top", *most, order(*ties));
            let top = if *ties { top.with_ties() } else { top };
            top.to("out", json());
            top.late().to("late", json());
        }
        Family::Cogroup => {
            let both = cogrouped(&first, &rows(&app, description, 1));
            both.aggregate("both").to("out", json());
        }
        Family::CogroupInWindows => {
            let both = cogrouped(&first, &rows(&app, description, 1));
            let both = both.window(windows()).emit(OnWindowClose).aggregate("both");
            both.to("out", json());
            both.late().to("late", json());
        }
        Family::CountDistinct => {
            first
                .count_distinct_of("counts", [col("key")], col("n") % lit(4))
                .alias("all")
                .and_where("some", col("n").gt(lit(2)))
                .to("out", json());
        }
    }
    app
}

fn cogrouped(first: &Stream, second: &Stream) -> CogroupedStream {
    let second = second.select([col("key").alias("name"), col("n").alias("number")]);
    first
        .group_by([col("key")])
        .with([count_all().alias("count"), sum(col("n")).alias("sum")])
        .cogroup(
            second.group_by([col("name")]).with([
                max(col("number")).alias("max"),
                count(col("number"))
                    .filter(col("number").gt(lit(2)))
                    .alias("large"),
            ]),
        )
}

/// Where Kafka's producers put a key, and all without one in the same place.
fn partition_of(key: Option<&str>) -> i32 {
    key.map_or(0, |key| {
        ((murmur2(key.as_bytes()) & 0x7fff_ffff) as i32) % PARTITIONS
    })
}

/// Pipes a row; gives it as the oracle sees it.
fn pipe(
    driver: &mut TestDriver,
    description: &Description,
    latest: &mut BTreeMap<(usize, i32), i64>,
    mut fact: Fact,
    partition: i32,
) -> Fact {
    let text = fact
        .row
        .map(|(n, at)| json_of!({"key": fact.key, "n": n, "at": at, "id": fact.id}).to_string());
    let record = text
        .map_or_else(TestRecord::null, TestRecord::new)
        .partition(partition);
    let record = match &fact.key {
        Some(key) => record.key(key.as_str()),
        None => record,
    };
    driver.pipe(TOPICS[fact.topic], record).unwrap();
    let place = (fact.topic, partition);
    fact.watermark = latest
        .get(&place)
        .map(|latest| latest - description.bounds[fact.topic]);
    if let Some(at) = fact.at() {
        let before = latest.entry(place).or_insert(at);
        *before = at.max(*before);
    }
    fact
}

/// Plays the moves, and rows that end it all; gives all rows.
fn play(driver: &mut TestDriver, description: &Description, moves: &[Move]) -> Vec<Fact> {
    let (mut facts, mut latest) = (Vec::new(), BTreeMap::new());
    let tasks = driver.task_ids();
    let has_two = matches!(description.family, Family::Cogroup | Family::CogroupInWindows);
    let is_table = matches!(description.family, Family::TopOfTable(..));
    for next in moves {
        let id = facts.len() as i64;
        let fact = |topic: usize, key: Option<u8>, row| Fact {
            topic: if has_two { topic } else { 0 },
            key: key.map(|key| format!("key{key}")),
            row,
            id,
            watermark: None,
        };
        let fact = match *next {
            Move::Row(topic, key, n, at) => Some(fact(topic, key, Some((n, at)))),
            Move::Gone(key) if is_table => Some(fact(0, Some(key), None)),
            Move::Gone(_) => None,
            Move::Epoch(task, records) => {
                driver.epoch(tasks[task % tasks.len()], records).unwrap();
                None
            }
            Move::Aborted(task, records) => {
                driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap();
                None
            }
            Move::Torn(task, records, seed) => {
                let task = tasks[task % tasks.len()];
                driver.torn_epoch(task, records, seed).unwrap();
                if is_table {
                    // Who goes from one group to another and back, and is seen in the other only by the epoch that died, stays there.
                    driver.epoch(task, records).unwrap();
                }
                None
            }
            Move::Restart => {
                driver.restart().unwrap();
                None
            }
            Move::Silence(seconds) => {
                driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap();
                None
            }
        };
        if let Some(fact) = fact {
            let partition = partition_of(fact.key.as_deref());
            facts.push(pipe(driver, description, &mut latest, fact, partition));
        }
    }
    for topic in 0..1 + usize::from(has_two) {
        for partition in 0..PARTITIONS {
            let id = facts.len() as i64;
            let fact = Fact {
                topic,
                key: Some(format!("end{id}")),
                row: Some((Some(7), Some(1_000_000))),
                id,
                watermark: None,
            };
            facts.push(pipe(driver, description, &mut latest, fact, partition));
        }
    }
    (0..6).for_each(|_| driver.commit().unwrap());
    facts
}

fn run(description: &Description, moves: &[Move], fidelity: Fidelity, limit: Option<usize>) {
    let app = job(description);
    let mut driver = TestDriver::with_partitions(&app, PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    if fidelity == Fidelity::Repeated {
        driver = driver.repeating();
    }
    let facts = play(&mut driver, description, moves);
    match fidelity {
        Fidelity::Repeated => repeated::check(&mut driver, description, &facts),
        _ => checks::check(&mut driver, description, &facts, fidelity == Fidelity::Exact),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the step, the epochs, aborts and restarts: outputs are the oracle's.
    #[test]
    fn keyed_steps_are_those_of_the_oracle(description in description(), moves in moves(0, 0)) {
        run(&description, &moves, Fidelity::Exact, None);
    }

    /// Where partitions fall silent, rows that are not late count as they should.
    #[test]
    fn rows_of_keyed_steps_have_one_fate_with_idle_partitions(description in description(), moves in moves(6, 0)) {
        run(&description, &moves, Fidelity::Idle, None);
    }

    /// Where processes die while they write an epoch: with at-least-once, each row has its effect.
    #[test]
    fn rows_of_keyed_steps_have_their_effect_where_epochs_are_repeated(description in description(), moves in moves(0, 12)) {
        run(&description, &moves, Fidelity::Repeated, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The same where most of the state is on the disk.
    #[test]
    fn keyed_steps_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0, 0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, Fidelity::Exact, Some(limit));
    }

    /// The same where epochs are repeated.
    #[test]
    fn rows_of_keyed_steps_have_their_effect_with_little_memory(
        description in description(), moves in moves(0, 12), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, Fidelity::Repeated, Some(limit));
    }
}
