//! A topology without brokers, threads or waiting, for tests.
//!
//! Owns: topics in memory, and the order in which tasks read them. Does not own: what a task does; it is the one that runs on a
//! cluster. What only a cluster has, rebalances, transactions and failures of brokers, cannot be seen here.
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::dsl::Streams;
use crate::error::StreamsError;
use crate::format::{BATCH_HEADER, murmur2};
use crate::operator::{GlobalView, SharedView, Surroundings};
use crate::plan::Topology;
use crate::rows::NO_TIME;
use crate::runtime::{DriverStores, DriverTasks, QueryError};
use crate::sink::{Destination, OutputRecord, RecordBuffer};
use crate::source::TopicPartition;
use crate::store::StoreReader;
use crate::task::{GlobalTask, HeaderLookup, InputRecord, Position, Task};

/// A record that goes into a [`TestDriver`] or comes out of it.
///
/// ```
/// use millstream_streams::TestRecord;
/// let record = TestRecord::new("a line").key("k").at(1_000).partition(0).header("trace", "1");
/// assert_eq!(record.value.as_deref(), Some(b"a line".as_slice()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TestRecord {
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The value; none is a deletion.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since 1970, if the record has a time.
    pub timestamp: Option<i64>,
    /// The partition; on the way in, the key decides if there is none.
    pub partition: Option<i32>,
    /// Headers in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl TestRecord {
    /// A record with this value.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A record without a value, which deletes.
    pub fn null() -> Self {
        Self::default()
    }

    /// With this key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this timestamp, in milliseconds since 1970.
    pub fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// For this partition.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With one header more.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// The record as a task takes it.
    fn input<'a>(&'a self, topic: &'a str, partition: i32, place: usize) -> InputRecord<'a> {
        InputRecord {
            topic,
            partition,
            offset: i64::try_from(place).unwrap_or(i64::MAX),
            timestamp: self.timestamp.unwrap_or(NO_TIME),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self,
        }
    }

    /// Key and value as text, `?` for what is none or no UTF-8.
    pub fn as_text(&self) -> (&str, &str) {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or("?");
        (
            self.key.as_deref().map_or("?", text),
            self.value.as_deref().map_or("?", text),
        )
    }
}

impl HeaderLookup for TestRecord {
    fn header(&self, name: &str) -> Option<&[u8]> {
        let last = self.headers.iter().rev().find(|(own, _)| own == name);
        last?.1.as_deref()
    }

    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in &self.headers {
            each(name, value.as_deref());
        }
    }
}

/// Runs a topology without a broker.
///
/// ```
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
///
/// let app = Streams::new("word-count");
/// app.stream("lines", text("line"))
///     .flat_map(split_words(col("line")).alias("word"))
///     .group_by([col("word")])
///     .aggregate("counts", [count_all().alias("n")])
///     .to("word-counts", json());
///
/// let mut driver = TestDriver::new(&app)?;
/// driver.pipe("lines", TestRecord::new("to be or not to be"))?;
/// driver.commit()?;
/// let mut counts = driver.read("word-counts");
/// counts.sort_by(|a, b| a.key.cmp(&b.key));
/// assert_eq!(counts[0].as_text(), ("be", r#"{"n":2}"#));
///
/// driver.restart()?; // as another process would go on
/// driver.pipe("lines", TestRecord::new("be"))?;
/// driver.commit()?;
/// assert_eq!(driver.read("word-counts")[0].as_text(), ("be", r#"{"n":3}"#));
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub struct TestDriver {
    topology: Topology,
    surroundings: Surroundings,
    partitions: i32,
    /// By sub-topology and partition.
    tasks: BTreeMap<(usize, i32), Task>,
    topics: Topics,
    /// How far each input of each task was read.
    positions: HashMap<(usize, usize, i32), usize>,
    /// What the last epochs committed for them.
    committed: HashMap<(usize, usize, i32), Position>,
    /// Global tables, each with how far its partitions were read.
    globals: Vec<(Arc<Mutex<GlobalTask>>, Vec<usize>)>,
    /// The wall clock of the tasks.
    now: Instant,
    /// How much of an output was given to the test.
    given: HashMap<(String, i32), usize>,
    /// Local stores, if memory for states has a limit.
    #[cfg(test)]
    local: Option<local::Local>,
}

