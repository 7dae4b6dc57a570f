//! A transaction that is larger than the worker's memory may become, with the worker killed in its midst.
//!
//! The rows of a table are inserted in the order of their keys, by one large transaction between two small ones. What the topic says, read record by
//! record, has to be each row once, in that order; and no worker may ever have had more memory than 150 MiB.

use std::path::Path;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::{Worker, end_of, writers};
use crate::broker::BrokerProcess;
use crate::large_files::peak_of;
use crate::mysql::MysqlServer;
use crate::random::Random;

/// The most memory that a worker may have, whatever the size of a transaction.
const PEAK_BYTES_MAX: u64 = 150 << 20;
/// How long the topic may stay as it is.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the worker is killed within the transaction.
const KILLS: u64 = 3;
/// Characters of a row's text.
const TEXT: usize = 1024;
/// Rows of a statement.
const ROWS: u64 = 1000;
const TOPIC: &str = "large.shop.notes";

/// What a run found.
#[derive(Debug, Clone, PartialEq)]
pub struct LargeReport {
    /// Rows of the transaction, each of which was told once.
    pub rows: u64,
    /// Kills of the worker within it.
    pub kills: u64,
    /// How long it took from the commit to the last record.
    pub seconds: f64,
    /// The most memory that a worker had.
    pub peak_bytes: u64,
}

/// Tells a transaction with `megabytes` of rows of a server of `kind`; panics, naming the seed, when a row is lost, repeated, or out of its order, or a
/// worker has too much memory.
pub fn run(directory: &Path, kind: &str, megabytes: u64, seed: u64) -> LargeReport {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = MysqlServer::start(kind, &directory.join("server"), &[]);
    let broker = BrokerProcess::start(&directory.join("broker"));
    write_properties(directory, broker.address(), server.port());
    let rows = (megabytes << 20).div_ceil(TEXT as u64).max(KILLS + 1);
    let mut run = Run {
        directory,
        seed,
        consumer: consumer(broker.address()),
        next: 0,
        worker: None,
        peak_bytes: 0,
    };
    runtime.block_on(prepare(server.port())).unwrap();
    run.start_worker();
    // Where the worker begins, only its first record says.
    let mut first = 0;
    while run.next == 0 {
        runtime
            .block_on(insert(server.port(), seed, first..first + 1))
            .unwrap();
        first += 1;
        run.read_for(Duration::from_secs(1));
        assert!(first < 180, "seed {seed}: nothing is told; {}", run.said());
    }
    run.read_to(first);

    runtime
        .block_on(insert(server.port(), seed, first..first + rows))
        .unwrap();
    let committed = Instant::now();
    let mut random = Random::new(seed);
    for kill in 1..=KILLS {
        let part = rows / (KILLS + 1);
        run.read_to(first + part * (kill - 1) + 1 + random.below(part));
        run.stop_worker();
        run.start_worker();
    }
    run.read_to(first + rows);
    let seconds = committed.elapsed().as_secs_f64();
    let last = first + rows;
    runtime
        .block_on(insert(server.port(), seed, last..last + 1))
        .unwrap();
    run.read_to(last + 1);
    // Something too much would come behind.
    run.read_for(Duration::from_millis(500));
    run.stop_worker();
    assert_eq!(run.next, last + 1, "seed {seed}");
    assert!(
        run.peak_bytes < PEAK_BYTES_MAX,
        "seed {seed}: the worker had {} bytes of memory",
        run.peak_bytes
    );
    LargeReport {
        rows,
        kills: KILLS,
        seconds,
        peak_bytes: run.peak_bytes,
    }
}

struct Run<'a> {
    directory: &'a Path,
    seed: u64,
    consumer: BaseConsumer,
    /// The row that comes next.
    next: u64,
    worker: Option<Worker>,
    peak_bytes: u64,
}

