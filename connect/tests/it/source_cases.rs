//! Sources in cases that people run into.
use std::sync::atomic::Ordering;

use millstream_broker::config::BrokerConfig;
use millstream_connect::plugin::{ErrorKind, PluginError};
use millstream_connect::worker::{State, TargetState};

use crate::harness::{Cluster, EXACTLY_ONCE, TestWorker, wait};
use crate::plugins::numbers;

/// A cluster that looks for transactions which are open for too long several times a second.
fn impatient(test: &str) -> Cluster {
    let config = BrokerConfig {
        transaction_abort_timed_out_transaction_cleanup_interval_ms: 100,
        ..BrokerConfig::default()
    };
    Cluster::with(test, config)
}

#[test]
fn a_poll_that_outlasts_its_transaction_loses_and_repeats_nothing() {
    let cluster = impatient("late");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "connector"),
        ("producer.override.transaction.timeout.ms", "1000"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.batch.store(5, Ordering::SeqCst);
    worker.numbers.boundary.store(10, Ordering::SeqCst);
    worker.numbers.end.store(15, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(10);
    wait(|| cluster.has_open_transaction(&topic).then_some(()));
    // The next poll takes longer than the cluster waits.
    worker.numbers.hangs.store(true, Ordering::SeqCst);
    wait(|| (!cluster.has_open_transaction(&topic)).then_some(()));
    worker.numbers.end.store(20, Ordering::SeqCst);
    worker.numbers.hangs.store(false, Ordering::SeqCst);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::Disconnected);
    assert!(
        error.contains("transaction.timeout.ms=1000") && error.contains("transaction.boundary"),
        "{error}"
    );
    // As its supervisor would.
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(20);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..20));
}

#[test]
fn a_transaction_of_an_interval_ends_before_its_time_is_over() {
    let cluster = impatient("interval-timeout");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "interval"),
        ("transaction.boundary.interval.ms", "3600000"),
        ("producer.override.transaction.timeout.ms", "2000"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.end.store(5, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(5);
    worker.numbers.end.store(9, Ordering::SeqCst);
    worker.numbers.await_stored(9);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..9));
    assert_eq!(worker.numbers.starts.load(Ordering::SeqCst), 1);
}

#[test]
fn a_pause_within_a_transaction_drops_it_and_goes_on_from_its_beginning() {
    let cluster = Cluster::new("pause-open");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "connector"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.boundary.store(10, Ordering::SeqCst);
    worker.numbers.end.store(15, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(10);
    wait(|| cluster.has_open_transaction(&topic).then_some(()));
    let signal = |kind: &str| {
        let signal = serde_json::json!({"id": kind, "type": kind});
        let signal = serde_json::from_value(signal).unwrap();
        cluster.runtime.block_on(worker.worker.signal(&id, &signal))
    };
    signal("within").unwrap();
    worker.worker.set_target("numbers", TargetState::Paused);
    assert_eq!(worker.wait_for(&id, State::Paused), None);
    assert_eq!(signal("paused").unwrap_err().kind(), ErrorKind::Retriable);
    wait(|| (!cluster.has_open_transaction(&topic)).then_some(()));
    worker.numbers.end.store(30, Ordering::SeqCst);
    worker.worker.set_target("numbers", TargetState::Started);
    worker.numbers.await_stored(30);
    // It never failed on the way.
    assert!(!worker.seen.has_failed(&id));
    assert_eq!(worker.numbers.starts.load(Ordering::SeqCst), 2);
    // What was asked for within the transaction that was dropped is asked for again, and once it is stored never more.
    signal("behind").unwrap();
    worker.numbers.end.store(35, Ordering::SeqCst);
    wait(|| cluster.has_open_transaction(&topic).then_some(()));
    worker.numbers.end.store(40, Ordering::SeqCst);
    worker.numbers.await_stored(40);
    worker.numbers.end.store(45, Ordering::SeqCst);
    wait(|| cluster.has_open_transaction(&topic).then_some(()));
    worker.worker.set_target("numbers", TargetState::Paused);
    assert_eq!(worker.wait_for(&id, State::Paused), None);
    worker.numbers.end.store(50, Ordering::SeqCst);
    worker.worker.set_target("numbers", TargetState::Started);
    worker.numbers.await_stored(50);
    let taken: Vec<String> = (worker.numbers.signals.lock().unwrap().iter())
        .map(|signal| signal.kind.clone())
        .collect();
    assert_eq!(taken, ["within", "within", "behind"]);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..50));
}

