//! Two distributed workers that share a file pipeline and are killed at random, one or both, and their broker.
//!
//! Files → topic → files, exactly once both ways: the source's tasks share the files, the sink's the partitions, and both workers the disk. After
//! each kill the other worker takes over what the killed one ran, or the killed one comes back. Each line has to reach the topic and
//! the sink's files once, and those of a file in their order within a partition; every task has to run again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::files::InputFiles;
use super::sunk;
use super::topic::TopicReader;
use super::{WorkerProcess, log_end};
use crate::broker::{BrokerProcess, free_address};
use crate::program;
use crate::random::Random;

/// How long everything that was written may take to arrive, and tasks to run again.
const PATIENCE: Duration = Duration::from_secs(150);
/// How many rounds pass between two comparisons.
const ROUNDS_PER_CHECK: u64 = 4;
/// How many files are written to: each task of the source has some.
const FILES: u64 = 8;
/// More than one task of the sink gets some.
const PARTITIONS: usize = 4;
const TOPIC: &str = "lines";
const NAMES: [&str; 2] = ["a", "b"];
/// How long a worker or a sink's task may be silent before others take over, in milliseconds.
const SESSION_MS: u64 = 3_000;

/// What a run did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Kills of one worker or both.
    pub rounds: u64,
    /// Workers that were killed.
    pub worker_kills: u64,
    /// Kills of both workers at once.
    pub both_killed: u64,
    /// Rounds in which a killed worker stayed away, and the other one had to take everything over.
    pub takeovers: u64,
    /// Kills of the broker.
    pub broker_kills: u64,
    /// Lines that were written.
    pub lines: u64,
    /// Files that were renamed, truncated or deleted.
    pub upheavals: u64,
    /// Files of the sink.
    pub sink_files: usize,
    /// The longest time from a kill until all that was written had arrived, in milliseconds.
    pub longest_recovery_ms: u128,
}

/// Runs the harness in `directory`; panics, naming the seed, when a line is lost, repeated or out of order, or a task does not come back.
pub fn run(directory: &Path, rounds: u64, seed: u64) -> Report {
    let mut random = Random::new(seed);
    let mut group = Group::new(directory, seed);
    let mut report = Report::default();
    for round in 1..=rounds {
        // Nothing may be unread when a file's content is taken away: nobody could deliver it then.
        let upheaval = random.below(3) == 0;
        if upheaval {
            group.await_lines();
            group.files.all_read();
        }
        for _ in 0..1 + random.below(6) {
            report.upheavals += u64::from(group.files.act(&mut random, upheaval));
            std::thread::sleep(Duration::from_millis(random.below(60)));
        }
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        let killed: &[usize] = match random.below(5) {
            0 => &[0, 1],
            1 | 2 => &[0],
            _ => &[1],
        };
        for worker in killed {
            group.workers[*worker] = None;
        }
        report.worker_kills += killed.len() as u64;
        report.both_killed += u64::from(killed.len() == 2);
        if random.below(6) == 0 {
            group.restart_broker();
            report.broker_kills += 1;
        }
        let since = Instant::now();
        // What the other worker has to take over is written meanwhile, too.
        group.files.act(&mut random, false);
        if killed.len() == 1 && random.below(3) == 0 {
            group.await_lines();
            group.await_running();
            report.takeovers += 1;
        }
        group.start_workers();
        if round % ROUNDS_PER_CHECK == 0 || round == rounds {
            group.check();
            report.longest_recovery_ms = report.longest_recovery_ms.max(since.elapsed().as_millis());
        }
        report.rounds += 1;
    }
    report.lines = group.files.lines();
    report.sink_files = sunk::finished_files(&group.out()).len();
    report
}

struct Group {
    directory: PathBuf,
    /// None while it is being started again.
    broker: Option<BrokerProcess>,
    bootstrap: String,
    files: InputFiles,
    topic: TopicReader,
    /// The workers' addresses, and the workers; none is dead.
    addresses: [String; 2],
    workers: [Option<WorkerProcess>; 2],
    seed: u64,
}

