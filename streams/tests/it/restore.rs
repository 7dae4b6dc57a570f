//! What a new owner of a state waits for.
use std::time::{Duration, Instant};

use millstream_streams::Guarantee;

use crate::client::{Cluster, PATIENCE, counts};

/// How long the job is watched doing nothing.
const WATCHED: Duration = Duration::from_secs(2);

/// Its records may belong to what the state stands for: whoever read before it is decided, would miss them.
fn a_restore_waits_for_an_open_transaction(commits: bool, test: &str) {
    let cluster = Cluster::new(test);
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    let start = || {
        let config = cluster.config().state_dir("");
        let job = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
        job.start(config).unwrap()
    };
    cluster.write("lines", 1, ["a b", "a"]);
    let job = start();
    job.drain(PATIENCE).unwrap();
    job.stop(PATIENCE).unwrap();

    // A record of the log again, so that it can be read if it counts.
    let transaction = cluster.begin_transaction("app-counts-changelog");
    cluster.write("lines", 1, ["b"]);
    let job = start();
    let began = Instant::now();
    while began.elapsed() < WATCHED {
        assert_eq!(job.metrics().records_restored, 0, "after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!job.drained_within(Duration::ZERO).unwrap());
    let before = counts(["a b", "a"]);
    assert_eq!(cluster.latest("counts"), before);

    transaction.end(commits);
    job.drain(PATIENCE).unwrap();
    // What the states mean, and two of them; the record of the transaction says the first again.
    let restored = if commits { 4 } else { 3 };
    assert_eq!(job.metrics().records_restored, restored);
    assert_eq!(cluster.latest("counts"), counts(["a b", "a", "b"]));
    job.stop(PATIENCE).unwrap();
}

#[test]
fn a_restore_waits_for_a_transaction_that_is_aborted() {
    a_restore_waits_for_an_open_transaction(false, "undecided-aborted");
}

#[test]
fn a_restore_waits_for_a_transaction_that_is_committed() {
    a_restore_waits_for_an_open_transaction(true, "undecided-committed");
}
