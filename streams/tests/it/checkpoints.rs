//! Restarts: what is on the disk is not read from the changelog again.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_streams::{Guarantee, MetricsSnapshot, StreamsConfig, StreamsHandle};

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

/// Runs the job over what is there, until it has restored as many records at least; gives its last metrics and the most bytes of state
/// that were seen in memory.
fn watched(cluster: &Cluster, config: StreamsConfig, restored: u64) -> (MetricsSnapshot, u64) {
    let job = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
    let job = job.start(config).unwrap();
    let drained = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !drained.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(2));
                most = most.max(job.metrics().sub_topologies[1].state_bytes);
            }
            most
        });
        job.drain(PATIENCE).unwrap();
        // A job with nothing to do is drained before its state is whole.
        let deadline = Instant::now() + PATIENCE;
        while job.metrics().records_restored < restored && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        drained.store(true, Ordering::Release);
        watch.join().unwrap()
    });
    let metrics = job.metrics();
    job.stop(PATIENCE).unwrap();
    (metrics, most)
}

#[test]
fn state_of_four_times_the_memory_is_counted_right() {
    // Every word comes back after all the others.
    let lines: Vec<String> = (0..30_000)
        .map(|n| {
            (0..12)
                .map(|k| format!("{}{} ", char::from(b'a' + k), n % 12_000))
                .collect()
        })
        .collect();
    let lines = |range: std::ops::Range<usize>| lines[range].iter().map(String::as_str);
    let new_cluster = |name| {
        let cluster = Cluster::new(name);
        cluster.create_topic("lines", 2);
        cluster.create_topic("counts", 1);
        cluster.write("lines", 2, lines(0..20_000));
        cluster
    };
    let config = |cluster: &Cluster| cluster.config().set("commit.interval.ms", "20").unwrap();
    let unbounded = new_cluster("unbounded");
    let (_, all) = watched(&unbounded, config(&unbounded), 0);

    let cluster = new_cluster("bounded");
    let limit = all / 4;
    let config = || {
        config(&cluster)
            .set("statestore.cache.max.bytes", &limit.to_string())
            .unwrap()
    };
    // What comes in one epoch is on top.
    let bound = limit + all / 4;
    let (_, most) = watched(&cluster, config(), 0);
    assert!(
        most < bound,
        "{most} bytes in memory, with a limit of {limit} and {all} without"
    );
    assert_eq!(cluster.latest("counts"), counts(lines(0..20_000)));

    // A start does not load all of it either.
    cluster.write("lines", 2, lines(20_000..30_000));
    let (metrics, most) = watched(&cluster, config(), 0);
    assert!(most < bound, "{most} bytes in memory after a start");
    assert!(metrics.states_loaded < 72_000, "{metrics:?}");
    assert_eq!(metrics.records_restored, 0);
    assert_eq!(cluster.latest("counts"), counts(lines(0..30_000)));

    // Nor does it without a checkpoint.
    let emptied = tempfile::tempdir().unwrap();
    let (metrics, most) = watched(&cluster, config().state_dir(emptied.path()), 144_000);
    assert!(most < bound, "{most} bytes in memory after a restore");
    assert!(metrics.records_restored >= 144_000, "{metrics:?}");
}

#[test]
fn a_limit_without_a_directory_is_refused() {
    let cluster = Cluster::new("limit");
    let config = cluster
        .config()
        .state_dir("")
        .set("statestore.cache.max.bytes", "1000")
        .unwrap();
    let error = cluster.word_count().start(config).unwrap_err().to_string();
    assert!(error.contains("state.dir is missing"), "{error}");
}
