//! Tasks that do not come back from their connector's code.
use std::sync::atomic::Ordering;

use crate::harness::{Cluster, wait};
use crate::plugins::numbers;
use crate::standalone::Standalone;

#[test]
fn a_task_that_hangs_shows_in_its_status_and_in_the_workers_health() {
    let cluster = Cluster::new("stall-report");
    let topic = cluster.name("numbers");
    let worker = Standalone::start(&cluster, &[("task.stall.timeout.ms", "200")]);
    worker.numbers.end.store(5, Ordering::SeqCst);
    worker.create("lines", &[("connector.class", "Numbers"), ("topic", &topic)]);
    worker.numbers.await_stored(5);
    let (status, health) = worker.ask("GET", "/health", None);
    assert_eq!((status, &health["status"]), (200, &"healthy".into()));
    worker.numbers.hangs.store(true, Ordering::SeqCst);
    let trace = wait(|| worker.task("lines")["trace"].as_str().map(str::to_owned));
    let begins = "task lines-0 has been in its connector's poll for ";
    assert!(
        trace.starts_with(begins) && trace.ends_with("task.stall.timeout.ms=200"),
        "{trace}"
    );
    assert_eq!(worker.task("lines")["state"], "RUNNING");
    let (status, health) = worker.ask("GET", "/health", None);
    assert_eq!((status, &health["status"]), (500, &"unhealthy".into()));
    let message = health["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("The {begins}")), "{message}");
    // It comes back: all is as before, and nothing was started again.
    worker.numbers.end.store(9, Ordering::SeqCst);
    worker.numbers.hangs.store(false, Ordering::SeqCst);
    wait(|| worker.task("lines")["trace"].is_null().then_some(()));
    wait(|| (worker.ask("GET", "/health", None).0 == 200).then_some(()));
    worker.numbers.await_stored(9);
    assert_eq!(worker.numbers.starts.load(Ordering::SeqCst), 1);
    assert_eq!(cluster.values(&topic), numbers(0..9));
}

#[test]
fn a_source_that_hangs_is_started_again_where_that_is_wanted() {
    let cluster = Cluster::new("stall-restart");
    let topic = cluster.name("numbers");
    let worker = Standalone::start(&cluster, &[]);
    worker.numbers.end.store(5, Ordering::SeqCst);
    let settings = [
        ("connector.class", "Numbers"),
        ("topic", &*topic),
        ("task.stall.timeout.ms", "300"),
        ("task.stall.action", "restart"),
    ];
    worker.create("lines", &settings);
    worker.numbers.await_stored(5);
    // Only this one call hangs, and it has read what comes next.
    worker.numbers.hanging_polls.store(1, Ordering::SeqCst);
    wait(|| (worker.numbers.hanging_polls.load(Ordering::SeqCst) == 0).then_some(()));
    worker.numbers.end.store(20, Ordering::SeqCst);
    wait(|| (worker.numbers.starts.load(Ordering::SeqCst) == 2).then_some(()));
    worker.numbers.await_stored(20);
    wait(|| (worker.ask("GET", "/health", None).0 == 200).then_some(()));
    // The one that was abandoned comes back, and what it brings is not written.
    worker.numbers.released.store(true, Ordering::SeqCst);
    worker.numbers.end.store(30, Ordering::SeqCst);
    worker.numbers.await_stored(30);
    assert_eq!(worker.task("lines")["state"], "RUNNING");
    assert_eq!(cluster.values(&topic), numbers(0..30));
    let metrics = worker.ask_text("GET", "/metrics", None).1;
    assert!(metrics.contains("supervised_restarts_total 1\n"), "{metrics}");
}

#[test]
fn what_a_sink_hangs_over_is_put_by_its_successor() {
    let cluster = Cluster::new("stall-sink");
    let topic = cluster.name("lines");
    cluster.produce(&topic, &["a", "b"]);
    let worker = Standalone::start(&cluster, &[]);
    worker.memory.hanging_puts.store(1, Ordering::SeqCst);
    let settings = [
        ("connector.class", "MemorySink"),
        ("topics", &*topic),
        ("task.stall.timeout.ms", "300"),
        ("task.stall.action", "restart"),
        // So long the group waits for a member that does not come back.
        ("consumer.override.session.timeout.ms", "6000"),
        ("consumer.override.max.poll.interval.ms", "6000"),
    ];
    worker.create("sink", &settings);
    let failed = wait(|| {
        let trace = worker.task("sink")["trace"].as_str().map(str::to_owned);
        trace.filter(|trace| trace.contains("abandoned"))
    });
    assert!(
        failed.starts_with("task sink-0 has been in its connector's put for "),
        "{failed}"
    );
    worker.memory.await_values(&["a", "b"]);
    worker.wait_for("sink", "RUNNING");
    worker.memory.released.store(true, Ordering::SeqCst);
    cluster.produce(&topic, &["c"]);
    worker.memory.await_values(&["a", "b", "c"]);
}
