//! Instances of one exactly-once job that are killed, stopped and woken up at random while records come in; so is the broker.
//!
//! What a reader of committed records finds in the end must be what an oracle says, which knows the records and nothing of the
//! job: of words and their counts (`words`), of windows and what came too late for them (`views`), of two streams joined, with sessions and a table behind
//! (`joins`), or of tables that meet and are looked up (`tables`).

mod joins;
mod tables;
mod views;
mod words;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{BrokerProcess, free_address};
use crate::program::{self, SpawnTied};
use crate::random::Random;

/// Of each topic that is read.
const PARTITIONS: i32 = 8;
/// Of each topic that is written.
const OUTPUT_PARTITIONS: i32 = 3;
const INSTANCES: usize = 3;
/// How long the last results may be under way: the session of a killed instance and the transaction it left open are over by then.
const SETTLE: Duration = Duration::from_secs(120);

/// Which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `word_count_service`.
    Words,
    /// `page_views_service`: windows, and late rows.
    Views,
    /// `joins_service`: a join of two streams, late rows of both, a table and sessions over it, with more state than it may keep in memory.
    Joins,
    /// `tables_service`: a join by another table's key, a global table, versions, rows that pass once and the first of each key, with more state
    /// than it may keep in memory.
    Tables,
}

/// What must come out.
enum Oracle {
    Words(words::Oracle),
    Views(views::Oracle),
    Joins(joins::Oracle),
    Tables(tables::Oracle),
}

impl Job {
    /// The job that is called so on a command line.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "words" => Some(Self::Words),
            "views" => Some(Self::Views),
            "joins" => Some(Self::Joins),
            "tables" => Some(Self::Tables),
            _ => None,
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Words => "word_count_service",
            Self::Views => "page_views_service",
            Self::Joins => "joins_service",
            Self::Tables => "tables_service",
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::Words => "word-count",
            Self::Views => "page-views",
            Self::Joins => "joins",
            Self::Tables => "tables",
        }
    }

    const fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Words => &[words::LINES],
            Self::Views => &[views::VIEWS],
            Self::Joins => &[joins::ORDERS, joins::PAYMENTS],
            Self::Tables => &[
                tables::PAYMENTS,
                tables::ORDERS,
                tables::CUSTOMERS,
                tables::RATES,
                tables::REGIONS,
            ],
        }
    }

    const fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Words => &[words::COUNTS],
            Self::Views => &[views::PER_PAGE, views::LATE],
            Self::Joins => &[
                joins::PAID,
                joins::LATE_ORDERS,
                joins::LATE_PAYMENTS,
                joins::CUSTOMERS,
                joins::SESSIONS,
            ],
            Self::Tables => &[tables::BUYERS, tables::LABELLED, tables::PRICED, tables::LARGEST],
        }
    }

    /// What its instances are told besides.
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Words | Self::Views => &[],
            Self::Joins | Self::Tables => &["statestore.cache.max.bytes=2000000"],
        }
    }
}

/// What happens to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// An instance is killed.
    Kill,
    /// All instances are killed at once, when a commit was just acknowledged: what they keep beside it is older.
    AfterCommit,
    /// Another instance comes, and while the partitions are given out again it, or one that has some, is killed.
    InRebalance,
    /// An instance is stopped for longer than its session, and wakes up when others have its partitions.
    Zombie,
    /// The broker is killed: now and then between the answer to a commit and the markers of its transaction.
    Broker,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only this happens, or else all of it at random.
    pub blow: Option<Blow>,
    /// Which job.
    pub job: Job,
    /// How long.
    pub seconds: u64,
    /// Of the random numbers.
    pub seed: u64,
    /// Another cluster than a broker of this run, which is then not killed. The job's topics must be new.
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
    /// Records written.
    pub records: u64,
    /// What is counted in them: words, views, pairs, rows that met none and sessions, or rows of tables and payments.
    pub counted: u64,
    /// Rows that came too late.
    pub late: u64,
    /// Results published.
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
    let inputs = plan.job.inputs().iter().map(|topic| (*topic, PARTITIONS));
    let outputs = plan.job.outputs().iter().map(|topic| (*topic, OUTPUT_PARTITIONS));
    for (topic, partitions) in outputs.chain(inputs) {
        let partitions = partitions.to_string();
        program::millstream_output(
            &[
                "topics",
                "--create",
                "--topic",
                topic,
                "--partitions",
                &partitions,
                // Records have the times of their events, which are in 1970: the broker would delete them after a while.
                "--config",
                "retention.ms=-1",
                "--bootstrap-server",
                &address,
            ],
            "",
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = feed(plan.job, &address, Random::new(plan.seed ^ 1), &stop);
    let state = tempfile::tempdir().expect("a directory for local state");
    let start = || Instance::start(plan.job, &address, state.path());
    let mut instances: Vec<Instance> = std::iter::repeat_with(start).take(INSTANCES).collect();
    let mut report = Report::default();
    let deadline = Instant::now() + Duration::from_secs(plan.seconds);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500 + random.below(2_500)));
        let place = random.below(INSTANCES as u64) as usize;
        let another = |killed: Instance, random: &mut Random| {
            killed.kill_and_start_another(plan.job, &address, state.path(), random)
        };
        match plan.blow.unwrap_or_else(|| Blow::any(&mut random)) {
            Blow::Kill => {
                let killed = instances.remove(place);
                instances.insert(place, another(killed, &mut random));
                report.killed += 1;
            }
            Blow::AfterCommit => {
                await_commit(&address, plan.job);
                instances
                    .iter()
                    .for_each(|instance| instance.signal(Signal::KILL));
                instances = instances
                    .into_iter()
                    .map(|killed| another(killed, &mut random))
                    .collect();
                report.killed += INSTANCES as u64;
            }
            Blow::InRebalance => {
                instances.push(start());
                // It joins within its first second, and then the others give up what they have.
                std::thread::sleep(Duration::from_millis(random.below(1_500)));
                let last = instances.len() - 1;
                let gone = if random.below(2) == 0 { last } else { place };
                instances.remove(gone).kill();
                report.killed += 1;
            }
            Blow::Zombie => {
                instances[place].signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(7_000 + random.below(6_000)));
                instances[place].signal(Signal::CONT);
                report.zombies += 1;
            }
            Blow::Broker if own => {
                broker.take().expect("there is a broker of this run").kill();
                std::thread::sleep(Duration::from_millis(random.below(1_000)));
                broker = Some(start_broker());
                report.brokers += 1;
            }
            Blow::Broker => {}
        }
        for instance in &mut instances {
            instance.must_run(plan.seed);
        }
    }
    stop.store(true, Ordering::Release);
    match feeder.join().expect("the feeder panicked") {
        Oracle::Words(oracle) => oracle.check(&address, plan.seed, &mut instances, &mut report),
        Oracle::Views(oracle) => oracle.check(&address, plan.seed, &mut instances, &mut report),
        Oracle::Joins(oracle) => oracle.check(&address, plan.seed, &mut instances, &mut report),
        Oracle::Tables(oracle) => oracle.check(&address, plan.seed, &mut instances, &mut report),
    }
    instances.into_iter().for_each(Instance::stop);
    report
}

