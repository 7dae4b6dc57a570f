//! A file pipeline whose worker is killed at random while its input is appended to, rotated, truncated, deleted and made anew.
//!
//! Files → topic → files, exactly once both ways: `millstream connect standalone` with a file source over a pattern and a rolling file
//! sink. Every line says which file it belongs to and its number, so what reached the topic and the sink's files can be compared with
//! what was written: each line once, those of a file in their order.

mod files;
pub mod group;
mod sunk;
mod topic;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use files::InputFiles;
use topic::TopicReader;

use crate::broker::BrokerProcess;
use crate::program::{self, SpawnTied};
use crate::random::Random;

/// How long everything that was written may take to arrive.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many files are written to.
const FILES: u64 = 3;
/// How many rounds pass between two comparisons.
const ROUNDS_PER_CHECK: u64 = 10;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Kills of the worker.
    pub rounds: u64,
    /// The seed.
    pub seed: u64,
    /// A cluster to use instead of a broker of ours, which is killed as well.
    pub bootstrap: Option<String>,
}

/// What a run did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Kills of the worker.
    pub worker_kills: u64,
    /// Kills of the broker.
    pub broker_kills: u64,
    /// Lines that were written.
    pub lines: u64,
    /// Files that were renamed, truncated or deleted.
    pub upheavals: u64,
    /// Files of the sink.
    pub sink_files: usize,
}

/// Runs the harness in `directory`; panics, naming the seed, when a line is lost, repeated or out of order.
pub fn run(directory: &Path, plan: &Plan) -> Report {
    let mut pipeline = Pipeline::new(directory, plan);
    let mut random = Random::new(plan.seed);
    let mut report = Report::default();
    for round in 1..=plan.rounds {
        let mut worker = pipeline.start_worker();
        // Nothing may be unread when a file's content is taken away: nobody could deliver it then.
        let upheaval = random.below(3) == 0;
        if upheaval {
            pipeline.await_lines(&mut worker);
            pipeline.files.all_read();
        }
        for _ in 0..1 + random.below(6) {
            report.upheavals += u64::from(pipeline.files.act(&mut random, upheaval));
            std::thread::sleep(Duration::from_millis(random.below(40)));
        }
        if plan.bootstrap.is_none() && random.below(20) == 0 {
            pipeline.restart_broker();
            report.broker_kills += 1;
        }
        std::thread::sleep(Duration::from_millis(random.below(400)));
        worker.0.kill().unwrap();
        worker.0.wait().unwrap();
        report.worker_kills += 1;
        if round % ROUNDS_PER_CHECK == 0 || round == plan.rounds {
            pipeline.check();
        }
    }
    report.lines = pipeline.files.lines();
    report.sink_files = sunk::finished_files(&directory.join("out")).len();
    report
}

/// A running worker; killed when dropped.
struct WorkerProcess(Child);

