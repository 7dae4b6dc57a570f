//! What outputs have to hold where epochs are repeated: all that they should, some of it more than once.
use std::collections::BTreeSet;

use serde_json::Value;

use super::oracle::Expected;
use super::{same_rows, table, value, windows};
use crate::TestDriver;

/// Whether a row has the effect of every row that it should have: counts may be more, and what hangs on them.
fn has_all(found: &Value, expected: &Value) -> bool {
    let is_same = |name: &str| found.get(name) == expected.get(name);
    let is_enough = |name: &str| found[name].as_i64() >= expected[name].as_i64();
    ["min", "max", "first", "last", "first_came", "last_came"]
        .into_iter()
        .all(is_same)
        && ["count", "rows", "windows"].into_iter().all(is_enough)
}

/// How many rows are in all groups, and the most of all.
fn totals<'a>(groups: impl Iterator<Item = &'a Value>) -> (i64, Option<i64>) {
    groups.fold((0, None), |(rows, most), group| {
        (
            rows + group["groups"].as_i64().unwrap(),
            most.max(group["most"].as_i64()),
        )
    })
}

pub(super) fn check(driver: &mut TestDriver, topic: &str, expected: &Expected) {
    match expected {
        Expected::Rows(expected) => {
            let records = driver.read(topic);
            let row = |record| (value(record).unwrap().to_string(), record.timestamp);
            let found: BTreeSet<(String, Option<i64>)> = records.iter().map(row).collect();
            assert_eq!(found, expected.iter().cloned().collect(), "{topic}");
        }
        Expected::Table(expected) => {
            let found = table(driver, topic);
            if expected.values().any(|row| row.get("groups").is_some()) {
                // Groups by counts may be others, but each row is in one.
                assert_eq!(totals(found.values()), totals(expected.values()), "{topic}");
                return;
            }
            assert_eq!(found.len(), expected.len(), "{topic}: {found:?} of {expected:?}");
            for (key, row) in expected {
                let found = &found[key];
                let enough = match row.get("count") {
                    Some(_) => has_all(found, row),
                    None => same_rows(found, row),
                };
                assert!(enough, "{topic}: {key:?} {found} of {row}");
            }
        }
        Expected::Windows { results, late, .. } => {
            let mut found = windows(driver, topic);
            let records = driver.read(&format!("{topic}-late"));
            let id = |record| value(record).unwrap()["id"].as_i64().unwrap();
            let ids: BTreeSet<i64> = records.iter().map(id).collect();
            assert!(
                late.iter().all(|id| ids.contains(id)),
                "{topic}: {ids:?} of {late:?}"
            );
            for (window, row) in results {
                let found = found.remove(window).unwrap_or_default();
                let last = found.last().unwrap_or(&Value::Null);
                assert!(has_all(last, row), "{topic}: {window:?} {last} of {row}");
            }
            assert!(found.is_empty(), "{topic}: {found:?}");
        }
        Expected::WindowsOfWindows(results) => {
            let mut found = windows(driver, topic);
            for (window, row) in results {
                let found = found.remove(window).unwrap_or_default();
                let last = found.last().unwrap_or(&Value::Null);
                assert!(has_all(last, row), "{topic}: {window:?} {last} of {row}");
            }
        }
    }
}
