//! A bounded slice of the fault harnesses; `tests/README.md` says how to run them in full.

use millstream_tests::{kill_rounds, kill_streams};

#[test]
fn a_broker_that_is_killed_under_load_loses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let report = kill_rounds::run(directory.path(), 12, 20);
    assert!(report.acknowledged > 1_000, "{report:?}");
    assert!(report.commits > 10, "{report:?}");
}

#[test]
fn a_job_whose_instances_are_killed_counts_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let plan = kill_streams::Plan {
        seconds: 15,
        seed: 3,
        bootstrap: None,
    };
    let report = kill_streams::run(directory.path(), &plan);
    assert!(report.killed > 0 && report.words > 1_000, "{report:?}");
}
