//! The topology of a description.
use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::description::{End, Step, Tree, Windowed};
use crate::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    user: i64,
    k: Option<i64>,
    n: Option<i64>,
    at: Option<i64>,
    id: i64,
}

/// Passes rows on, with state and timers that change nothing.
struct Pass;

impl Processor for Pass {
    type In = Row;
    type Out = Row;
    type State = i64;
    type Error = Infallible;

    fn process(&mut self, row: Row, context: &mut ProcessContext<'_, i64, Row>) -> Result<(), Infallible> {
        let rows = context.get().copied().unwrap_or(0) + 1;
        context.set(rows);
        context.schedule(context.time().unwrap_or(0) + 10);
        context.emit(row);
        Ok(())
    }

    fn on_timer(&mut self, _: i64, context: &mut ProcessContext<'_, i64, Row>) -> Result<(), Infallible> {
        context.delete();
        Ok(())
    }
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// Gives steps and topics their names, in the order of the tree.
#[derive(Default)]
struct Names {
    steps: usize,
    topics: usize,
}

impl Names {
    fn step(&mut self) -> String {
        self.steps += 1;
        format!("s{}", self.steps)
    }

    fn topic(&mut self) -> String {
        self.topics += 1;
        format!("out{}", self.topics)
    }
}

pub(super) fn job(tree: &Tree, bound: i64) -> Streams {
    let app = Streams::new("r");
    let strategy = bounded(col("at"), ms(bound)).idle_after(Duration::from_secs(5));
    let source = app.stream("in", json_schema(schema_of::<Row>().unwrap()));
    grow(&source.watermark(strategy), tree, true, &mut Names::default());
    app
}

fn grow(stream: &Stream, tree: &Tree, ordered: bool, names: &mut Names) {
    let ordered = ordered && tree.steps.iter().all(Step::keeps_order);
    let stream = chain(stream, &tree.steps, names);
    end(&stream, &tree.end, ordered, names);
    for child in &tree.children {
        grow(&stream, child, ordered, names);
    }
}

fn chain(stream: &Stream, steps: &[Step], names: &mut Names) -> Stream {
    let mut stream = stream.clone();
    for step in steps {
        stream = add(&stream, step, names);
    }
    stream
}

fn by(user: bool) -> Expr {
    col(if user { "user" } else { "k" })
}

fn add(stream: &Stream, step: &Step, names: &mut Names) -> Stream {
    match step {
        Step::Filter(of, is) => stream.filter((col("id") % lit(*of)).not_eq(lit(*is))),
        Step::Above(least) => stream.filter(col("n").gt(lit(*least))),
        Step::Add(number) => stream.with_column("n", col("n") + lit(*number)),
        Step::Rekey(of) => stream.with_column("k", col("n") % lit(*of)),
        Step::FlatMap => stream
            .typed::<Row>()
            .flat_map(|row| {
                let copies = row.n.unwrap_or(1).rem_euclid(3);
                (0..copies).map(move |copy| Row {
                    id: row.id * 3 + copy,
                    n: row.n.map(|n| n + copy),
                    ..row
                })
            })
            .rows(),
        Step::Branch(of, one, other) => {
            let ([left], right) = stream.branch([(col("id") % lit(*of)).eq(lit(0_i64))]);
            let (left, right) = (chain(&left, one, names), chain(&right, other, names));
            // What comes from before and from behind a repartition topic cannot be merged where event time counts.
            match one.iter().chain(other).any(Step::moves) {
                true => {
                    let mut moved = |way: &Stream| way.repartition(names.step(), [by(true)]);
                    let left = moved(&left);
                    left.merge(&moved(&right))
                }
                false => left.merge(&right),
            }
        }
        Step::Repartition(user) => stream.repartition(names.step(), [by(*user)]),
        Step::Process(user) => stream
            .typed::<Row>()
            .process(names.step(), [by(*user)], || Pass)
            .rows(),
    }
}

fn aggregates() -> Vec<Expr> {
    vec![
        count_all().alias("count"),
        sum(col("n")).alias("sum"),
        min(col("n")).alias("min"),
        max(col("n")).alias("max"),
        avg(col("n")).alias("avg"),
        first_by(col("id"), col("id")).alias("first"),
        last_by(col("id"), col("id")).alias("last"),
    ]
}

fn end(stream: &Stream, end: &End, ordered: bool, names: &mut Names) {
    let topic = names.topic();
    match end {
        End::Rows => drop(stream.to(topic, json())),
        End::Aggregate(user, again) => {
            let mut all = aggregates();
            if ordered && *user {
                all.push(first(col("id")).alias("first_came"));
                all.push(last(col("id")).alias("last_came"));
            }
            let table = stream.group_by([by(*user)]).aggregate(names.step(), all);
            table.to(topic.clone(), json());
            if *again {
                let groups = table.group_by([col("count")]).aggregate(
                    names.step(),
                    [
                        count_all().alias("groups"),
                        sum(col("sum")).alias("sums"),
                        max(col("max")).alias("most"),
                    ],
                );
                groups.to(format!("{topic}-again"), json());
            }
        }
        End::Table if ordered => {
            let deleted = (col("id") % lit(5_i64)).eq(lit(0_i64));
            let table = stream.to_table_deleting(names.step(), [col("user")], deleted);
            table.to(topic.clone(), json());
            let groups = table.group_by([col("k")]).aggregate(
                names.step(),
                [
                    count_all().alias("groups"),
                    sum(col("n")).alias("sums"),
                    max(col("n")).alias("most"),
                ],
            );
            groups.to(format!("{topic}-again"), json());
        }
        End::Table => drop(stream.to(topic, json())),
        End::Window(windowed) => window(stream, windowed, &topic, names),
    }
}

fn window(stream: &Stream, windowed: &Windowed, topic: &str, names: &mut Names) {
    let windows = hopping(ms(windowed.size), ms(windowed.advance)).grace(ms(windowed.grace));
    let emit = if windowed.on_close {
        OnWindowClose
    } else {
        OnUpdate
    };
    let table = stream
        .group_by([col("k")])
        .window(windows)
        .emit(emit)
        .aggregate(names.step(), aggregates());
    table.to(topic, json());
    table.late().to(format!("{topic}-late"), json());
    if let Some(size) = windowed.again {
        table
            .results()
            .select([col("k"), col("count").alias("rows")])
            .group_by([col("k")])
            .window(tumbling(ms(size)))
            .emit(OnWindowClose)
            .aggregate(
                names.step(),
                [sum(col("rows")).alias("rows"), count_all().alias("windows")],
            )
            .to(format!("{topic}-again"), json());
    }
}
