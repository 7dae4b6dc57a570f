//! Restarts: what is on the disk is not read from the changelog again.
use millstream_streams::{Guarantee, MetricsSnapshot, StreamsHandle};

use crate::client::{Cluster, PATIENCE, counts};

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers
        .map(|n| format!("word{} same {}", n % 5000, n % 13))
        .collect()
}

fn drained(job: StreamsHandle) -> MetricsSnapshot {
    job.drain(PATIENCE).unwrap();
    let metrics = job.metrics();
    job.stop(PATIENCE).unwrap();
    metrics
}

#[test]
fn a_restart_reads_only_the_rest_of_the_changelog() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let cluster = Cluster::new("tail");
        cluster.create_topic("lines", 2);
        cluster.create_topic("counts", 1);
        let start = |config| cluster.word_count().guarantee(guarantee).start(config).unwrap();
        let write = |lines: &[String]| cluster.write("lines", 2, lines.iter().map(String::as_str));
        let lines = lines(0..6000);
        write(&lines[..5000]);
        let first = drained(start(cluster.config()));
        assert_eq!((first.states_loaded, first.records_restored), (0, 0));
        assert!(first.changes > 5000, "{first:?}");

        // All of it is in the checkpoint that a clean stop leaves.
        write(&lines[5000..5010]);
        let second = drained(start(cluster.config()));
        assert!(second.states_loaded > 5000, "{second:?}");
        assert_eq!(second.records_restored, 0);

        // Without the directory, all of the changelog is read.
        write(&lines[5010..5100]);
        let elsewhere = drained(start(cluster.config().state_dir("")));
        assert!(elsewhere.records_restored >= first.changes, "{elsewhere:?}");

        // What happened elsewhere is read behind the checkpoint.
        write(&lines[5100..]);
        let third = drained(start(cluster.config()));
        assert_eq!(third.records_restored, elsewhere.changes);
        assert_eq!(third.restore_left, 0);
        let expected = counts(lines.iter().map(String::as_str));
        assert_eq!(cluster.latest("counts"), expected);
    }
}

#[test]
fn a_process_that_is_gone_leaves_its_place_to_the_next_at_once() {
    let cluster = Cluster::new("place");
    cluster.create_topic("lines", 2);
    cluster.create_topic("counts", 1);
    let lines = lines(0..200);
    cluster.write("lines", 2, lines[..100].iter().map(String::as_str));
    let job = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
    drained(job.start(cluster.config()).unwrap());
    // Two at a time have different names, or they would fence each other.
    let one = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
    let one = one.start(cluster.config()).unwrap();
    let two = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
    let two = two.start(cluster.config()).unwrap();
    cluster.write("lines", 2, lines[100..].iter().map(String::as_str));
    one.drain(PATIENCE).unwrap();
    two.stop(PATIENCE).unwrap();
    one.stop(PATIENCE).unwrap();
    assert_eq!(cluster.latest("counts"), counts(lines.iter().map(String::as_str)));
}
