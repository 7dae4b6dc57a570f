//! A server's tables in another server, by a source, topics and a sink, while workers, broker and both servers are killed.
//!
//! The same writers as of the source alone; columns are added, which the sink adds, too. Each of ten rounds has a source with a new snapshot and
//! a sink into a new database, in which it makes the tables. In the end they have the same columns and rows, as SELECT gives them. One more
//! sink writes the changes of one topic into a table without a key, each as a row of its own: what is written twice, or not, shows there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;

use super::journal;
use super::replay::Rows;
use super::writers::{self, Columns, Load, TABLES_OF_SINK, Writers};
use super::{PATIENCE, ROUNDS_PER_SNAPSHOT, Worker, end_of, select};
use crate::broker::{BrokerProcess, free_address};
use crate::mysql::MysqlServer;
use crate::program;
use crate::random::Random;

/// The topic with several partitions, whose changes are kept in a journal.
const PARTED: &str = "items";
const PARTITIONS: i32 = 3;

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills of the source's worker.
    pub source_kills: u64,
    /// Kills of the sink's.
    pub sink_kills: u64,
    /// Kills of the broker.
    pub broker_kills: u64,
    /// Kills of the server that is written to by clients.
    pub server_kills: u64,
    /// Kills of the server that is written to by the sink.
    pub copy_kills: u64,
    /// Transactions that writers committed.
    pub transactions: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Changes that are in journals, each once.
    pub journal: u64,
    /// Columns that the sinks had to add.
    pub columns: u64,
    /// The longest time until all was there, once nobody wrote.
    pub slowest: Duration,
}

/// What runs.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The kind of the server that clients write to.
    pub from: &'a str,
    /// The kind of the sink's.
    pub to: &'a str,
    /// Kills.
    pub rounds: u64,
    /// What they are by.
    pub seed: u64,
    /// Rows of each table at first.
    pub rows: u64,
}

/// Runs the harness; panics, naming the seed, when the databases differ.
pub fn run(directory: &Path, plan: Plan<'_>) -> Report {
    let runtime = Runtime::new().unwrap();
    let address = free_address();
    let mut run = Run {
        old: plan.from == "mysql56",
        broker: None,
        source: MysqlServer::start(plan.from, &directory.join("source"), &[]),
        copy: MysqlServer::start(plan.to, &directory.join("copy"), &[]),
        directory: directory.to_owned(),
        address,
        runtime,
        random: Random::new(plan.seed),
        report: Report::default(),
        seed: plan.seed,
        number: 0,
    };
    run.start_broker();
    let prepared = writers::prepare(run.source.port(), &TABLES_OF_SINK, plan.rows);
    run.runtime.block_on(prepared).unwrap();
    let mut round = 0;
    while round < plan.rounds {
        run.number += 1;
        // What was added is gone.
        let anew = writers::prepare(run.source.port(), &["wide"], plan.rows);
        run.runtime.block_on(anew).unwrap();
        let this = ROUNDS_PER_SNAPSHOT.min(plan.rounds - round);
        run.connectors(this);
        round += this;
    }
    run.report
}

struct Run {
    directory: PathBuf,
    broker: Option<BrokerProcess>,
    address: String,
    source: MysqlServer,
    copy: MysqlServer,
    runtime: Runtime,
    random: Random,
    report: Report,
    seed: u64,
    /// Which source and sink these are.
    number: u64,
    /// Whether the source's server is MySQL 5.6, which loses prepared transactions, and whose log does not name columns.
    old: bool,
}

impl Run {
    fn start_broker(&mut self) {
        let settings = ["group.min.session.timeout.ms=1000"];
        let directory = self.directory.join("broker");
        self.broker = Some(BrokerProcess::start_at(&directory, &self.address, &settings));
    }

    fn topic(&self, table: &str) -> String {
        format!("from{}.shop.{table}", self.number)
    }

    fn database(&self) -> String {
        format!("copy{}", self.number)
    }