impl Group {
    fn new(directory: &Path, seed: u64) -> Self {
        let bootstrap = free_address();
        let broker = start_broker(directory, &bootstrap);
        let partitions = PARTITIONS.to_string();
        let create = ["topics", "create", "--topic", TOPIC, "--partitions", &partitions];
        let mut create = create.to_vec();
        create.extend(["--bootstrap-server", &bootstrap]);
        program::millstream_output(&create, "");
        let mut group = Self {
            files: InputFiles::new(&directory.join("in"), &directory.join("backup"), FILES),
            topic: TopicReader::new(&bootstrap, TOPIC, PARTITIONS),
            directory: directory.to_owned(),
            broker: Some(broker),
            bootstrap,
            addresses: [free_address(), free_address()],
            workers: [None, None],
            seed,
        };
        group.write_properties();
        group.start_workers();
        group.create_connectors();
        group.await_running();
        group
    }

    fn at(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn out(&self) -> PathBuf {
        self.directory.join("out")
    }

    fn url(&self, worker: usize) -> String {
        format!("http://{}", self.addresses[worker])
    }

    fn write_properties(&self) {
        for (name, address) in NAMES.iter().zip(&self.addresses) {
            let worker = format!(
                "bootstrap.servers={}\n\
                 group.id=kill-connect\n\
                 key.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 value.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 config.storage.topic=connect-configs\nconfig.storage.replication.factor=1\n\
                 offset.storage.topic=connect-offsets\noffset.storage.replication.factor=1\n\
                 offset.storage.partitions=3\n\
                 status.storage.topic=connect-status\nstatus.storage.replication.factor=1\n\
                 offset.flush.interval.ms=50\n\
                 exactly.once.source.support=enabled\n\
                 session.timeout.ms={SESSION_MS}\nheartbeat.interval.ms=500\n\
                 task.shutdown.graceful.timeout.ms=1000\n\
                 scheduled.rebalance.max.delay.ms=0\n\
                 listeners=http://{address}\n",
                self.bootstrap
            );
            std::fs::write(self.directory.join(format!("{name}.properties")), worker).unwrap();
        }
        let source = serde_json::json!({"name": "files", "config": {
            "connector.class": "FileStreamSource",
            "tasks.max": "3",
            "file": format!("{}/*.log*", self.at("in")),
            "topic": TOPIC,
            "producer.override.transaction.timeout.ms": "10000",
        }});
        let sink = serde_json::json!({"name": "copy", "config": {
            "connector.class": "FileStreamSink",
            "tasks.max": "2",
            "topics": TOPIC,
            "directory": self.at("out"),
            "roll.interval.ms": "500",
            "consumer.override.isolation.level": "read_committed",
            "consumer.override.session.timeout.ms": SESSION_MS.to_string(),
            "consumer.override.heartbeat.interval.ms": "500",
        }});
        for (name, text) in [("source.json", source), ("sink.json", sink)] {
            std::fs::write(self.directory.join(name), text.to_string()).unwrap();
        }
        std::fs::create_dir_all(self.out()).unwrap();
    }

    /// Starts the workers that are dead.
    fn start_workers(&mut self) {
        for (name, worker) in NAMES.iter().zip(&mut self.workers) {
            if worker.is_none() {
                let file = format!("{name}.properties");
                let log = self.directory.join(format!("{name}.log"));
                let started = WorkerProcess::start(&["distributed", &file], &self.directory, &log);
                *worker = Some(started);
            }
        }
    }

    fn restart_broker(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.kill();
        }
        self.broker = Some(start_broker(&self.directory, &self.bootstrap));
    }

