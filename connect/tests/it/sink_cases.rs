//! Sinks in cases that people run into.
use std::sync::atomic::Ordering;

use millstream_connect::plugin::ErrorKind;
use millstream_connect::record::Value;
use millstream_connect::worker::State;
use rdkafka::mocking::MockCluster;
use serde_json::json;

use crate::harness::{Cluster, TestWorker, wait};
use crate::standalone::Standalone;

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

/// Two tasks of a sink; puts are slow, and partitions move while they go on.
#[test]
fn partitions_that_move_in_mid_put_lose_nothing() {
    let cluster = Cluster::new("rebalance");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    cluster.create_topic(&topic, 4);
    let lines = lines(400);
    cluster.produce_by_turns(&topic, 4, &lines);
    let worker = TestWorker::start(&cluster, &[]);
    worker.memory.put_takes_ms.store(30, Ordering::SeqCst);
    let settings = [("consumer.override.max.poll.records", "10")];
    let first = worker.sink_task(&name, 0, &topic, &settings);
    wait(|| (worker.memory.values().len() >= 40).then_some(()));
    let second = worker.sink_task(&name, 1, &topic, &settings);
    // Partitions go to the second, and when it stops they come back.
    wait(|| (worker.memory.closed.load(Ordering::SeqCst) >= 1).then_some(()));
    let before = worker.memory.values().len();
    wait(|| (worker.memory.values().len() >= (before + 60).min(400)).then_some(()));
    worker.stop(&second);
    worker.memory.await_count(400);
    worker.stop(&first);
    let times = worker.memory.times.lock().unwrap().clone();
    assert_eq!(times.len(), 400);
    // Nobody was lost, so that whatever moved was committed before.
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
}