    /// A source and a sink, until all that clients wrote is in both servers.
    fn connectors(&mut self, rounds: u64) {
        self.prepare_topics();
        self.runtime.block_on(self.prepare_copy()).unwrap();
        self.write_properties();
        let port = self.source.port();
        let load = Load {
            tables: &TABLES_OF_SINK,
            seed: self.seed * 1000 + self.number,
            old: self.old,
            // What an old log does not say of columns is asked for, and may be another by then.
            columns: if self.old { Columns::Stay } else { Columns::Come },
        };
        let writers = Writers::start(&self.runtime, port, load);
        let (mut source, mut sink) = (None, None);
        for _ in 0..rounds {
            // A worker may stay away for a while.
            if source.is_none() && self.random.below(4) > 0 {
                source = Some(self.start_worker("source"));
            }
            if sink.is_none() && self.random.below(4) > 0 {
                sink = Some(self.start_worker("sink"));
            }
            std::thread::sleep(Duration::from_millis(100 + self.random.below(1900)));
            self.kill_one(&writers, &mut source, &mut sink);
        }
        let source = source.unwrap_or_else(|| self.start_worker("source"));
        let sink = sink.unwrap_or_else(|| self.start_worker("sink"));
        self.report.transactions += writers.committed.load(Ordering::Relaxed);
        writers.stop(&self.runtime, port);
        self.check();
        drop((source, sink));
    }

    fn kill_one(&mut self, writers: &Writers, source: &mut Option<Worker>, sink: &mut Option<Worker>) {
        match self.random.below(12) {
            0 => {
                if let Some(broker) = self.broker.take() {
                    broker.kill();
                }
                self.start_broker();
                self.report.broker_kills += 1;
            }
            1 | 2 => {
                self.source.kill_and_restart();
                writers.decide_prepared(&self.runtime, self.source.port());
                self.report.server_kills += 1;
            }
            3..=5 => {
                self.copy.kill_and_restart();
                self.report.copy_kills += 1;
            }
            6..=8 => {
                *source = None;
                self.report.source_kills += 1;
            }
            _ => {
                *sink = None;
                self.report.sink_kills += 1;
            }
        }
    }

    fn start_worker(&self, which: &str) -> Worker {
        let (own, journal) = (format!("{which}.properties"), "journal.properties");
        let mut files = vec!["worker.properties", &own];
        if which == "sink" {
            files.push(journal);
        }
        let worker = format!("{which}-worker.properties");
        files[0] = &worker;
        Worker::start(&self.directory, &files, &self.log(which))
    }

    fn log(&self, which: &str) -> PathBuf {
        self.directory.join(format!("{which}.log"))
    }

    fn prepare_topics(&self) {
        for table in TABLES_OF_SINK {
            let partitions = if table == PARTED { PARTITIONS } else { 1 };
            let (topic, partitions) = (self.topic(table), partitions.to_string());
            let words = [
                "topics",
                "--create",
                "--topic",
                &topic,
                "--partitions",
                &partitions,
            ];
            let words = [&words[..], &["--bootstrap-server", &self.address]].concat();
            program::millstream_output(&words, "");
        }
    }

    /// The sink makes the tables itself, but for one whose second unique index it would not make, and for the journal.
    async fn prepare_copy(&self) -> mysql_async::Result<()> {
        let mut conn = Conn::new(writers::options(self.copy.port())).await?;
        let database = self.database();
        conn.query_drop(format!(
            "CREATE DATABASE {database} DEFAULT CHARACTER SET utf8mb4"
        ))
        .await?;
        conn.query_drop(format!("USE {database}")).await?;
        conn.query_drop(writers::definition("mails")).await?;
        conn.query_drop(
            "CREATE TABLE journal (seq BIGINT AUTO_INCREMENT PRIMARY KEY, of_topic VARCHAR(200), of_partition INT, of_offset BIGINT, \
             id BIGINT, n INT, note VARCHAR(100))",
        )
        .await?;
        conn.disconnect().await
    }