#[test]
fn what_a_connector_drops_is_not_read_again() {
    let cluster = Cluster::new("abort");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "connector"),
    ];
    let worker = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    worker.numbers.batch.store(5, Ordering::SeqCst);
    worker.numbers.boundary.store(10, Ordering::SeqCst);
    worker.numbers.aborts.store(20, Ordering::SeqCst);
    worker.numbers.end.store(20, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(20);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..10));
    worker.numbers.end.store(50, Ordering::SeqCst);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(50);
    worker.stop(&id);
    let kept = [numbers(0..10), numbers(20..30), numbers(40..50)].concat();
    assert_eq!(cluster.values(&topic), kept);
}

/// A worker that dies between the delivery of records and the storing of their offsets, which a full disk holds up here.
#[test]
fn what_was_delivered_and_not_stored_comes_again_and_nothing_is_lost() {
    let cluster = Cluster::new("died-at-least-once");
    let topic = cluster.name("numbers");
    let folder = cluster.directory.path().join("offsets");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("connect.offsets");
    let setting = [("offset.storage.file.filename", file.to_str().unwrap())];
    let first = TestWorker::start(&cluster, &setting);
    first.numbers.batch.store(5, Ordering::SeqCst);
    first.numbers.end.store(5, Ordering::SeqCst);
    first.source(&topic, &[]);
    first.numbers.await_stored(5);
    let away = cluster.directory.path().join("away");
    std::fs::rename(&folder, &away).unwrap();
    first.numbers.end.store(20, Ordering::SeqCst);
    wait(|| (cluster.values(&topic).len() == 20).then_some(()));
    // It dies.
    first.numbers.hangs.store(true, Ordering::SeqCst);
    std::fs::rename(&away, &folder).unwrap();
    let second = TestWorker::start(&cluster, &setting);
    second.numbers.batch.store(5, Ordering::SeqCst);
    second.numbers.end.store(30, Ordering::SeqCst);
    let id = second.source(&topic, &[]);
    second.numbers.await_stored(30);
    second.stop(&id);
    assert_eq!(cluster.values(&topic), [numbers(0..20), numbers(5..30)].concat());
}

/// The same with transactions: it dies before the end of one, and later wakes up.
#[test]
fn what_was_produced_and_not_committed_comes_once_even_if_the_dead_wake_up() {
    let cluster = Cluster::new("died-exactly-once");
    let (topic, offsets) = (cluster.name("numbers"), cluster.name("offsets"));
    let settings = [
        ("offsets.storage.topic", &*offsets),
        ("transaction.boundary", "connector"),
    ];
    let first = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    first.numbers.boundary.store(10, Ordering::SeqCst);
    first.numbers.end.store(25, Ordering::SeqCst);
    let dead = first.source(&topic, &settings);
    first.numbers.await_stored(20);
    wait(|| cluster.has_open_transaction(&topic).then_some(()));
    first.numbers.hanging_polls.store(1, Ordering::SeqCst);
    wait(|| (first.numbers.hanging_polls.load(Ordering::SeqCst) == 0).then_some(()));
    let second = TestWorker::start(&cluster, &[EXACTLY_ONCE]);
    second.numbers.boundary.store(10, Ordering::SeqCst);
    second.numbers.end.store(40, Ordering::SeqCst);
    let id = second.source(&topic, &settings);
    second.numbers.await_stored(40);
    first.numbers.end.store(60, Ordering::SeqCst);
    first.numbers.released.store(true, Ordering::SeqCst);
    let (kind, error) = first.wait_for(&dead, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::Disconnected, "{error}");
    second.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..40));
}