/// What is fetched ahead is shared among the partitions that were there when the task began; many more held many times as much.
#[test]
fn a_task_whose_partitions_become_many_more_gets_another_client_and_loses_nothing() {
    let cluster = Cluster::new("outgrown");
    let (few, many) = (cluster.name("few"), cluster.name("many"));
    cluster.create_topic(&few, 1);
    cluster.produce_by_turns(&few, 1, &["first".to_owned()]);
    let worker = TestWorker::start(&cluster, &[]);
    let pattern = format!("{}.*", cluster.name(""));
    let id = worker.sink(&cluster.name("sink"), "", &[("topics.regex", &pattern)]);
    worker.memory.await_count(1);
    cluster.create_topic(&many, 10);
    cluster.produce_by_turns(&many, 10, &lines(100));
    cluster.produce_by_turns(&few, 1, &["last".to_owned()]);
    worker.memory.await_count(102);
    worker.stop(&id);
    assert_eq!(worker.wait_for(&id, State::Unassigned), None);
    assert_eq!(worker.memory.starts.load(Ordering::SeqCst), 2);
    let times = worker.memory.times.lock().unwrap().clone();
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// A put that lasts longer than the group waits: others have the partition before it ends.
#[test]
fn a_put_that_outlasts_its_membership_repeats_nothing_where_the_sink_keeps_offsets() {
    let cluster = Cluster::new("outlasted");
    let (topic, name) = (cluster.name("lines"), cluster.name("sink"));
    let lines = lines(50);
    cluster.produce_by_turns(&topic, 1, &lines);
    let worker = TestWorker::start(&cluster, &[]);
    worker.memory.keeps_offsets.store(true, Ordering::SeqCst);
    worker.memory.hanging_puts.store(1, Ordering::SeqCst);
    let settings = [
        ("consumer.override.session.timeout.ms", "6000"),
        ("consumer.override.max.poll.interval.ms", "6000"),
    ];
    let first = worker.sink_task(&name, 0, &topic, &settings);
    wait(|| (worker.memory.hanging_puts.load(Ordering::SeqCst) == 0).then_some(()));
    let second = worker.sink_task(&name, 1, &topic, &settings);
    worker.memory.await_count(50);
    worker.memory.released.store(true, Ordering::SeqCst);
    worker.wait_for(&first, State::Failed);
    cluster.produce_by_turns(&topic, 1, &["last".to_owned()]);
    worker.memory.await_count(51);
    worker.stop(&second);
    let times = worker.memory.times.lock().unwrap().clone();
    assert!(
        times.len() == 51 && times.values().all(|times| *times == 1),
        "{times:?}"
    );
}

/// The ends of logs were asked for one after another, and the first that nobody told failed the task.
#[test]
fn a_partition_without_a_leader_is_waited_for_while_others_are_read() {
    let mock = MockCluster::new(1).unwrap();
    let cluster = Cluster::at("leaderless", &mock.bootstrap_servers());
    let worker = TestWorker::start(&cluster, &[]);
    for (name, within) in [("within", true), ("beyond", false)] {
        let topic = cluster.name(name);
        mock.create_topic(&topic, 2, 1).unwrap();
        cluster.produce_by_turns(&topic, 2, &lines(4));
        mock.partition_leader(&topic, 1, None).unwrap();
        let next = if within { 1 } else { 3 };
        *worker.memory.owned.lock().unwrap() = vec![(topic.clone(), 0, 1), (topic.clone(), 1, next)];
        worker.memory.put.lock().unwrap().clear();
        let id = worker.sink(&cluster.name(name), &topic, &[]);
        worker.memory.await_values(&["line 2"]);
        worker.wait_for(&id, State::Running);
        mock.partition_leader(&topic, 1, Some(1)).unwrap();
        if within {
            worker.memory.await_values(&["line 2", "line 3"]);
            worker.stop(&id);
        } else {
            let (kind, error) = worker.wait_for(&id, State::Failed).unwrap();
            assert_eq!(kind, ErrorKind::UserConfig);
            assert!(error.contains("up to offset 3, but the log ends at 2"), "{error}");
            assert_eq!(worker.memory.values(), ["line 2"]);
        }
    }
}

#[test]
fn a_put_that_panics_leaves_the_group_and_is_started_again() {
    let cluster = Cluster::new("put-panics");
    let (topic, numbers) = (cluster.name("lines"), cluster.name("numbers"));
    cluster.produce(&topic, &["a", "b"]);
    let worker = Standalone::start(&cluster, &[]);
    worker.memory.panicking_puts.store(2, Ordering::SeqCst);
    let settings = [
        ("connector.class", "MemorySink"),
        ("topics", &*topic),
        ("restart.backoff.ms", "1000"),
        // Whoever did not leave would have to be waited for longer than this test does.
        ("consumer.override.session.timeout.ms", "300000"),
        ("consumer.override.max.poll.interval.ms", "300000"),
    ];
    worker.create("sink", &settings);
    let task = worker.wait_for("sink", "FAILED");
    assert_eq!(task["trace"], "the task panicked: the script says so");
    worker.memory.await_values(&["a", "b"]);
    worker.wait_for("sink", "RUNNING");
    // The worker lives.
    worker.numbers.end.store(3, Ordering::SeqCst);
    worker.create("source", &[("connector.class", "Numbers"), ("topic", &numbers)]);
    worker.numbers.await_stored(3);
}

#[test]
fn dead_letters_among_the_topics_that_are_read_are_refused_before_anything_starts() {
    let cluster = Cluster::new("dead-listed");
    let worker = Standalone::start(&cluster, &[]);
    let dead = [
        ("connector.class", "MemorySink"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead-lines"),
    ];
    let cases = [
        (
            ("topics", "lines, dead-lines"),
            "may not be included in the list of topics ('topics=[lines, dead-lines]')",
        ),
        (
            ("topics.regex", "(dead-)?lines"),
            "may not be matched by the regex for the topics ('topics.regex=(dead-)?lines')",
        ),
    ];
    for (topics, says) in cases {
        let (status, answer) = worker.try_create("sink", &[&dead[..], &[topics]].concat());
        let message = answer["message"].as_str().unwrap();
        assert_eq!(status, 400);
        assert!(
            message.contains("The DLQ topic 'dead-lines'") && message.contains(says),
            "{message}"
        );
    }
    assert_eq!(worker.ask("GET", "/connectors", None).1, json!([]));
}

#[test]
fn nothing_and_an_empty_text_are_told_apart_by_all_converters() {
    let cluster = Cluster::new("empty");
    let worker = TestWorker::start(&cluster, &[]);
    let texts = [
        (None, None),
        (Some(""), Some("")),
        (None, Some("")),
        (Some(""), None),
        (Some("k"), Some("v")),
    ];
    let string = "org.apache.kafka.connect.storage.StringConverter";
    let json = "org.apache.kafka.connect.json.JsonConverter";
    for (number, (class, schemas)) in [(string, "false"), (json, "false"), (json, "true")]
        .into_iter()
        .enumerate()
    {
        let topic = cluster.name(&format!("texts-{number}"));
        let converters = [
            ("key.converter", class),
            ("key.converter.schemas.enable", schemas),
            ("value.converter", class),
            ("value.converter.schemas.enable", schemas),
        ];
        *worker.numbers.texts.lock().unwrap() = texts.to_vec();
        let id = worker.source_as(&format!("texts-{number}"), &topic, &converters);
        worker.memory.pairs.lock().unwrap().clear();
        let sink = worker.sink(&cluster.name(&format!("sink-{number}")), &topic, &converters);
        wait(|| (worker.memory.pairs.lock().unwrap().len() == texts.len()).then_some(()));
        worker.stop(&id);
        worker.stop(&sink);
        let pairs = worker.memory.pairs.lock().unwrap().clone();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let came = pairs
            .iter()
            .map(|(key, value)| (text(&key.value), text(&value.value)));
        let came: Vec<_> = came.collect();
        let sent = texts.map(|(key, value)| (key.map(str::to_owned), value.map(str::to_owned)));
        assert_eq!(came, sent, "{class} {schemas}");
        assert!(pairs[0].0.is_null() && pairs[0].1.is_null());
    }
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let cluster = Cluster::new("taken");
    let topic = cluster.name("numbers");
    let worker = Standalone::start(&cluster, &[]);
    let settings = [("connector.class", "Numbers"), ("topic", &*topic)];
    worker.create("one", &settings);
    let (status, answer) = worker.try_create("one", &settings);
    assert_eq!(status, 409);
    assert_eq!(answer["message"], "Connector one already exists");
}
