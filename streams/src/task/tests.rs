//! Tasks driven by hand: the whole topology without a broker.
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{HeaderLookup, InputRecord, Task, TaskError};
use crate::operator::Surroundings;
use crate::plan::Topology;
use crate::sink::{Destination, OutputRecord, RecordBuffer, SinkError};
use crate::task::Position;
use crate::{
    DataType, Field, Schema, Streams, avg, col, count_all, json, json_schema, length, lit, lower, max, min,
    split_words, sum, text,
};

const CHANGELOG: &str = "wc-counts-changelog";

/// A record that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    time: i64,
    topic: String,
    partition: Option<i32>,
    header: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl HeaderLookup for Written {
    fn header(&self, name: &str) -> Option<&[u8]> {
        assert_eq!(name, "millstream-batch");
        self.header.as_deref()
    }

    fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

fn collect(into: &mut Vec<Written>) -> impl FnMut(&RecordBuffer) -> Result<(), SinkError> {
    |records| {
        let (topic, partition, header) = match records.destination() {
            Destination::ByKey(topic) => (topic, None, None),
            Destination::Partition {
                topic,
                partition,
                batch_header,
            } => (
                topic,
                Some(*partition),
                batch_header.map(|header| header.to_vec()),
            ),
        };
        for OutputRecord { time, key, value, .. } in records.records() {
            into.push(Written {
                time,
                topic: topic.to_string(),
                partition,
                header: header.clone(),
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
            });
        }
        Ok(())
    }
}

/// A position without event time.
fn at(offset: i64) -> Position {
    Position {
        offset,
        metadata: String::new(),
    }
}

fn surroundings(topology: &Topology, partitions: usize) -> Surroundings {
    let topics = topology
        .repartitions
        .iter()
        .map(|repartition| (Arc::clone(&repartition.topic), partitions));
    Surroundings {
        partitions: topics.collect(),
        ..Surroundings::default()
    }
}

fn word_count() -> Topology {
    let app = Streams::new("wc");
    app.stream("lines", text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("n")])
        .to("word-counts", json());
    app.build().unwrap()
}

/// A job with one keyed step, its upstream task and one downstream task a partition.
struct Bench {
    upstream: Task,
    downstream: Vec<Task>,
    /// The repartition topic, by partition.
    log: Vec<Vec<Written>>,
    read: Vec<usize>,
    lines: i64,
    /// What was written to the changelog.
    changes: Vec<Written>,
}

