//! A worker without a cluster: what it commits is what a cluster would have.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Boundary, Budget, OffsetReader, PluginError, SourceOffset, SourcePartition, SourcePlugin, SourceTask,
    SourceTaskContext, TaskId, async_trait,
};
use millstream_connect::record::{Record, Value};
use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::source::{MariaDbSource, MySqlSource};

use crate::servers::{Kind, Server};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stored offsets.
#[derive(Default)]
pub struct Store(Mutex<HashMap<SourcePartition, SourceOffset>>);

#[async_trait]
impl OffsetReader for Store {
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError> {
        Ok(self.0.lock().unwrap().get(partition).cloned())
    }

    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        let offsets = self.0.lock().unwrap();
        Ok(offsets
            .iter()
            .map(|(partition, offset)| (partition.clone(), offset.clone()))
            .collect())
    }
}

/// When records and offsets become part of what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Commits {
    /// After each poll.
    EachPoll,
    /// Where the connector says.
    WhereItSays,
}

/// A connector, and what it has delivered.
pub struct Delivered {
    plugin: Box<dyn SourcePlugin>,
    pub config: ConfigMap,
    pub store: Arc<Store>,
    pub records: Vec<Record>,
    pub commits: Commits,
}

/// Its task.
pub struct Running<'a> {
    delivered: &'a mut Delivered,
    task: Box<dyn SourceTask>,
    records: Vec<Record>,
    offsets: Vec<(SourcePartition, SourceOffset)>,
    pub finished: bool,
}

impl Delivered {
    pub fn new(server: &Server, more: &[(&str, &str)]) -> Self {
        let plugin: Box<dyn SourcePlugin> = match server.kind {
            Kind::MariaDb => Box::new(MariaDbSource),
            _ => Box::new(MySqlSource),
        };
        let port = server.port.to_string();
        // Tests share servers, where every replica has a number of its own.
        let id = (rand() | 1 << 20).to_string();
        let mut config: ConfigMap = [
            ("name", "inventory"),
            ("database.hostname", "127.0.0.1"),
            ("database.port", &port),
            ("database.user", "root"),
            ("database.server.id", &id),
            ("topic.prefix", "p"),
            ("snapshot.mode", "no_data"),
            ("include.schema.changes", "false"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (key, value) in more {
            config.insert((*key).to_owned(), (*value).to_owned());
        }
        Self {
            plugin,
            config,
            store: Arc::default(),
            records: Vec::new(),
            commits: Commits::WhereItSays,
        }
    }

    pub fn set(&mut self, key: &str, value: &str) {
        self.config.insert(key.to_owned(), value.to_owned());
    }

    /// Starts a task behind what is stored.
    pub async fn try_start(&mut self) -> Result<Running<'_>, PluginError> {
        let mut task = self.plugin.new_task();
        let context = SourceTaskContext {
            task: TaskId {
                connector: "inventory".to_owned(),
                task: 0,
            },
            offsets: Arc::clone(&self.store) as Arc<dyn OffsetReader>,
        };
        task.start(&self.config, context).await?;
        Ok(Running {
            delivered: self,
            task,
            records: Vec::new(),
            offsets: Vec::new(),
            finished: false,
        })
    }

    pub async fn start(&mut self) -> Running<'_> {
        self.try_start().await.unwrap()
    }

    /// The stored offset of the source.
    pub fn offset(&self) -> SourceOffset {
        let partition = SourcePartition::new().with("server", "p");
        self.store.0.lock().unwrap()[&partition].clone()
    }

    /// Stores another offset of the source.
    pub fn store_offset(&self, offset: SourceOffset) {
        let partition = SourcePartition::new().with("server", "p");
        self.store.0.lock().unwrap().insert(partition, offset);
    }

    /// Partitions that something is stored by.
    pub fn partitions(&self) -> Vec<SourcePartition> {
        self.store.0.lock().unwrap().keys().cloned().collect()
    }

