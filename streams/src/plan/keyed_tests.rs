//! Steps with several inputs, and steps that read tables: a step that says what it was given.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::build::{Builder, Output as Built};
use super::{InputTime, Node, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::operator::{Operator, OperatorError, Output, Place};
use crate::rows::Rows;
use crate::{
    Stream, Streams, Table, TestDriver, TestRecord, cast, col, count_all, json as json_out, record_time,
    text, tumbling,
};

/// Takes rows of all its streams, and at the end of the epoch gives each with the port that it came in at, what it was judged
/// from, and what the table has for its line.
#[derive(Debug, Clone, Default)]
struct Meet {
    streams: usize,
    untimed: Vec<u8>,
    waits: bool,
    tables: usize,
    held: Vec<(u8, i64, Rows)>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("line", DataType::Utf8View, true),
        Field::new("port", DataType::Int64, false),
        Field::new("judged", DataType::Int64, false),
        Field::new("seen", DataType::Utf8, true),
    ]))
}

impl NodePlan for Meet {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Built, PlanError> {
        for other in &inputs[1..] {
            builder.unite(builder.outputs[inputs[0].0].sub, builder.outputs[other.0].sub);
        }
        let above: Vec<Built> = inputs
            .iter()
            .map(|input| builder.outputs[input.0].clone())
            .collect();
        let (streams, tables) = above.split_at(self.streams);
        let views: Vec<_> = tables
            .iter()
            .map(|table| table.table.as_ref().unwrap().view.unwrap())
            .collect();
        let streams: Vec<&Built> = streams.iter().collect();
        let kind = StepKind::Keyed(Box::new(self.clone()));
        let met = builder.step_on(&streams, kind, "meet".to_owned(), schema(), 0);
        builder.read_tables(&met, &views);
        Ok(met)
    }
}

impl StepPlan for Meet {
    fn waits_for_time(&self) -> bool {
        self.waits
    }

    fn is_timed(&self, port: u8) -> bool {
        !self.untimed.contains(&port)
    }

    fn operator(&self, _: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Meet {
    fn process(&mut self, _: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        unreachable!("rows come at ports")
    }

    fn process_at(&mut self, port: u8, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.held.push((port, out.judged_from(port).millis(), rows));
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        for (port, judged, rows) in std::mem::take(&mut self.held) {
            let lines = rows.batch.column(0).as_string_view();
            let mut distinct: Vec<&str> = lines.iter().flatten().collect();
            distinct.sort_unstable();
            distinct.dedup();
            let mut seen = BTreeMap::new();
            if self.tables > 0 {
                let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values(&distinct));
                let found = out.tables.look_up(0, &[keys])?;
                for (row, key) in distinct.iter().enumerate().filter(|(row, _)| found.there[*row]) {
                    let value = array_value_to_string(&found.values[0], row).unwrap();
                    seen.insert(*key, format!("{value} at {}", found.times.value(row)));
                }
            }
            let seen: StringArray = lines
                .iter()
                .map(|line| seen.get(line?).map(String::as_str))
                .collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::clone(rows.batch.column(0)),
                Arc::new(Int64Array::from(vec![i64::from(port); rows.len()])),
                Arc::new(Int64Array::from(vec![judged; rows.len()])),
                Arc::new(seen),
            ];
            out.push(rows.with_batch(RecordBatch::try_new(schema(), columns)?));
        }
        Ok(())
    }
}

fn meet(meet: Meet, streams: &[&Stream], tables: &[&Table]) -> Stream {
    let inputs = streams.iter().map(|stream| stream.node());
    let inputs: Vec<NodeId> = inputs.chain(tables.iter().map(|table| table.node())).collect();
    let make = Arc::new(Meet {
        streams: streams.len(),
        tables: tables.len(),
        ..meet
    });
    streams[0].then(Node::Keyed { inputs, make })
}

fn values(driver: &mut TestDriver, topic: &str) -> Vec<Value> {
    let records = driver.read(topic);
    let values = records.iter().map(|record| record.value.as_deref().unwrap());
    values
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect()
}

