//! Workers on a source and a sink made of memory.
mod at_least_once;
mod at_most_once;
mod checkpoints;
mod queries;
mod sql;
mod standby;
mod start_order;
mod warnings;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;

use super::idle::{Exhausted, Probe};
use super::queries::Queries;
use super::shared::Shared;
use super::worker::{Clients, Worker};
use crate::operator::Surroundings;
use crate::plan::Topology;
use crate::sink::{Destination, HeldSink, Holds, OutputRecord, RecordBuffer, Sink, SinkError};
use crate::source::{Change, Look, Polled, Restore, Restored, Source, SourceError, StartAt, TopicPartition};
use crate::state::StateMemory;
use crate::store::{FirstRecord, LocalStores, Position as Checkpoint};
use crate::task::{HeaderLookup, InputRecord, Position};
use crate::{Guarantee, JobState, Streams, StreamsError, col, count_all, json, lower, split_words, text};

#[derive(Debug, Clone, Default)]
struct Stored {
    header: Option<[u8; 9]>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl HeaderLookup for Stored {
    fn header(&self, _: &str) -> Option<&[u8]> {
        self.header.as_ref().map(|header| header.as_slice())
    }

    fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

/// A broker of one partition a topic, with a group of one member.
#[derive(Default)]
struct Broker {
    logs: BTreeMap<String, Vec<Stored>>,
    committed: BTreeMap<String, Position>,
    /// What the next polls report instead of records.
    changes: VecDeque<Polled>,
    positions: BTreeMap<String, usize>,
    /// The next commit fails like this.
    commit_error: Option<SourceError>,
    /// The next commit counts, and fails like this.
    late_commit_error: Option<SourceError>,
    /// The flush after so many fails.
    flushes_left: Option<usize>,
    /// The next flush fails like this.
    flush_error: Option<SinkError>,
    /// Records sent since the last flush.
    unflushed: usize,
    /// Records of the running transaction, if there are transactions.
    staged: Option<Vec<(String, Stored)>>,
    /// The next transaction is aborted.
    abort: bool,
    events: Vec<String>,
    /// Marks behind the last record of each log, which nobody reads.
    marks: i64,
}

type Shelf = Rc<RefCell<Broker>>;

struct MemorySource(Shelf);
struct MemorySink(Shelf);

/// Nobody looks: nothing is ever idle.
struct NoProbe;

impl Probe for NoProbe {
    fn ask(&mut self, _: TopicPartition, _: Option<i64>, _: Instant) {}

    fn answers(&mut self) -> Vec<Exhausted> {
        Vec::new()
    }
}

impl Source for MemorySource {
    fn poll(
        &mut self,
        _: Duration,
        max: usize,
        each: &mut dyn FnMut(&InputRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Polled, SourceError> {
        let change = self.0.borrow_mut().changes.pop_front();
        if let Some(change) = change {
            return Ok(change);
        }
        let positions = self.0.borrow().positions.clone();
        let mut records = 0;
        for (topic, position) in positions {
            let log: Vec<Stored> = self
                .0
                .borrow()
                .logs
                .get(&topic)
                .map_or(Vec::new(), |log| log[position.min(log.len())..].to_vec());
            for (place, stored) in log.iter().take(max - records).enumerate() {
                let offset = (position + place) as i64;
                let (key, value) = (stored.key.as_deref(), stored.value.as_deref());
                let record = InputRecord {
                    topic: &topic,
                    partition: 0,
                    offset,
                    timestamp: offset,
                    key,
                    value,
                    headers: stored,
                };
                records += 1;
                self.0
                    .borrow_mut()
                    .positions
                    .insert(topic.clone(), position + place + 1);
                if each(&record).is_break() {
                    return Ok(Polled::Records(records));
                }
            }
        }
        Ok(if records == 0 {
            Polled::Idle
        } else {
            Polled::Records(records)
        })
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Position>>, SourceError> {
        Ok(partitions
            .iter()
            .map(|at| self.0.borrow().committed.get(&*at.topic).cloned())
            .collect())
    }

    fn bounds(&mut self, at: &TopicPartition) -> Result<Option<(i64, i64)>, SourceError> {
        let broker = self.0.borrow();
        let records = broker.logs.get(&*at.topic).map_or(0, Vec::len) as i64;
        Ok(Some((0, records + broker.marks)))
    }

    fn assign(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError> {
        let mut broker = self.0.borrow_mut();
        broker.positions.clear();
        for (at, start) in starts {
            let offset = match start {
                StartAt::Committed => broker
                    .committed
                    .get(&*at.topic)
                    .map_or(0, |position| position.offset),
                StartAt::Beginning => 0,
                StartAt::Offset(offset) => *offset,
            };
            broker.positions.insert(at.topic.to_string(), offset as usize);
            broker.events.push(format!("start {} at {offset}", at.topic));
        }
        Ok(())
    }

    fn member(&self) -> Option<ConsumerGroupMetadata> {
        None
    }

    fn unassign(&mut self) -> Result<(), SourceError> {
        self.0.borrow_mut().positions.clear();
        self.0.borrow_mut().events.push("unassign".to_owned());
        Ok(())
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Position)]) -> Result<(), SourceError> {
        let mut broker = self.0.borrow_mut();
        if let Some(error) = broker.commit_error.take() {
            return Err(error);
        }
        assert_eq!(
            broker.unflushed, 0,
            "committed before the outputs were acknowledged"
        );
        for (at, position) in offsets {
            let offset = position.offset;
            let before = broker.committed.insert(at.topic.to_string(), position.clone());
            assert!(
                before.is_none_or(|before| before.offset < offset),
                "{} went back to {offset}",
                at.topic
            );
            broker.events.push(format!("commit {} {offset}", at.topic));
        }
        broker.late_commit_error.take().map_or(Ok(()), Err)
    }
}

impl Sink for MemorySink {
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError> {
        let mut broker = self.0.borrow_mut();
        let (topic, header) = match records.destination() {
            Destination::ByKey(topic) => (topic, None),
            Destination::Partition {
                topic,
                partition,
                batch_header,
            } => {
                assert_eq!(*partition, 0);
                (topic, *batch_header)
            }
        };
        for OutputRecord { key, value, .. } in records.records() {
            let stored = Stored {
                header,
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
            };
            broker.unflushed += 1;
            match &mut broker.staged {
                Some(staged) => staged.push((topic.to_string(), stored)),
                None => broker.logs.entry(topic.to_string()).or_default().push(stored),
            }
        }
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Position)],
        _: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), SinkError> {
        let mut broker = self.0.borrow_mut();
        if std::mem::take(&mut broker.abort) {
            return Err(SinkError::Aborted {
                cause: "test".to_owned(),
            });
        }
        let staged = std::mem::take(broker.staged.as_mut().unwrap());
        for (topic, stored) in staged {
            broker.logs.entry(topic).or_default().push(stored);
        }
        for (at, position) in offsets {
            let offset = position.offset;
            broker.committed.insert(at.topic.to_string(), position.clone());
            broker.events.push(format!("commit {} {offset}", at.topic));
        }
        Ok(())
    }

    fn recover(&mut self) -> Result<(), SinkError> {
        let mut broker = self.0.borrow_mut();
        if let Some(staged) = &mut broker.staged {
            staged.clear();
            broker.events.push("recover".to_owned());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let mut broker = self.0.borrow_mut();
        broker.unflushed = 0;
        match &mut broker.flushes_left {
            Some(0) => {
                let cause = "died".to_owned();
                return Err(SinkError::Fatal { cause });
            }
            Some(left) => *left -= 1,
            None => {}
        }
        broker.flush_error.take().map_or(Ok(()), Err)
    }
}

/// Reads the changelogs of the shelf, a record a poll.
struct MemoryRestore {
    broker: Shelf,
    topic: String,
    next: usize,
    begins: Option<Restored>,
    /// What somebody saw who was asked to look.
    looks: VecDeque<(TopicPartition, bool, Option<Look>)>,
    /// They look when the answer is wanted, not when they are asked.
    looks_late: bool,
    /// The next answer is there without waiting.
    answers: bool,
}

impl MemoryRestore {
    fn end(&self, at: &TopicPartition) -> i64 {
        let broker = self.broker.borrow();
        broker.logs.get(&*at.topic).map_or(0, Vec::len) as i64
    }

    fn look(&self, at: &TopicPartition, first: bool) -> Look {
        let end = self.end(at);
        let first = (first && end > 0).then(|| Self::place(0));
        Look {
            end: Some(end),
            first,
        }
    }

    fn place(offset: usize) -> FirstRecord {
        let offset = offset as i64;
        FirstRecord {
            offset,
            timestamp: 1000 + offset,
        }
    }
}

impl Restore for MemoryRestore {
    fn begin(&mut self, at: &TopicPartition, checkpoint: Option<Checkpoint>) -> Result<(), SourceError> {
        let end = self.end(at);
        let first = (end > 0).then(|| Self::place(0));
        let fits = |checkpoint: &Checkpoint| checkpoint.offset <= end && first == Some(checkpoint.first);
        let checkpoint = checkpoint.filter(fits);
        let begin = checkpoint.map_or(0, |checkpoint| checkpoint.offset);
        (self.topic, self.next) = (at.topic.to_string(), begin as usize);
        let resumed = checkpoint.is_some();
        self.begins = Some(Restored::Begins { resumed, begin, end });
        let behind = match checkpoint {
            Some(checkpoint) => format!(" behind {}", checkpoint.offset),
            None => String::new(),
        };
        self.broker
            .borrow_mut()
            .events
            .push(format!("restore {}{behind}", at.topic));
        Ok(())
    }

    fn ask(&mut self, at: &TopicPartition, first: bool) {
        let seen = (!self.looks_late).then(|| self.look(at, first));
        self.looks.push_back((at.clone(), first, seen));
    }

    fn answer(&mut self, timeout: Duration) -> Option<(TopicPartition, Look)> {
        // Nobody has answered yet if nobody waits.
        match timeout.is_zero() && !std::mem::take(&mut self.answers) {
            true => None,
            false => {
                let (at, first, seen) = self.looks.pop_front()?;
                let seen = seen.unwrap_or_else(|| self.look(&at, first));
                Some((at, seen))
            }
        }
    }

    fn poll(
        &mut self,
        _: Duration,
        _: usize,
        each: &mut dyn FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<Restored, SourceError> {
        if let Some(begins) = self.begins.take() {
            return Ok(begins);
        }
        let broker = self.broker.borrow();
        let log = broker.logs.get(&self.topic).map_or(&[][..], Vec::as_slice);
        let Some(stored) = log.get(self.next) else {
            return Ok(Restored::Done);
        };
        self.next += 1;
        let change = Change {
            at: Self::place(self.next - 1),
            key: stored.key.as_deref(),
            value: stored.value.as_deref(),
        };
        assert!(each(change).is_continue());
        Ok(Restored::Goes)
    }
}

const LINES: &str = "lines";
const SHUFFLED: &str = "wc-counts-repartition";

struct Bench {
    broker: Shelf,
    topology: Arc<Topology>,
    worker: Worker<MemorySource, HeldSink<MemorySink>, MemoryRestore>,
    shared: Arc<Shared>,
    state_bytes_max: Option<usize>,
}

impl Bench {
    fn new() -> Self {
        Self::on(Shelf::default())
    }

    fn of(guarantee: Guarantee) -> Self {
        let broker = Shelf::default();
        if guarantee == Guarantee::ExactlyOnce {
            broker.borrow_mut().staged = Some(Vec::new());
        }
        Self::with(broker, guarantee)
    }

    /// Epochs end only when something else asks for it.
    fn slow(&mut self) {
        self.worker.set_interval(Duration::from_secs(3600));
    }

    fn on(broker: Shelf) -> Self {
        Self::stored(broker, None, None)
    }

    fn with(broker: Shelf, guarantee: Guarantee) -> Self {
        Self::of_all(broker, guarantee, None, None)
    }

    fn stored(broker: Shelf, stores: Option<LocalStores>, state_bytes_max: Option<usize>) -> Self {
        let guarantee = match &broker.borrow().staged {
            Some(_) => Guarantee::ExactlyOnce,
            None => Guarantee::AtLeastOnce,
        };
        Self::of_all(broker, guarantee, stores, state_bytes_max)
    }

    fn of_all(
        broker: Shelf,
        guarantee: Guarantee,
        stores: Option<LocalStores>,
        state_bytes_max: Option<usize>,
    ) -> Self {
        let app = Streams::new("wc");
        app.stream(LINES, text("line"))
            .flat_map(split_words(col("line")).alias("word"))
            .select([lower(col("word")).alias("word")])
            .group_by([col("word")])
            .aggregate("counts", [count_all().alias("n")])
            .to("word-counts", json());
        Self::of_app(
            &app,
            broker,
            guarantee,
            (stores, state_bytes_max),
            Box::new(NoProbe),
        )
    }

    fn of_app(
        app: &Streams,
        broker: Shelf,
        guarantee: Guarantee,
        (stores, state_bytes_max): (Option<LocalStores>, Option<usize>),
        probe: Box<dyn Probe>,
    ) -> Self {
        let topology = Arc::new(app.build().unwrap());
        let shared = Arc::new(Shared::new(
            &topology,
            1,
            Arc::default(),
            Queries::new(&topology, &HashMap::new()),
        ));
        let worker = Worker::new(
            Arc::clone(&topology),
            Surroundings {
                memory: Arc::new(StateMemory::new(state_bytes_max)),
                ..Surroundings::default()
            },
            // Every step that ends with something read ends its epoch.
            Duration::ZERO,
            guarantee,
            Clients {
                source: MemorySource(Rc::clone(&broker)),
                sink: HeldSink::new(MemorySink(Rc::clone(&broker)), Holds::of(guarantee, &topology)),
                restore: MemoryRestore {
                    broker: Rc::clone(&broker),
                    topic: String::new(),
                    next: 0,
                    begins: None,
                    looks: VecDeque::new(),
                    looks_late: false,
                    answers: false,
                },
                stores,
                probe,
            },
            Arc::clone(&shared),
        );
        Self {
            broker,
            topology,
            worker,
            shared,
            state_bytes_max,
        }
    }

    fn line(&self, line: &str) {
        let stored = Stored {
            value: Some(line.as_bytes().to_vec()),
            ..Stored::default()
        };
        self.broker
            .borrow_mut()
            .logs
            .entry(LINES.to_owned())
            .or_default()
            .push(stored);
    }

    fn all_partitions() -> Vec<TopicPartition> {
        [LINES, SHUFFLED]
            .map(|topic| TopicPartition {
                topic: topic.into(),
                partition: 0,
            })
            .to_vec()
    }

    fn change(&self, change: Polled) {
        self.broker.borrow_mut().changes.push_back(change);
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.worker.step().unwrap();
        }
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.broker.borrow_mut().events)
    }

    /// The output topic as (word, value), in order.
    fn output(&self) -> Vec<(String, String)> {
        let broker = self.broker.borrow();
        let string = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
        let log = broker.logs.get("word-counts").map_or(&[][..], Vec::as_slice);
        log.iter()
            .map(|stored| (string(&stored.key), string(&stored.value)))
            .collect()
    }

    fn table(&self) -> BTreeMap<String, String> {
        self.output().into_iter().collect()
    }
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, String> {
    expected
        .iter()
        .map(|(word, n)| ((*word).to_owned(), format!("{{\"n\":{n}}}")))
        .collect()
}

/// What is told of an assignment that has a state to read.
const BEGINS: [&str; 4] = [
    "start lines at 0",
    "restore wc-counts-changelog",
    "start lines at 0",
    "start wc-counts-repartition at 0",
];

#[test]
fn an_epoch_flushes_then_commits_every_position() {
    let mut bench = Bench::new();
    assert_eq!(bench.shared.state(), JobState::Starting);
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(3);
    assert_eq!(bench.shared.state(), JobState::Running);
    assert_eq!(bench.events(), BEGINS);
    bench.line("a b a");
    bench.steps(2);
    assert_eq!(
        bench.events(),
        ["commit lines 1", "commit wc-counts-repartition 1"]
    );
    assert_eq!(bench.table(), counts(&[("a", 2), ("b", 1)]));
    let metrics = bench.shared.metrics.snapshot(|_| 0);
    assert_eq!(
        (metrics.records_in, metrics.batches_shuffled, metrics.epochs),
        (1, 1, 2)
    );
    assert_eq!(
        (
            metrics.sub_topologies[1].records_in,
            metrics.sub_topologies[1].state_keys
        ),
        (1, 2)
    );
    assert_eq!((metrics.records_out, metrics.changes), (2, 3));
    bench.steps(2);
    assert!(bench.events().is_empty(), "nothing read, nothing committed");
    assert_eq!(bench.topology.sub_topologies.len(), 2);
}

#[test]
fn a_new_process_rebuilds_the_table_from_the_changelog() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut first = Bench::of(guarantee);
        first.line("a b a");
        first.change(Polled::Assigned(Bench::all_partitions()));
        first.steps(4);
        let broker = Rc::clone(&first.broker);
        let before = first.output().len();
        assert_eq!(before, 2);
        drop(first);

        let mut second = Bench::on(broker);
        second.events();
        second.change(Polled::Assigned(Bench::all_partitions()));
        second.line("c");
        // The task without state works while the other one reads its changelog.
        second.steps(2);
        assert_eq!(
            second.events(),
            [
                "start lines at 1",
                "restore wc-counts-changelog",
                "commit lines 2"
            ]
        );
        second.steps(6);
        assert_eq!(second.output().len(), before + 1, "only what is new is published");
        second.line("a c");
        second.steps(3);
        assert_eq!(second.table(), counts(&[("a", 3), ("b", 1), ("c", 2)]));
        assert_eq!(second.output().len(), before + 3);
    }
}

#[test]
fn a_revocation_ends_the_epoch_and_the_tasks_go_on_if_they_come_back() {
    let mut bench = Bench::new();
    bench.line("a");
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(4);
    bench.line("b");
    bench.steps(1);
    bench.change(Polled::Revoked { lost: false });
    bench.steps(1);
    assert_eq!(bench.events().last().unwrap(), "unassign");
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(1);
    assert_eq!(
        bench.events(),
        ["start lines at 2", "start wc-counts-repartition at 1"],
        "the state was kept"
    );
    bench.line("a");
    bench.steps(3);
    assert_eq!(bench.table(), counts(&[("a", 2), ("b", 1)]));

    // What does not come back is dropped, and rebuilt when it does.
    bench.change(Polled::Revoked { lost: false });
    bench.change(Polled::Assigned(Bench::all_partitions()[..1].to_vec()));
    bench.change(Polled::Revoked { lost: false });
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.events();
    bench.steps(5);
    assert_eq!(bench.events().last().unwrap(), "restore wc-counts-changelog");
    bench.line("a");
    bench.steps(9);
    assert_eq!(bench.table(), counts(&[("a", 3), ("b", 1)]));
}

#[test]
fn a_task_whose_partition_another_has_worked_on_begins_anew() {
    let mut bench = Bench::new();
    bench.line("a");
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(4);
    bench.change(Polled::Revoked { lost: false });
    bench.steps(1);
    let mut other = Bench::on(Rc::clone(&bench.broker));
    other.line("a");
    other.change(Polled::Assigned(Bench::all_partitions()));
    other.steps(7);
    other.change(Polled::Revoked { lost: false });
    other.steps(1);
    bench.events();
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(2);
    assert_eq!(
        bench.events(),
        ["start lines at 2", "restore wc-counts-changelog"]
    );
    bench.line("a");
    bench.steps(9);
    assert_eq!(bench.table(), counts(&[("a", 3)]));
}

#[test]
fn a_task_that_was_restored_but_read_nothing_begins_anew_if_another_went_on() {
    let mut other = Bench::new();
    other.line("a");
    other.change(Polled::Assigned(Bench::all_partitions()));
    other.steps(4);
    let mut bench = Bench::on(Rc::clone(&other.broker));
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(5);
    bench.change(Polled::Revoked { lost: false });
    bench.steps(1);
    let mut next = Bench::on(Rc::clone(&other.broker));
    next.line("a");
    next.change(Polled::Assigned(Bench::all_partitions()));
    next.steps(9);
    bench.events();
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(2);
    assert_eq!(
        bench.events(),
        ["start lines at 2", "restore wc-counts-changelog"]
    );
    bench.line("a");
    bench.steps(9);
    assert_eq!(bench.table(), counts(&[("a", 3)]));

    // Nobody went on: the state is kept.
    let mut third = Bench::on(Rc::clone(&bench.broker));
    third.change(Polled::Assigned(Bench::all_partitions()));
    third.steps(9);
    third.change(Polled::Revoked { lost: false });
    third.change(Polled::Assigned(Bench::all_partitions()));
    third.steps(1);
    third.events();
    third.steps(1);
    assert_eq!(
        third.events(),
        ["start lines at 3", "start wc-counts-repartition at 3"]
    );
}

#[test]
fn a_lost_assignment_or_a_late_commit_drops_the_tasks() {
    for fenced in [false, true] {
        let mut bench = Bench::new();
        bench.line("a");
        bench.change(Polled::Assigned(Bench::all_partitions()));
        bench.steps(4);
        bench.line("a");
        if fenced {
            bench.broker.borrow_mut().commit_error = Some(SourceError::Fenced {
                cause: "test".to_owned(),
            });
            bench.steps(1);
        }
        bench.change(Polled::Revoked { lost: true });
        bench.change(Polled::Assigned(Bench::all_partitions()));
        bench.events();
        bench.steps(2);
        assert_eq!(
            bench.events(),
            ["unassign", "start lines at 1"],
            "fenced: {fenced}"
        );
        bench.steps(10);
        // At least once: the fenced epoch had reached the repartition topic.
        assert_eq!(bench.table(), counts(&[("a", if fenced { 3 } else { 2 })]));
    }
}

#[test]
fn an_aborted_transaction_leaves_nothing_and_is_worked_on_again() {
    // In the epoch of the lines, in that of the counts, and in both.
    for aborts in [[true, false], [false, true], [true, true]] {
        let mut bench = Bench::of(Guarantee::ExactlyOnce);
        bench.line("a b");
        bench.change(Polled::Assigned(Bench::all_partitions()));
        bench.steps(4);
        bench.events();
        bench.line("a");
        for abort in aborts {
            bench.broker.borrow_mut().abort = abort;
            bench.steps(1);
        }
        assert!(bench.events().contains(&"recover".to_owned()));
        bench.broker.borrow_mut().abort = false;
        bench.steps(12);
        assert_eq!(bench.table(), counts(&[("a", 2), ("b", 1)]));
        assert_eq!(bench.output().len(), 3, "each change is published once");
    }
}

#[test]
fn a_transaction_that_is_aborted_in_a_rebalance_or_at_the_end_is_given_up() {
    let mut bench = Bench::of(Guarantee::ExactlyOnce);
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(2);
    bench.slow();
    bench.line("a");
    bench.steps(1);
    bench.broker.borrow_mut().abort = true;
    bench.change(Polled::Revoked { lost: false });
    bench.events();
    bench.steps(1);
    assert_eq!(bench.events(), ["recover", "unassign"]);

    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(4);
    bench.broker.borrow_mut().abort = true;
    bench.shared.stop();
    bench.events();
    bench.worker.run().unwrap();
    assert_eq!(bench.events(), ["recover"]);
    assert!(bench.output().is_empty());
}

#[test]
fn failures_of_delivery_and_commit_fail_the_worker_with_their_cause() {
    let mut bench = Bench::new();
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(1);
    bench.line("a");
    bench.broker.borrow_mut().flush_error = Some(SinkError::Fatal {
        cause: "broken".to_owned(),
    });
    assert!(matches!(
        bench.worker.step(),
        Err(StreamsError::Sink(SinkError::Fatal { .. }))
    ));
    assert!(bench.events().iter().all(|event| !event.starts_with("commit")));

    let mut bench = Bench::new();
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.line("a");
    bench.steps(1);
    let refused = SourceError::Commit {
        cause: "refused".to_owned(),
        remedy: "",
    };
    bench.broker.borrow_mut().commit_error = Some(refused);
    let error = bench.worker.step().unwrap_err();
    bench.shared.worker_ended("stream-1", Err(error));
    assert_eq!(bench.shared.state(), JobState::Failed);
    assert!(bench.shared.is_stopping() && bench.shared.await_end(Some(Duration::ZERO)));
    let failure = bench.shared.failure().unwrap().to_string();
    assert_eq!(
        failure,
        "the job wc failed in stream-1: offsets cannot be committed: refused"
    );
}

#[test]
fn stopping_ends_the_epoch() {
    let mut bench = Bench::new();
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.line("a");
    bench.steps(2);
    bench.shared.stop();
    assert_eq!(bench.shared.state(), JobState::Stopping);
    bench.worker.run().unwrap();
    bench.shared.worker_ended("stream-1", Ok(()));
    assert_eq!(bench.shared.state(), JobState::Stopped);
    assert!(bench.events().contains(&"commit lines 1".to_owned()));
}
