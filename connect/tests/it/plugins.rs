//! Connectors for tests: a source of numbers, a sink that remembers, and a converter that passes on.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Boundary, Budget, Connector, Converter, ConverterPlugin, Encoded, ExactlyOnceSupport, FailedRecord,
    HeaderConverter, HeaderConverterPlugin, PartitionOffset, Plugin, PluginError, SameForAll, SinkPlugin,
    SinkTask, SinkTaskContext, SourceBatch, SourceOffset, SourcePartition, SourcePlugin, SourceTask,
    SourceTaskContext, TopicPartition,
};
use millstream_connect::record::{Datum, Record, Schema, Value};
use serde_json::json;

/// What the tasks of the source of numbers do.
#[derive(Default)]
pub struct NumbersScript {
    /// Numbers are below it; more come when it grows.
    pub end: AtomicUsize,
    pub batch: AtomicUsize,
    /// Polls that fail first, one after another.
    pub failures: Mutex<Vec<PluginError>>,
    /// Polls do not come back.
    pub hangs: AtomicBool,
    /// So many polls do not come back before they are released.
    pub hanging_polls: AtomicUsize,
    pub released: AtomicBool,
    pub panics: AtomicBool,
    /// Each poll takes so long, in milliseconds, and cannot be dropped.
    pub poll_takes_ms: AtomicU64,
    /// Dropping a task panics.
    pub panics_when_dropped: AtomicBool,
    /// Batches whose last number can be divided by it are said to be dropped (0: none).
    pub aborts: AtomicUsize,
    /// Values of so many bytes come instead of these numbers.
    pub large: Mutex<Option<(usize, usize)>>,
    /// Keys and values that come one after another before all numbers.
    pub texts: Mutex<Vec<(Option<&'static str>, Option<&'static str>)>>,
    /// Batches end a transaction only where the number can be divided by it (0: boundaries are not said).
    pub boundary: AtomicUsize,
    /// What was said to be stored last.
    pub committed: Mutex<Option<i64>>,
    /// Each batch has an offset of a partition of its own, too, and forgets that of the one before.
    pub forgets: AtomicBool,
    /// The first batch forgets this one's, too (0: none).
    pub forgets_first: AtomicUsize,
    /// Values that come as something no converter takes.
    pub odd: Mutex<Vec<usize>>,
    pub starts: AtomicUsize,
}

pub struct Numbers(pub Arc<NumbersScript>);

impl Plugin for Numbers {
    fn class(&self) -> &'static str {
        "test.NumbersConnector"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl SourcePlugin for Numbers {
    fn exactly_once(&self, _config: &ConfigMap) -> ExactlyOnceSupport {
        ExactlyOnceSupport::Supported
    }
    fn defines_transaction_boundaries(&self, _config: &ConfigMap) -> bool {
        true
    }
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(1))
    }
    fn new_task(&self) -> Box<dyn SourceTask> {
        let script = Arc::clone(&self.0);
        Box::new(NumbersTask {
            script,
            next: 0,
            topic: "".into(),
            passing: None,
        })
    }
}

struct NumbersTask {
    script: Arc<NumbersScript>,
    next: usize,
    topic: Arc<str>,
    passing: Option<SourcePartition>,
}

fn passing(until: usize) -> SourcePartition {
    SourcePartition::new().with("passing", until)
}

fn partition() -> SourcePartition {
    serde_json::from_value(json!({ "numbers": "all" })).unwrap()
}

