//! Changes of a MySQL server that is written to by many, while the worker, the broker and the server itself are killed.
//!
//! Writers insert, update, delete, change keys, truncate, alter a table, and prepare transactions that they commit or roll back later. A connector
//! takes a snapshot in small chunks beside them. What its topics say, applied record by record, has to give exactly the tables; and each change has to
//! find what was told last: a lost or repeated one does not. Every ten rounds another connector begins with a new snapshot.

mod journal;
pub mod large;
pub mod pipeline;
mod replay;
pub mod revenue;
mod shop;
mod writers;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value as SqlValue};
use tokio::runtime::Runtime;

use crate::broker::BrokerProcess;
use crate::mysql::MysqlServer;
use crate::program::{self, SpawnTied};
use crate::random::Random;
use replay::{Replay, Row, Rows};
use writers::{Columns, Load, TABLES, Writers};

/// How long the topics may take to say all.
const PATIENCE: Duration = Duration::from_secs(120);
const ROUNDS_PER_SNAPSHOT: u64 = 10;
/// Rows of each table at first.
const ROWS: u64 = 3000;

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills of the worker.
    pub worker_kills: u64,
    /// Kills of the broker.
    pub broker_kills: u64,
    /// Kills of the server.
    pub server_kills: u64,
    /// Transactions that writers committed.
    pub transactions: u64,
    /// Records in topics, tombstones aside.
    pub records: u64,
    /// Those that snapshots made.
    pub reads: u64,
    /// Rows that snapshots told and a change before them did, too.
    pub told_before: u64,
    /// The longest time until topics had all, once nobody wrote.
    pub slowest: Duration,
}

/// Runs the harness with a server of `kind`; panics, naming the seed, when a change is lost or repeated.
pub fn run(directory: &Path, kind: &str, rounds: u64, seed: u64) -> Report {
    let runtime = Runtime::new().unwrap();
    let server = MysqlServer::start(kind, &directory.join("server"), &[]);
    runtime
        .block_on(writers::prepare(server.port(), &TABLES, ROWS))
        .unwrap();
    let mut run = Run {
        old: kind == "mysql56",
        broker: Some(BrokerProcess::start(&directory.join("broker"))),
        directory: directory.to_owned(),
        server,
        runtime,
        random: Random::new(seed),
        report: Report::default(),
        seed,
    };
    let mut round = 0;
    let mut connector = 0;
    while round < rounds {
        connector += 1;
        let this = ROUNDS_PER_SNAPSHOT.min(rounds - round);
        run.connector(connector, this);
        round += this;
    }
    run.report
}

struct Run {
    directory: PathBuf,
    broker: Option<BrokerProcess>,
    server: MysqlServer,
    runtime: Runtime,
    random: Random,
    report: Report,
    seed: u64,
    /// See [`Load::old`].
    old: bool,
}

/// A running worker; killed when dropped.
struct Worker(Child);

