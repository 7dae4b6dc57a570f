//! Transactions: nothing is counted twice, whatever comes and goes.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_streams::{Guarantee, Streams};

use crate::client::{Cluster, PATIENCE, counts};

fn lines() -> Vec<String> {
    (0..6000)
        .map(|n| format!("word{} same {}", n % 311, n % 13))
        .collect()
}

fn job(cluster: &Cluster) -> Streams {
    cluster.word_count().guarantee(Guarantee::ExactlyOnce)
}

/// The counts of each word grow from record to record, and end at what was written.
fn check(cluster: &Cluster, lines: &[String]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (word, value) in cluster.records("counts") {
        let count = value["n"].as_u64().unwrap();
        let before = last.insert(word.clone(), count).unwrap_or(0);
        assert!(before < count, "{word} went from {before} to {count}");
    }
    let expected = counts(lines.iter().map(String::as_str));
    let found: BTreeMap<_, _> = last
        .into_iter()
        .map(|(word, n)| (word, format!("{{\"n\":{n}}}")))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn counts_are_exact_while_processes_come_and_go() {
    let cluster = Cluster::new("exact");
    cluster.create_topic("lines", 4);
    cluster.create_topic("counts", 2);
    let config = || {
        let config = cluster.config().set("session.timeout.ms", "6000").unwrap();
        config.set("commit.interval.ms", "50").unwrap()
    };
    let lines = lines();
    let mut parts = lines.chunks(1500);
    let mut write = || cluster.write("lines", 4, parts.next().unwrap().iter().map(String::as_str));
    write();
    let one = job(&cluster).start(config().threads(2)).unwrap();
    one.drain(PATIENCE).unwrap();
    // A second process takes half of the partitions while records come in.
    let two = job(&cluster).start(config()).unwrap();
    write();
    std::thread::sleep(Duration::from_secs(2));
    write();
    // The first leaves in the middle of its work, and the second takes over what it had.
    one.stop(PATIENCE).unwrap();
    two.drain(PATIENCE).unwrap();
    write();
    two.drain(PATIENCE).unwrap();
    check(&cluster, &lines);
    two.stop(PATIENCE).unwrap();
}

#[test]
fn what_was_read_of_a_repartition_topic_is_deleted_and_not_needed() {
    let cluster = Cluster::new("purge");
    cluster.create_topic("lines", 2);
    cluster.create_topic("counts", 1);
    let lines = lines();
    let (first, second) = lines.split_at(3000);
    cluster.write("lines", 2, first.iter().map(String::as_str));
    let config = || {
        cluster
            .config()
            .set("repartition.purge.interval.ms", "100")
            .unwrap()
    };
    let one = job(&cluster).start(config()).unwrap();
    one.drain(PATIENCE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while (0..2).any(|partition| cluster.begins("app-counts-repartition", partition) == 0) {
        assert!(Instant::now() < deadline, "nothing was deleted");
        std::thread::sleep(Duration::from_millis(50));
    }
    one.stop(PATIENCE).unwrap();
    cluster.write("lines", 2, second.iter().map(String::as_str));
    let two = job(&cluster).start(config()).unwrap();
    two.drain(PATIENCE).unwrap();
    check(&cluster, &lines);
    two.stop(PATIENCE).unwrap();
}
