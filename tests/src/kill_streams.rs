//! Instances of one exactly-once job that are killed, stopped and woken up at random while lines come in; so is the broker.
//!
//! The oracle counts the same words in a map. What a reader of committed records finds must be, for each word, numbers that only
//! grow, the last of them the oracle's: a line that was lost leaves it lower, one that was counted twice makes it higher, and an
//! instance that wrote from an old state lets the numbers go back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{BrokerProcess, free_address};
use crate::program;
use crate::random::Random;

const LINES: &str = "lines";
const COUNTS: &str = "word-counts";
const PARTITIONS: i32 = 8;
const INSTANCES: usize = 3;
const WORDS: u64 = 2_000;
/// How long the last counts may be under way: the session of a killed instance and the transaction it left open are over by then.
const SETTLE: Duration = Duration::from_secs(120);

/// Words and how often they were written.
type Counts = BTreeMap<String, u64>;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long.
    pub seconds: u64,
    /// Of the random numbers.
    pub seed: u64,
    /// Another cluster than a broker of this run, which is then not killed. Its topics `lines` and `word-counts` must be new.
    pub bootstrap: Option<String>,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Instances killed.
    pub killed: u64,
    /// Instances stopped for longer than their session, and woken up.
    pub zombies: u64,
    /// Brokers killed.
    pub brokers: u64,
    /// Lines written.
    pub lines: u64,
    /// Words in them.
    pub words: u64,
    /// Counts published.
    pub published: u64,
}

/// Kills and stops for a while; panics at the first broken promise, naming the seed.
pub fn run(directory: &Path, plan: &Plan) -> Report {
    let mut random = Random::new(plan.seed);
    let own = plan.bootstrap.is_none();
    let address = plan.bootstrap.clone().unwrap_or_else(free_address);
    let start_broker = || {
        let settings = [
            "offsets.topic.num.partitions=3",
            "transaction.state.log.num.partitions=3",
        ];
        BrokerProcess::start_at(directory, &address, &settings)
    };
    let mut broker = own.then(start_broker);
    for (topic, partitions) in [(LINES, PARTITIONS), (COUNTS, 3)] {
        let partitions = partitions.to_string();
        program::millstream_output(
            &[
                "topics",
                "--create",
                "--topic",
                topic,
                "--partitions",
                &partitions,
                "--bootstrap-server",
                &address,
            ],
            "",
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = feed(&address, Random::new(plan.seed ^ 1), &stop);
    let state = tempfile::tempdir().expect("a directory for local state");
    let mut instances: Vec<Instance> = (0..INSTANCES)
        .map(|_| Instance::start(&address, state.path()))
        .collect();
    let mut report = Report::default();
    let deadline = Instant::now() + Duration::from_secs(plan.seconds);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500 + random.below(2_500)));
        let place = random.below(INSTANCES as u64) as usize;
        match random.below(10) {
            0..=5 => {
                let killed = instances.remove(place);
                instances.insert(
                    place,
                    killed.kill_and_start_another(&address, state.path(), &mut random),
                );
                report.killed += 1;
            }
            6..=7 => {
                // Longer than its session: the others take over what it has, and then it wakes up.
                instances[place].signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(7_000 + random.below(6_000)));
                instances[place].signal(Signal::CONT);
                report.zombies += 1;
            }
            _ if own => {
                broker.take().expect("there is a broker of this run").kill();
                std::thread::sleep(Duration::from_millis(random.below(1_000)));
                broker = Some(start_broker());
                report.brokers += 1;
            }
            _ => {}
        }
        for instance in &mut instances {
            instance.must_run(plan.seed);
        }
    }
    stop.store(true, Ordering::Release);
    let oracle = feeder.join().expect("the feeder panicked");
    report.lines = oracle.1;
    report.words = oracle.0.values().sum();
    report.published = check(&address, &oracle.0, plan.seed, &mut instances);
    instances.into_iter().for_each(Instance::stop);
    report
}

/// One process of the job.
struct Instance {
    child: Child,
}

