//! A bounded slice of the fault harnesses; `tests/README.md` says how to run them in full.

use millstream_tests::kill_rounds;

#[test]
fn a_broker_that_is_killed_under_load_loses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let report = kill_rounds::run(directory.path(), 12, 20);
    assert!(report.acknowledged > 1_000, "{report:?}");
    assert!(report.commits > 10, "{report:?}");
}