impl WorkerProcess {
    /// Starts `millstream connect` with these words, whose log goes behind what is in `log`.
    fn start(words: &[&str], directory: &Path, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log);
        let mut command = Command::new(program::millstream());
        command.arg("connect").args(words);
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn_tied();
        Self(child.unwrap())
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

/// The last lines of a log.
fn log_end(log: &Path) -> String {
    let log = std::fs::File::open(log).unwrap();
    let lines: Vec<String> = BufReader::new(log).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Pipeline {
    directory: PathBuf,
    broker: Option<BrokerProcess>,
    bootstrap: String,
    files: InputFiles,
    topic: TopicReader,
    seed: u64,
}

impl Pipeline {
    fn new(directory: &Path, plan: &Plan) -> Self {
        let broker = plan
            .bootstrap
            .is_none()
            .then(|| BrokerProcess::start(&directory.join("broker")));
        let address = broker.as_ref().map(|broker| broker.address().to_owned());
        let bootstrap = plan.bootstrap.clone().or(address).expect("one of the two");
        let name = format!("lines-{}", std::process::id());
        let pipeline = Self {
            files: InputFiles::new(&directory.join("in"), &directory.join("backup"), FILES),
            topic: TopicReader::new(&bootstrap, &name, 1),
            directory: directory.to_owned(),
            broker,
            bootstrap,
            seed: plan.seed,
        };
        pipeline.write_properties(&name);
        pipeline
    }

    fn write_properties(&self, topic: &str) {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let worker = format!(
            "bootstrap.servers={}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             offset.storage.file.filename={}\n\
             offset.flush.interval.ms=50\n\
             exactly.once.source.support=enabled\n\
             listeners=http://127.0.0.1:0\n",
            self.bootstrap,
            at("connect.offsets")
        );
        let source = format!(
            "name=files-{topic}\nconnector.class=FileStreamSource\ntasks.max=1\nfile={}/*.log*\ntopic={topic}\n\
             offsets.storage.topic={topic}-offsets\nproducer.override.transaction.timeout.ms=10000\n",
            at("in")
        );
        let sink = format!(
            "name=copy-{topic}\nconnector.class=FileStreamSink\ntasks.max=1\ntopics={topic}\ndirectory={}\n\
             consumer.override.isolation.level=read_committed\nconsumer.override.session.timeout.ms=6000\n",
            at("out")
        );
        for (name, text) in [
            ("worker.properties", worker),
            ("source.properties", source),
            ("sink.properties", sink),
        ] {
            std::fs::write(self.directory.join(name), text).unwrap();
        }
        std::fs::create_dir_all(self.directory.join("out")).unwrap();
    }

    fn start_worker(&self) -> WorkerProcess {
        let words = [
            "standalone",
            "worker.properties",
            "source.properties",
            "sink.properties",
        ];
        WorkerProcess::start(&words, &self.directory, &self.log())
    }

    fn log(&self) -> PathBuf {
        self.directory.join("worker.log")
    }

    /// Kills the broker, and starts it again on the same port.
    fn restart_broker(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.kill();
            self.broker = Some(BrokerProcess::start_at(
                &self.directory.join("broker"),
                &self.bootstrap,
                &[],
            ));
        }
    }

    /// Waits until the topic holds every line that was written so far.
    fn await_lines(&mut self, worker: &mut WorkerProcess) {
        let until = Instant::now() + PATIENCE;
        while self.topic.read() < self.files.complete_lines() {
            self.assert_not_over(until, worker, "the topic", self.topic.lines());
        }
    }

    fn assert_not_over(&self, until: Instant, worker: &mut WorkerProcess, what: &str, count: usize) {
        let ended = worker.ended();
        assert!(
            ended.is_none() && Instant::now() < until,
            "seed {}: {what} holds {count} lines of {}, and no more come (worker {ended:?}); its log ends:\n{}",
            self.seed,
            self.files.complete_lines(),
            log_end(&self.log())
        );
    }

    /// Lets a worker run until everything arrived, and compares.
    fn check(&mut self) {
        self.files.complete_all();
        let mut worker = self.start_worker();
        self.await_lines(&mut worker);
        let until = Instant::now() + PATIENCE;
        while self.sunk_lines() < self.topic.lines() {
            self.assert_not_over(until, &mut worker, "the sink", self.sunk_lines());
            std::thread::sleep(Duration::from_millis(50));
        }
        // Something too much would come behind.
        std::thread::sleep(Duration::from_millis(300));
        drop(worker);
        self.topic.read();
        let topic = &self.topic.partitions()[0];
        if let Err(difference) = self.files.compare(topic) {
            panic!("seed {}: files and topic differ: {difference}", self.seed);
        }
        let sunk = &sunk::lines(&self.directory.join("out"), 1)[0];
        let differ = sunk.iter().zip(topic).position(|(sunk, sent)| sunk != sent);
        assert!(
            differ.is_none() && sunk.len() == topic.len(),
            "seed {}: the sink has {} lines where the topic has {}; the first that differs: {differ:?}",
            self.seed,
            sunk.len(),
            topic.len()
        );
    }

    fn sunk_lines(&self) -> usize {
        sunk::lines(&self.directory.join("out"), 1)[0].len()
    }
}
