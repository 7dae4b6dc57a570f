//! Connectors for tests: a source of numbers, sinks, and a converter that passes on.
mod ledger;
mod memory;
mod plain;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Boundary, Budget, Connector, ConnectorContext, ExactlyOnceSupport, Plugin, PluginError, Registry,
    SourceBatch, SourceOffset, SourcePartition, SourcePlugin, SourceTask, SourceTaskContext, TaskSignal,
};
use millstream_connect::record::{Datum, Record, Value};
use serde_json::json;

pub use self::ledger::Ledger;
pub use self::memory::MemoryScript;
use crate::harness::wait;

/// What the plugins of a worker are to do, and what they did.
#[derive(Clone, Default)]
pub struct Scripts {
    pub numbers: Arc<NumbersScript>,
    pub memory: Arc<MemoryScript>,
    pub ledger: Arc<Ledger>,
}

impl Scripts {
    /// The test's plugins behind those of `registry`.
    pub fn plugins(&self, registry: Registry) -> Arc<Registry> {
        let registry = registry
            .with_converter(plain::Plain)
            .with_header_converter(plain::Plain)
            .with_source(Numbers(Arc::clone(&self.numbers)))
            .with_sink(memory::Memory(Arc::clone(&self.memory)))
            .with_sink(ledger::LedgerSink(Arc::clone(&self.ledger)));
        Arc::new(registry)
    }
}

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
    /// What was asked for; `nonsense` is refused.
    pub signals: Mutex<Vec<TaskSignal>>,
}

impl NumbersScript {
    /// Waits until the offset behind all numbers below `next` is stored.
    pub fn await_stored(&self, next: i64) {
        wait(|| (*self.committed.lock().unwrap() == Some(next)).then_some(()));
    }
}

/// The values of these numbers.
pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
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
        Box::new(OneTask(ConfigMap::new()))
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

/// A connector that hands its password on within an address.
struct OneTask(ConfigMap);

#[async_trait]
impl Connector for OneTask {
    async fn start(&mut self, config: &ConfigMap, _context: ConnectorContext) -> Result<(), PluginError> {
        self.0 = config.clone();
        if let Some(password) = config.get("password") {
            self.0
                .insert("url".to_owned(), format!("db://me:{password}@host"));
        }
        Ok(())
    }

    fn task_configs(&mut self, _max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        Ok(vec![self.0.clone()])
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

    async fn signal(&mut self, signal: &TaskSignal) -> Result<(), PluginError> {
        if signal.kind == "nonsense" {
            return Err(PluginError::user_config("it makes no sense"));
        }
        self.script.signals.lock().unwrap().push(signal.clone());
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
            forgotten.extend(self.passing.replace(passing(until)));
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
