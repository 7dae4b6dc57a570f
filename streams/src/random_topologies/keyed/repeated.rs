//! What keyed steps have to give where epochs are repeated: each row has its effect, and some have it more than once.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::checks::{both, check_top_of_table, first_rows, grouped, ids_of, late, open, ranked, table};
use super::{Description, Fact, Family};
use crate::TestDriver;
use crate::random_topologies::{END, value};

fn ids(driver: &mut TestDriver, topic: &str) -> BTreeSet<i64> {
    let records = driver.read(topic);
    let id = |record| value(record).unwrap()["id"].as_i64().unwrap();
    records.iter().map(id).collect()
}

/// What windows gave last, by key, start and, if they have one, rank.
fn windows(driver: &mut TestDriver, topic: &str) -> BTreeMap<(String, i64, i64), Value> {
    let mut rows = BTreeMap::new();
    for record in driver.read(topic) {
        if record.timestamp.is_some_and(|at| at >= END) {
            continue;
        }
        let Value::Array(key) = serde_json::from_str(record.as_text().0).unwrap() else {
            panic!("a key of several columns")
        };
        let start = crate::window::tests::millis_of_day(&key[1]);
        let rank = key.get(3).and_then(Value::as_i64).unwrap_or(0);
        rows.insert((key[0].to_string(), start, rank), value(&record).unwrap());
    }
    rows
}

/// Late rows may be more: those that come again.
fn check_late(driver: &mut TestDriver, expected: Vec<i64>) {
    let found = ids(driver, "late");
    assert!(
        expected.iter().all(|id| found.contains(id)),
        "{found:?} of {expected:?}"
    );
}

fn check_deduplicated(driver: &mut TestDriver, description: &Description, within: i64, facts: &[Fact]) {
    let mut passed: BTreeMap<&Option<String>, Vec<&Fact>> = BTreeMap::new();
    let (mut expected, mut late) = (Vec::new(), Vec::new());
    for fact in facts {
        if fact.is_late(description.grace) {
            late.push(fact.id);
            continue;
        }
        let others = passed.entry(&fact.key).or_default();
        let is_near = |other: &&Fact| (fact.at().unwrap() - other.at().unwrap()).abs() <= within;
        if !others.iter().any(is_near) {
            others.push(fact);
            expected.push(fact.clone());
        }
    }
    assert_eq!(ids(driver, "out"), ids_of(&expected).into_iter().collect());
    check_late(driver, late);
    let found = windows(driver, "windows");
    for ((key, start), rows) in open(description, &expected) {
        let count = found[&(key.clone(), start, 0)]["count"].as_u64().unwrap();
        assert!(count >= rows.len() as u64, "{key} {start}");
    }
}

/// Rows that came twice may be there twice, and leave less room for others: the others are the first ones.
fn check_first(mut found: Vec<i64>, expected: &[i64], most: usize, of: &str) {
    // Of ranks among ties that nobody has any more, nobody may have said so.
    found.truncate(most);
    assert!(
        found.len() >= most.min(expected.len()),
        "{of}: {found:?} of {expected:?}"
    );
    let mut seen = BTreeSet::new();
    found.retain(|id| seen.insert(*id));
    assert!(expected.starts_with(&found), "{of}: {found:?} of {expected:?}");
}

fn check_top(driver: &mut TestDriver, facts: &[Fact], most: usize, ties: bool) {
    let key = |fact: &Fact| Some(serde_json::json!(fact.key).to_string());
    let mut found = ranked(&table(driver));
    for (key, rows) in grouped(facts.iter(), key) {
        let found = found.remove(&key).unwrap_or_default();
        check_first(found, &ids_of(first_rows(rows, most, ties)), most, &key);
    }
    assert!(found.is_empty(), "{found:?}");
}

fn check_top_in_windows(
    driver: &mut TestDriver,
    description: &Description,
    facts: &[Fact],
    most: usize,
    ties: bool,
) {
    check_late(driver, late(description, facts));
    let mut found: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for ((key, start, _), row) in windows(driver, "out") {
        let ids = found.entry((key, start)).or_default();
        ids.push(row["id"].as_i64().unwrap());
    }
    for (window, rows) in open(description, facts) {
        let found = found.remove(&window).unwrap_or_default();
        let of = format!("{window:?}");
        check_first(found, &ids_of(first_rows(rows, most, ties)), most, &of);
    }
    assert!(found.is_empty(), "{found:?}");
}

/// Counts and sums may be more.
fn check_both(found: &Value, rows: &[&Fact], of: &str) {
    let expected = both(rows);
    assert_eq!(found["max"], expected["max"], "{of}");
    for name in ["count", "sum", "large"] {
        let number = |row: &Value| row[name].as_i64();
        assert!(number(found) >= number(&expected), "{of}: {found} of {expected}");
    }
}

fn key_of(fact: &Fact) -> String {
    fact.key.clone().unwrap_or_else(|| "[null]".to_owned())
}

pub(super) fn check(driver: &mut TestDriver, description: &Description, facts: &[Fact]) {
    match description.family {
        Family::Deduplicate(within, _) => check_deduplicated(driver, description, within, facts),
        Family::Top(most, ties) => check_top(driver, facts, most, ties),
        Family::TopOfTable(most, ties) => check_top_of_table(driver, facts, most, ties),
        Family::TopInWindows(most, ties) => check_top_in_windows(driver, description, facts, most, ties),
        Family::Cogroup => {
            let found = table(driver);
            for (key, rows) in grouped(facts.iter(), |fact| Some(key_of(fact))) {
                check_both(&found[&key], &rows, &key);
            }
        }
        Family::CogroupInWindows => {
            let found = windows(driver, "out");
            for ((key, start), rows) in open(description, facts) {
                check_both(&found[&(key.clone(), start, 0)], &rows, &key);
            }
            assert!(driver.read("late").len() >= late(description, facts).len());
        }
        Family::CountDistinct => {
            let found = table(driver);
            for (key, rows) in grouped(facts.iter(), |fact| Some(key_of(fact))) {
                for (name, least) in [("all", i64::MIN), ("some", 2)] {
                    let numbers = rows.iter().filter_map(|fact| fact.n()).filter(|n| *n > least);
                    let values: BTreeSet<i64> = numbers.map(|n| n % 4).collect();
                    let count = found[&key][name].as_u64().unwrap();
                    assert!(
                        count >= values.len() as u64,
                        "{key} {name}: {count} of {values:?}"
                    );
                }
            }
        }
    }
}
