//! The example `revenue` with all of its processes killed: a server, a source, topics, a stream job, a sink and another server.
//!
//! The example's own files, but for addresses and how soon somebody is missed. Buyers insert, update and delete orders and customers, give orders to others and
//! change keys, in transactions of which some are rolled back; orders name customers that are not there. In each round the source's and the
//! sink's worker, both instances of the job, the broker and both servers are killed, in an order by the seed. Behind it the target's tables have to be what
//! a SELECT … GROUP BY of the source says: nothing lost, nothing counted twice, and all that changed taken back. That tables are right does not show what the
//! source tells again, for they are written by keys: so its topics are read as well, in which each change has to find what was told last.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;

use super::replay::{Replay, Rows};
use super::shop::{self, Buyers};
use super::{PATIENCE, Worker, difference, end_of, select, writers};
use crate::broker::{BrokerProcess, free_address};
use crate::mysql::MysqlServer;
use crate::program::{self, SpawnTied};
use crate::random::Random;

const TOPICS: [&str; 4] = [
    "example.shop.customers",
    "example.shop.orders",
    "revenue_per_customer",
    "revenue_per_city",
];
const PARTITIONS: i32 = 3;
/// The source's.
const TABLES: [&str; 2] = ["customers", "orders"];
/// What a worker says of a task that it does not start again.
const GAVE_UP: &str = "stays FAILED until";
/// How long a round may take once nobody buys, though something moves.
const CHECK_MAX: Duration = Duration::from_secs(600);
const INSTANCES: usize = 2;
/// How long nothing else may become of what is right.
const QUIET: Duration = Duration::from_secs(1);

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Rounds behind which the target was right.
    pub rounds: u64,
    /// Kills of the source's worker.
    pub source_kills: u64,
    /// Kills of the sink's.
    pub sink_kills: u64,
    /// Kills of instances of the job.
    pub job_kills: u64,
    /// Kills of the broker.
    pub broker_kills: u64,
    /// Kills of the server with customers and orders.
    pub server_kills: u64,
    /// Kills of the server with what they brought in.
    pub target_kills: u64,
    /// Transactions that buyers committed.
    pub transactions: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Records of the source, tombstones aside.
    pub records: u64,
    /// The longest time until the target was right, once nobody bought.
    pub slowest: Duration,
}

/// What runs.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The kind of the server with customers and orders.
    pub from: &'a str,
    /// The kind of the other one.
    pub to: &'a str,
    /// How often all are killed.
    pub rounds: u64,
    /// What it is by.
    pub seed: u64,
}

/// Runs the harness; panics, naming the seed, when the target is not what the source says.
pub fn run(directory: &Path, plan: Plan<'_>) -> Report {
    let runtime = Runtime::new().unwrap();
    let mut run = Run {
        broker: None,
        source: MysqlServer::start(plan.from, &directory.join("source"), &[]),
        target: MysqlServer::start(plan.to, &directory.join("target"), &[]),
        kinds: [plan.from, plan.to].map(str::to_owned),
        directory: directory.to_owned(),
        address: free_address(),
        replay: None,
        runtime,
        random: Random::new(plan.seed),
        report: Report::default(),
        seed: plan.seed,
        workers: [None, None],
        jobs: [const { None }; INSTANCES],
    };
    run.start_broker();
    run.prepare();
    for _ in 0..plan.rounds {
        run.round();
    }
    run.report.records = run.replay.map_or(0, |replay| replay.records);
    run.report
}

/// What can be killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker(usize),
    Job(usize),
    Broker,
    Source,
    Target,
}

/// A running instance of the job; killed when dropped.
struct Instance(Child);

struct Run {
    directory: PathBuf,
    broker: Option<BrokerProcess>,
    address: String,
    source: MysqlServer,
    target: MysqlServer,
    /// The kinds of both.
    kinds: [String; 2],
    /// Of the source's topics, once they are there.
    replay: Option<Replay>,
    runtime: Runtime,
    random: Random,
    report: Report,
    seed: u64,
    /// The source's and the sink's.
    workers: [Option<Worker>; 2],
    jobs: [Option<Instance>; INSTANCES],
}

