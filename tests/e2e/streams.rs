//! Stream jobs as services, and looking after them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::cluster::Cluster;
use millstream_tests::program;

/// A running `word_count_service`.
struct Service(Child);

impl Service {
    fn start(cluster: &Cluster, state: &Path) -> Self {
        Self::with_session(cluster, state, 6_000)
    }

    fn with_session(cluster: &Cluster, state: &Path, timeout_ms: u32) -> Self {
        let mut child = Command::new(program::example("word_count_service"))
            .arg(format!("bootstrap.servers={}", cluster.broker.address()))
            .arg(format!("session.timeout.ms={timeout_ms}"))
            .arg("commit.interval.ms=50")
            .arg(format!("state.dir={}", state.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "started\n");
        Self(child)
    }

    /// Ends its input, at which it stops cleanly.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the last count of "to" is this one.
fn await_count(cluster: &Cluster, count: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let expected = format!("to\t{{\"count\":{count}}}");
    loop {
        let arguments = "consume --topic word-counts --from-beginning --timeout-ms 2000 --property print.key=true \
                         --isolation-level read_committed";
        let shown = cluster.line(arguments);
        let last = shown.lines().rfind(|line| line.starts_with("to\t"));
        if last == Some(expected.as_str()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{expected:?} does not come, only {last:?}"
        );
    }
}

#[test]
fn a_job_goes_on_where_it_was_and_begins_anew_after_a_reset() {
    let cluster = Cluster::start();
    let state = tempfile::tempdir().unwrap();
    let reset = format!("streams reset --state-dir {}", state.path().display());
    cluster.line("topics --create --topic lines --partitions 2");
    cluster.line("topics --create --topic word-counts");
    cluster.run(&["produce", "--topic", "lines"], "to be or\nnot to be\n");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 2);
    let refused = cluster.line_fails("streams reset --application-id word-count");
    assert!(refused.contains("still has 1 members"), "{refused}");
    service.stop();

    cluster.run(&["produce", "--topic", "lines"], "to\n");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 3);
    service.stop();

    let planned = cluster.line(&format!("{reset} --application-id word-count --dry-run"));
    let expected = format!(
        "Reset-offsets for input topics [lines]\n\
                    Following input topics offsets will be reset to (for consumer group word-count)\n\
                    Topic: lines Partition: 0 Offset: 0\nTopic: lines Partition: 1 Offset: 0\n\
                    Deleting internal topics [word-count-counts-changelog, word-count-counts-repartition]\n\
                    Deleting local state in {}/word-count/0\n",
        state.path().display()
    );
    assert!(planned.starts_with("----Dry run"), "{planned}");
    assert!(planned.ends_with(&expected), "{planned}");
    let done = cluster.line(&format!(
        "{reset} --application-id word-count --input-topics lines --to-earliest"
    ));
    assert_eq!(done, format!("{expected}Done.\n"));
    assert_eq!(
        cluster.line("topics --list --exclude-internal"),
        "lines\nword-counts\n"
    );
    let left = std::fs::read_dir(state.path().join("word-count/0")).unwrap();
    assert_eq!(left.count(), 1, "only the lock");
    // Without its state, the job counts from one again.
    cluster.line("topics --delete --topic word-counts");
    cluster.line("topics --create --topic word-counts");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 3);
    service.stop();

    let wrong = cluster.line_fails(&format!("{reset} --application-id word-coun"));
    assert!(wrong.contains("nothing of a job word-coun"), "{wrong}");
    let wrong = cluster.line_fails(&format!(
        "{reset} --application-id word-count --internal-topics lines"
    ));
    assert!(
        wrong.contains("lines is no internal topic of word-count"),
        "{wrong}"
    );
}

#[test]
fn the_successor_of_a_job_that_was_killed_goes_on_at_once() {
    let cluster = Cluster::start();
    let state = tempfile::tempdir().unwrap();
    cluster.line("topics --create --topic lines --partitions 2");
    cluster.line("topics --create --topic word-counts");
    // Far longer than the test: nobody waits for the session to end, or for the transaction that was open (10 s).
    let start = || Service::with_session(&cluster, state.path(), 600_000);
    let mut service = start();
    cluster.run(&["produce", "--topic", "lines"], "to be or\nnot to be\n");
    await_count(&cluster, 2);
    for round in 0..3 {
        cluster.run(&["produce", "--topic", "lines"], "to\n");
        service.0.kill().unwrap();
        service.0.wait().unwrap();
        let killed = Instant::now();
        service = start();
        await_count(&cluster, 3 + round);
        let gap = killed.elapsed();
        assert!(gap < Duration::from_secs(9), "the next went on after {gap:?}");
    }
    service.stop();
}