#[async_trait]
impl SourceTask for NumbersTask {
    async fn start(&mut self, config: &ConfigMap, context: SourceTaskContext) -> Result<(), PluginError> {
        self.script.starts.fetch_add(1, Ordering::SeqCst);
        self.topic = config["topic"].as_str().into();
        let stored = context.offsets.offset(&partition()).await?;
        self.next = stored.map_or(0, |offset| offset.0["next"].as_u64().unwrap() as usize);
        Ok(())
    }

    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        let script = &self.script;
        assert!(!script.panics.load(Ordering::SeqCst), "the script says so");
        while script.hangs.load(Ordering::SeqCst) {
            // As a call into a library that does not come back: not by an await.
            std::thread::sleep(Duration::from_millis(10));
        }
        if take_one(&script.hanging_polls) {
            while !script.released.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let pause = script.poll_takes_ms.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(pause));
        if let Some(error) = script.failures.lock().unwrap().pop() {
            return Err(error);
        }
        let texts = std::mem::take(&mut *script.texts.lock().unwrap());
        if !texts.is_empty() {
            let datum = |text: Option<&str>| text.map_or(Datum::NULL, Datum::text);
            let records = texts.into_iter().map(|(key, value)| {
                let mut record = Record::new(Arc::clone(&self.topic), datum(value));
                record.key = datum(key);
                record
            });
            let records = records.collect();
            return Ok(SourceBatch {
                records,
                ..SourceBatch::default()
            });
        }
        let end = script.end.load(Ordering::SeqCst);
        if self.next >= end {
            tokio::time::sleep(budget.wait.min(Duration::from_millis(20))).await;
            return Ok(SourceBatch::default());
        }
        let until = end.min(self.next + script.batch.load(Ordering::SeqCst).max(1));
        let odd = script.odd.lock().unwrap().clone();
        let large = *script.large.lock().unwrap();
        let records = (self.next..until).map(|number| {
            let value = match large {
                _ if odd.contains(&number) => Datum::schemaless(Value::Boolean(true)),
                Some((its, bytes)) if its == number => Datum::text("x".repeat(bytes)),
                _ => Datum::text(number.to_string()),
            };
            Record::new(Arc::clone(&self.topic), value)
        });
        let records = records.collect();
        self.next = until;
        let boundary = script.boundary.load(Ordering::SeqCst);
        let offset: SourceOffset = serde_json::from_value(json!({ "next": until })).unwrap();
        let (mut offsets, mut forgotten) = (vec![(partition(), offset.clone())], Vec::new());
        if script.forgets.load(Ordering::SeqCst) {
            offsets.push((passing(until), offset));
            forgotten.extend(std::mem::replace(&mut self.passing, Some(passing(until))));
            let first = script.forgets_first.swap(0, Ordering::SeqCst);
            forgotten.extend((first > 0).then(|| passing(first)));
        }
        Ok(SourceBatch {
            records,
            offsets,
            forgotten,
            boundary: match script.aborts.load(Ordering::SeqCst) {
                aborts if aborts > 0 && until.is_multiple_of(aborts) => Boundary::Abort,
                _ if boundary > 0 && until.is_multiple_of(boundary) => Boundary::Commit,
                _ => Boundary::None,
            },
            ..SourceBatch::default()
        })
    }

    async fn committed(&mut self, offsets: &[(SourcePartition, SourceOffset)]) -> Result<(), PluginError> {
        *self.script.committed.lock().unwrap() = offsets[0].1.0["next"].as_i64();
        Ok(())
    }
}

impl Drop for NumbersTask {
    fn drop(&mut self) {
        let panics = self.script.panics_when_dropped.load(Ordering::SeqCst);
        assert!(!panics, "the script says that dropping panics");
    }
}

/// Whether one was left.
fn take_one(number: &AtomicUsize) -> bool {
    let less = |number: usize| number.checked_sub(1);
    number
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

/// What the tasks of the sink that remembers do.
#[derive(Default)]
pub struct MemoryScript {
    /// What was put, by topic, partition and offset.
    pub put: Mutex<BTreeMap<(String, i32, i64), String>>,
    pub calls: AtomicUsize,
    /// `put` fails so often at first.
    pub retriable: AtomicUsize,
    /// Values that are refused.
    pub refused: Mutex<Vec<String>>,
    /// Nothing beyond this offset is durable (0: all is).
    pub durable: Mutex<Option<i64>>,
    /// Offsets that the sink keeps itself.
    pub owned: Mutex<Vec<(String, i32, i64)>>,
    pub closed: AtomicUsize,
    pub lost: AtomicUsize,
    /// So many puts do nothing before they are released.
    pub hanging_puts: AtomicUsize,
    pub released: AtomicBool,
    /// So many puts panic.
    pub panicking_puts: AtomicUsize,
    /// Each put takes so long, in milliseconds.
    pub put_takes_ms: AtomicU64,
    /// How often each value was put.
    pub times: Mutex<BTreeMap<String, usize>>,
    /// Whether it keeps its offsets itself: with each put, and of the newest owner only.
    pub keeps_offsets: AtomicBool,
    /// The newest owner of each partition.
    pub epochs: Mutex<BTreeMap<(String, i32), u64>>,
    /// Keys and values as they came.
    pub pairs: Mutex<Vec<(Datum, Datum)>>,
}

impl MemoryScript {
    /// The values that were put, in the order of their offsets.
    pub fn values(&self) -> Vec<String> {
        self.put.lock().unwrap().values().cloned().collect()
    }

    /// What a put does to what is remembered; an owner that was replaced does nothing.
    fn keep(&self, record: &Record, text: &str, epoch: Option<&u64>) -> bool {
        let origin = record.origin.as_ref().unwrap();
        let place = (origin.topic.to_string(), origin.partition);
        if self.keeps_offsets.load(Ordering::SeqCst) {
            let epochs = self.epochs.lock().unwrap();
            if epochs.get(&place) != epoch {
                return false;
            }
            let mut owned = self.owned.lock().unwrap();
            owned.retain(|(topic, partition, _)| (topic, *partition) != (&place.0, place.1));
            owned.push((place.0.clone(), place.1, origin.offset + 1));
        }
        *self.times.lock().unwrap().entry(text.to_owned()).or_default() += 1;
        let pair = (record.key.clone(), record.value.clone());
        self.pairs.lock().unwrap().push(pair);
        let (topic, partition) = place;
        let place = (topic, partition, origin.offset);
        self.put.lock().unwrap().insert(place, text.to_owned());
        true
    }
}

pub struct Memory(pub Arc<MemoryScript>);

impl Plugin for Memory {
    fn class(&self) -> &'static str {
        "test.MemorySinkConnector"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl SinkPlugin for Memory {
    fn alter_offsets(
        &self,
        _config: &ConfigMap,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), PluginError> {
        let mut owned = self.0.owned.lock().unwrap();
        for (TopicPartition { topic, partition }, next) in offsets {
            owned.retain(|own| *own.0 != **topic || own.1 != *partition);
            owned.extend(next.map(|next| (topic.to_string(), *partition, next)));
        }
        Ok(())
    }
    fn owned_offsets(&self, _config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
        let owned = self.0.owned.lock().unwrap();
        let owned = owned.iter().map(|(topic, partition, next)| PartitionOffset {
            partition: TopicPartition {
                topic: topic.as_str().into(),
                partition: *partition,
            },
            next: *next,
        });
        Ok(owned.collect())
    }
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(8))
    }
    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(MemoryTask(Arc::clone(&self.0), BTreeMap::new()))
    }
}

