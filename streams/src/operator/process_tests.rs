//! Processors against plain loops that know nothing of epochs.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::prelude::*;
use crate::{TestDriver, TestRecord};

const PARTITIONS: i32 = 3;
const GAP: i64 = 20;

#[derive(Serialize, Deserialize)]
struct Click {
    user: String,
    at: i64,
    value: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Session {
    user: String,
    first: i64,
    last: i64,
    sum: i64,
}

/// Clicks until there is silence for a gap. Each click waits for its turn in event time.
struct Sessions;

#[derive(Clone, Serialize, Deserialize)]
struct Waiting {
    user: String,
    clicks: Vec<(i64, i64)>,
}

/// Clicks, sorted, as sessions.
fn sessions(user: &str, clicks: &[(i64, i64)]) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for &(at, value) in clicks {
        match sessions.last_mut() {
            Some(open) if at < open.last + GAP => {
                open.last = at;
                open.sum += value;
            }
            _ => sessions.push(Session {
                user: user.to_owned(),
                first: at,
                last: at,
                sum: value,
            }),
        }
    }
    sessions
}

impl Processor for Sessions {
    type In = Click;
    type Out = Session;
    type State = Waiting;
    type Error = Infallible;

    fn process(
        &mut self,
        click: Click,
        context: &mut ProcessContext<'_, Waiting, Session>,
    ) -> Result<(), Infallible> {
        assert_eq!(context.time(), Some(click.at));
        let mut waiting = context.get().cloned().unwrap_or(Waiting {
            user: click.user,
            clicks: Vec::new(),
        });
        waiting.clicks.push((click.at, click.value));
        waiting.clicks.sort_unstable();
        context.set(waiting);
        context.schedule(click.at + GAP);
        Ok(())
    }

    fn on_timer(
        &mut self,
        at_ms: i64,
        context: &mut ProcessContext<'_, Waiting, Session>,
    ) -> Result<(), Infallible> {
        assert!(context.watermark() >= Some(at_ms));
        let Some(mut waiting) = context.get().cloned() else {
            return Ok(());
        };
        for session in sessions(&waiting.user, &waiting.clicks) {
            if session.last + GAP <= at_ms {
                waiting.clicks.retain(|(at, _)| *at > session.last);
                context.emit(session);
            }
        }
        match waiting.clicks.is_empty() {
            true => context.delete(),
            false => context.set(waiting),
        }
        Ok(())
    }
}

fn job(out_of_orderness: i64) -> Streams {
    let app = Streams::new("p");
    let strategy = bounded(col("at"), Duration::from_millis(out_of_orderness.unsigned_abs()))
        .idle_after(Duration::from_secs(5));
    let sessions = app
        .stream("clicks", json_schema(schema_of::<Click>().unwrap()))
        .watermark(strategy)
        .typed::<Click>()
        .process("sessions", [col("user")], || Sessions);
    sessions.to("sessions", json());
    let windows = sessions
        .group_by([col("user")])
        .window(tumbling(Duration::from_millis(50)))
        .emit(OnWindowClose)
        .aggregate("windows", [sum(col("sum")).alias("sum")]);
    windows.to("windows", json());
    windows.late().to("late", json());
    app
}

#[derive(Debug, Clone)]
enum Move {
    /// A click: partition, user, time, value.
    Click(i32, u8, i64, i64),
    Epoch(usize, usize),
    Aborted(usize, usize),
    Restart,
    Silence(u64),
}