#[test]
fn rows_come_in_where_their_stream_hangs() {
    let app = Streams::new("app");
    let (one, two) = (app.stream("one", text("line")), app.stream("two", text("line")));
    let both = two.filter(col("line").is_not_null()).merge(&one);
    meet(Meet::default(), &[&one, &both], &[]).to("out", json_out());
    let topology = app.build().unwrap();
    let described = "\
job app
sub-topology 0
  source one as text(line)
    meet
      sink out as json
    meet (see above)
  source two as text(line)
    filter line IS NOT NULL
      meet (see above)
";
    assert_eq!(topology.describe(), described);
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("one", TestRecord::new("a")).unwrap();
    driver.pipe("two", TestRecord::new("b")).unwrap();
    driver.commit().unwrap();
    let mut found: Vec<(Value, Value)> = values(&mut driver, "out")
        .iter()
        .map(|row| (row["line"].clone(), row["port"].clone()))
        .collect();
    found.sort_by_key(|(line, port)| (line.to_string(), port.as_i64()));
    assert_eq!(
        found,
        [
            (json!("a"), json!(0)),
            (json!("a"), json!(1)),
            (json!("b"), json!(1))
        ]
    );
}

#[test]
fn a_policy_is_of_all_steps_of_its_node_and_of_no_other() {
    let app = Streams::new("app");
    let moved = app
        .stream("one", text("line"))
        .repartition("moved", [col("line")]);
    let filtered = moved.filter(col("line").is_not_null());
    let other = app.stream("two", text("line")).repartition("too", [col("line")]);
    let peeked = other.peek(|_| {});
    // Its node makes one sub-topology of two, so that steps there are others by then.
    meet(Meet::default(), &[&peeked, &filtered], &[])
        .on_error(crate::skip())
        .to("out", json_out());
    let described = app.build().unwrap().describe();
    assert_eq!(described.matches("on error: skip").count(), 1, "{described}");
    assert!(
        described.contains("meet\n        on error: skip\n"),
        "{described}"
    );
}

/// The inputs' part in event time, by topic.
fn times(app: &Streams) -> BTreeMap<String, bool> {
    let topology = app.build().unwrap();
    let inputs = topology.sub_topologies.iter().flat_map(|sub| &sub.inputs);
    inputs
        .map(|input| (input.topic.to_string(), input.time != InputTime::Untimed))
        .collect()
}

fn expected(times: &[(&str, bool)]) -> BTreeMap<String, bool> {
    times
        .iter()
        .map(|(topic, timed)| ((*topic).to_owned(), *timed))
        .collect()
}

#[test]
fn only_what_waits_for_time_has_a_part_in_it() {
    let job = |untimed: &[u8], waits: bool, windows: bool| {
        let app = Streams::new("app");
        let one = app
            .stream("one", text("line"))
            .repartition("moved", [col("line")]);
        let two = app
            .stream("two", text("line"))
            .watermark(record_time(Duration::ZERO))
            .repartition("too", [col("line")]);
        let plan = Meet {
            untimed: untimed.to_vec(),
            waits,
            ..Meet::default()
        };
        let met = meet(plan, &[&one, &two], &[]);
        match windows {
            false => drop(met.to("out", json_out())),
            true => {
                let windows = met
                    .group_by([col("line")])
                    .window(tumbling(Duration::from_secs(1)));
                windows
                    .aggregate("n", [count_all().alias("n")])
                    .to("out", json_out());
            }
        }
        times(&app)
    };
    let all = |one, two| {
        let (moved, too) = ("app-moved-repartition", "app-too-repartition");
        [("one", one), (moved, one), ("two", two), (too, two)]
    };
    assert_eq!(job(&[], false, false), expected(&all(false, false)));
    assert_eq!(job(&[], true, false), expected(&all(true, true)));
    // A step may wait for one of its inputs only.
    assert_eq!(job(&[1], true, false), expected(&all(true, false)));
    assert_eq!(job(&[0], true, false), expected(&all(false, true)));
    // What it emits is of the time of that one as well.
    let mut with_windows = expected(&all(true, false));
    with_windows.insert("app-n-repartition".to_owned(), true);
    assert_eq!(job(&[1], false, true), with_windows);
}

