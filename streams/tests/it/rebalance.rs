//! Processes of one job come and go.
use std::time::Duration;

use crate::client::{Cluster, PATIENCE, counts};

#[test]
fn partitions_and_their_state_move_between_processes() {
    let cluster = Cluster::new("move");
    cluster.create_topic("lines", 4);
    cluster.create_topic("counts", 1);
    let config = || cluster.config().set("session.timeout.ms", "6000").unwrap();
    let lines: Vec<String> = (0..4000)
        .map(|n| format!("word{} same {}", n % 311, n % 13))
        .collect();
    let (first, rest) = lines.split_at(1000);
    let (second, third) = rest.split_at(1500);
    cluster.write("lines", 4, first.iter().map(String::as_str));
    let one = cluster.word_count().start(config()).unwrap();
    one.drain(PATIENCE).unwrap();

    // A second process takes half of the partitions, while records come in.
    let two = cluster.word_count().start(config()).unwrap();
    cluster.write("lines", 4, second.iter().map(String::as_str));
    std::thread::sleep(Duration::from_secs(4));
    two.drain(PATIENCE).unwrap();
    let so_far = first.iter().chain(second).map(String::as_str);
    assert_eq!(cluster.table("counts").0, counts(so_far));
    let shared = |job: &millstream_streams::StreamsHandle| job.metrics().sub_topologies[1].state_keys;
    assert!(
        shared(&one) > 0 && shared(&two) > 0,
        "{} and {} keys",
        shared(&one),
        shared(&two)
    );

    // The first leaves, the second takes over its state.
    one.stop(PATIENCE).unwrap();
    cluster.write("lines", 4, third.iter().map(String::as_str));
    two.drain(PATIENCE).unwrap();
    assert_eq!(
        cluster.table("counts").0,
        counts(lines.iter().map(String::as_str))
    );
    two.stop(PATIENCE).unwrap();
}