/// Topics by name, each with its partitions.
#[derive(Clone)]
struct Topics {
    logs: BTreeMap<String, Vec<Vec<TestRecord>>>,
    partitions: usize,
    /// Records without a key, which go round.
    keyless: usize,
}

impl Topics {
    fn append(&mut self, topic: &str, record: TestRecord) {
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => usize::try_from(partition).unwrap_or(0),
            (None, Some(key)) => (murmur2(key) & 0x7fff_ffff) as usize % self.partitions,
            (None, None) => {
                self.keyless += 1;
                (self.keyless - 1) % self.partitions
            }
        };
        let count = self.partitions;
        let logs = self
            .logs
            .entry(topic.to_owned())
            .or_insert_with(|| vec![Vec::new(); count]);
        let record = TestRecord {
            partition: i32::try_from(partition).ok(),
            ..record
        };
        if let Some(log) = logs.get_mut(partition) {
            log.push(record);
        }
    }

    fn append_all(&mut self, records: &RecordBuffer) {
        let (topic, partition, header) = match records.destination() {
            Destination::ByKey(topic) => (topic, None, None),
            Destination::Partition {
                topic,
                partition,
                batch_header,
            } => (topic, Some(*partition), *batch_header),
        };
        for record in records.records() {
            let OutputRecord { time, key, value, .. } = record;
            let batch = header.map(|header| (BATCH_HEADER.to_owned(), Some(header.to_vec())));
            let own = record.headers.iter();
            let headers = own.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
            self.append(
                topic,
                TestRecord {
                    key: key.map(<[u8]>::to_vec),
                    value: value.map(<[u8]>::to_vec),
                    timestamp: (time != NO_TIME).then_some(time),
                    partition,
                    headers: headers.chain(batch).collect(),
                },
            );
        }
    }

    fn log(&self, topic: &str, partition: i32) -> &[TestRecord] {
        let logs = self.logs.get(topic);
        let log = logs.and_then(|logs| logs.get(usize::try_from(partition).ok()?));
        log.map_or(&[], Vec::as_slice)
    }
}

impl TestDriver {
    /// A driver whose topics have one partition.
    ///
    /// # Errors
    /// [`StreamsError::Plan`] if the topology is faulty.
    pub fn new(app: &Streams) -> Result<Self, StreamsError> {
        Self::with_partitions(app, 1)
    }

    /// A driver whose topics all have as many partitions, at least one.
    ///
    /// # Errors
    /// As [`TestDriver::new`].
    pub fn with_partitions(app: &Streams, partitions: i32) -> Result<Self, StreamsError> {
        let topology = app.build()?;
        let partitions = partitions.max(1);
        let count = usize::try_from(partitions).unwrap_or(1);
        let repartitions = topology.repartitions.iter();
        let surroundings = Surroundings {
            partitions: repartitions
                .map(|topic| (Arc::clone(&topic.topic), count))
                .collect(),
            tasks: topology
                .sub_topologies
                .iter()
                .map(|sub| (sub.id, count))
                .collect(),
            ..Surroundings::default()
        };
        let mut driver = Self {
            topology,
            surroundings,
            partitions,
            tasks: BTreeMap::new(),
            topics: Topics {
                logs: BTreeMap::new(),
                partitions: count,
                keyless: 0,
            },
            positions: HashMap::new(),
            committed: HashMap::new(),
            globals: Vec::new(),
            now: Instant::now(),
            given: HashMap::new(),
            #[cfg(test)]
            local: None,
        };
        driver.restart()?;
        Ok(driver)
    }