impl Run<'_> {
    fn start_worker(&mut self) {
        let files = ["worker.properties", "source.properties"];
        let log = self.directory.join("worker.log");
        self.worker = Some(Worker::start(self.directory, &files, &log));
    }

    fn look(&mut self) {
        let worker = self.worker.as_ref().map(|worker| worker.0.id());
        let peak = worker.and_then(peak_of).unwrap_or(0);
        self.peak_bytes = self.peak_bytes.max(peak);
    }

    /// Kills it.
    fn stop_worker(&mut self) {
        // The kernel keeps the most that there was, until the end.
        self.look();
        self.worker = None;
    }

    /// Reads until all rows before this one were told.
    fn read_to(&mut self, row: u64) {
        let mut until = Instant::now() + PATIENCE;
        while self.next < row {
            if self.read_one(Duration::from_millis(200)) {
                until = Instant::now() + PATIENCE;
            } else {
                self.look();
            }
            assert!(
                Instant::now() < until,
                "seed {}: row {} is not told; {}",
                self.seed,
                self.next,
                self.said()
            );
        }
    }

    fn read_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.read_one(Duration::from_millis(50));
        }
    }

    /// Reads a record, if there is one; it has to be the row that comes next.
    fn read_one(&mut self, wait: Duration) -> bool {
        // Errors pass: the topic may not be there yet.
        let Some(Ok(message)) = self.consumer.poll(wait) else {
            return false;
        };
        let record: Value =
            serde_json::from_slice(message.payload().expect("rows are inserted alone")).unwrap();
        let after = &record["after"];
        let (id, text) = (after["id"].as_u64(), after["note"].as_str());
        let (seed, next, offset) = (self.seed, self.next, message.offset());
        // Where the worker was not there yet for the first rows, it begins behind them.
        if next == 0 {
            self.next = id.unwrap() + 1;
            return true;
        }
        assert_eq!(
            (record["op"].as_str(), id),
            (Some("c"), Some(next)),
            "seed {seed}, offset {offset}"
        );
        assert_eq!(text, Some(&*note(seed, next)), "seed {seed}, offset {offset}");
        self.next += 1;
        true
    }

    fn said(&self) -> String {
        format!(
            "the worker's log ends:\n{}",
            end_of(&self.directory.join("worker.log"))
        )
    }
}

fn consumer(bootstrap: &str) -> BaseConsumer {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "kill-mysql-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "500")
        .set("queued.max.messages.kbytes", "16384")
        .set("log_level", "0");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    consumer
}

/// The text of a row, which nothing else has.
fn note(seed: u64, row: u64) -> String {
    let mut random = Random::new(seed ^ row << 20);
    format!("{:016x}", random.next()).repeat(TEXT / 16)
}

async fn prepare(port: u16) -> mysql_async::Result<()> {
    let mut conn = Conn::new(writers::options(port)).await?;
    conn.query_drop("CREATE DATABASE shop").await?;
    conn.query_drop("CREATE TABLE shop.notes (id BIGINT PRIMARY KEY, note TEXT NOT NULL)")
        .await?;
    conn.disconnect().await
}

/// Inserts rows by one transaction.
async fn insert(port: u16, seed: u64, rows: std::ops::Range<u64>) -> mysql_async::Result<()> {
    let mut conn = Conn::new(writers::options(port)).await?;
    conn.query_drop("START TRANSACTION").await?;
    let mut from = rows.start;
    while from < rows.end {
        let to = rows.end.min(from + ROWS);
        let values: Vec<String> = (from..to)
            .map(|row| format!("({row}, '{}')", note(seed, row)))
            .collect();
        let statement = format!("INSERT INTO shop.notes VALUES {}", values.join(","));
        conn.query_drop(statement).await?;
        from = to;
    }
    conn.query_drop("COMMIT").await?;
    conn.disconnect().await
}

fn write_properties(directory: &Path, bootstrap: &str, port: u16) {
    let worker = format!(
        "bootstrap.servers={bootstrap}\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\n\
         key.converter.schemas.enable=false\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter.schemas.enable=false\n\
         offset.storage.file.filename={}\n\
         offset.flush.interval.ms=500\n\
         exactly.once.source.support=enabled\n\
         listeners=http://127.0.0.1:0\n",
        directory.join("connect.offsets").display(),
    );
    let source = format!(
        "name=large\nconnector.class=io.debezium.connector.mysql.MySqlConnector\ntasks.max=1\n\
         database.hostname=127.0.0.1\ndatabase.port={port}\ndatabase.user=root\ndatabase.password=\n\
         database.server.id=7001\ntopic.prefix=large\ndatabase.include.list=shop\nsnapshot.mode=no_data\n\
         include.schema.changes=false\noffsets.storage.topic=large-offsets\n\
         producer.override.transaction.timeout.ms=10000\n",
    );
    std::fs::write(directory.join("worker.properties"), worker).unwrap();
    std::fs::write(directory.join("source.properties"), source).unwrap();
}