    fn write_properties(&self) {
        let write = |name: &str, text: String| {
            std::fs::write(self.directory.join(format!("{name}.properties")), text).unwrap();
        };
        for which in ["source", "sink"] {
            write(&format!("{which}-worker"), self.worker_properties(which));
        }
        write("source", self.source_properties());
        let topics: Vec<String> = TABLES_OF_SINK.iter().map(|table| self.topic(table)).collect();
        // Tables by what changes say of their source, which tombstones do not; or by the topics' names.
        let naming = match self.number % 2 {
            0 => "collection.name.format=${source.table}\n",
            _ => {
                "transforms=route\ntransforms.route.type=org.apache.kafka.connect.transforms.RegexRouter\n\
                 transforms.route.regex=.*\\\\.(.*)\ntransforms.route.replacement=$1\n"
            }
        };
        write(
            "sink",
            self.sink_properties(
                "sink",
                &format!(
                    "tasks.max=2\ntopics={}\ninsert.mode=upsert\ndelete.enabled=true\ntruncate.enabled=true\nprimary.key.mode=record_key\n\
                     schema.evolution=basic\n{naming}",
                    topics.join(",")
                ),
            ),
        );
        write(
            "journal",
            self.sink_properties(
                "journal",
                &format!(
                    "tasks.max=1\ntopics={}\ninsert.mode=insert\nprimary.key.mode=kafka\n\
                     primary.key.fields=of_topic,of_partition,of_offset\ncollection.name.format=journal\n",
                    self.topic(PARTED)
                ),
            ),
        );
    }

    fn worker_properties(&self, which: &str) -> String {
        format!(
            "bootstrap.servers={}\n\
             key.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter.replace.null.with.default=false\n\
             offset.storage.file.filename={}\n\
             offset.flush.interval.ms=50\n\
             exactly.once.source.support=enabled\n\
             connector.client.config.override.policy=All\n\
             listeners=http://127.0.0.1:0\n",
            self.address,
            self.directory.join(format!("{which}.offsets")).display(),
        )
    }

    fn source_properties(&self) -> String {
        let number = self.number;
        format!(
            "name=from{number}\nconnector.class=io.debezium.connector.mysql.MySqlConnector\ntasks.max=1\n\
             database.hostname=127.0.0.1\ndatabase.port={}\ndatabase.user=root\ndatabase.password=\n\
             database.server.id={}\ntopic.prefix=from{number}\ndatabase.include.list=shop\n\
             skipped.operations=none\nincremental.snapshot.chunk.size=50\nsnapshot.max.threads=2\n\
             column.propagate.source.type=.*\n\
             offsets.storage.topic=from{number}-offsets\nproducer.override.transaction.timeout.ms=10000\n",
            self.source.port(),
            7000 + number,
        )
    }

    fn sink_properties(&self, name: &str, more: &str) -> String {
        format!(
            "name={name}{}\nconnector.class=io.debezium.connector.jdbc.JdbcSinkConnector\n\
             connection.url=jdbc:mysql://127.0.0.1:{}/{}\nconnection.username=root\n\
             consumer.override.isolation.level=read_committed\nconsumer.override.session.timeout.ms=3000\n\
             consumer.override.heartbeat.interval.ms=500\nconsumer.override.max.poll.records=300\n\
             restart.backoff.ms=50\nrestart.backoff.max.ms=500\n{more}",
            self.number,
            self.copy.port(),
            self.database(),
        )
    }

