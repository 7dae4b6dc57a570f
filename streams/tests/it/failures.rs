//! What a job says when something is missing or wrong.
use std::time::{Duration, Instant};

use millstream_streams::{ErrorKind, JobState, Streams, StreamsConfig, StreamsError, json, text};

use crate::client::{Cluster, PATIENCE};

#[test]
fn an_unreachable_cluster_is_named_in_time() {
    let app = Streams::new("nobody");
    app.stream("lines", text("line")).to("out", json());
    let config = StreamsConfig::new("127.0.0.1:1").connect_timeout(Duration::from_secs(1));
    let started = Instant::now();
    let error = app.start(config).unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        started.elapsed()
    );
    assert_eq!(error.kind(), ErrorKind::Retry);
    let text = error.to_string();
    assert!(
        text.starts_with("no Kafka broker answered at 127.0.0.1:1 within 1 s"),
        "{text}"
    );
}

#[test]
fn missing_source_topics_are_named() {
    let cluster = Cluster::new("missing");
    let error = cluster.word_count().start(cluster.config()).unwrap_err();
    assert!(matches!(error, StreamsError::MissingTopics { .. }), "{error}");
    assert!(error.to_string().contains(&cluster.name("lines")), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);
}

#[test]
fn an_internal_topic_with_another_partition_count_is_refused() {
    let cluster = Cluster::new("frozen");
    cluster.create_topic("lines", 3);
    cluster.create_topic("app-counts-repartition", 2);
    let error = cluster.word_count().start(cluster.config()).unwrap_err();
    let expected = "has 2 partitions, the job needs 3";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_foreign_record_on_the_repartition_topic_fails_the_job() {
    let cluster = Cluster::new("foreign");
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    cluster.create_topic("app-counts-repartition", 1);
    cluster.write("app-counts-repartition", 1, ["not a batch"]);
    let mut job = cluster.word_count().start(cluster.config()).unwrap();
    let error = job.wait().unwrap_err();
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("offset 0 of"), "{error}");
    assert!(job.drain(PATIENCE).is_err());
}

#[test]
fn a_drain_that_cannot_finish_says_what_is_left() {
    let cluster = Cluster::new("slow");
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    cluster.write("lines", 1, ["a", "b"]);
    let job = cluster.word_count().start(cluster.config()).unwrap();
    let error = job.drain(Duration::ZERO).unwrap_err();
    assert!(
        error.to_string().contains("2 records are left in 1 partitions"),
        "{error}"
    );
    assert!(!job.drained_within(Duration::ZERO).unwrap());
    assert!(job.drained_within(PATIENCE).unwrap());
    job.check().unwrap();
    job.stop(PATIENCE).unwrap();
}

#[test]
fn a_stop_ends_the_epoch_however_long_it_would_have_lasted() {
    let cluster = Cluster::new("stop");
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    cluster.write("lines", 1, ["a", "b"]);
    let config = cluster.config().set("commit.interval.ms", "600000").unwrap();
    let job = cluster.word_count().start(config).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while job.metrics().records_in < 2 {
        assert!(Instant::now() < deadline, "the lines are not read");
        std::thread::sleep(Duration::from_millis(10));
    }
    job.stop(PATIENCE).unwrap();
    // What was read is committed: the next run reads only what the first wrote to its repartition topic.
    let job = cluster.word_count().start(cluster.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    assert_eq!(job.metrics().records_in, 0);
    assert_eq!(cluster.table("counts").0.len(), 2);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn the_longest_waits_have_no_end() {
    let cluster = Cluster::new("endless");
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    cluster.write("lines", 1, ["a", "b"]);
    let config = cluster.config().connect_timeout(Duration::MAX);
    let app = cluster.word_count().commit_every(Duration::MAX);
    let job = app.start(config).unwrap();
    job.drain(Duration::MAX).unwrap();
    assert_eq!(cluster.table("counts").0.len(), 2);
    job.stop(Duration::MAX).unwrap();
}
