//! What rows joined with versions have to give where epochs are repeated.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{Description, Expected, late};
use crate::TestDriver;

/// Where epochs were repeated, versions came again, in the order of the log: what a row has that was looked up in between, an earlier one of the same
/// time may have given it. That it came is what counts.
pub(super) fn check(
    driver: &mut TestDriver,
    description: &Description,
    found: &[(Value, Option<i64>)],
    expected: &Expected,
) {
    let ids = found.iter().map(|(row, _)| row["id"].as_i64().unwrap());
    let ids: BTreeSet<i64> = ids.collect();
    if description.left {
        let expected = expected.rows.iter().map(|(row, _)| {
            let row: Value = serde_json::from_str(row).unwrap();
            row["id"].as_i64().unwrap()
        });
        assert_eq!(ids, expected.collect());
    }
    let late = late(driver);
    assert!(expected.late.iter().all(|id| late.binary_search(id).is_ok()));
}
