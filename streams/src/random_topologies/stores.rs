//! Whoever asks for the state of a table is told what the oracle expects of an output.
use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use serde_json::Value;

use super::oracle::Expected;
use super::same_rows;
use crate::TestDriver;
use crate::format::JsonEncoder;

/// The rows as JSON: the first column, and the others by name.
fn by_key(rows: &RecordBatch) -> BTreeMap<Option<i64>, Value> {
    let columns = rows.num_columns();
    let mut keys = JsonEncoder::new(rows, 0..1).unwrap();
    let mut values = JsonEncoder::new(rows, 1..columns).unwrap();
    let object = |row, encoder: &mut JsonEncoder<'_>| -> Value {
        let mut bytes = Vec::new();
        encoder.object(row, &mut bytes);
        serde_json::from_slice(&bytes).unwrap()
    };
    let name = rows.schema().field(0).name().clone();
    let pairs = (0..rows.num_rows()).map(|row| {
        let key = object(row, &mut keys)[&name].as_i64();
        (key, object(row, &mut values))
    });
    let pairs: Vec<_> = pairs.collect();
    let count = pairs.len();
    let by_key: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(by_key.len(), count, "a key came twice");
    by_key
}

/// Compares all tables, by scans and by their keys.
pub(super) fn check<'a>(driver: &mut TestDriver, expected: impl Iterator<Item = &'a Expected>) {
    let expected: Vec<_> = expected
        .filter_map(|expected| match expected {
            Expected::Table(rows) => Some(rows),
            _ => None,
        })
        .collect();
    let stores = driver.stores();
    for name in stores.tables() {
        let rows = driver.store(&name).unwrap();
        let found = by_key(&rows);
        let is_it = |expected: &&&BTreeMap<Option<i64>, Value>| {
            expected.len() == found.len()
                && expected
                    .iter()
                    .all(|(key, row)| found.get(key).is_some_and(|found| same_rows(found, row)))
        };
        assert!(
            expected.iter().any(|expected| is_it(&expected)),
            "{name}: {found:?} of {expected:?}"
        );
        for row in 0..rows.num_rows() {
            let row = rows.slice(row, 1);
            let got = driver.with_tasks(|tasks| stores.get(&name, &row, tasks));
            assert_eq!(by_key(&got), by_key(&row), "{name}");
        }
    }
}
