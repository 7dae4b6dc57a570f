//! A bounded slice of the fault harnesses; `tests/README.md` says how to run them in full.

use millstream_tests::kill_rounds;
use millstream_tests::kill_streams::{self, Blow, Job, Plan};

#[test]
fn a_broker_that_is_killed_under_load_loses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let report = kill_rounds::run(directory.path(), 12, 20);
    assert!(report.acknowledged > 1_000, "{report:?}");
    assert!(report.commits > 10, "{report:?}");
}

/// One blow after the other, and the results must be exact.
fn kill_streams(job: Job, blow: Option<Blow>, seconds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        blow,
        job,
        seconds,
        seed: 3,
        bootstrap: None,
    };
    let report = kill_streams::run(directory.path(), &plan);
    assert!(report.killed + report.zombies + report.brokers > 0, "{report:?}");
    assert!(report.counted > 1_000, "{report:?}");
    assert_eq!(
        report.late > 0,
        matches!(job, Job::Views | Job::Joins),
        "{report:?}"
    );
}

#[test]
fn a_job_whose_instances_are_killed_counts_exactly_once() {
    kill_streams(Job::Words, None, 15);
}

#[test]
fn windows_of_a_job_whose_instances_are_killed_come_once_and_late_rows_as_well() {
    kill_streams(Job::Views, None, 15);
}

#[test]
fn all_instances_killed_behind_a_commit_count_exactly_once() {
    kill_streams(Job::Words, Some(Blow::AfterCommit), 10);
}

#[test]
fn a_broker_killed_before_the_markers_of_a_commit_loses_nothing_of_it() {
    kill_streams(Job::Views, Some(Blow::Broker), 10);
}

#[test]
fn instances_killed_in_a_rebalance_count_exactly_once() {
    kill_streams(Job::Words, Some(Blow::InRebalance), 12);
}

#[test]
fn an_instance_that_wakes_up_when_others_have_its_partitions_changes_nothing() {
    kill_streams(Job::Views, Some(Blow::Zombie), 12);
}

#[test]
fn pairs_and_sums_of_a_job_whose_instances_are_killed_come_once() {
    kill_streams(Job::Joins, None, 15);
}

#[test]
fn tables_of_a_job_whose_instances_are_killed_meet_as_they_are() {
    kill_streams(Job::Tables, None, 15);
}