/// The epoch of each partition that it has.
struct MemoryTask(Arc<MemoryScript>, BTreeMap<(String, i32), u64>);

#[async_trait]
impl SinkTask for MemoryTask {
    async fn start(&mut self, _config: &ConfigMap, _context: SinkTaskContext) -> Result<(), PluginError> {
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        for partition in partitions {
            let place = (partition.topic.to_string(), partition.partition);
            let mut epochs = self.0.epochs.lock().unwrap();
            let epoch = epochs.get(&place).map_or(1, |epoch| epoch + 1);
            epochs.insert(place.clone(), epoch);
            drop(epochs);
            self.1.insert(place, epoch);
        }
        let owned = self.0.owned.lock().unwrap();
        let of = |partition: &TopicPartition| {
            let own = owned
                .iter()
                .find(|own| *own.0 == *partition.topic && own.1 == partition.partition)?;
            Some(PartitionOffset {
                partition: partition.clone(),
                next: own.2,
            })
        };
        Ok(partitions.iter().filter_map(of).collect())
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.retriable.load(Ordering::SeqCst) > 0 {
            self.0.retriable.fetch_sub(1, Ordering::SeqCst);
            return Err(PluginError::retriable("not yet"));
        }
        assert!(!take_one(&self.0.panicking_puts), "the script says so");
        if take_one(&self.0.hanging_puts) {
            while !self.0.released.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let pause = self.0.put_takes_ms.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(pause));
        let (refused, mut failed) = (self.0.refused.lock().unwrap().clone(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            let text = record.value.value.as_str().unwrap_or("-").to_owned();
            if refused.contains(&text) {
                let error = PluginError::bad_record(format!("{text} is refused"));
                failed.push(FailedRecord { index, error });
                continue;
            }
            let origin = record.origin.as_ref().unwrap();
            let place = (origin.topic.to_string(), origin.partition);
            if !self.0.keep(record, &text, self.1.get(&place)) {
                return Err(PluginError::disconnected("another has the partition"));
            }
        }
        Ok(failed)
    }

    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        let most = *self.0.durable.lock().unwrap();
        let mut durable = taken.to_vec();
        for offset in &mut durable {
            offset.next = most.map_or(offset.next, |most| offset.next.min(most));
        }
        Ok(durable)
    }

    async fn close(&mut self, _partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        self.0.lost.fetch_add(usize::from(lost), Ordering::SeqCst);
        Ok(())
    }
}

/// Texts as they are; "bad" is not read, and nothing but text is written.
pub struct Plain;

impl Plugin for Plain {
    fn class(&self) -> &'static str {
        "test.PlainConverter"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl ConverterPlugin for Plain {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(PlainConverter))
    }
}

impl HeaderConverterPlugin for Plain {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(PlainConverter))
    }
}

struct PlainConverter;

impl Converter for PlainConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        match &datum.value {
            Value::Null => Ok(Encoded::Null),
            Value::String(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(Encoded::Bytes)
            }
            other => Err(PluginError::bad_record(format!(
                "a {} is no text",
                other.kind_name()
            ))),
        }
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        if &**bytes == b"bad" {
            return Err(PluginError::bad_record("bad is bad"));
        }
        let text = ByteString::try_from(bytes.clone())
            .map_err(|error| PluginError::bad_record(error.to_string()))?;
        Ok(Datum::new(Schema::optional_string(), Value::String(text)))
    }
}

impl HeaderConverter for PlainConverter {
    fn encode(
        &mut self,
        topic: &str,
        _name: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, PluginError> {
        Converter::encode(self, topic, datum, out)
    }

    fn decode(&mut self, topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        Converter::decode(self, topic, bytes)
    }
}