impl Worker {
    /// Starts one with these files, whose log goes behind what is there.
    fn start(directory: &Path, files: &[&str], log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log);
        let mut command = Command::new(program::millstream());
        command.args(["connect", "standalone"]).args(files);
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self(command.stderr(log.unwrap()).spawn_tied().unwrap())
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Run {
    fn address(&self) -> String {
        self.broker.as_ref().expect("it runs").address().to_owned()
    }

    fn connector(&mut self, number: u64, rounds: u64) {
        let prefix = format!("mysql{number}");
        self.write_properties(&prefix, number);
        let mut replay = Replay::new(&self.address(), &prefix, &TABLES, 1);
        let port = self.server.port();
        let load = Load {
            tables: &TABLES,
            seed: self.seed * 1000 + number,
            old: self.old,
            columns: Columns::ComeAndGo,
        };
        let writers = Writers::start(&self.runtime, port, load);
        let mut worker = None;
        for _ in 0..rounds {
            worker = worker.or_else(|| Some(self.start_worker(&prefix)));
            std::thread::sleep(Duration::from_millis(100 + self.random.below(900)));
            match self.random.below(10) {
                0 => self.restart_broker(),
                1 | 2 => {
                    writers.kill_server(&self.runtime, &mut self.server);
                    self.report.server_kills += 1;
                }
                _ => {
                    worker = None;
                    self.report.worker_kills += 1;
                }
            }
        }
        let worker = worker.unwrap_or_else(|| self.start_worker(&prefix));
        self.report.transactions += writers.committed.load(Ordering::Relaxed);
        writers.stop(&self.runtime, port);
        self.check(&prefix, &mut replay);
        drop(worker);
    }

    fn write_properties(&self, prefix: &str, number: u64) {
        let worker = format!(
            "bootstrap.servers={}\n\
             key.converter=org.apache.kafka.connect.json.JsonConverter\n\
             key.converter.schemas.enable=false\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter.schemas.enable=false\n\
             offset.storage.file.filename={}\n\
             offset.flush.interval.ms=50\n\
             exactly.once.source.support=enabled\n\
             listeners=http://127.0.0.1:0\n",
            self.address(),
            self.directory.join("connect.offsets").display(),
        );
        let source = format!(
            "name={prefix}\nconnector.class=io.debezium.connector.mysql.MySqlConnector\ntasks.max=1\n\
             database.hostname=127.0.0.1\ndatabase.port={}\ndatabase.user=root\ndatabase.password=\n\
             database.server.id={}\ntopic.prefix={prefix}\ndatabase.include.list=shop\n\
             skipped.operations=none\nincremental.snapshot.chunk.size=50\nsnapshot.max.threads=2\n\
             offsets.storage.topic={prefix}-offsets\nproducer.override.transaction.timeout.ms=10000\n",
            self.server.port(),
            7000 + number,
        );
        std::fs::write(self.directory.join("worker.properties"), worker).unwrap();
        std::fs::write(self.directory.join(format!("{prefix}.properties")), source).unwrap();
    }

    fn log(&self) -> PathBuf {
        self.directory.join("worker.log")
    }

    fn start_worker(&self, prefix: &str) -> Worker {
        let files = ["worker.properties", &format!("{prefix}.properties")];
        Worker::start(&self.directory, &files, &self.log())
    }

    fn restart_broker(&mut self) {
        let address = self.address();
        if let Some(broker) = self.broker.take() {
            broker.kill();
        }
        let directory = self.directory.join("broker");
        self.broker = Some(BrokerProcess::start_at(&directory, &address, &[]));
        self.report.broker_kills += 1;
    }

    /// Waits until the topics say what the tables are.
    fn check(&mut self, prefix: &str, replay: &mut Replay) {
        let began = Instant::now();
        let tables: Vec<Rows> = TABLES
            .iter()
            .map(|table| {
                self.runtime
                    .block_on(select(self.server.port(), "shop", table))
                    .unwrap()
            })
            .collect();
        let mut until = Instant::now() + PATIENCE;
        loop {
            let read = replay.read().unwrap_or_else(|what| self.fail(prefix, &what));
            let differs = TABLES.iter().zip(&tables).find_map(|(table, rows)| {
                difference(rows, replay.rows(table)).map(|difference| format!("{table}: {difference}"))
            });
            let Some(differs) = differs else { break };
            if read > 0 {
                until = Instant::now() + PATIENCE;
            }
            if Instant::now() > until {
                self.fail(prefix, &format!("no more records come, and {differs}"));
            }
        }
        self.report.slowest = self.report.slowest.max(began.elapsed());
        // Something too much would come behind.
        std::thread::sleep(Duration::from_millis(500));
        replay.read().unwrap_or_else(|what| self.fail(prefix, &what));
        for (table, rows) in TABLES.iter().zip(&tables) {
            if let Some(difference) = difference(rows, replay.rows(table)) {
                self.fail(prefix, &format!("after all was told: {table}: {difference}"));
            }
        }
        self.report.records += replay.records;
        self.report.reads += replay.reads;
        self.report.told_before += replay.told_before;
    }

    fn fail(&self, prefix: &str, what: &str) -> ! {
        let end = end_of(&self.log());
        panic!(
            "seed {}, connector {prefix}: {what}; the worker's log ends:\n{end}",
            self.seed
        )
    }
}

/// The last lines of a log.
fn end_of(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// The rows of a table, by the text of their keys as topics have it.
async fn select(port: u16, database: &str, table: &str) -> mysql_async::Result<Rows> {
    let mut conn = Conn::new(writers::options(port)).await?;
    conn.query_drop("SET time_zone = '+00:00'").await?;
    let rows: Vec<mysql_async::Row> = conn.query(format!("SELECT * FROM {database}.{table}")).await?;
    let key = match table {
        "words" => &["word"][..],
        "pairs" => &["a", "b"],
        _ => &["id"],
    };
    let mut all = Rows::new();
    for row in rows {
        let names: Vec<String> = row
            .columns_ref()
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect();
        let texts = row.unwrap().into_iter().map(|value| match value {
            SqlValue::NULL => None,
            SqlValue::Bytes(bytes) => {
                Some(String::from_utf8(bytes).unwrap_or_else(|error| format!("{:02x?}", error.as_bytes())))
            }
            other => panic!("the text protocol has no {other:?}"),
        });
        let row: Row = names.into_iter().zip(texts).collect();
        let field = |name: &&str| {
            let text = row[*name].clone().expect("keys are not null");
            let number = text.parse::<i64>().ok().filter(|_| matches!(*name, "id" | "a"));
            let value = number.map_or_else(|| serde_json::Value::from(text), serde_json::Value::from);
            ((*name).to_owned(), value)
        };
        let key: serde_json::Map<String, serde_json::Value> = key.iter().map(field).collect();
        all.insert(serde_json::Value::Object(key).to_string(), row);
    }
    conn.disconnect().await?;
    Ok(all)
}

/// The first difference between a table and what the topic says it is. Columns that came since a row was told are not told of it.
fn difference(table: &Rows, told: &Rows) -> Option<String> {
    let lost = table.iter().find(|(key, _)| !told.contains_key(*key));
    if let Some((key, row)) = lost {
        return Some(format!(
            "{key} is {row:?} and was not told ({} rows, {} told)",
            table.len(),
            told.len()
        ));
    }
    let surplus = told.iter().find(|(key, _)| !table.contains_key(*key));
    if let Some((key, row)) = surplus {
        return Some(format!("{key} is gone and was told as {row:?}"));
    }
    table.iter().find_map(|(key, row)| {
        let told = &told[key];
        let differs = row
            .iter()
            .any(|(name, value)| !name.starts_with("extra_") && told.get(name) != Some(value));
        differs.then(|| format!("{key} is {row:?} and was told as {told:?}"))
    })
}