    /// Waits until both servers have the same.
    fn check(&mut self) {
        let began = Instant::now();
        let port = self.source.port();
        // A column that no change was told of since it came is not known to the sink.
        let last = self
            .runtime
            .block_on(run_sql(port, "INSERT INTO shop.wide (id, n) VALUES (100000, 1)"));
        last.unwrap();
        let tables: Vec<Rows> = TABLES_OF_SINK
            .iter()
            .map(|table| self.runtime.block_on(select(port, "shop", table)).unwrap())
            .collect();
        let mut progress = self.progress();
        let mut until = Instant::now() + PATIENCE;
        while let Some(differs) = self.difference(&tables) {
            let now = self.progress();
            if now != progress {
                (progress, until) = (now, Instant::now() + PATIENCE);
            }
            if Instant::now() > until {
                self.fail(&format!("nothing moves any more, and {differs}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        self.report.slowest = self.report.slowest.max(began.elapsed());
        let changes = journal::changes(&self.address, &self.topic(PARTED), PARTITIONS, PATIENCE)
            .unwrap_or_else(|what| self.fail(&what));
        loop {
            let journal = self.journal();
            let distinct: BTreeSet<(i32, i64)> = journal.iter().copied().collect();
            if distinct.len() != journal.len() {
                self.fail(&format!(
                    "{} changes of {PARTED} are in the journal twice",
                    journal.len() - distinct.len()
                ));
            }
            if distinct == changes {
                break;
            }
            if Instant::now() > until {
                let lost: Vec<_> = changes.difference(&distinct).take(5).collect();
                let surplus: Vec<_> = distinct.difference(&changes).take(5).collect();
                self.fail(&format!(
                    "the journal lacks {lost:?} and has {surplus:?} too much"
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        if let Some(differs) = self.difference(&tables) {
            self.fail(&format!("after all was the same: {differs}"));
        }
        self.report.rows += tables.iter().map(|rows| rows.len() as u64).sum::<u64>();
        self.report.journal += changes.len() as u64;
        let wide = tables[3].values().next().map_or(0, |row| row.len() as u64);
        self.report.columns += wide.saturating_sub(3);
    }

    /// What is stored of how far partitions are written.
    fn progress(&self) -> Option<i64> {
        let asked = format!(
            "SELECT CAST(SUM(next_offset) AS SIGNED) FROM {}.millstream_offsets",
            self.database()
        );
        self.ask::<Option<i64>>(&asked)
            .and_then(|sums| sums.into_iter().next())
            .flatten()
    }

    /// What the sink's server answers, if it does.
    fn ask<T: mysql_async::prelude::FromRow + Send + 'static>(&self, asked: &str) -> Option<Vec<T>> {
        let answer = async {
            let mut conn = Conn::new(writers::options(self.copy.port())).await?;
            let rows = conn.query::<T, _>(asked).await?;
            conn.disconnect().await?;
            Ok::<_, mysql_async::Error>(rows)
        };
        self.runtime.block_on(answer).ok()
    }

    /// The first difference between both databases.
    fn difference(&self, tables: &[Rows]) -> Option<String> {
        let database = self.database();
        let mut all = TABLES_OF_SINK.iter().zip(tables);
        all.find_map(|(table, rows)| {
            let copy = select(self.copy.port(), &database, table);
            match self.runtime.block_on(copy) {
                Ok(copy) => unequal(rows, &copy).map(|differs| format!("{table}: {differs}")),
                Err(error) => Some(format!("{table} of the copy: {error}")),
            }
        })
    }

    /// The partitions and offsets of what is in the journal.
    fn journal(&self) -> Vec<(i32, i64)> {
        let asked = format!("SELECT of_partition, of_offset FROM {}.journal", self.database());
        self.ask(&asked).unwrap_or_default()
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "seed {}, connectors {}: {what}; the source's log ends:\n{}\nand the sink's:\n{}",
            self.seed,
            self.number,
            end_of(&self.log("source")),
            end_of(&self.log("sink"))
        )
    }
}

async fn run_sql(port: u16, statement: &str) -> mysql_async::Result<()> {
    let mut conn = Conn::new(writers::options(port)).await?;
    conn.query_drop(statement).await?;
    conn.disconnect().await
}

/// The first difference between two tables, of whichever columns.
fn unequal(table: &Rows, copy: &Rows) -> Option<String> {
    let differs = table.iter().find(|(key, row)| copy.get(*key) != Some(row));
    if let Some((key, row)) = differs {
        return Some(format!(
            "{key} is {row:?} ({} rows), and in the copy {:?} ({} rows)",
            table.len(),
            copy.get(key),
            copy.len()
        ));
    }
    let surplus = copy.keys().find(|key| !table.contains_key(*key));
    surplus.map(|key| format!("{key} is gone, and in the copy {:?}", copy[key]))
}
