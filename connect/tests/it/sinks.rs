//! Sinks.
use std::sync::atomic::Ordering;

use millstream_connect::plugin::{ErrorKind, TopicPartition};
use millstream_connect::worker::{ConnectorOffsets, State, TargetState};

use crate::harness::{Cluster, TestWorker, sink_config, wait};

#[test]
fn a_restart_goes_on_behind_what_was_durable() {
    let cluster = Cluster::new("sink-resume");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a", "b", "c", "d"]);
    let worker = TestWorker::start(&cluster, &[]);
    let name = cluster.name("sink");
    *worker.memory.durable.lock().unwrap() = Some(3);
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_count(4);
    worker.stop(&id);
    worker.wait_for(&id, State::Unassigned);
    assert_eq!(worker.memory.closed.load(Ordering::SeqCst), 1);
    assert_eq!(worker.memory.lost.load(Ordering::SeqCst), 0);
    // Of four that were put, three are durable.
    assert_eq!(worker.sink_offsets(&name, &topic), [(topic.clone(), Some(3))]);
    worker.memory.put.lock().unwrap().clear();
    *worker.memory.durable.lock().unwrap() = None;
    cluster.produce(&topic, &["e"]);
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["d", "e"]);
    worker.stop(&id);
}

#[test]
fn offsets_of_the_group_are_set_and_forgotten() {
    let cluster = Cluster::new("sink-offsets");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.produce(&topic, &["a", "b", "c"]);
    let worker = TestWorker::start(&cluster, &[]);
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_count(3);
    worker.stop(&id);
    assert_eq!(worker.sink_offsets(&name, &topic), [(topic.clone(), Some(3))]);
    let (config, partition) = (sink_config(&name, &topic), 0);
    let its = TopicPartition {
        topic: topic.as_str().into(),
        partition,
    };
    let offsets = ConnectorOffsets::Sink(vec![(its, Some(1))]);
    let set = worker.worker.alter_offsets(&name, &config, Some(&offsets));
    cluster.runtime.block_on(set).unwrap();
    worker.memory.put.lock().unwrap().clear();
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["b", "c"]);
    worker.stop(&id);
    cluster
        .runtime
        .block_on(worker.worker.alter_offsets(&name, &config, None))
        .unwrap();
    assert_eq!(worker.sink_offsets(&name, &topic), []);
}

#[test]
fn a_sink_that_keeps_offsets_itself_is_read_from_them() {
    let cluster = Cluster::new("sink-owned");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a", "b", "c"]);
    let worker = TestWorker::start(&cluster, &[]);
    *worker.memory.owned.lock().unwrap() = vec![(topic.clone(), 0, 2)];
    let id = worker.sink(&cluster.name("sink"), &topic, &[]);
    worker.memory.await_values(&["c"]);
    worker.stop(&id);
}

/// A reset looked at the group's offsets only: a sink that had failed before its first commit, or whose group was gone, went on from its own.
#[test]
fn offsets_that_a_sink_keeps_itself_are_shown_and_forgotten_without_a_group() {
    let cluster = Cluster::new("sink-owned-reset");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.produce(&topic, &["a", "b", "c"]);
    let worker = TestWorker::start(&cluster, &[]);
    let (gone, memory) = (cluster.name("gone"), &worker.memory);
    *memory.owned.lock().unwrap() = vec![(gone.clone(), 0, 9), (topic.clone(), 0, 2)];
    let (get, config) = (|| worker.sink_offsets(&name, &topic), sink_config(&name, &topic));
    let mut shown = vec![(gone, Some(9)), (topic.clone(), Some(2))];
    shown.sort();
    assert_eq!(get(), shown);
    cluster
        .runtime
        .block_on(worker.worker.alter_offsets(&name, &config, None))
        .unwrap();
    assert_eq!(get(), []);
    assert!(memory.owned.lock().unwrap().is_empty());
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["a", "b", "c"]);
    worker.stop(&id);
}

/// A file that an earlier cluster's records went to: nothing of the new ones would be written.
#[test]
fn a_sink_that_knows_more_than_the_log_holds_is_stopped() {
    let cluster = Cluster::new("sink-beyond");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a", "b"]);
    let worker = TestWorker::start(&cluster, &[]);
    *worker.memory.owned.lock().unwrap() = vec![(topic.clone(), 0, 7)];
    let id = worker.sink(&cluster.name("sink"), &topic, &[]);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::UserConfig);
    assert!(error.contains("up to offset 7, but the log ends at 2"), "{error}");
    assert_eq!(worker.memory.values(), [""; 0]);
}

#[test]
fn a_batch_that_may_be_taken_later_comes_again() {
    let cluster = Cluster::new("sink-retry");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a", "b"]);
    let worker = TestWorker::start(&cluster, &[]);
    worker.memory.retriable.store(3, Ordering::SeqCst);
    let id = worker.sink(&cluster.name("sink"), &topic, &[]);
    worker.memory.await_values(&["a", "b"]);
    assert!(worker.memory.calls.load(Ordering::SeqCst) >= 4);
    worker.stop(&id);
}

