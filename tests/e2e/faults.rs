//! A bounded slice of the fault harnesses; `tests/README.md` says how to run them in full.

use millstream_tests::kill_rounds;
use millstream_tests::kill_streams::{self, Job, Plan};

#[test]
fn a_broker_that_is_killed_under_load_loses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let report = kill_rounds::run(directory.path(), 12, 20);
    assert!(report.acknowledged > 1_000, "{report:?}");
    assert!(report.commits > 10, "{report:?}");
}

fn kill_streams(job: Job, seconds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        job,
        seconds,
        seed: 3,
        bootstrap: None,
    };
    let report = kill_streams::run(directory.path(), &plan);
    assert!(report.killed > 0 && report.counted > 1_000, "{report:?}");
    assert_eq!(report.late > 0, job == Job::Views, "{report:?}");
}

#[test]
fn a_job_whose_instances_are_killed_counts_exactly_once() {
    kill_streams(Job::Words, 15);
}

#[test]
fn windows_of_a_job_whose_instances_are_killed_come_once_and_late_rows_as_well() {
    kill_streams(Job::Views, 15);
}