    /// A question to a worker that lives.
    fn ask(&self, words: &[&str]) -> Option<String> {
        let living = self.workers.iter().position(Option::is_some)?;
        let url = self.url(living);
        let mut all = vec!["connect"];
        all.extend_from_slice(words);
        all.extend(["--url", &url, "--timeout-ms", "10000"]);
        let finished = program::run(&mut program::command(&all), b"");
        finished.success.then_some(finished.stdout)
    }

    /// Makes the connectors, as soon as the workers are a group.
    fn create_connectors(&mut self) {
        self.wait_for("connectors are made", |group| {
            let files = [group.at("source.json"), group.at("sink.json")];
            let words = ["create", "--replace", &files[0], &files[1]];
            let made = group.ask(&words);
            made.ok_or_else(|| "no answer".to_owned()).map(drop)
        });
    }

    /// Waits until both connectors and all their tasks run.
    fn await_running(&mut self) {
        self.wait_for("all tasks run", |group| {
            for (name, tasks) in [("files", 3), ("copy", 2)] {
                let status = group.ask(&["status", name, "--output", "json"]);
                let status = status.ok_or_else(|| "no answer".to_owned())?;
                let parsed: Value = serde_json::from_str(&status).unwrap();
                let own = parsed["connector"]["state"] == "RUNNING";
                let all = parsed["tasks"].as_array().unwrap();
                let running = all.iter().filter(|task| task["state"] == "RUNNING").count();
                if !own || running != tasks {
                    return Err(status);
                }
            }
            Ok(())
        });
    }

    /// Waits until the topic holds every line that was written so far.
    fn await_lines(&mut self) {
        self.wait_for("the topic holds all lines", |group| {
            let (wanted, there) = (group.files.complete_lines(), group.topic.read());
            match there < wanted {
                true => Err(format!("{there} lines of {wanted}")),
                false => Ok(()),
            }
        });
    }

    /// Waits until this holds. Workers that were not killed must live.
    fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> Result<(), String>) {
        let until = Instant::now() + PATIENCE;
        while let Err(instead) = holds(self) {
            let mut living = self.workers.iter_mut().flatten();
            let ended = living.find_map(|worker| worker.ended());
            assert!(
                ended.is_none() && Instant::now() < until,
                "seed {}: waiting until {what}: {instead} (worker {ended:?}); the logs end:\n{}\n{}",
                self.seed,
                log_end(&self.directory.join("a.log")),
                log_end(&self.directory.join("b.log"))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets both workers run until everything arrived, and compares.
    fn check(&mut self) {
        self.files.complete_all();
        self.await_lines();
        self.wait_for("the sink holds all lines", |group| {
            let sunk: usize = sunk::lines(&group.out(), PARTITIONS).iter().map(Vec::len).sum();
            match sunk < group.topic.read() {
                true => Err(format!("{sunk} lines of {}", group.topic.read())),
                false => Ok(()),
            }
        });
        self.await_running();
        // Something too much would come behind.
        std::thread::sleep(Duration::from_millis(300));
        self.topic.read();
        if let Err(difference) = self.files.compare_partitions(self.topic.partitions()) {
            panic!("seed {}: files and topic differ: {difference}", self.seed);
        }
        let sunk = sunk::lines(&self.out(), PARTITIONS);
        for (partition, (sunk, sent)) in sunk.iter().zip(self.topic.partitions()).enumerate() {
            let differ = sunk.iter().zip(sent).position(|(sunk, sent)| sunk != sent);
            assert!(
                differ.is_none() && sunk.len() == sent.len(),
                "seed {}: the sink has {} lines of partition {partition}, the topic {}; the first that differs: {differ:?}",
                self.seed,
                sunk.len(),
                sent.len()
            );
        }
    }
}

fn start_broker(directory: &Path, address: &str) -> BrokerProcess {
    let settings = [
        "group.min.session.timeout.ms=1000",
        "offsets.topic.num.partitions=3",
    ];
    BrokerProcess::start_at(&directory.join("broker"), address, &settings)
}
