//! A sink's task, the runtime that drives it, and the tables it writes to.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    FailedRecord, PartitionOffset, PluginError, SinkPlugin, SinkTask, SinkTaskContext, TaskId, TopicPartition,
};
use millstream_connect::record::{
    Datum, Field, Origin, Record, Schema, SchemaKind, SchemaRef, Struct, Value,
};
use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::sink::MySqlSink;

use crate::servers::Server;

/// A sink that writes to a database of its own.
pub struct Bench {
    pub database: String,
    pub config: ConfigMap,
    pub task: Box<dyn SinkTask>,
    /// Another connection, which looks at the tables. It reads what is committed.
    pub client: Client,
}

impl Bench {
    /// A sink of a server, with an empty database.
    pub async fn new(server: &Server, keys: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("sink{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = server.database(&database).await;
        let mut config = ConfigMap::new();
        for (key, value) in [
            ("name", "c"),
            (
                "connection.url",
                &*format!("jdbc:mysql://127.0.0.1:{}/{database}", server.port),
            ),
            ("connection.username", "root"),
        ]
        .iter()
        .chain(keys)
        {
            config.insert((*key).to_owned(), (*value).to_owned());
        }
        Self {
            database,
            config,
            task: MySqlSink.new_task(),
            client,
        }
    }

    /// The same, upserting by the records' keys.
    pub async fn upserting(server: &Server, keys: &[(&str, &str)]) -> Self {
        let all = [
            ("insert.mode", "upsert"),
            ("primary.key.mode", "record_key"),
            ("delete.enabled", "true"),
            ("truncate.enabled", "true"),
        ];
        let all: Vec<(&str, &str)> = all.into_iter().chain(keys.iter().copied()).collect();
        Self::new(server, &all).await
    }

    /// A connection to a proxy instead of the server.
    pub fn through(mut self, port: u16) -> Self {
        let url = format!("mysql://127.0.0.1:{port}/{}?sslMode=disabled", self.database);
        self.config.insert("connection.url".to_owned(), url);
        self
    }

    pub async fn run(&mut self, statements: &[&str]) {
        for statement in statements {
            let done = self.client.execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// Rows of a statement, cells with blanks between.
    pub async fn rows(&mut self, statement: &str) -> Vec<String> {
        let rows = self.client.query(statement).await.unwrap();
        let cell = |cell: Option<&[u8]>| {
            cell.map_or("NULL".into(), |cell| String::from_utf8_lossy(cell).into_owned())
        };
        rows.iter()
            .map(|row| row.cells().map(cell).collect::<Vec<String>>().join(" "))
            .collect()
    }

    /// A task of this connector.
    pub async fn new_task(&self) -> Result<Box<dyn SinkTask>, PluginError> {
        let mut task = MySqlSink.new_task();
        let context = SinkTaskContext {
            task: TaskId {
                connector: self.config["name"].clone(),
                task: 0,
            },
        };
        task.start(&self.config, context).await?;
        Ok(task)
    }

    /// Starts a task and opens partitions 0 of `topics`.
    pub async fn start(&mut self, topics: &[&str]) -> Result<Vec<PartitionOffset>, PluginError> {
        self.task = self.new_task().await?;
        let partitions: Vec<TopicPartition> = topics.iter().map(|topic| partition(topic, 0)).collect();
        self.task.open(&partitions).await
    }

    pub async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        self.task.put(records).await
    }

    /// Puts records that all have to be taken.
    pub async fn take(&mut self, records: &[Record]) {
        let refused = self.put(records).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// The offset that is stored of a topic's partition 0.
    pub fn stored(&self, topic: &str) -> Option<i64> {
        let owned = MySqlSink.owned_offsets(&self.config).unwrap();
        owned
            .into_iter()
            .find(|owned| &*owned.partition.topic == topic)
            .map(|owned| owned.next)
    }
}

pub fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition {
        topic: Arc::from(topic),
        partition: number,
    }
}

pub fn field(name: &str, schema: Schema) -> Field {
    Field {
        name: Arc::from(name),
        schema: Arc::new(schema),
    }
}

pub fn optional(kind: SchemaKind) -> Schema {
    Schema::from(kind).optional()
}

pub fn structure(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::try_struct(fields).unwrap())
}

pub fn row(schema: &SchemaRef, values: Vec<Value>) -> Datum {
    let value = Value::Struct(Struct::new(Arc::clone(schema), values));
    Datum::new(Arc::clone(schema), value)
}

/// A record at a place.
pub fn record(topic: &str, offset: i64, key: Datum, value: Datum) -> Record {
    let mut record = Record::new(topic, value);
    record.key = key;
    record.partition = Some(0);
    record.origin = Some(Origin {
        topic: Arc::from(topic),
        partition: 0,
        offset,
    });
    record
}

/// Keys `{id}` and rows `{id, v}`.
pub struct Simple {
    pub key: SchemaRef,
    pub value: SchemaRef,
}

impl Simple {
    pub fn new() -> Self {
        let id = || field("id", SchemaKind::Int64.into());
        Self {
            key: structure(vec![id()]),
            value: structure(vec![id(), field("v", optional(SchemaKind::String))]),
        }
    }

    pub fn write(&self, topic: &str, offset: i64, id: i64, v: &str) -> Record {
        let value = vec![Value::Int64(id), Value::from(v)];
        record(topic, offset, self.key(id), row(&self.value, value))
    }

    pub fn delete(&self, topic: &str, offset: i64, id: i64) -> Record {
        record(topic, offset, self.key(id), Datum::NULL)
    }

    pub fn key(&self, id: i64) -> Datum {
        row(&self.key, vec![Value::Int64(id)])
    }
}

/// What an upserting sink makes of writes and deletions.
#[derive(Default)]
pub struct Oracle(pub BTreeMap<i64, String>);

impl Oracle {
    pub fn shown(&self) -> Vec<String> {
        self.0.iter().map(|(id, v)| format!("{id} {v}")).collect()
    }
}
