//! What a sink keeps when a record or a dead letter fails: nothing behind it, and nothing is lost.
use std::sync::atomic::Ordering;

use millstream_connect::plugin::ErrorKind;
use millstream_connect::worker::State;

use crate::harness::{Cluster, TestWorker, wait};
use crate::standalone::Standalone;

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

/// Waits until the task failed; gives its trace.
fn failure(worker: &Standalone<'_>, name: &str) -> String {
    let task = worker.wait_for(name, "FAILED");
    task["trace"].as_str().unwrap_or_default().to_owned()
}

/// Starts what failed again.
fn restart(worker: &Standalone<'_>, name: &str) {
    let path = format!("/connectors/{name}/restart?includeTasks=true&onlyFailed=true");
    let (status, answer) = worker.ask("POST", &path, None);
    assert_eq!(status, 202, "{answer}");
}

/// Records a, refused, c of one batch, where no record may fail.
#[test]
fn a_task_fails_at_a_refused_record_each_time_and_commits_nothing_behind_it() {
    let cluster = Cluster::new("refused-committed");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.produce(&topic, &["a", "refused", "c"]);
    let worker = TestWorker::start(&cluster, &[]);
    *worker.memory.refused.lock().unwrap() = vec!["refused".to_owned()];
    for _ in 0..2 {
        let id = worker.sink(&name, &topic, &[]);
        let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
        assert_eq!(kind, ErrorKind::UserConfig);
        let begins = format!("{topic}-0 at offset 1: TASK_PUT failed in MemorySink: refused is refused");
        assert!(error.starts_with(&begins), "{error}");
        let committed = worker.sink_offsets(&name, &topic);
        assert!(
            committed.iter().all(|(_, next)| *next <= Some(1)),
            "{committed:?}"
        );
        worker.stop(&id);
    }
    worker.memory.refused.lock().unwrap().clear();
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["a", "refused", "c"]);
    worker.stop(&id);
    assert_eq!(worker.sink_offsets(&name, &topic), [(topic, Some(3))]);
}

/// A sink that keeps its offsets was closed after a failure as if all were well: it stored what lay behind the record that it had refused,
/// which was passed over when the task was started again.
#[test]
fn what_a_sink_keeps_itself_ends_before_a_refused_record() {
    let cluster = Cluster::new("refused-kept");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    let lines = lines(20);
    cluster.produce_by_turns(&topic, 1, &lines);
    let worker = Standalone::start(&cluster, &[]);
    *worker.ledger.refused.lock().unwrap() = vec![lines[10].clone()];
    let settings = [
        ("connector.class", "LedgerSink"),
        ("topics", &*topic),
        ("consumer.override.max.poll.records", "4"),
    ];
    worker.create(&name, &settings);
    let expected = format!("{topic}-0 at offset 10: TASK_PUT failed");
    for starts in 1..=3 {
        wait(|| (worker.ledger.starts.load(Ordering::SeqCst) == starts).then_some(()));
        let trace = failure(&worker, &name);
        assert!(trace.starts_with(&expected), "{trace}");
        let (rows, next) = (worker.ledger.rows(), worker.ledger.next());
        assert!(next <= 10 && rows == lines[..rows.len()], "{next} {rows:?}");
        if starts == 3 {
            worker.ledger.refused.lock().unwrap().clear();
        }
        restart(&worker, &name);
    }
    worker.ledger.await_rows(&lines);
}

/// A sink stored offsets behind a record whose dead letter the cluster did not take: with the next start it was passed over, and no trace of
/// it was left.
#[test]
fn what_a_sink_keeps_itself_ends_before_a_dead_letter_that_is_not_delivered() {
    let cluster = Cluster::new("dead-refused");
    let (topic, dead, name) = (cluster.name("lines"), cluster.name("dead"), cluster.name("sink"));
    let lines = lines(20);
    cluster.produce_by_turns(&topic, 1, &lines);
    cluster.create_topic_with(&dead, 1, &[("max.message.bytes", "100")]);
    let worker = Standalone::start(&cluster, &[]);
    *worker.ledger.refused.lock().unwrap() = vec![lines[10].clone()];
    for records in ["1", "4", "500"] {
        let name = format!("{name}-{records}");
        let settings = [
            ("connector.class", "LedgerSink"),
            ("topics", &*topic),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", &*dead),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            ("errors.deadletterqueue.context.headers.enable", "true"),
            ("consumer.override.max.poll.records", records),
        ];
        worker.ledger.forget();
        worker.create(&name, &settings);
        // It is started again by itself, and fails each time.
        let starts = || worker.ledger.starts.load(Ordering::SeqCst);
        let trace = failure(&worker, &name);
        assert!(
            trace.contains(&format!("writing to the dead letters in {dead}")),
            "{trace}"
        );
        let before = starts();
        wait(|| (starts() >= before + 2).then_some(()));
        let (rows, next) = (worker.ledger.rows(), worker.ledger.next());
        assert!(
            next <= 10 && rows == lines[..rows.len()],
            "{records}: {next} {rows:?}"
        );
        worker.ask("DELETE", &format!("/connectors/{name}"), None);
    }
    assert_eq!(cluster.values(&dead), [""; 0]);
    // With a topic that takes the dead letter, all goes on.
    let other = cluster.name("other");
    let settings = [
        ("connector.class", "LedgerSink"),
        ("topics", &*topic),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*other),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ];
    worker.create(&name, &settings);
    let all_but_one = [&lines[..10], &lines[11..]].concat();
    worker.ledger.await_rows(&all_but_one);
    assert_eq!(cluster.values(&other), [lines[10].clone()]);
}