impl Blow {
    fn any(random: &mut Random) -> Self {
        match random.below(20) {
            0..=9 => Self::Kill,
            10 => Self::AfterCommit,
            11..=12 => Self::InRebalance,
            13..=15 => Self::Zombie,
            _ => Self::Broker,
        }
    }
}

/// Waits until the job commits, or long enough.
fn await_commit(address: &str, job: Job) {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("group.id", job.group());
    let watcher: BaseConsumer = client.create().expect("a consumer");
    let committed = || {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(job.inputs()[0], 0, PARTITIONS - 1);
        let committed = watcher.committed_offsets(list, Duration::from_secs(5)).ok()?;
        Some(
            committed
                .elements()
                .iter()
                .map(|element| element.offset())
                .collect::<Vec<_>>(),
        )
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let before = committed();
    while committed() == before && Instant::now() < deadline {}
}

/// One process of the job.
struct Instance {
    child: Child,
}

impl Instance {
    fn start(job: Job, address: &str, state: &Path) -> Self {
        let child = Command::new(program::example(job.program()))
            .arg(format!("bootstrap.servers={address}"))
            // Shared, so that whoever comes next takes the place of one that was killed.
            .arg(format!("state.dir={}", state.display()))
            .args([
                "session.timeout.ms=6000",
                "heartbeat.interval.ms=1000",
                "commit.interval.ms=100",
            ])
            .args(["num.stream.threads=2", "connect.timeout.ms=60000"])
            .args(job.settings())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn_tied()
            .expect("cannot start the job");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended.
        let _ = kill_process(pid.expect("a process has an id"), signal);
    }

    fn kill(mut self) {
        self.child.kill().expect("cannot kill an instance");
        self.child.wait().expect("cannot wait for an instance");
    }

    fn kill_and_start_another(mut self, job: Job, address: &str, state: &Path, random: &mut Random) -> Self {
        self.child.kill().expect("cannot kill an instance");
        self.child.wait().expect("cannot wait for an instance");
        if random.below(3) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(3_000)));
        }
        Self::start(job, address, state)
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

/// Writes records until told to stop; gives what must come of them.
fn feed(job: Job, address: &str, mut random: Random, stop: &Arc<AtomicBool>) -> JoinHandle<Oracle> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("delivery.timeout.ms", "300000")
        .set("linger.ms", "5");
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let producer: BaseProducer = client.create().expect("a producer");
        let mut write = |topic: &str, partition: i32, value: &str| {
            let mut record = BaseRecord::<(), str>::to(topic)
                .payload(value)
                .partition(partition);
            while let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        };
        let pause = || {
            producer.poll(Duration::from_millis(10));
            stop.load(Ordering::Acquire)
        };
        let oracle = match job {
            Job::Words => Oracle::Words(words::feed(&mut random, &mut write, &pause)),
            Job::Views => Oracle::Views(views::feed(&mut random, &mut write, &pause)),
            Job::Joins => Oracle::Joins(joins::feed(&mut random, &mut write, &pause)),
            Job::Tables => Oracle::Tables(tables::feed(&mut random, &mut write, &pause)),
        };
        producer
            .flush(Duration::from_secs(300))
            .expect("not all records were written");
        oracle
    })
}

/// Takes the topic, the partition and the value of a record.
type Write<'a> = &'a mut dyn FnMut(&str, i32, &str);

/// A reader of what is committed in these topics.
fn reader(address: &str, topics: &[&str]) -> BaseConsumer {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("group.id", "kill-streams-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed");
    let reader: BaseConsumer = client.create().expect("a consumer");
    let mut from = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..OUTPUT_PARTITIONS {
            from.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
    }
    reader.assign(&from).expect("an assignment");
    reader
}