    /// The records of a table's changes.
    pub fn of(&self, table: &str) -> Vec<&Record> {
        let topic = format!("p.{table}");
        self.records
            .iter()
            .filter(|record| *record.topic == *topic)
            .collect()
    }

    /// The rows that the records of a table make, by key.
    pub fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let mut rows = BTreeMap::new();
        for record in self.of(table) {
            let key = format!("{:?}", record.key.value);
            match field(&record.value.value, "op") {
                Some(Value::String(op)) if &**op == "d" => drop(rows.remove(&key)),
                Some(Value::String(op)) if &**op == "t" => rows.clear(),
                Some(_) => {
                    let after = field(&record.value.value, "after").unwrap();
                    rows.insert(key, after.clone());
                }
                None => assert!(record.value.is_null(), "a record is an envelope or a tombstone"),
            }
        }
        rows
    }

    /// The values of an integer column in the records of a table, with what happened: `c1 u2 d1`.
    pub fn changes(&self, table: &str, column: &str) -> Vec<String> {
        let changes = self.of(table).into_iter().filter_map(|record| {
            let value = &record.value.value;
            let Value::String(op) = field(value, "op")? else {
                return None;
            };
            let row = field(value, "after").filter(|row| !matches!(row, Value::Null));
            let shown = match field(row.or_else(|| field(value, "before"))?, column) {
                Some(Value::Int32(number)) => number.to_string(),
                other => format!("{other:?}"),
            };
            Some(format!("{op}{shown}"))
        });
        changes.collect()
    }
}

/// A field of a struct.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Struct(value) = value else { return None };
    let index = value
        .schema()
        .fields()
        .iter()
        .position(|field| *field.name == *name)?;
    value.values().get(index)
}

impl Running<'_> {
    pub async fn poll(&mut self) -> Result<usize, PluginError> {
        let budget = Budget {
            records: 8_192,
            bytes: 1 << 20,
            wait: Duration::from_millis(100),
        };
        let batch = self.task.poll(budget).await?;
        let count = batch.records.len();
        self.records.extend(batch.records);
        self.offsets.extend(batch.offsets);
        self.finished |= batch.finished;
        if self.delivered.commits == Commits::EachPoll || batch.boundary != Boundary::None {
            self.commit();
        }
        Ok(count)
    }

    fn commit(&mut self) {
        self.delivered.records.append(&mut self.records);
        self.delivered
            .store
            .0
            .lock()
            .unwrap()
            .extend(self.offsets.drain(..));
    }

    pub fn delivered(&self) -> &Delivered {
        self.delivered
    }

    /// Polls until what is delivered meets a condition.
    pub async fn until(&mut self, what: &str, met: impl Fn(&Delivered) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !met(self.delivered) {
            self.poll().await.unwrap();
            assert!(
                Instant::now() < until,
                "{what}: not in time; {} records",
                self.delivered.records.len()
            );
        }
    }

    /// Polls until so many records of a table are delivered.
    pub async fn until_count(&mut self, table: &str, count: usize) {
        self.until(&format!("{count} records of {table}"), |delivered| {
            delivered.of(table).len() >= count
        })
        .await;
    }

    /// Polls until it fails.
    pub async fn until_failure(&mut self) -> PluginError {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Err(error) = self.poll().await {
                return error;
            }
            assert!(Instant::now() < until, "it does not fail in time");
        }
    }

    /// Ends as a worker does that is asked to; what is not committed is lost.
    pub async fn stop(mut self) {
        self.task.stop().await;
    }

    /// Polls a while, for nothing in particular.
    pub async fn poll_times(&mut self, times: usize) {
        for _ in 0..times {
            self.poll().await.unwrap();
        }
    }
}

/// Some number.
pub fn rand() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) as u32 >> 4
}

/// The replicas that read a server's log now: their connections' numbers.
pub async fn dumps(client: &mut Client) -> Vec<String> {
    let rows = client
        .query("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
        .await
        .unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

pub async fn run(client: &mut Client, statements: &[&str]) {
    for statement in statements {
        if let Err(error) = client.execute(statement).await {
            panic!("{statement}: {error}");
        }
    }
}