    /// Adds a record to a source topic; [`TestDriver::commit`] has it worked on.
    ///
    /// # Errors
    /// [`StreamsError::MissingTopics`] if the topology does not read the topic, or it has no such partition.
    pub fn pipe(&mut self, topic: &str, record: TestRecord) -> Result<(), StreamsError> {
        let known =
            self.topology.source_topics().contains(&topic) || self.topology.global_topics().contains(&topic);
        let there = record
            .partition
            .is_none_or(|partition| (0..self.partitions).contains(&partition));
        if !known || !there {
            let partition = record
                .partition
                .map_or(String::new(), |partition| format!("-{partition}"));
            return Err(StreamsError::MissingTopics {
                bootstrap_servers: "the test driver".to_owned(),
                topics: vec![format!("{topic}{partition}")],
            });
        }
        self.topics.append(topic, record);
        Ok(())
    }

    /// Ends the epoch: what was piped goes all the way, through every repartition topic.
    ///
    /// # Errors
    /// [`StreamsError::Task`], as on a cluster.
    pub fn commit(&mut self) -> Result<(), StreamsError> {
        let tasks: Vec<(usize, i32)> = self.tasks.keys().copied().collect();
        for _ in 0..self.topology.passes() {
            for id in &tasks {
                self.epoch(*id, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// All rows of a store: what [`StreamsHandle::store`](crate::StreamsHandle::store) would find with all partitions in one process. Rows
    /// of windows are those of the open ones.
    ///
    /// # Errors
    /// [`QueryError`], as on a cluster.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app = Streams::new("count");
    /// let counts = app.stream("in", text("line")).group_by([col("line")]).aggregate("counts", [count_all().alias("n")]);
    /// counts.to("out", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("in", TestRecord::new("a"))?;
    /// assert_eq!(driver.store("counts")?.num_rows(), 0); // nothing is committed yet
    /// driver.commit()?;
    /// assert_eq!(driver.store("counts")?.num_rows(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(&mut self, name: &str) -> Result<RecordBatch, QueryError> {
        let stores = self.stores();
        self.with_tasks(|tasks| stores.rows(name, tasks))
    }

    /// The stores by name.
    pub(crate) fn stores(&self) -> DriverStores {
        DriverStores::new(&self.topology, &self.surroundings.tasks)
    }

    /// The tasks, to be asked.
    pub(crate) fn with_tasks<T>(&mut self, ask: impl FnOnce(DriverTasks<'_>) -> T) -> T {
        #[cfg(test)]
        let local = self.local.as_ref();
        let reader = |_at: &TopicPartition| -> Option<StoreReader> {
            #[cfg(test)]
            return local.and_then(|local| local.reader(_at));
            #[cfg(not(test))]
            None
        };
        ask(DriverTasks {
            tasks: &mut self.tasks,
            reader: &reader,
        })
    }

    /// Lets time pass outside: what is to happen after a silence happens at the next commit. Event time does not move by
    /// itself.
    ///
    /// # Errors
    /// As [`TestDriver::commit`].
    pub fn advance_wall_clock(&mut self, by: Duration) -> Result<(), StreamsError> {
        // The first look notes since when there is silence.
        self.look_for_silence();
        self.now += by;
        self.look_for_silence();
        self.commit()
    }

    fn look_for_silence(&mut self) {
        for (&(sub, partition), task) in &mut self.tasks {
            for (input, position) in task.silent_inputs(self.now) {
                let topic = &self.topology.sub_topologies[sub].inputs[input].topic;
                let (end, read) = (
                    self.topics.log(topic, partition).len(),
                    self.positions.get(&(sub, input, partition)),
                );
                if read.copied().unwrap_or(0) == end {
                    let end = i64::try_from(end).unwrap_or(i64::MAX);
                    task.set_read(input, position, end, self.now);
                }
            }
        }
    }

    /// An epoch of one task, with at most so many records of each of its inputs.
    pub(crate) fn epoch(&mut self, id: (usize, i32), records_max: usize) -> Result<(), StreamsError> {
        self.run_epoch(id, records_max)?;
        #[cfg(test)]
        self.local.iter_mut().for_each(local::Local::commit);
        Ok(())
    }

    fn run_epoch(&mut self, id: (usize, i32), records_max: usize) -> Result<(), StreamsError> {
        self.read_globals()?;
        let (sub, partition) = id;
        let Some(task) = self.tasks.get_mut(&id) else {
            return Ok(());
        };
        for (input, source) in self.topology.sub_topologies[sub].inputs.iter().enumerate() {
            let position = self.positions.entry((sub, input, partition)).or_default();
            let end = self.topics.log(&source.topic, partition).len();
            let range: Range<usize> = *position..end.min(position.saturating_add(records_max));
            *position = range.end;
            for place in range {
                let record = self.topics.log(&source.topic, partition)[place].clone();
                let topics = &mut self.topics;
                task.accept(
                    input,
                    &record.input(&source.topic, partition, place),
                    &mut |records| {
                        topics.append_all(records);
                        Ok(())
                    },
                )?;
            }
        }
        let topics = &mut self.topics;
        #[cfg(test)]
        let local = &mut self.local;
        let mut publish = |records: &RecordBuffer| {
            topics.append_all(records);
            #[cfg(test)]
            local.iter_mut().for_each(|local| local.stage(records));
            Ok(())
        };
        task.end_epoch(&mut publish)?;
        task.announce(&mut publish)?;
        for (topic, position) in task.positions() {
            let inputs = &self.topology.sub_topologies[sub].inputs;
            if let Some(input) = inputs.iter().position(|input| input.topic == *topic) {
                self.committed.insert((sub, input, partition), position);
            }
        }
        Ok(())
    }

    /// Makes the global tables anew, with nothing read.
    fn make_globals(&mut self) -> Result<(), StreamsError> {
        self.globals.clear();
        self.surroundings.globals.clear();
        for plan in &self.topology.globals {
            let task = Arc::new(Mutex::new(GlobalTask::new(plan, &self.surroundings)?));
            let view: Arc<Mutex<dyn GlobalView>> = Arc::clone(&task) as _;
            self.surroundings.globals.push(SharedView(view));
            self.globals.push((task, vec![0; self.topics.partitions]));
        }
        Ok(())
    }

    /// Reads what there is of the global tables.
    fn read_globals(&mut self) -> Result<(), StreamsError> {
        for (plan, (task, positions)) in self.topology.globals.iter().zip(&mut self.globals) {
            let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
            for (partition, position) in (0..).zip(positions) {
                for record in &self.topics.log(&plan.topic, partition)[*position..] {
                    task.accept(&record.input(&plan.topic, partition, *position))?;
                    *position += 1;
                }
            }
            task.settle()?;
        }
        Ok(())
    }

    /// An epoch of one task that is not committed: nothing of it counts, and the tasks begin anew.
    #[cfg(test)]
    pub(crate) fn aborted_epoch(&mut self, id: (usize, i32), records_max: usize) -> Result<(), StreamsError> {
        let before = (
            self.topics.clone(),
            self.positions.clone(),
            self.committed.clone(),
        );
        self.run_epoch(id, records_max)?;
        (self.topics, self.positions, self.committed) = before;
        self.local.iter_mut().for_each(local::Local::abort);
        self.restart()
    }

    /// Another version of the job goes on with the same topics.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, app: &Streams) -> Result<(), StreamsError> {
        self.topology = app.build()?;
        self.restart()
    }

    /// The tasks there are.
    #[cfg(test)]
    pub(crate) fn task_ids(&self) -> Vec<(usize, i32)> {
        self.tasks.keys().copied().collect()
    }

    /// How many records and rows were dropped as [`skip`](crate::skip) says, and how many went to dead letter topics.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("numbers");
    /// app.stream("lines", text("line"))
    ///     .with_column("number", cast(col("line"), DataType::Int64))
    ///     .on_error(dead_letter("no-numbers"))
    ///     .to("numbers", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("lines", TestRecord::new("1"))?;
    /// driver.pipe("lines", TestRecord::new("one"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.rows_dropped(), (0, 1));
    /// assert_eq!(driver.read("numbers")[0].as_text().1, r#"{"line":"1","number":1}"#);
    /// assert_eq!(driver.read("no-numbers")[0].as_text().1, r#"{"line":"one"}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn rows_dropped(&self) -> (u64, u64) {
        let errors = &self.surroundings.errors;
        (
            errors.skipped.load(Ordering::Relaxed),
            errors.dead_lettered.load(Ordering::Relaxed),
        )
    }

    /// What was written to a topic since the last call, partition by partition. Internal topics can be read as well.
    pub fn read(&mut self, topic: &str) -> Vec<TestRecord> {
        let mut records = Vec::new();
        for partition in 0..self.partitions {
            let log = self.topics.log(topic, partition);
            let given = self.given.entry((topic.to_owned(), partition)).or_default();
            records.extend_from_slice(log.get(*given..).unwrap_or_default());
            *given = log.len();
        }
        records
    }

    /// Makes all tasks anew, as another process does that takes over: what was not committed is forgotten with them, and state
    /// is rebuilt from the changelogs.
    ///
    /// # Errors
    /// [`StreamsError::Task`] if a changelog does not fit its step.
    pub fn restart(&mut self) -> Result<(), StreamsError> {
        self.tasks.clear();
        self.make_globals()?;
        #[cfg(test)]
        self.local
            .iter_mut()
            .for_each(|local| local.checkpoint(&self.topics));
        for sub in &self.topology.sub_topologies {
            for partition in 0..self.partitions {
                let mut task = Task::new(Arc::clone(sub), partition, &self.surroundings)?;
                for input in 0..sub.inputs.len() {
                    task.stand_at(input, self.committed.get(&(sub.id, input, partition)));
                }
                for (step, topic) in sub.stores() {
                    let log = self.topics.log(topic, partition);
                    #[cfg(test)]
                    if let Some(local) = &mut self.local {
                        local.restore(&mut task, step, topic, partition, log)?;
                        continue;
                    }
                    for record in log {
                        task.restore(step, record.key.as_deref(), record.value.as_deref())?;
                    }
                    task.end_restore(step)?;
                }
                self.tasks.insert((sub.id, partition), task);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "testing_local.rs"]
mod local;
#[cfg(test)]
pub(crate) use local::limit;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, Field, Schema, col, count_all, json, json_schema, max, split_words, sum, text};
    use proptest::prelude::*;

    fn word_count() -> Streams {
        let app = Streams::new("wc");
        app.stream("lines", text("line").with_timestamp("at"))
            .to("copy", json());
        app.stream("lines", text("line").with_timestamp("at"))
            .flat_map(split_words(col("line")).alias("word"))
            .group_by([col("word")])
            .aggregate("counts", [count_all().alias("n"), max(col("word")).alias("most")])
            .to("counts", json());
        app
    }

    #[test]
    fn records_keep_their_time_and_place() {
        let app = word_count();
        let mut driver = TestDriver::with_partitions(&app, 3).unwrap();
        driver
            .pipe("lines", TestRecord::new("a b").at(7).partition(2))
            .unwrap();
        driver
            .pipe("lines", TestRecord::new("a").at(9).partition(0))
            .unwrap();
        driver
            .pipe("lines", TestRecord::null().at(8).partition(1))
            .unwrap();
        assert!(
            driver.read("counts").is_empty(),
            "nothing happens before the commit"
        );
        driver.commit().unwrap();
        let counts = driver.read("counts");
        let of = |word: &str| counts.iter().find(|record| record.as_text().0 == word).unwrap();
        assert_eq!(of("a").as_text().1, r#"{"n":2,"most":"a"}"#);
        assert_eq!((of("a").timestamp, of("b").timestamp), (Some(9), Some(7)));
        assert_eq!(driver.read("copy").len(), 3);
        assert!(driver.read("counts").is_empty(), "each is given once");
        assert!(!driver.read("wc-counts-changelog").is_empty());
    }

    /// A key that was new in an epoch, with nulls alone, got the sum 0 and the least number there is as its maximum, if the
    /// epoch touched stored keys as well and these had no nulls.
    #[test]
    fn a_new_key_without_values_beside_stored_ones_has_null_results() {
        let schema = Schema::new(vec![
            Field::new("k", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]);
        let app = Streams::new("nulls");
        app.stream("in", json_schema(schema))
            .group_by([col("k")])
            .aggregate("all", [sum(col("n")).alias("sum"), max(col("n")).alias("max")])
            .to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        driver.pipe("in", TestRecord::new(r#"{"k":"a","n":1}"#)).unwrap();
        driver.commit().unwrap();
        for value in [r#"{"k":"new"}"#, r#"{"k":"a","n":2}"#] {
            driver.pipe("in", TestRecord::new(value)).unwrap();
        }
        driver.commit().unwrap();
        let found = driver.read("out");
        let found: Vec<_> = found.iter().map(TestRecord::as_text).collect();
        let expected = [
            ("a", r#"{"sum":1,"max":1}"#),
            ("new", r#"{"sum":null,"max":null}"#),
            ("a", r#"{"sum":3,"max":2}"#),
        ];
        assert_eq!(found, expected);
    }

    /// The sub-topology behind `late` was the same as that behind `early`, and came before the one that writes to it.
    #[test]
    fn merged_streams_come_all_the_way_whatever_was_written_down_first() {
        let app = Streams::new("merged");
        let moved = |topic: &str| app.stream(topic, text("line")).repartition(topic, [col("line")]);
        let (early, late) = (moved("early"), moved("late"));
        early.merge(&late).to("out", json());
        let topology = app.build().unwrap();
        for topic in &topology.repartitions {
            assert!(topic.upstream < topology.reader_of(&topic.topic).unwrap().0.id);
        }
        assert_eq!(topology.passes(), 1);
        let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
        driver.pipe("early", TestRecord::new("a")).unwrap();
        driver.pipe("late", TestRecord::new("b")).unwrap();
        driver.commit().unwrap();
        assert_eq!(driver.read("out").len(), 2);
    }

    /// What a task writes to itself waited for the next commit.
    #[test]
    fn a_stream_merged_with_itself_from_behind_comes_all_the_way() {
        let app = Streams::new("circle");
        let lines = app.stream("lines", text("line"));
        let once = lines.merge(&lines.repartition("once", [col("line")]));
        once.merge(&once.repartition("twice", [col("line")]))
            .to("out", json());
        let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
        driver.pipe("lines", TestRecord::new("a")).unwrap();
        driver.commit().unwrap();
        assert_eq!(driver.read("out").len(), 4);
    }

    #[test]
    fn what_the_topology_does_not_read_is_refused() {
        let mut driver = TestDriver::new(&word_count()).unwrap();
        let error = driver.pipe("line", TestRecord::new("a")).unwrap_err().to_string();
        assert!(error.contains("has no topic line"), "{error}");
        let error = driver
            .pipe("lines", TestRecord::new("a").partition(1))
            .unwrap_err();
        assert!(error.to_string().contains("lines-1"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whatever is committed and restarted when: the last count of each word is how often it was piped.
        #[test]
        fn counts_survive_any_restarts(
            steps in proptest::collection::vec((0..8_u8, "[a-c]( [a-c]){0,3}", 0..3_i32), 1..40),
        ) {
            let app = word_count();
            let mut driver = TestDriver::with_partitions(&app, 3).unwrap();
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for (what, line, partition) in steps {
                match what {
                    0 => { driver.commit().unwrap(); driver.restart().unwrap(); }
                    1 | 2 => driver.commit().unwrap(),
                    _ => {
                        line.split(' ').for_each(|word| *expected.entry(word.to_owned()).or_default() += 1);
                        driver.pipe("lines", TestRecord::new(line).partition(partition)).unwrap();
                    }
                }
            }
            driver.commit().unwrap();
            let mut found = BTreeMap::new();
            for record in driver.read("counts") {
                let (word, value) = record.as_text();
                let value: serde_json::Value = serde_json::from_str(value).unwrap();
                let count = value["n"].as_u64().unwrap();
                let before = found.insert(word.to_owned(), count);
                prop_assert!(before.is_none_or(|before| before < count));
            }
            prop_assert_eq!(found, expected);
        }
    }
}