fn moves(silence: u32) -> impl Strategy<Value = Vec<Move>> {
    let click = (0..PARTITIONS, 0..4_u8, 0..300_i64, -50..50_i64);
    let one = prop_oneof![
        60 => click.prop_map(|(partition, user, at, value)| Move::Click(partition, user, at, value)),
        30 => (0..12_usize, 0..6_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..12_usize, 0..6_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        4 => Just(Move::Restart),
        silence => (3..9_u64).prop_map(Move::Silence),
    ];
    proptest::collection::vec(one, 1..150)
}

fn click(driver: &mut TestDriver, partition: i32, user: u8, at: i64, value: i64) {
    let text = format!(r#"{{"user":"u{user}","at":{at},"value":{value}}}"#);
    driver
        .pipe("clicks", TestRecord::new(text).partition(partition))
        .unwrap();
}

/// Plays the moves; with a bound, clicks that would be late in their partition are made just in time. Gives the clicks of each user.
fn play(
    driver: &mut TestDriver,
    moves: &[Move],
    out_of_orderness: Option<i64>,
) -> BTreeMap<String, Vec<(i64, i64)>> {
    let tasks = driver.task_ids();
    let mut clicks: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut latest: BTreeMap<i32, i64> = BTreeMap::new();
    for next in moves {
        match *next {
            Move::Click(partition, user, at, value) => {
                let before = latest.entry(partition).or_insert(at);
                let at = out_of_orderness.map_or(at, |bound| at.max(*before - bound));
                *before = at.max(*before);
                click(driver, partition, user, at, value);
                clicks.entry(format!("u{user}")).or_default().push((at, value));
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Aborted(task, records) => driver.aborted_epoch(tasks[task % tasks.len()], records).unwrap(),
            Move::Restart => driver.restart().unwrap(),
            Move::Silence(seconds) => driver.advance_wall_clock(Duration::from_secs(seconds)).unwrap(),
        }
    }
    for partition in 0..PARTITIONS {
        click(driver, partition, 9, 1_000_000, 0);
    }
    driver.commit().unwrap();
    clicks.values_mut().for_each(|clicks| clicks.sort_unstable());
    clicks
}

/// The sessions that came out, each with its time.
fn found(driver: &mut TestDriver) -> Vec<(Session, i64)> {
    let records = driver.read("sessions");
    let session = |record: &TestRecord| {
        (
            serde_json::from_slice(record.value.as_ref().unwrap()).unwrap(),
            record.timestamp.unwrap(),
        )
    };
    records.iter().map(session).collect()
}

/// Plays the moves; the sessions that come out are those of the oracle.
fn check(mut driver: TestDriver, moves: &[Move], out_of_orderness: i64) -> Result<(), TestCaseError> {
    let clicks = play(&mut driver, moves, Some(out_of_orderness));
    let mut expected: Vec<Session> = clicks
        .iter()
        .flat_map(|(user, clicks)| sessions(user, clicks))
        .collect();
    expected.sort();
    let emitted = found(&mut driver);
    for (session, time) in &emitted {
        prop_assert_eq!(session.last + GAP, *time);
    }
    let mut emitted: Vec<Session> = emitted.into_iter().map(|(session, _)| session).collect();
    emitted.sort();
    let total: i64 = expected.iter().map(|session| session.sum).sum();
    prop_assert_eq!(emitted, expected);
    prop_assert!(driver.read("late").is_empty());
    let windows = driver.read("windows");
    let sums = windows
        .iter()
        .map(|record| serde_json::from_str::<Value>(record.as_text().1).unwrap());
    prop_assert_eq!(sums.map(|row| row["sum"].as_i64().unwrap()).sum::<i64>(), total);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the epochs, aborts and restarts: each session is emitted once, at its end, and is late for nothing.
    #[test]
    fn sessions_are_those_of_the_oracle(moves in moves(0), out_of_orderness in 0..60_i64) {
        check(TestDriver::with_partitions(&job(out_of_orderness), PARTITIONS).unwrap(), &moves, out_of_orderness)?;
    }

    /// Late rows and partitions that fall silent may cut sessions, but no row is lost or counted twice.
    #[test]
    fn no_row_is_lost_when_rows_are_late(moves in moves(8), out_of_orderness in 0..60_i64) {
        let mut driver = TestDriver::with_partitions(&job(out_of_orderness), PARTITIONS).unwrap();
        let clicks = play(&mut driver, &moves, None);
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (session, _) in found(&mut driver) {
            *sums.entry(session.user).or_default() += session.sum;
        }
        let total = |clicks: &Vec<(i64, i64)>| clicks.iter().map(|(_, value)| value).sum::<i64>();
        let expected: BTreeMap<String, i64> = clicks.iter().map(|(user, clicks)| (user.clone(), total(clicks))).collect();
        prop_assert_eq!(sums, expected);
        // Nothing is left in memory or in the log but the clicks of the end.
        driver.restart().unwrap();
        let mut left: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for record in driver.read("p-sessions-changelog") {
            left.insert(record.key.unwrap(), record.value.is_some());
        }
        prop_assert!(left.values().filter(|there| **there).count() <= 1 + PARTITIONS as usize);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(25))]

    /// Timers fire for keys that memory has no room for.
    #[test]
    fn sessions_need_not_fit_in_memory(
        moves in moves(0), out_of_orderness in 0..60_i64, limit in prop_oneof![Just(0), 1..3_000_usize],
    ) {
        let driver = TestDriver::with_partitions(&job(out_of_orderness), PARTITIONS).unwrap();
        check(driver.limited(limit).unwrap(), &moves, out_of_orderness)?;
    }
}

/// Does what the row says.
struct Script {
    calls: u32,
}

#[derive(Serialize, Deserialize)]
struct Order {
    key: Option<String>,
    what: String,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct Word {
    word: String,
}

impl Processor for Script {
    type In = Order;
    type Out = Word;
    type State = Vec<String>;
    type Error = String;

    fn process(
        &mut self,
        order: Order,
        context: &mut ProcessContext<'_, Vec<String>, Word>,
    ) -> Result<(), String> {
        self.calls += 1;
        let mut state = context.get().cloned().unwrap_or_default();
        state.push(order.what.clone());
        context.set(state);
        context.schedule(order.at);
        context.emit(Word {
            word: format!("{} at {:?}", order.what, context.time()),
        });
        match &*order.what {
            "fail" => Err(format!("call {}", self.calls)),
            "panic" => panic!("no {}", self.calls),
            "cancel" => {
                let all: Vec<i64> = context.timers().collect();
                all.into_iter().for_each(|at| context.cancel(at));
                context.cancel(12_345);
                Ok(())
            }
            "forget" => {
                context.delete();
                assert!(context.get().is_none());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_timer(
        &mut self,
        at_ms: i64,
        context: &mut ProcessContext<'_, Vec<String>, Word>,
    ) -> Result<(), String> {
        let state = context.get().cloned().unwrap_or_default();
        context.emit(Word {
            word: format!("timer {at_ms}: {}", state.join(" ")),
        });
        context.delete();
        match state.last().map(String::as_str) {
            Some("stuck") => context.schedule(at_ms),
            Some("again") => {
                context.schedule(at_ms + 5);
                context.set(vec!["once".to_owned()]);
            }
            _ => {}
        }
        Ok(())
    }
}

fn script(policy: ErrorPolicy) -> Streams {
    let app = Streams::new("s");
    app.stream("orders", json_schema(schema_of::<Order>().unwrap()))
        .typed::<Order>()
        .process("script", [col("key")], || Script { calls: 0 })
        .on_error(policy)
        .to("words", json());
    app
}

fn order(driver: &mut TestDriver, time: i64, key: &str, what: &str, at: i64) {
    let text = format!(r#"{{"key":{key},"what":"{what}","at":{at}}}"#);
    driver.pipe("orders", TestRecord::new(text).at(time)).unwrap();
}

fn words(driver: &mut TestDriver, topic: &str) -> Vec<(String, i64)> {
    let records = driver.read(topic);
    let word = |record: &TestRecord| {
        let row: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let word = row["word"]
            .as_str()
            .map_or_else(|| row.to_string(), str::to_owned);
        (word, record.timestamp.unwrap())
    };
    records.iter().map(word).collect()
}

fn owned<const N: usize>(words: [(&str, i64); N]) -> Vec<(String, i64)> {
    words.map(|(word, time)| (word.to_owned(), time)).to_vec()
}

#[test]
fn timers_fire_once_in_the_order_of_time_and_after_restarts() {
    let mut driver = TestDriver::new(&script(fail())).unwrap();
    order(&mut driver, 1, r#""a""#, "one", 30);
    order(&mut driver, 2, "null", "nobody", 20);
    order(&mut driver, 3, r#""a""#, "two", 30);
    order(&mut driver, 4, r#""b""#, "cancel", 25);
    order(&mut driver, 5, r#""c""#, "again", 25);
    order(&mut driver, 6, r#""d""#, "forget", 27);
    driver.commit().unwrap();
    let at_once: Vec<_> = words(&mut driver, "words");
    assert_eq!(at_once.len(), 6);
    assert_eq!(at_once[5], ("forget at Some(6)".to_owned(), 6));
    driver.restart().unwrap();
    order(&mut driver, 29, r#""b""#, "past", 10);
    driver.commit().unwrap();
    // The row comes before the watermark that it makes; what it schedules is due with the others.
    let fired = owned([
        ("past at Some(29)", 29),
        ("timer 10: cancel past", 10),
        ("timer 20: nobody", 20),
        ("timer 25: again", 25),
        ("timer 27: ", 27),
    ]);
    assert_eq!(words(&mut driver, "words"), fired);
    order(&mut driver, 100, r#""z""#, "end", 1_000);
    driver.commit().unwrap();
    driver.restart().unwrap();
    driver.commit().unwrap();
    let fired = owned([
        ("end at Some(100)", 100),
        ("timer 30: one two", 30),
        ("timer 30: once", 30),
    ]);
    assert_eq!(words(&mut driver, "words"), fired);
}

#[test]
fn timers_fire_where_the_watermark_stands_in_the_log_whatever_the_epochs() {
    for one_epoch in [true, false] {
        let mut driver = TestDriver::new(&script(fail())).unwrap();
        for (time, key, what, at) in [
            (1, "a", "one", 30),
            (40, "b", "other", 1_000),
            (41, "a", "two", 1_000),
        ] {
            order(&mut driver, time, &format!("\"{key}\""), what, at);
            driver.epoch((0, 0), usize::MAX).unwrap();
            if !one_epoch {
                driver.epoch((1, 0), usize::MAX).unwrap();
            }
        }
        driver.epoch((1, 0), usize::MAX).unwrap();
        let expected = owned([
            ("one at Some(1)", 1),
            ("other at Some(40)", 40),
            ("timer 30: one", 30),
            ("two at Some(41)", 41),
        ]);
        assert_eq!(words(&mut driver, "words"), expected);
    }
}

#[test]
fn a_call_that_fails_changes_nothing_and_follows_the_policy() {
    let mut driver = TestDriver::new(&script(dead_letter("dead"))).unwrap();
    order(&mut driver, 1, r#""a""#, "good", 10);
    order(&mut driver, 2, r#""a""#, "fail", 11);
    order(&mut driver, 3, r#""a""#, "panic", 12);
    order(&mut driver, 4, r#""b""#, "stuck", 13);
    driver.commit().unwrap();
    order(&mut driver, 50, r#""c""#, "end", 1_000);
    driver.commit().unwrap();
    let expected = owned([
        ("good at Some(1)", 1),
        ("stuck at Some(4)", 4),
        ("end at Some(50)", 50),
        ("timer 10: good", 10),
    ]);
    assert_eq!(words(&mut driver, "words"), expected);
    let expected = owned([
        (r#"{"at":11,"key":"a","what":"fail"}"#, 2),
        (r#"{"at":12,"key":"a","what":"panic"}"#, 3),
        (r#"{"at_ms":13,"state":["stuck"]}"#, 13),
    ]);
    assert_eq!(words(&mut driver, "dead"), expected);
    assert_eq!(driver.rows_dropped(), (0, 3));

    let mut driver = TestDriver::new(&script(fail())).unwrap();
    order(&mut driver, 2, r#""a""#, "fail", 11);
    let error = driver.commit().unwrap_err().to_string();
    assert!(error.contains("process script: Script Order → Word"), "{error}");
    let mut driver = TestDriver::new(&script(fail())).unwrap();
    order(&mut driver, 20, r#""b""#, "stuck", 11);
    let error = format!("{:?}", driver.commit().unwrap_err());
    assert!(error.contains("EndlessTimer"), "{error}");
}

#[test]
fn the_topology_shows_processors_and_checks_them() {
    let text = script(skip()).build().unwrap().describe();
    let expected = "\
sub-topology 1
  repartition s-script-repartition
    process script: Script Order → Word
      on error: skip
      changelog s-script-changelog
      sink words as json
";
    assert!(text.ends_with(expected), "{text}");
    assert!(text.contains("process script by key"), "{text}");

    let app = Streams::new("wrong");
    let lines = app.stream("lines", text_format()).typed::<Order>();
    lines
        .process("script", [col("line")], || Script { calls: 0 })
        .to("words", json());
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("Order"), "{error}");
}

fn text_format() -> crate::Format {
    text("line")
}

#[test]
fn silent_partitions_hold_up_no_timer_for_long() {
    let mut driver = TestDriver::with_partitions(&job(0), PARTITIONS).unwrap();
    click(&mut driver, 0, 1, 10, 3);
    click(&mut driver, 0, 2, 40, 4);
    driver.commit().unwrap();
    assert!(found(&mut driver).is_empty(), "two partitions have said nothing");
    driver.advance_wall_clock(Duration::from_secs(4)).unwrap();
    click(&mut driver, 0, 2, 41, 4);
    driver.advance_wall_clock(Duration::from_secs(4)).unwrap();
    let emitted: Vec<String> = found(&mut driver).into_iter().map(|(one, _)| one.user).collect();
    assert_eq!(emitted, ["u1"]);
}
