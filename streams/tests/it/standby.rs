//! Warm copies: a process that is killed, and the one that goes on in its place.
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_streams::{MetricsSnapshot, StreamsConfig, StreamsHandle};
use tempfile::TempDir;

use crate::client::{Cluster, PATIENCE, counts};

/// What tells the process of a test that it is one: the cluster, the guarantee, its directory.
const CHILD: &str = "MILLSTREAM_TEST_STANDBY";
const WORDS: usize = 4_000;
/// After this it is known that a process is dead.
const SESSION: Duration = Duration::from_secs(6);
/// For so long its transaction may be open.
const TRANSACTION: Duration = Duration::from_secs(4);
/// The broker looks for both every second; the rest is for a machine that has much else to do.
const TAKE_OVER: Duration = Duration::from_secs(20);

fn config(cluster: &Cluster, guarantee: &str, state: &Path) -> StreamsConfig {
    let mut config = cluster.config().state_dir(state);
    let (session, transaction) = (SESSION.as_millis(), TRANSACTION.as_millis());
    for (key, value) in [
        ("num.standby.replicas", "1"),
        ("processing.guarantee", guarantee),
        ("session.timeout.ms", &*session.to_string()),
        ("heartbeat.interval.ms", "500"),
        ("commit.interval.ms", "100"),
    ] {
        config = config.set(key, value).unwrap();
    }
    match guarantee {
        "exactly_once_v2" => config
            .set("transaction.timeout.ms", &transaction.to_string())
            .unwrap(),
        _ => config,
    }
}

/// No test: what a test's other process does, until it is killed.
#[test]
fn process() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let parts: Vec<&str> = told.split(' ').collect();
    let cluster = Cluster::joined(parts[0]);
    let config = config(&cluster, parts[1], Path::new(parts[2]));
    cluster.word_count().start(config).unwrap().wait().unwrap();
}

/// Another process of the job. It is killed, whatever becomes of the test.
struct Process(Child);

impl Process {
    fn start(cluster: &Cluster, guarantee: &str, state: &TempDir) -> Self {
        let told = format!("{} {guarantee} {}", cluster.address(), state.path().display());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "standby::process"])
            .env(CHILD, told)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("word{}", n % WORDS)).collect()
}

fn write(cluster: &Cluster, lines: &[String]) {
    cluster.write("lines", 2, lines.iter().map(String::as_str));
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until `job` has `copies` that have all there is.
fn copied(job: &StreamsHandle, copies: usize) -> MetricsSnapshot {
    let mut metrics = job.metrics();
    wait_for("a copy", || {
        metrics = job.metrics();
        metrics.standbys.len() == copies && metrics.standbys.values().all(|standby| standby.lag == Some(0))
    });
    metrics
}

fn a_killed_process_is_replaced_at_once(guarantee: &str) {
    let cluster = Cluster::new("standby");
    cluster.create_topic("lines", 2);
    cluster.create_topic("counts", 1);
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut all = lines(0..2 * WORDS);
    write(&cluster, &all);
    let mut other = Process::start(&cluster, guarantee, &states[0]);
    let expected = |lines: &[String]| counts(lines.iter().map(String::as_str));
    wait_for("the other process", || cluster.latest("counts") == expected(&all));

    // Half of the partitions come here, and a copy of the other half.
    let job = cluster.word_count();
    let job = job.start(config(&cluster, guarantee, states[1].path())).unwrap();
    let before = copied(&job, 1);
    assert!(before.standby_records as usize >= WORDS / 4, "{before:?}");
    // Both write to their changelogs, and the copy follows.
    let more = lines(0..WORDS);
    write(&cluster, &more);
    all.extend(more);
    wait_for("both processes", || cluster.latest("counts") == expected(&all));
    let before = copied(&job, 1);
    other.kill();
    let killed = Instant::now();
    let more = lines(0..WORDS);
    write(&cluster, &more);
    all.extend(more);
    wait_for("the successor", || cluster.latest("counts") == expected(&all));
    let outage = killed.elapsed();
    // Both run at the same time.
    assert!(outage < SESSION.max(TRANSACTION) + TAKE_OVER, "{outage:?}");
    let after = job.metrics();
    let read = after.records_restored - before.records_restored;
    assert!(
        read < WORDS as u64 / 10,
        "{read} records of the changelog were read: {before:?}, then {after:?}"
    );
    assert_eq!(
        copied(&job, 0).standby_records,
        after.standby_records,
        "nobody is left to copy"
    );

    // What went back is followed from where this process was.
    let other = Process::start(&cluster, guarantee, &states[0]);
    let back = copied(&job, 1);
    let read = back.standby_records - after.standby_records;
    assert!(
        read < WORDS as u64 / 10,
        "{read} records were read to become a copy"
    );
    let more = lines(0..WORDS);
    write(&cluster, &more);
    all.extend(more);
    wait_for("both processes again", || {
        cluster.latest("counts") == expected(&all)
    });
    drop(other);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn a_killed_process_is_replaced_at_once_exactly_once() {
    a_killed_process_is_replaced_at_once("exactly_once_v2");
}

#[test]
fn a_killed_process_is_replaced_at_once_at_least_once() {
    a_killed_process_is_replaced_at_once("at_least_once");
}

#[test]
fn without_a_directory_nothing_is_copied() {
    let cluster = Cluster::new("standby-nowhere");
    cluster.create_topic("lines", 2);
    cluster.create_topic("counts", 1);
    write(&cluster, &lines(0..10));
    let config = config(&cluster, "at_least_once", Path::new(""));
    let job = cluster.word_count().start(config).unwrap();
    job.drain(PATIENCE).unwrap();
    assert!(job.metrics().standbys.is_empty());
    job.stop(PATIENCE).unwrap();
    assert_eq!(cluster.latest("counts").len(), 10);
}