/// A table that stands still held back all windows behind who read it.
#[test]
fn tables_do_not_hold_windows_back() {
    let app = Streams::new("app");
    let users = app
        .stream("users", text("name").with_key("id"))
        .to_table("users", [cast(col("id"), DataType::Utf8View).alias("id")]);
    let lines = app
        .stream("lines", text("line"))
        .repartition("moved", [col("line")]);
    meet(Meet::default(), &[&lines], &[&users])
        .group_by([col("seen")])
        .window(tumbling(Duration::from_secs(1)))
        .emit(crate::Emit::OnWindowClose)
        .aggregate("n", [count_all().alias("n")])
        .to("out", json_out());
    let timed = times(&app);
    assert!(timed["lines"] && timed["app-moved-repartition"], "{timed:?}");
    assert!(!timed["users"] && !timed["app-users-repartition"], "{timed:?}");
    let mut driver = TestDriver::with_partitions(&app, 1).unwrap();
    driver
        .pipe("users", TestRecord::new("Ann").key("a").at(7))
        .unwrap();
    (0..3).for_each(|_| driver.commit().unwrap());
    driver.pipe("lines", TestRecord::new("a").at(500)).unwrap();
    driver.pipe("lines", TestRecord::new("a").at(5000)).unwrap();
    (0..4).for_each(|_| driver.commit().unwrap());
    let closed = driver.read("out");
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert!(closed[0].as_text().0.contains("Ann at 7"), "{closed:?}");
}

#[test]
fn rows_are_judged_by_the_clock_that_goes_with_them() {
    let app = Streams::new("app");
    let plan = || Meet {
        waits: true,
        ..Meet::default()
    };
    let source = app.stream("lines", text("line"));
    let moved = source.repartition("moved", [col("line")]);
    let passed = moved.filter(col("line").is_not_null());
    // It emits at the end of the epoch, when the clock is ahead of its rows.
    let held = meet(plan(), &[&moved], &[]).select([col("line")]);
    meet(plan(), &[&source], &[]).to("direct", json_out());
    meet(plan(), &[&passed, &held], &[]).to("behind", json_out());
    let mut driver = TestDriver::with_partitions(&app, 1).unwrap();
    for time in [1_000, 2_000, 3_000] {
        driver.pipe("lines", TestRecord::new("a").at(time)).unwrap();
        driver.commit().unwrap();
    }
    (0..3).for_each(|_| driver.commit().unwrap());
    let judged = |rows: &[Value], port: i64| -> Vec<i64> {
        let rows = rows.iter().filter(|row| row["port"] == port);
        rows.map(|row| row["judged"].as_i64().unwrap()).collect()
    };
    let direct = values(&mut driver, "direct");
    // The clock is at the row's own time already; what was settled before is the time of the row before it.
    assert_eq!(judged(&direct, 0)[1..], [1_000, 2_000]);
    let behind = values(&mut driver, "behind");
    assert_eq!(judged(&behind, 0).len(), 3);
    assert!(
        judged(&behind, 0)
            .iter()
            .zip(judged(&behind, 1))
            .all(|(log, epoch)| epoch <= *log)
    );
}