impl Instance {
    fn start(address: &str, state: &Path) -> Self {
        let child = Command::new(program::example("word_count_service"))
            .arg(format!("bootstrap.servers={address}"))
            // Shared, so that whoever comes next takes the place of one that was killed.
            .arg(format!("state.dir={}", state.display()))
            .args([
                "session.timeout.ms=6000",
                "heartbeat.interval.ms=1000",
                "commit.interval.ms=100",
            ])
            .args(["num.stream.threads=2", "connect.timeout.ms=60000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot start the job");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended.
        let _ = kill_process(pid.expect("a process has an id"), signal);
    }

    fn kill_and_start_another(mut self, address: &str, state: &Path, random: &mut Random) -> Self {
        self.child.kill().expect("cannot kill an instance");
        self.child.wait().expect("cannot wait for an instance");
        if random.below(3) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(3_000)));
        }
        Self::start(address, state)
    }

    /// An instance must live through whatever happens to the others and the broker.
    fn must_run(&mut self, seed: u64) {
        let ended = self.child.try_wait().expect("cannot look at an instance");
        assert!(
            ended.is_none(),
            "seed {seed}: an instance ended by itself: {ended:?}"
        );
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("cannot look at an instance") {
                assert!(status.success(), "an instance ended with {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("an instance did not stop within 30 s of the end of its input");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Most have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes lines until told to stop; gives the counts of their words, and how many lines there are.
fn feed(address: &str, mut random: Random, stop: &Arc<AtomicBool>) -> JoinHandle<(Counts, u64)> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("delivery.timeout.ms", "300000")
        .set("linger.ms", "5");
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let producer: BaseProducer = client.create().expect("a producer");
        let (mut counts, mut lines) = (Counts::new(), 0);
        while !stop.load(Ordering::Acquire) {
            for _ in 0..50 {
                let mut line = String::new();
                for _ in 0..random.below(12) {
                    // Few words are frequent, most are rare.
                    let word = format!("w{}", random.below(1 + random.clone().below(WORDS)));
                    line.push_str(&word);
                    line.push(' ');
                    *counts.entry(word).or_default() += 1;
                }
                let partition = random.below(PARTITIONS as u64) as i32;
                let mut record = BaseRecord::<(), str>::to(LINES)
                    .payload(&line)
                    .partition(partition);
                while let Err((_, back)) = producer.send(record) {
                    producer.poll(Duration::from_millis(10));
                    record = back;
                }
                lines += 1;
            }
            producer.poll(Duration::from_millis(10));
        }
        producer
            .flush(Duration::from_secs(300))
            .expect("not all lines were written");
        (counts, lines)
    })
}

/// Reads the published counts until they are the oracle's; gives how many there were.
fn check(address: &str, oracle: &Counts, seed: u64, instances: &mut [Instance]) -> u64 {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("group.id", "kill-streams-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed");
    let reader: BaseConsumer = client.create().expect("a consumer");
    let mut from = TopicPartitionList::new();
    for partition in 0..3 {
        from.add_partition_offset(COUNTS, partition, Offset::Beginning)
            .expect("an offset");
    }
    reader.assign(&from).expect("an assignment");
    let (mut found, mut published) = (Counts::new(), 0);
    let mut deadline = Instant::now() + SETTLE;
    while found != *oracle {
        let Some(record) = reader.poll(Duration::from_millis(200)) else {
            if Instant::now() > deadline {
                panic!(
                    "seed {seed}: the counts do not come about: {}",
                    difference(oracle, &found)
                );
            }
            instances.iter_mut().for_each(|instance| instance.must_run(seed));
            continue;
        };
        let Ok(record) = record else { continue };
        deadline = Instant::now() + SETTLE;
        published += 1;
        let word = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
        let value: serde_json::Value =
            serde_json::from_slice(record.payload().unwrap_or_default()).expect("the value is JSON");
        let count = value["count"].as_u64().expect("the value has a count");
        let before = found.insert(word.clone(), count).unwrap_or(0);
        assert!(
            before < count,
            "seed {seed}: the count of {word} went from {before} to {count} at {}-{}",
            record.partition(),
            record.offset()
        );
        let written = oracle.get(&word).copied().unwrap_or(0);
        assert!(
            count <= written,
            "seed {seed}: {word} was counted {count} times and written {written} times ({}-{})",
            record.partition(),
            record.offset()
        );
    }
    published
}

fn difference(oracle: &Counts, found: &Counts) -> String {
    let wrong = oracle
        .iter()
        .filter(|(word, count)| found.get(*word) != Some(count));
    let wrong: Vec<_> = wrong
        .map(|(word, count)| format!("{word}: {:?} of {count}", found.get(word)))
        .collect();
    format!(
        "{} of {} words, {:?}",
        wrong.len(),
        oracle.len(),
        &wrong[..wrong.len().min(5)]
    )
}
