//! The word count, from the first record to the table.
use std::time::Duration;

use millstream_streams::{JobState, Streams, col, json, text};

use crate::client::{Cluster, PATIENCE, counts};

const FIRST: [&str; 4] = [
    "To be, or not to be",
    "that is the question",
    "",
    "whether 'tis nobler in the mind",
];
const SECOND: [&str; 3] = ["to suffer", "the slings and arrows", "of outrageous fortune"];

#[test]
fn counts_words_and_goes_on_after_a_restart() {
    let cluster = Cluster::new("restart");
    cluster.create_topic("lines", 3);
    cluster.create_topic("counts", 2);
    cluster.write("lines", 3, FIRST);

    let job = cluster.word_count().start(cluster.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    assert_eq!(job.state(), JobState::Running);
    let (table, records) = cluster.table("counts");
    assert_eq!(table, counts(FIRST));
    let metrics = job.metrics();
    assert_eq!(metrics.sub_topologies[0].records_in, 4);
    assert!(
        metrics.epochs > 0 && metrics.records_out as usize == records,
        "{metrics:?}"
    );
    assert_eq!(metrics.sub_topologies[1].state_keys as usize, table.len());
    job.stop(PATIENCE).unwrap();

    cluster.write("lines", 3, SECOND);
    let job = cluster.word_count().start(cluster.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    let (table, after) = cluster.table("counts");
    assert_eq!(table, counts(FIRST.into_iter().chain(SECOND)));
    // The rebuilt state was not published again: each of the 9 new words once.
    assert_eq!(after - records, counts(SECOND).len());
    job.drain(PATIENCE).unwrap();
    job.stop(PATIENCE).unwrap();
}

#[test]
fn threads_share_the_partitions() {
    let cluster = Cluster::new("threads");
    cluster.create_topic("lines", 4);
    cluster.create_topic("counts", 1);
    let lines: Vec<String> = (0..2000)
        .map(|n| format!("word{} same {}", n % 97, n % 7))
        .collect();
    cluster.write("lines", 4, lines.iter().map(String::as_str));
    let config = cluster
        .config()
        .threads(3)
        .set("commit.interval.ms", "20")
        .unwrap();
    let mut job = cluster.word_count().start(config).unwrap();
    job.drain(PATIENCE).unwrap();
    assert_eq!(
        cluster.table("counts").0,
        counts(lines.iter().map(String::as_str))
    );
    let stop = job.stopper();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        stop();
    });
    job.wait().unwrap();
    assert_eq!(job.state(), JobState::Stopped);
}

/// The sub-topology of both repartition topics was looked at before the one that writes to the second.
#[test]
fn a_drain_goes_all_the_way_through_merged_streams() {
    let cluster = Cluster::new("merged");
    for topic in ["early", "late", "out"] {
        cluster.create_topic(topic, 2);
    }
    let app = Streams::new(cluster.name("app"));
    let moved = |topic: &str| {
        let lines = app.stream(cluster.name(topic), text("line"));
        lines.repartition(topic, [col("line")])
    };
    let (early, late) = (moved("early"), moved("late"));
    early.merge(&late).to(cluster.name("out"), json());
    let config = cluster.config().set("commit.interval.ms", "300").unwrap();
    let job = app.start(config).unwrap();
    for round in 1..=3 {
        cluster.write("late", 2, ["a", "b"]);
        cluster.write("early", 2, ["c"]);
        job.drain(PATIENCE).unwrap();
        assert_eq!(cluster.texts("out").len(), 3 * round);
    }
    job.stop(PATIENCE).unwrap();
}