/// What happens to a job.
#[derive(Debug, Clone)]
enum Move {
    /// A user gets a name, or goes.
    User(u8, Option<u16>),
    /// A line asks for a user and for a word.
    Line(u8),
    /// A word comes once more.
    Word(u8),
    Commit,
    Aborted(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let next = prop_oneof![
        4 => (0..40u8, proptest::option::weighted(0.7, 0..1000u16)).prop_map(|(user, name)| Move::User(user, name)),
        4 => (0..60u8).prop_map(Move::Line),
        3 => (0..40u8).prop_map(Move::Word),
        2 => Just(Move::Commit),
        1 => (0..8usize).prop_map(Move::Aborted),
        1 => Just(Move::Restart),
    ];
    proptest::collection::vec(next, 1..120)
}

/// Rows that ask a table, and a count, for what they have now.
fn looking() -> Streams {
    let app = Streams::new("app");
    let users = app
        .stream("users", text("name").with_key("id"))
        .to_table("users", [cast(col("id"), DataType::Utf8View).alias("id")]);
    let words = app.stream("words", text("word")).group_by([col("word")]);
    let counts = words.aggregate("counts", [count_all().alias("n")]);
    let lines = app.stream("lines", text("line"));
    let asks_users = lines.repartition("asks-users", [col("line")]);
    meet(Meet::default(), &[&asks_users], &[&users]).to("names", json_out());
    let asks_counts = lines.repartition("asks-counts", [col("line")]);
    meet(Meet::default(), &[&asks_counts], &[&counts]).to("numbers", json_out());
    app
}

/// Plays, and after each commit compares what was seen with what plain maps have.
fn play(driver: &mut TestDriver, moves: &[Move]) {
    let (mut users, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let mut asked = Vec::new();
    let key = |number: u8| format!("key {number}");
    let settle = |driver: &mut TestDriver,
                  users: &BTreeMap<u8, u16>,
                  counts: &BTreeMap<u8, u64>,
                  asked: &mut Vec<u8>| {
        (0..3).for_each(|_| driver.commit().unwrap());
        asked.sort_unstable();
        for (topic, of) in [
            (
                "names",
                &(|key| users.get(&key).map(|name| format!("name {name} at 5")))
                    as &dyn Fn(u8) -> Option<String>,
            ),
            ("numbers", &|key| {
                counts.get(&key).map(|count| format!("{count} at 5"))
            }),
        ] {
            let mut found: Vec<(String, Option<String>)> = values(driver, topic)
                .iter()
                .map(|row| {
                    let seen = row["seen"].as_str().map(str::to_owned);
                    (row["line"].as_str().unwrap().to_owned(), seen)
                })
                .collect();
            let mut expected: Vec<_> = asked.iter().map(|asked| (key(*asked), of(*asked))).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{topic}");
        }
        asked.clear();
    };
    for next in moves {
        match next {
            Move::User(user, Some(name)) => {
                users.insert(*user, *name);
                let record = TestRecord::new(format!("name {name}")).key(key(*user));
                driver.pipe("users", record.at(5)).unwrap();
            }
            Move::User(user, None) => {
                users.remove(user);
                driver
                    .pipe("users", TestRecord::null().key(key(*user)).at(5))
                    .unwrap();
            }
            Move::Word(word) => {
                *counts.entry(*word).or_insert(0) += 1;
                driver.pipe("words", TestRecord::new(key(*word)).at(5)).unwrap();
            }
            // What is asked for later than this is answered by what is there at the end of an epoch: the tables come first.
            Move::Line(line) => {
                settle(driver, &users, &counts, &mut asked);
                asked.push(*line);
                driver.pipe("lines", TestRecord::new(key(*line)).at(5)).unwrap();
                settle(driver, &users, &counts, &mut asked);
            }
            Move::Commit => settle(driver, &users, &counts, &mut asked),
            Move::Aborted(task) => {
                let tasks = driver.task_ids();
                driver.aborted_epoch(tasks[task % tasks.len()], 100).unwrap();
            }
            Move::Restart => driver.restart().unwrap(),
        }
    }
    settle(driver, &users, &counts, &mut asked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_row_sees_what_the_table_has(moves in moves()) {
        play(&mut TestDriver::with_partitions(&looking(), 2).unwrap(), &moves);
    }

    #[test]
    fn what_memory_has_no_room_for_is_seen_as_well(moves in moves(), bytes in crate::testing::limit()) {
        play(&mut TestDriver::with_partitions(&looking(), 2).unwrap().limited(bytes).unwrap(), &moves);
    }
}