#[test]
fn a_record_that_is_too_large_is_named_and_may_become_a_dead_letter() {
    let cluster = Cluster::new("large");
    let (topic, dead) = (cluster.name("numbers"), cluster.name("dead"));
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.batch.store(10, Ordering::SeqCst);
    worker.numbers.end.store(10, Ordering::SeqCst);
    *worker.numbers.large.lock().unwrap() = Some((3, 1_200_000));
    let id = worker.source(&topic, &[]);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::UserConfig);
    for says in [
        &*topic,
        "1200000 bytes",
        "producer.override.max.request.size",
        "errors.tolerance=all",
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let before = cluster.values(&topic).len();
    let id = worker.source(&topic, &tolerant);
    worker.numbers.await_stored(10);
    worker.stop(&id);
    let expected = [numbers(0..3), numbers(4..10)].concat();
    assert_eq!(cluster.values(&topic)[before..], expected);
    let dead = cluster.records(&dead);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0, "null");
    assert_eq!(dead[0].1["__connect.errors.stage"], "KAFKA_PRODUCE");
    let omitted = &dead[0].1["__connect.errors.record.omitted"];
    assert!(
        omitted.contains("are more than a dead letter may have"),
        "{omitted}"
    );
}

#[test]
fn a_record_without_a_topic_is_judged_as_others_that_fail() {
    let cluster = Cluster::new("no-topic");
    let (topic, dead) = (cluster.name("numbers"), cluster.name("dead"));
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(3, Ordering::SeqCst);
    let away = [
        ("transforms", "away"),
        (
            "transforms.away.type",
            "org.apache.kafka.connect.transforms.RegexRouter",
        ),
        ("transforms.away.regex", ".*"),
        ("transforms.away.replacement", ""),
    ];
    let id = worker.source(&topic, &away);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::UserConfig);
    assert!(error.contains("the record has no topic"), "{error}");
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ];
    let id = worker.source(&topic, &[&away[..], &tolerant].concat());
    worker.numbers.await_stored(3);
    worker.stop(&id);
    assert_eq!(cluster.values(&dead), numbers(0..3));
}

#[test]
fn a_topic_that_nobody_makes_fails_the_task_and_what_was_read_comes_once_it_is_there() {
    let config = BrokerConfig {
        auto_create_topics_enable: false,
        ..BrokerConfig::default()
    };
    let cluster = Cluster::with("no-auto-creation", config);
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.end.store(10, Ordering::SeqCst);
    let settings = [("producer.override.topic.metadata.propagation.max.ms", "500")];
    let id = worker.source(&topic, &settings);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::Disconnected);
    assert!(
        error.contains(&topic) && error.contains("create the topic"),
        "{error}"
    );
    assert_eq!(*worker.numbers.committed.lock().unwrap(), None);
    cluster.create_topic(&topic, 1);
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(10);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..10));
}