/// A batch that the sink does not take yet, for minutes: nobody could pause or stop the task meanwhile.
#[test]
fn a_batch_that_is_put_again_and_again_does_not_hold_up_a_pause_or_a_stop() {
    let cluster = Cluster::new("sink-retry-told");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.produce(&topic, &["a"]);
    let worker = TestWorker::start(&cluster, &[]);
    let calls = || worker.memory.calls.load(Ordering::SeqCst);
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["a"]);
    worker.memory.retriable.store(usize::MAX, Ordering::SeqCst);
    cluster.produce(&topic, &["b", "c"]);
    let before = calls();
    wait(|| (calls() > before + 1).then_some(()));
    worker.worker.set_target(&name, TargetState::Paused);
    worker.wait_for(&id, State::Paused);
    // What came before is committed, and nothing is put.
    let while_paused = calls();
    let offsets = || worker.sink_offsets(&name, &topic);
    let first = [(topic.clone(), Some(1))];
    wait(|| (offsets() == first).then_some(()));
    assert_eq!(calls(), while_paused);
    worker.worker.set_target(&name, TargetState::Started);
    worker.wait_for(&id, State::Running);
    wait(|| (calls() > while_paused).then_some(()));
    worker.stop(&id);
    assert_eq!(worker.wait_for(&id, State::Unassigned), None);
    assert!(!worker.seen.has_failed(&id));
    assert_eq!(offsets(), first);
    worker.memory.retriable.store(0, Ordering::SeqCst);
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["a", "b", "c"]);
    worker.stop(&id);
    let times = worker.memory.times.lock().unwrap().clone();
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// A registry that is away while the task is stopped: records that only had to wait for it were passed over as if they were bad.
#[test]
fn a_record_that_waits_for_its_converter_is_not_passed_over_because_of_a_stop() {
    let cluster = Cluster::new("sink-stop-decode");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.produce(&topic, &["later"]);
    let worker = TestWorker::start(&cluster, &[]);
    let settings = [("errors.tolerance", "all"), ("errors.retry.timeout", "-1")];
    let id = worker.sink(&name, &topic, &settings);
    wait(|| {
        let metrics = worker.worker.metrics();
        let read = metrics
            .lines()
            .find(|line| line.contains("sink_record_read_total{"))?;
        read.ends_with(" 1").then_some(())
    });
    worker.stop(&id);
    assert_eq!(worker.wait_for(&id, State::Unassigned), None);
    assert_eq!(worker.sink_offsets(&name, &topic), []);
}

#[test]
fn records_that_fail_go_to_the_dead_letters_with_what_happened() {
    let cluster = Cluster::new("sink-dead");
    let (topic, dead) = (cluster.name("lines"), cluster.name("dead"));
    cluster.produce(&topic, &["a", "bad", "c", "refused", "e"]);
    let worker = TestWorker::start(&cluster, &[]);
    *worker.memory.refused.lock().unwrap() = vec!["refused".to_owned()];
    let id = worker.sink(&cluster.name("strict"), &topic, &[]);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::UserConfig);
    assert!(
        error.starts_with(&format!("{topic}-0 at offset 1: VALUE_CONVERTER failed")),
        "{error}"
    );
    worker.memory.put.lock().unwrap().clear();
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let name = cluster.name("tolerant");
    let id = worker.sink(&name, &topic, &tolerant);
    worker.memory.await_values(&["a", "c", "e"]);
    worker.stop(&id);
    let dead = cluster.records(&dead);
    assert_eq!(
        dead.iter().map(|(value, _)| &**value).collect::<Vec<_>>(),
        ["bad", "refused"]
    );
    let expected = [
        ("__connect.errors.topic", &*topic),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "3"),
        ("__connect.errors.connector.name", &*name),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "TASK_PUT"),
        (
            "__connect.errors.exception.class.name",
            "org.apache.kafka.connect.errors.DataException",
        ),
        ("__connect.errors.exception.message", "refused is refused"),
    ];
    for (header, value) in expected {
        assert_eq!(dead[1].1[header], value, "{header}");
    }
}

#[test]
fn dead_letters_among_the_topics_that_are_read_are_refused() {
    let cluster = Cluster::new("sink-loop");
    let topic = cluster.name("lines");
    let worker = TestWorker::start(&cluster, &[]);
    let settings = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*topic),
    ];
    let id = worker.sink(&cluster.name("sink"), &topic, &settings);
    let (_, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert!(error.contains("is among the topics that are read"), "{error}");
}

#[test]
fn a_paused_sink_stays_in_its_group_and_waits() {
    let cluster = Cluster::new("sink-pause");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a"]);
    let worker = TestWorker::start(&cluster, &[]);
    let name = cluster.name("sink");
    let id = worker.sink(&name, &topic, &[]);
    worker.memory.await_values(&["a"]);
    worker.worker.set_target(&name, TargetState::Paused);
    worker.wait_for(&id, State::Paused);
    cluster.produce(&topic, &["b"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(worker.memory.values(), ["a"]);
    worker.worker.set_target(&name, TargetState::Started);
    worker.memory.await_values(&["a", "b"]);
    assert_eq!(worker.memory.closed.load(Ordering::SeqCst), 0);
    worker.stop(&id);
}

#[test]
fn topics_are_found_by_expression() {
    let cluster = Cluster::new("sink-regex");
    let (one, two) = (cluster.name("lines-1"), cluster.name("lines-2"));
    cluster.produce(&one, &["a"]);
    cluster.produce(&two, &["b"]);
    cluster.produce(&cluster.name("other"), &["c"]);
    let worker = TestWorker::start(&cluster, &[]);
    let settings = [("topics.regex", &*format!("{}.*", cluster.name("lines-")))];
    let id = worker.sink(&cluster.name("sink"), "", &settings);
    worker.memory.await_values(&["a", "b"]);
    worker.stop(&id);
}