impl Run {
    fn start_broker(&mut self) {
        let settings = [
            "group.min.session.timeout.ms=1000",
            "offsets.topic.num.partitions=3",
            "transaction.state.log.num.partitions=3",
        ];
        let directory = self.directory.join("broker");
        self.broker = Some(BrokerProcess::start_at(&directory, &self.address, &settings));
    }

    fn prepare(&mut self) {
        for topic in TOPICS {
            let partitions = PARTITIONS.to_string();
            let create = [
                "topics",
                "--create",
                "--topic",
                topic,
                "--partitions",
                &partitions,
            ];
            let words = [&create[..], &["--bootstrap-server", &self.address]].concat();
            program::millstream_output(&words, "");
        }
        self.replay = Some(Replay::new(&self.address, "example", &TABLES, PARTITIONS));
        let example = program::repository().join("examples/revenue");
        let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
        let (source, target) = (self.source.port(), self.target.port());
        let exact = match self.kinds[1].as_str() {
            "mysql97" => "utf8mb4_0900_bin",
            "mariadb" => "utf8mb4_nopad_bin",
            _ => "utf8mb4_bin",
        };
        let (random, kinds) = (&mut self.random, &self.kinds);
        let prepared = self.runtime.block_on(async {
            for (port, kind) in [source, target].into_iter().zip(kinds) {
                // Its accounts without a name come before those of any host.
                if kind == "mysql56" {
                    let nobody = "DELETE FROM mysql.user WHERE user = ''; FLUSH PRIVILEGES";
                    shop::run_file(port, nobody).await?;
                }
            }
            shop::run_file(source, &read("shop.sql")).await?;
            shop::fill(source, random).await?;
            // The account of the other server.
            let user = "CREATE USER 'millstream'@'%' IDENTIFIED BY 'replace-me'";
            shop::run_file(target, user).await?;
            let reports = read("reports.sql").replace("utf8mb4_0900_bin", exact);
            shop::run_file(target, &reports).await
        });
        prepared.unwrap();
        let write = |name: &str, text: String| {
            std::fs::write(self.directory.join(name), text).unwrap();
        };
        let worker = read("worker.properties")
            .replace("127.0.0.1:9092", &self.address)
            .replace("127.0.0.1:8083", "127.0.0.1:0");
        for which in ["source", "sink"] {
            let soon = "offset.flush.interval.ms=50\nconnector.client.config.override.policy=All\n";
            let worker = worker.replace("state/connect", which);
            write(&format!("{which}-worker.properties"), format!("{worker}{soon}"));
        }
        let from = read("source.properties").replace("port=3306", &format!("port={source}"));
        let soon = "incremental.snapshot.chunk.size=50\nsnapshot.max.threads=2\nproducer.override.transaction.timeout.ms=10000\n";
        write("source.properties", format!("{from}{soon}"));
        let to = read("sink.properties").replace(":3306", &format!(":{target}"));
        let soon = "tasks.max=2\nconsumer.override.session.timeout.ms=3000\nconsumer.override.heartbeat.interval.ms=500\n\
             consumer.override.max.poll.records=300\nrestart.backoff.ms=50\nrestart.backoff.max.ms=500\n";
        write("sink.properties", format!("{to}{soon}"));
        self.jobs[0] = Some(self.first_job());
    }

    /// Buyers, and each process killed once.
    fn round(&mut self) {
        let seed = self.seed * 1000 + self.report.rounds;
        let buyers = Buyers::start(&self.runtime, self.source.port(), seed);
        let mut victims = vec![Victim::Broker, Victim::Source, Victim::Target];
        victims.extend((0..2).map(Victim::Worker));
        victims.extend((0..INSTANCES).map(Victim::Job));
        while !victims.is_empty() {
            // Who was killed may stay away for a while.
            self.start_some(4);
            std::thread::sleep(Duration::from_millis(100 + self.random.below(1900)));
            let place = self.random.below(victims.len() as u64) as usize;
            let victim = victims.swap_remove(place);
            self.kill(victim);
        }
        self.start_some(u64::MAX);
        std::thread::sleep(Duration::from_millis(self.random.below(1000)));
        self.report.transactions += buyers.stop(&self.runtime);
        self.check();
        self.report.rounds += 1;
    }