#[test]
fn a_plugin_that_panics_when_it_is_dropped_harms_nobody() {
    let cluster = Cluster::new("drop-panics");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.panics_when_dropped.store(true, Ordering::SeqCst);
    worker.numbers.end.store(5, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(5);
    worker.stop(&id);
    assert_eq!(worker.wait_for(&id, State::Unassigned), None);
    // Also while another panic is on its way.
    worker.numbers.panics.store(true, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    let (_, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(error, "the task panicked: the script says so");
    // And after an error.
    worker.numbers.panics.store(false, Ordering::SeqCst);
    *worker.numbers.failures.lock().unwrap() = vec![PluginError::disconnected("gone")];
    let id = worker.source(&topic, &[]);
    wait(|| {
        worker
            .wait_for(&id, State::Failed)
            .filter(|error| error.1 == "gone")
    });
    worker.numbers.panics_when_dropped.store(false, Ordering::SeqCst);
    worker.numbers.end.store(9, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(9);
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..9));
}

/// Offsets are stored at the end of a task alone.
const NO_FLUSH: (&str, &str) = ("offset.flush.interval.ms", "3600000");

#[test]
fn what_came_before_a_record_that_fails_does_not_come_again() {
    let cluster = Cluster::new("kept");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[NO_FLUSH]);
    worker.numbers.batch.store(10, Ordering::SeqCst);
    worker.numbers.end.store(30, Ordering::SeqCst);
    *worker.numbers.odd.lock().unwrap() = vec![25];
    for _ in 0..2 {
        let id = worker.source(&topic, &[]);
        let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
        assert_eq!(kind, ErrorKind::UserConfig, "{error}");
        worker.stop(&id);
        assert_eq!(*worker.numbers.committed.lock().unwrap(), Some(20));
    }
    worker.numbers.odd.lock().unwrap().clear();
    let id = worker.source(&topic, &[]);
    wait(|| (cluster.values(&topic).len() >= 30).then_some(()));
    worker.stop(&id);
    assert_eq!(cluster.values(&topic), numbers(0..30));
}

#[test]
fn what_was_acknowledged_before_a_record_that_the_cluster_refuses_does_not_come_again() {
    let cluster = Cluster::new("acknowledged");
    let topic = cluster.name("numbers");
    cluster.create_topic_with(&topic, 1, &[("max.message.bytes", "2000")]);
    let worker = TestWorker::start(&cluster, &[NO_FLUSH]);
    worker.numbers.batch.store(10, Ordering::SeqCst);
    worker.numbers.end.store(1_000, Ordering::SeqCst);
    *worker.numbers.large.lock().unwrap() = Some((505, 5_000));
    let settings = [("producer.override.batch.size", "1000")];
    let id = worker.source(&topic, &settings);
    let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
    assert_eq!(kind, ErrorKind::UserConfig);
    assert!(
        error.contains("a record of 5000 bytes") && error.contains("max.message.bytes of the topic"),
        "{error}"
    );
    worker.stop(&id);
    // All in front of the record is there, and nothing behind it.
    assert_eq!(*worker.numbers.committed.lock().unwrap(), Some(500));
    assert_eq!(cluster.values(&topic), numbers(0..505));
    *worker.numbers.large.lock().unwrap() = None;
    let id = worker.source(&topic, &settings);
    wait(|| (cluster.values(&topic).len() >= 1_005).then_some(()));
    worker.stop(&id);
    // Offsets are those of batches.
    let all = cluster.values(&topic);
    assert_eq!(all[505..], numbers(500..1_000));
}

#[test]
fn a_record_beyond_a_small_limit_of_its_topic_becomes_a_dead_letter_and_nothing_comes_twice() {
    let cluster = Cluster::new("small-limit");
    let (topic, dead) = (cluster.name("numbers"), cluster.name("dead"));
    cluster.create_topic_with(&topic, 1, &[("max.message.bytes", "2000")]);
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.batch.store(10, Ordering::SeqCst);
    worker.numbers.end.store(1_000, Ordering::SeqCst);
    *worker.numbers.large.lock().unwrap() = Some((505, 5_000));
    let settings = [
        ("producer.override.batch.size", "1000"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ];
    let id = worker.source(&topic, &settings);
    worker.numbers.await_stored(1_000);
    assert!(!worker.seen.has_failed(&id));
    worker.stop(&id);
    assert_eq!(
        cluster.values(&topic),
        [numbers(0..505), numbers(506..1_000)].concat()
    );
    assert_eq!(cluster.values(&dead), ["x".repeat(5_000)]);
}

/// Batches as the client makes them are all beyond the limit of the topic, and no record is: all are sent again, in several partitions.
#[test]
fn batches_beyond_a_small_limit_are_delivered_record_by_record_and_none_twice() {
    let cluster = Cluster::new("small-batches");
    let topic = cluster.name("numbers");
    cluster.create_topic_with(&topic, 3, &[("max.message.bytes", "200")]);
    let worker = TestWorker::start(&cluster, &[]);
    worker.numbers.batch.store(300, Ordering::SeqCst);
    worker.numbers.end.store(2_000, Ordering::SeqCst);
    let id = worker.source(&topic, &[]);
    worker.numbers.await_stored(2_000);
    assert!(!worker.seen.has_failed(&id));
    worker.stop(&id);
    let mut all = Vec::new();
    for partition in 0..3 {
        let values = cluster.values_of(&topic, partition);
        all.extend(values.iter().map(|text| text.parse::<usize>().unwrap()));
    }
    all.sort_unstable();
    assert_eq!(all, (0..2_000).collect::<Vec<_>>());
}

#[test]
fn a_poll_that_meets_a_bad_record_is_not_repeated_for_ever() {
    let cluster = Cluster::new("bad-poll");
    let topic = cluster.name("numbers");
    let worker = TestWorker::start(&cluster, &[]);
    *worker.numbers.failures.lock().unwrap() = vec![PluginError::bad_record("line 7 is no line")];
    let id = worker.source(&topic, &[("errors.tolerance", "all")]);
    let error = worker.wait_for(&id, State::Failed);
    assert_eq!(
        error,
        Some((ErrorKind::UserConfig, "line 7 is no line".to_owned()))
    );
}