impl Bench {
    fn new(topology: &Topology, near: &Surroundings, partitions: i32) -> Self {
        let upstream = Task::new(Arc::clone(&topology.sub_topologies[0]), 0, near).unwrap();
        let downstream =
            (0..partitions).map(|p| Task::new(Arc::clone(&topology.sub_topologies[1]), p, near).unwrap());
        let count = partitions as usize;
        Self {
            upstream,
            downstream: downstream.collect(),
            log: vec![Vec::new(); count],
            read: vec![0; count],
            lines: 0,
            changes: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let mut written = Vec::new();
        let record = Written {
            time: 7,
            topic: "lines".to_owned(),
            partition: None,
            header: None,
            key: None,
            value: Some(line.as_bytes().to_vec()),
        };
        feed(&mut self.upstream, &record, self.lines, &mut written).unwrap();
        self.lines += 1;
        self.store(written);
    }

    fn store(&mut self, written: Vec<Written>) {
        for record in written {
            self.log[record.partition.unwrap() as usize].push(record);
        }
    }

    /// Ends the epoch upstream, then downstream; gives what comes out.
    fn end_epoch(&mut self) -> Vec<Written> {
        let mut written = Vec::new();
        self.upstream.end_epoch(&mut collect(&mut written)).unwrap();
        self.store(written);
        let mut out = Vec::new();
        for (partition, task) in self.downstream.iter_mut().enumerate() {
            for offset in self.read[partition]..self.log[partition].len() {
                feed(task, &self.log[partition][offset], offset as i64, &mut out).unwrap();
            }
            self.read[partition] = self.log[partition].len();
            task.end_epoch(&mut collect(&mut out)).unwrap();
        }
        let (changes, out): (Vec<_>, _) = out
            .into_iter()
            .partition(|record| record.topic.ends_with("-changelog"));
        self.changes.extend(changes);
        out
    }

    /// A task of the downstream sub-topology as another process would make it.
    fn restored(&self, topology: &Topology, near: &Surroundings, partition: i32) -> Result<Task, TaskError> {
        let mut task = Task::new(Arc::clone(&topology.sub_topologies[1]), partition, near)?;
        let stores: Vec<_> = task
            .stores()
            .map(|(step, topic)| (step, Arc::clone(topic)))
            .collect();
        for (step, topic) in stores {
            assert_eq!(&*topic, CHANGELOG);
            for change in self
                .changes
                .iter()
                .filter(|change| change.partition == Some(partition))
            {
                task.restore(step, change.key.as_deref(), change.value.as_deref())?;
            }
            task.end_restore(step)?;
        }
        Ok(task)
    }
}

fn feed(task: &mut Task, record: &Written, offset: i64, out: &mut Vec<Written>) -> Result<(), TaskError> {
    let input = InputRecord {
        topic: &record.topic,
        partition: record.partition.unwrap_or(0),
        offset,
        timestamp: record.time,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record,
    };
    task.accept(0, &input, &mut collect(out))
}

fn as_table(written: &[Written], table: &mut BTreeMap<String, String>) {
    let string = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    for record in written {
        table.insert(string(&record.key), string(&record.value));
    }
}

#[test]
fn words_are_counted_across_epochs_and_partitions() {
    let topology = word_count();
    let mut bench = Bench::new(&topology, &surroundings(&topology, 3), 3);
    bench.line("To be, or not to be");
    bench.line("");
    let mut table = BTreeMap::new();
    as_table(&bench.end_epoch(), &mut table);
    assert_eq!(table["to"], r#"{"n":2}"#);
    assert_eq!(table.len(), 4);

    bench.line("be");
    let second = bench.end_epoch();
    assert_eq!(second.len(), 1, "only touched keys are emitted: {second:?}");
    assert_eq!(
        (&second[0].key, &second[0].value),
        (&Some(b"be".to_vec()), &Some(br#"{"n":3}"#.to_vec()))
    );
    assert_eq!(second[0].topic, "word-counts");
    assert_eq!(second[0].time, 7, "the latest of the rows behind it");
    assert!(
        bench.end_epoch().is_empty(),
        "an epoch without rows emits nothing"
    );
    assert_eq!(
        bench.upstream.positions().collect::<Vec<_>>(),
        [(&Arc::from("lines"), at(3))]
    );
    assert_eq!(
        bench
            .downstream
            .iter()
            .map(|task| task.state_size().0)
            .sum::<usize>(),
        4
    );
}

#[test]
fn a_key_lands_where_java_puts_it() {
    let topology = word_count();
    let mut bench = Bench::new(&topology, &surroundings(&topology, 10), 10);
    bench.line("foobar");
    bench.end_epoch();
    // toPositive(murmur2("foobar")) = toPositive(-790332482) = 1357151166
    let filled: Vec<usize> = (0..10)
        .filter(|partition| !bench.log[*partition].is_empty())
        .collect();
    assert_eq!(filled, [6]);
}

#[test]
fn a_task_goes_on_from_its_changelog() {
    let topology = word_count();
    let near = surroundings(&topology, 2);
    let mut bench = Bench::new(&topology, &near, 2);
    let mut table = BTreeMap::new();
    for line in ["a b", "a", "c a d e f g"] {
        bench.line(line);
        as_table(&bench.end_epoch(), &mut table);
    }
    // One record a key and epoch, and what the states mean once a partition.
    assert_eq!(bench.changes.len(), 2 + 1 + 6 + 2, "{:?}", bench.changes);
    for partition in 0..2 {
        let place = partition as usize;
        let task = bench.restored(&topology, &near, partition).unwrap();
        assert_eq!(task.state_size().0, bench.downstream[place].state_size().0);
        bench.downstream[place] = task;
    }
    bench.line("a b z");
    let out = bench.end_epoch();
    assert_eq!(out.len(), 3);
    as_table(&out, &mut table);
    let counts = |word: &str| table[word].as_str();
    assert_eq!(
        (counts("a"), counts("b"), counts("z"), counts("g")),
        (r#"{"n":4}"#, r#"{"n":2}"#, r#"{"n":1}"#, r#"{"n":1}"#)
    );
    assert_eq!(bench.changes.len(), 11 + 3, "the meaning is not told again");
}

#[test]
fn the_state_of_another_step_is_refused() {
    let topology = word_count();
    let near = surroundings(&topology, 1);
    let mut bench = Bench::new(&topology, &near, 1);
    bench.line("a");
    bench.end_epoch();

    let app = Streams::new("wc");
    app.stream("lines", text("line"))
        .group_by([lower(col("line"))])
        .aggregate("counts", [max(length(col("line"))).alias("n")])
        .to("word-counts", json());
    let other = app.build().unwrap();
    let error = bench.restored(&other, &near, 0).err().unwrap().to_string();
    assert!(
        error.contains("the state in topic wc-counts-changelog is that of"),
        "{error}"
    );
    assert!(error.contains("reset the application"), "{error}");

    let damages: [fn(&mut Written); 3] = [
        |change| change.key = None,
        |change| change.value = None,
        |change| change.value.as_mut().unwrap().push(0),
    ];
    for damage in damages {
        let mut bench = Bench::new(&topology, &near, 1);
        bench.line("a");
        bench.end_epoch();
        damage(bench.changes.last_mut().unwrap());
        let error = bench.restored(&topology, &near, 0).err().unwrap().to_string();
        assert!(
            error.contains("a record of the changelog wc-counts-changelog"),
            "{error}"
        );
    }
}

#[test]
fn a_small_limit_ships_within_the_epoch_and_the_totals_stay() {
    let topology = word_count();
    let mut near = surroundings(&topology, 2);
    near.limits.partial_keys_max = 3;
    near.limits.batch_rows_max = 2;
    near.limits.shuffle_record_bytes_max = 600;
    near.limits.output_bytes_max = 16;
    let mut bench = Bench::new(&topology, &near, 2);
    for round in 0..20 {
        bench.line(&format!("a word{round} and a-much-longer-word-number{round}"));
    }
    let shipped: usize = bench.log.iter().map(Vec::len).sum();
    assert!(shipped > 0, "nothing was shipped before the end of the epoch");
    let mut table = BTreeMap::new();
    as_table(&bench.end_epoch(), &mut table);
    assert_eq!(table["a"], r#"{"n":40}"#);
    assert_eq!(table["longer"], r#"{"n":20}"#);
    assert_eq!(table.len(), 5 + 40);
}

#[test]
fn foreign_and_outdated_records_are_named_with_their_place() {
    let topology = word_count();
    let near = surroundings(&topology, 1);
    let mut bench = Bench::new(&topology, &near, 1);
    bench.line("a");
    bench.end_epoch();
    let good = bench.log[0][0].clone();
    let fails = |change: &dyn Fn(&mut Written)| {
        let mut record = good.clone();
        change(&mut record);
        let mut task = Task::new(Arc::clone(&topology.sub_topologies[1]), 0, &near).unwrap();
        feed(&mut task, &record, 7, &mut Vec::new())
            .unwrap_err()
            .to_string()
    };
    let message = fails(&|record| record.header = None);
    assert!(
        message.starts_with("the record at offset 7 of wc-counts-repartition-0 cannot be read: "),
        "{message}"
    );
    assert!(message.contains("no \"millstream-batch\" header"), "{message}");
    assert!(fails(&|record| record.header.as_mut().unwrap()[0] = 9).contains("encoding version 9"));
    assert!(fails(&|record| record.header.as_mut().unwrap()[5] ^= 1).contains("schema fingerprint"));
    assert!(fails(&|record| record.header.as_mut().unwrap().truncate(3)).contains("not 9 bytes"));
    assert!(fails(&|record| record.value = None).contains("no value"));
    for length in [0, 3, 4, 20, good.value.as_ref().unwrap().len() - 1] {
        let message = fails(&|record| record.value.as_mut().unwrap().truncate(length));
        assert!(message.contains("damaged"), "{length}: {message}");
    }
}

#[test]
fn one_row_beyond_a_records_size_is_an_error() {
    let topology = word_count();
    let mut near = surroundings(&topology, 1);
    near.limits.shuffle_record_bytes_max = 1000;
    let mut task = Task::new(Arc::clone(&topology.sub_topologies[0]), 0, &near).unwrap();
    let record = Written {
        time: 7,
        topic: "lines".to_owned(),
        partition: Some(0),
        header: None,
        key: None,
        value: Some(vec![b'x'; 2000]),
    };
    feed(&mut task, &record, 0, &mut Vec::new()).unwrap();
    let error = task.end_epoch(&mut |_| Ok(())).unwrap_err().to_string();
    assert!(
        error.starts_with("sub-topology 0, partition 0 of lines, step \"partial aggregate counts"),
        "{error}"
    );
    assert!(
        error.contains(": a row for wc-counts-repartition-0: what there is of the key xxxxx"),
        "{error}"
    );
    assert!(
        error.contains(
            "a record holds at most 1000; shorten its values, filter such rows out before group_by"
        ),
        "{error}"
    );
}

#[test]
fn streams_without_keys_pass_through_at_once() {
    let app = Streams::new("app");
    let lines = app.stream("in", text("line"));
    lines
        .filter(length(col("line")).gt(crate::lit(2)))
        .to("long", text("line"));
    lines
        .select([length(col("line")).alias("len"), col("line")])
        .to("sizes", json());
    let topology = app.build().unwrap();
    let mut task = Task::new(
        Arc::clone(&topology.sub_topologies[0]),
        0,
        &Surroundings::default(),
    )
    .unwrap();
    let mut out = Vec::new();
    for (offset, value) in [Some("ab"), Some("abc \"q\""), None].into_iter().enumerate() {
        let value = value.map(|value| value.as_bytes().to_vec());
        let record = Written {
            time: 7,
            topic: "in".to_owned(),
            partition: None,
            header: None,
            key: None,
            value,
        };
        feed(&mut task, &record, offset as i64, &mut out).unwrap();
    }
    assert_eq!(task.pending_rows(), 3);
    task.flush(&mut collect(&mut out)).unwrap();
    let found: Vec<(&str, Option<String>)> = out
        .iter()
        .map(|record| {
            (
                record.topic.as_str(),
                record
                    .value
                    .clone()
                    .map(|value| String::from_utf8(value).unwrap()),
            )
        })
        .collect();
    let json = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            ("long", json("abc \"q\"")),
            ("sizes", json(r#"{"len":2,"line":"ab"}"#)),
            ("sizes", json(r#"{"len":7,"line":"abc \"q\""}"#)),
            ("sizes", json(r#"{"len":null,"line":null}"#)),
        ]
    );
    assert!(out.iter().all(|record| record.key.is_none()));
}

#[test]
fn several_keys_make_a_json_array() {
    let app = Streams::new("app");
    app.stream("in", text("line"))
        .group_by([col("line"), length(col("line")).alias("len")])
        .aggregate("step", [count_all().alias("n"), max(col("line")).alias("last")])
        .to("out", json());
    let topology = app.build().unwrap();
    let mut bench = Bench::new(&topology, &surroundings(&topology, 2), 2);
    bench.line("x");
    bench.end_epoch();
    bench.line("x");
    let out = bench.end_epoch();
    assert_eq!(out[0].key.as_deref(), Some(br#"["x",1]"#.as_slice()));
    assert_eq!(out[0].value.as_deref(), Some(br#"{"n":2,"last":"x"}"#.as_slice()));
}

/// Distinct strings are a state of their own kind: a list of views, which share the buffers of the whole batch.
#[test]
fn a_distinct_count_is_split_into_records_below_the_limit() {
    let app = Streams::new("app");
    app.stream("in", text("line"))
        .with_column("key", crate::substr(col("line"), crate::lit(40)))
        .group_by([col("key")])
        .aggregate("step", [crate::count_distinct(col("line")).alias("n")])
        .to("out", json());
    let topology = app.build().unwrap();
    let near = surroundings(&topology, 2);
    let mut bench = Bench::new(&topology, &near, 2);
    for number in 0..12_000 {
        bench.line(&format!(
            "a line of more than forty bytes, {number:06} key{}",
            number % 100
        ));
    }
    let mut table = BTreeMap::new();
    as_table(&bench.end_epoch(), &mut table);
    let sizes: Vec<Vec<usize>> = bench
        .log
        .iter()
        .map(|log| {
            log.iter()
                .map(|record| record.value.as_ref().unwrap().len())
                .collect()
        })
        .collect();
    let total: usize = sizes.iter().flatten().sum();
    // Each line went to one partition, with its length beside it.
    assert!((12_000 * 43..12_000 * 55).contains(&total), "{sizes:?}");
    assert_eq!(table.len(), 100);
    assert!(table.values().all(|value| value == r#"{"n":120}"#), "{table:?}");
}

#[test]
fn a_tables_null_key_is_written_as_an_array() {
    let app = Streams::new("app");
    let by_line = app.stream("in", text("line")).group_by([col("line")]);
    by_line
        .aggregate("a", [count_all().alias("n")])
        .to("counts", json());
    by_line
        .aggregate("b", [max(col("line")).alias("last")])
        .to("lines", text("last"));
    let topology = app.build().unwrap();
    let near = surroundings(&topology, 1);
    let mut upstream = Task::new(Arc::clone(&topology.sub_topologies[0]), 0, &near).unwrap();
    let source = Written {
        time: 7,
        topic: "in".to_owned(),
        partition: Some(0),
        header: None,
        key: None,
        value: None,
    };
    let (mut shuffled, mut out) = (Vec::new(), Vec::new());
    feed(&mut upstream, &source, 0, &mut shuffled).unwrap();
    upstream.end_epoch(&mut collect(&mut shuffled)).unwrap();
    for (sub, record) in topology.sub_topologies[1..].iter().zip(&shuffled) {
        let mut task = Task::new(Arc::clone(sub), 0, &near).unwrap();
        feed(&mut task, record, 0, &mut out).unwrap();
        task.end_epoch(&mut collect(&mut out)).unwrap();
    }
    out.retain(|record| !record.topic.ends_with("-changelog"));
    let found: Vec<_> = out
        .iter()
        .map(|record| {
            (
                record.topic.as_str(),
                record.key.as_deref(),
                record.value.as_deref(),
            )
        })
        .collect();
    let null = Some(b"[null]".as_slice());
    let one = Some(br#"{"n":1}"#.as_slice());
    assert_eq!(found, [("counts", null, one), ("lines", null, None)]);
}

#[test]
fn rows_go_the_first_way_that_holds_and_streams_come_together() {
    let app = Streams::new("app");
    let numbers = || {
        json_schema(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]))
    };
    let all = app.stream("one", numbers()).merge(&app.stream("two", numbers()));
    let ([small, middle], rest) = all.branch([col("n").lt(lit(10)), col("n").lt(lit(100))]);
    small.to("small", json().with_key("name"));
    middle.merge(&middle).to("middle", json().with_key("name"));
    rest.to("rest", json());
    let topology = app.build().unwrap();
    let mut task = Task::new(
        Arc::clone(&topology.sub_topologies[0]),
        0,
        &surroundings(&topology, 1),
    )
    .unwrap();
    let mut out = Vec::new();
    let rows = [
        (0, r#"{"n": 5, "name": "a"}"#),
        (1, r#"{"n": 50}"#),
        (0, r#"{"n": 500}"#),
        (1, r#"{"name": "b"}"#),
    ];
    for (offset, (input, value)) in (0..).zip(rows) {
        let record = Written {
            time: 100 + offset,
            topic: ["one", "two"][input].to_owned(),
            partition: Some(0),
            header: None,
            key: None,
            value: Some(value.as_bytes().to_vec()),
        };
        let input_record = InputRecord {
            topic: &record.topic,
            partition: 0,
            offset,
            timestamp: record.time,
            key: None,
            value: record.value.as_deref(),
            headers: &record,
        };
        task.accept(input, &input_record, &mut collect(&mut out)).unwrap();
    }
    task.end_epoch(&mut collect(&mut out)).unwrap();
    let mut found: Vec<_> = out
        .iter()
        .map(|record| {
            let text = |bytes: &Option<Vec<u8>>| bytes.clone().map(|bytes| String::from_utf8(bytes).unwrap());
            (
                record.topic.as_str(),
                record.time,
                text(&record.key),
                text(&record.value).unwrap(),
            )
        })
        .collect();
    found.sort();
    let twice = ("middle", 101, None, r#"{"n":50}"#.to_owned());
    assert_eq!(
        found,
        [
            twice.clone(),
            twice,
            ("rest", 102, None, r#"{"n":500,"name":null}"#.to_owned()),
            // Null is not below anything.
            ("rest", 103, None, r#"{"n":null,"name":"b"}"#.to_owned()),
            ("small", 100, Some("a".to_owned()), r#"{"n":5}"#.to_owned()),
        ]
    );
    let positions: Vec<_> = task
        .positions()
        .map(|(topic, next)| (topic.to_string(), next))
        .collect();
    assert_eq!(positions, [("one".to_owned(), at(3)), ("two".to_owned(), at(4))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Count, sum, min, max and avg of any words in any epochs over any partitions are those of one pass.
    #[test]
    fn aggregates_agree_with_one_pass(
        epochs in proptest::collection::vec(proptest::collection::vec("[abc]{1,3}-?[xy]{0,9}", 0..12), 1..6),
        partitions in 1..4_i32,
        partial_keys_max in 1..20_usize,
    ) {
        let app = Streams::new("app");
        app.stream("in", text("line"))
            .with_column("len", length(col("line")))
            .with_column("key", crate::substr(col("line"), crate::lit(1)))
            .select([crate::split_part(col("key"), crate::lit("-"), crate::lit(1)).alias("key"), col("len"), col("line")])
            .group_by([col("key")])
            .aggregate("step", [
                count_all().alias("n"), sum(col("len")).alias("sum"), min(col("line")).alias("min"),
                max(col("len")).alias("max"), avg(col("len")).alias("avg"),
            ])
            .to("out", json());
        let topology = app.build().unwrap();
        let mut near = surroundings(&topology, partitions as usize);
        near.limits.partial_keys_max = partial_keys_max;
        near.limits.batch_rows_max = 3;
        let mut bench = Bench::new(&topology, &near, partitions);
        let mut table = BTreeMap::new();
        let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for epoch in &epochs {
            for line in epoch {
                bench.line(line);
                lines.entry(line.split('-').next().unwrap().to_owned()).or_default().push(line);
            }
            as_table(&bench.end_epoch(), &mut table);
        }
        let oracle: BTreeMap<String, String> = lines.into_iter().map(|(key, lines)| {
            let lens: Vec<usize> = lines.iter().map(|line| line.len()).collect();
            let (n, sum) = (lens.len(), lens.iter().sum::<usize>());
            let row = format!(
                r#"{{"n":{n},"sum":{sum},"min":"{}","max":{},"avg":{:?}}}"#,
                lines.iter().min().unwrap(), lens.iter().max().unwrap(), sum as f64 / n as f64,
            );
            (key, row)
        }).collect();
        prop_assert_eq!(table, oracle);
    }
}

/// Lines of eight words out of `distinct`, the frequent ones short, now and then one that is not ASCII.
fn text_of(lines: usize, distinct: u64) -> Vec<String> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut word = move || {
        // The product of two uniform numbers: a long tail.
        let rank = (next() % distinct) * (next() % distinct) / distinct;
        match rank % 50 {
            49 => format!("Überraschung{rank}"),
            n => format!("{}{rank:x}", &"Responsibilities"[..(n % 10) as usize]),
        }
    };
    (0..lines)
        .map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
#[ignore = "a measurement, for release builds: cargo test --release -p millstream-streams -- --ignored --nocapture"]
fn measures_the_word_count() {
    let (lines, distinct) = (1_000_000, 20_000);
    let text = text_of(lines, distinct);
    let topology = word_count();
    for lines_an_epoch in [100_000, 10_000] {
        let mut bench = Bench::new(&topology, &surroundings(&topology, 1), 1);
        let started = std::time::Instant::now();
        let mut emitted = 0;
        for epoch in text.chunks(lines_an_epoch) {
            epoch.iter().for_each(|line| bench.line(line));
            emitted += bench.end_epoch().len();
        }
        let seconds = started.elapsed().as_secs_f64();
        let rate = (lines * 8) as f64 / seconds / 1e6;
        eprintln!(
            "{lines_an_epoch} lines an epoch: {rate:.1} M words/s, {emitted} rows emitted, {seconds:.2} s"
        );
    }
}
