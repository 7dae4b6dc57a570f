//! Sources.
use std::sync::atomic::Ordering;

use millstream_connect::plugin::{ErrorKind, PluginError};
use millstream_connect::worker::{ConnectorOffsets, State, TargetState};

use crate::harness::{Cluster, EXACTLY_ONCE, TestWorker, map, wait};
use crate::plugins::numbers;

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let cluster = Cluster::new("resume");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(1_000, Ordering::SeqCst);
    worker.numbers.batch.store(7, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(1_000);
    worker.stop(&id);
    worker.wait_for(&id, State::Unassigned);
    // Another process reads the file of offsets.
    let second = TestWorker::start(&cluster, &[]);
    second.numbers.end.store(1_500, Ordering::SeqCst);
    let id = second.source(&topic, &[]);
    second.numbers.await_stored(1_500);
    second.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..1_500));
    assert_eq!(*worker.seen.topics.lock().unwrap(), [topic]);
}

#[test]
fn offsets_are_seen_set_and_forgotten() {
    let cluster = Cluster::new("offsets");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(10, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(10);
    worker.stop(&id);
    let config = map(&[
        ("name", "numbers"),
        ("connector.class", "Numbers"),
        ("topic", &topic),
    ]);
    let get = || {
        cluster
            .runtime
            .block_on(worker.worker.offsets("numbers", &config))
            .unwrap()
    };
    let ConnectorOffsets::Source(mut offsets) = get() else {
        panic!("a source's")
    };
    assert_eq!(offsets[0].1.as_ref().unwrap().0["next"], 10);
    offsets[0].1 = Some(serde_json::from_str(r#"{"next":8}"#).unwrap());
    let offsets = ConnectorOffsets::Source(offsets);
    let set = worker.worker.alter_offsets("numbers", &config, Some(&offsets));
    cluster.runtime.block_on(set).unwrap();
    let id = worker.source(&topic, &[]);
    wait(|| (cluster.values(&topic).len() == 12).then_some(()));
    worker.stop(&id);
    assert_eq!(cluster.values(&topic)[10..], numbers(8..10));
    cluster
        .runtime
        .block_on(worker.worker.alter_offsets("numbers", &config, None))
        .unwrap();
    assert_eq!(get(), ConnectorOffsets::Source(Vec::new()));
}

#[test]
fn a_paused_source_waits() {
    let cluster = Cluster::new("pause");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(100, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(100);
    worker.worker.set_target("numbers", TargetState::Paused);
    worker.wait_for(&id, State::Paused);
    worker.numbers.end.store(200, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(cluster.values(&topic).len(), 100);
    worker.worker.set_target("numbers", TargetState::Started);
    worker.wait_for(&id, State::Running);
    wait(|| (cluster.values(&topic).len() == 200).then_some(()));
    worker.stop(&id);
    assert_eq!(worker.numbers.starts.load(Ordering::SeqCst), 1);
}

#[test]
fn what_may_succeed_later_is_tried_again_and_the_rest_fails_the_task() {
    let cluster = Cluster::new("poll-errors");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(5, Ordering::SeqCst);
    *worker.numbers.failures.lock().unwrap() =
        vec![PluginError::retriable("busy"), PluginError::retriable("busy")];
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(5);
    *worker.numbers.failures.lock().unwrap() = vec![PluginError::disconnected("the other side is gone")];
    let error = worker.wait_for(&id, State::Failed);
    assert_eq!(
        error,
        Some((ErrorKind::Disconnected, "the other side is gone".to_owned()))
    );
    worker.numbers.panics.store(true, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    let error = wait(|| {
        worker
            .wait_for(&id, State::Failed)
            .filter(|error| error.1.contains("panicked"))
    });
    assert_eq!(error.1, "the task panicked: the script says so");
    assert_eq!(cluster.values(&topic), numbers(0..5));
}

#[test]
fn records_that_fail_are_passed_over_where_that_is_wanted() {
    let cluster = Cluster::new("tolerance");
    let (topic, dead) = (cluster.name("numbers"), cluster.name("dead"));
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(10, Ordering::SeqCst);
    worker.numbers.batch.store(10, Ordering::SeqCst);
    *worker.numbers.odd.lock().unwrap() = vec![3, 4];
    let id = worker.source(&topic, &[]);
    let error = worker.wait_for(&id, State::Failed).unwrap();
    assert!(
        error
            .1
            .starts_with("VALUE_CONVERTER failed in test.PlainConverter: a boolean is no text"),
        "{error:?}"
    );
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let id = worker.source(&topic, &tolerant);
    worker.numbers.await_stored(10);
    worker.stop(&id);
    let expected = [numbers(0..3), numbers(5..10)].concat();
    assert_eq!(cluster.values(&topic), expected);
    let dead = cluster.records(&dead);
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].1["__connect.errors.stage"], "VALUE_CONVERTER");
    assert_eq!(dead[0].1["__connect.errors.connector.name"], "numbers");
}

#[test]
fn a_task_that_does_not_end_is_abandoned_and_writes_nothing_any_more() {
    let cluster = Cluster::new("hang");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[("task.shutdown.graceful.timeout.ms", "200")]);
    worker.numbers.end.store(5, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(5);
    worker.numbers.hangs.store(true, Ordering::SeqCst);
    worker.numbers.end.store(9, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(100));
    worker.stop(&id);
    worker.wait_for(&id, State::Unassigned);
    worker.numbers.hangs.store(false, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(cluster.values(&topic), numbers(0..5));
    // Another one takes its place.
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(9);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..9));
}

#[test]
fn exactly_once_fences_whoever_ran_the_task_before() {
    let cluster = Cluster::new("fencing");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [("offsets.storage.topic", &*offsets)];
    let first = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    first.numbers.end.store(100, Ordering::SeqCst);
    first.numbers.batch.store(9, Ordering::SeqCst);
    let zombie = first.source(&topic, &settings);
    first.numbers.await_stored(100);
    // A second process runs the same task, while the first one knows nothing of it.
    let second = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    second.numbers.end.store(150, Ordering::SeqCst);
    let id = second.source(&topic, &settings);
    second.numbers.await_stored(150);
    first.numbers.end.store(170, Ordering::SeqCst);
    let error = first.wait_for(&zombie, State::Failed).unwrap();
    assert_eq!(error.0, ErrorKind::Disconnected, "{error:?}");
    second.numbers.end.store(200, Ordering::SeqCst);
    second.numbers.await_stored(200);
    second.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..200));
}

#[test]
fn what_a_lost_task_left_open_is_written_again_once() {
    let cluster = Cluster::new("abandoned");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "connector"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.boundary.store(10, Ordering::SeqCst);
    worker.numbers.end.store(25, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(20);
    // Five more are in an open transaction: stopping drops them.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(cluster.values(&topic), numbers(0..20));
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..20));
    worker.numbers.end.store(40, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(40);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..40));
}

#[test]
fn transactions_end_after_an_interval_where_that_is_wanted() {
    let cluster = Cluster::new("interval");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "interval"),
        ("transaction.boundary.interval.ms", "700"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.end.store(50, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.wait_for(&id, State::Running);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(worker.numbers.committed.lock().unwrap().is_none());
    worker.numbers.await_stored(50);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..50));
}

#[test]
fn wrong_configurations_fail_the_task_by_name() {
    let cluster = Cluster::new("wrong");
    let worker = TestWorker::start(&cluster, &[]);
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("connector.class", "Numberz")], "connector.class: "),
        (&[("value.converter", "JsonX")], "value.converter: "),
        (&[("producer.override.acks", "seven")], "producer.override.acks: "),
        (
            &[("exactly.once.support", "required")],
            "exactly.once.support=required: ",
        ),
    ];
    for (number, (settings, says)) in cases.into_iter().enumerate() {
        let id = worker.source_as(&format!("wrong-{number}"), "t", settings);
        let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
        assert_eq!(kind, ErrorKind::UserConfig);
        assert!(error.starts_with(says), "{error}");
    }
}