    /// Starts what does not run, each but for one time in `of`.
    fn start_some(&mut self, of: u64) {
        for place in 0..self.workers.len() {
            if self.workers[place].is_none() && self.random.below(of) > 0 {
                self.workers[place] = Some(self.start_worker(place));
            }
        }
        for place in 0..INSTANCES {
            if self.jobs[place].is_none() && self.random.below(of) > 0 {
                self.jobs[place] = Some(self.start_job());
            }
        }
    }

    fn start_worker(&self, place: usize) -> Worker {
        let which = ["source", "sink"][place];
        let worker = format!("{which}-worker.properties");
        let files = [worker.as_str(), &format!("{which}.properties")];
        Worker::start(&self.directory, &files, &self.log(which))
    }

    /// The first instance, once the job's topics are there: who is about to make them does not outlive the broker.
    fn first_job(&self) -> Instance {
        let mut child = self.job().stdout(Stdio::piped()).spawn_tied().unwrap();
        let mut line = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).unwrap();
        if line != "the job runs\n" {
            self.fail(&format!("the job does not start; it says {line:?}"));
        }
        Instance(child)
    }

    fn start_job(&self) -> Instance {
        Instance(self.job().spawn_tied().expect("cannot start the job"))
    }

    fn job(&self) -> Command {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log("job"));
        let mut command = Command::new(program::example("revenue"));
        command
            .arg(format!("bootstrap.servers={}", self.address))
            // Shared, so that whoever comes next takes the place of one that was killed.
            .arg(format!("state.dir={}", self.directory.join("state").display()))
            .args([
                "session.timeout.ms=3000",
                "heartbeat.interval.ms=500",
                "commit.interval.ms=100",
            ])
            .args(["num.stream.threads=2", "connect.timeout.ms=60000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        command
    }

    fn kill(&mut self, victim: Victim) {
        // Who ended by itself is not to be taken for one that is killed here.
        self.all_live();
        match victim {
            Victim::Broker => {
                if let Some(broker) = self.broker.take() {
                    broker.kill();
                }
                self.start_broker();
                self.report.broker_kills += 1;
            }
            Victim::Source => {
                self.source.kill_and_restart();
                self.report.server_kills += 1;
            }
            Victim::Target => {
                self.target.kill_and_restart();
                self.report.target_kills += 1;
            }
            // Who stays away dies while it starts.
            Victim::Worker(place) => {
                let worker = self.workers[place].take();
                drop(worker.unwrap_or_else(|| self.start_worker(place)));
                match place {
                    0 => self.report.source_kills += 1,
                    _ => self.report.sink_kills += 1,
                }
            }
            Victim::Job(place) => {
                let job = self.jobs[place].take();
                drop(job.unwrap_or_else(|| self.start_job()));
                self.report.job_kills += 1;
            }
        }
        self.all_live();
    }

    /// Workers and instances of the job live through whatever happens to the others.
    fn all_live(&mut self) {
        let ended = self.jobs.iter_mut().flatten().find_map(|instance| {
            let looked = instance.0.try_wait();
            looked.expect("cannot look at an instance")
        });
        if let Some(status) = ended {
            self.fail(&format!("an instance of the job ended by itself with {status}"));
        }
        let ended = self.workers.iter_mut().flatten().find_map(Worker::ended);
        if let Some(status) = ended {
            self.fail(&format!("a worker ended by itself with {status}"));
        }
    }

    /// Nor does a task of theirs give up.
    fn none_gave_up(&self) {
        for which in ["source", "sink"] {
            let log = std::fs::read_to_string(self.log(which)).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(GAVE_UP)) {
                self.fail(&format!("the {which}'s task gave up: {line}"));
            }
        }
    }

    /// Waits until the target is right, and stays so.
    fn check(&mut self) {
        let began = Instant::now();
        let expected = [shop::PER_CUSTOMER, shop::PER_CITY].map(|asked| {
            let rows = self.runtime.block_on(ask(self.source.port(), asked));
            rows.unwrap_or_else(|error| self.fail(&format!("the source does not answer: {error}")))
        });
        let mut progress = self.progress();
        let mut until = Instant::now() + PATIENCE;
        let limit = Instant::now() + CHECK_MAX;
        let mut right = None;
        while right.is_none_or(|since: Instant| since.elapsed() < QUIET) {
            self.all_live();
            self.none_gave_up();
            match self.difference(&expected) {
                None => {
                    if right.is_none() {
                        self.report.slowest = self.report.slowest.max(began.elapsed());
                        right = Some(Instant::now());
                    }
                }
                // Orders come before their customers, and the other way round.
                Some(differs) => {
                    right = None;
                    let now = self.progress();
                    if now != progress {
                        (progress, until) = (now, Instant::now() + PATIENCE);
                    }
                    if Instant::now() > until {
                        self.fail(&format!("nothing moves any more, and {differs}"));
                    }
                    if Instant::now() > limit {
                        self.fail(&format!("it does not end, and {differs}"));
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.report.rows += expected.iter().map(|rows| rows.len() as u64).sum::<u64>();
        self.replayed();
    }

    /// Reads the source's topics on, until they say what its tables are. That each change finds what was told last is seen with it.
    fn replayed(&mut self) {
        let tables = TABLES.map(|table| {
            let rows = self.runtime.block_on(select(self.source.port(), "shop", table));
            rows.unwrap_or_else(|error| self.fail(&format!("the source does not answer: {error}")))
        });
        let until = Instant::now() + PATIENCE;
        loop {
            let replay = self.replay.as_mut().expect("it is there since topics are");
            if let Err(what) = replay.read() {
                self.fail(&format!("a record of the source is not right: {what}"));
            }
            let differs = |(table, rows): (&&str, &Rows)| {
                let differs = difference(rows, replay.rows(table))?;
                Some(format!("{table}: {differs}"))
            };
            let Some(differs) = TABLES.iter().zip(&tables).find_map(differs) else {
                return;
            };
            if Instant::now() > until {
                self.fail(&format!("the source's topics differ from its tables: {differs}"));
            }
        }
    }

    /// What is stored of how far the topics are written.
    fn progress(&self) -> Option<Vec<String>> {
        let asked = "SELECT CONCAT_WS('|', topic, kafka_partition, next_offset) FROM reports.millstream_offsets ORDER BY 1";
        self.runtime.block_on(ask(self.target.port(), asked)).ok()
    }

    /// The first difference between the target and what the source says.
    fn difference(&self, expected: &[Vec<String>; 2]) -> Option<String> {
        let asked = [shop::COPY_PER_CUSTOMER, shop::COPY_PER_CITY];
        expected.iter().zip(asked).find_map(|(expected, asked)| {
            let rows = match self.runtime.block_on(ask(self.target.port(), asked)) {
                Ok(rows) => rows,
                Err(error) => return Some(format!("the target does not answer: {error}")),
            };
            let lost = expected.iter().find(|row| !rows.contains(row));
            let surplus = rows.iter().find(|row| !expected.contains(row));
            (rows != *expected).then(|| {
                format!(
                    "of {} rows {lost:?} is missing, and of {} {surplus:?} is wrong",
                    expected.len(),
                    rows.len()
                )
            })
        })
    }

    fn log(&self, which: &str) -> PathBuf {
        self.directory.join(format!("{which}.log"))
    }

    fn fail(&self, what: &str) -> ! {
        let logs = ["source", "job", "sink"].map(|which| format!("{which}:\n{}", end_of(&self.log(which))));
        panic!(
            "seed {}, round {}: {what}; the logs end:\n{}",
            self.seed,
            self.report.rounds,
            logs.join("\n")
        )
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask(port: u16, asked: &str) -> mysql_async::Result<Vec<String>> {
    let mut conn = Conn::new(writers::options(port)).await?;
    let rows = conn.query(asked).await?;
    conn.disconnect().await?;
    Ok(rows)
}
