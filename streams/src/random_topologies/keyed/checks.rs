//! What keyed steps have to give, by plain loops over the rows.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json as json_of};

use super::super::{END, value};
use super::{Description, Fact, Family};
use crate::TestDriver;

/// The members of a row or key, as one text.
pub(super) type Rows = BTreeMap<String, Value>;

fn ids(driver: &mut TestDriver, topic: &str) -> Vec<i64> {
    let records = driver.read(topic);
    let mut ids: Vec<i64> = records
        .iter()
        .map(|record| value(record).unwrap()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// What a reader of a compacted topic has in the end.
pub(super) fn table(driver: &mut TestDriver) -> Rows {
    let mut rows = Rows::new();
    for record in driver.read("out") {
        let key = String::from_utf8(record.key.clone().unwrap_or_default()).unwrap();
        match value(&record) {
            Some(row) => drop(rows.insert(key, row)),
            None => assert!(
                rows.remove(&key).is_some() || driver.repeats(),
                "{key} was deleted, but not there"
            ),
        }
    }
    rows
}

/// What closed windows gave, by key, start and, if they have one, rank.
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
        let row = (key[0].to_string(), start, rank);
        let before = rows.insert(row.clone(), value(&record).unwrap());
        assert!(before.is_none(), "{row:?} came twice");
    }
    rows
}

fn check_deduplicated(
    driver: &mut TestDriver,
    description: &Description,
    within: i64,
    facts: &[Fact],
    exact: bool,
) {
    let mut passed: BTreeMap<&Option<String>, Vec<&Fact>> = BTreeMap::new();
    let (mut expected, mut late) = (Vec::new(), Vec::new());
    for fact in facts {
        if fact.is_late(description.grace) {
            late.push(fact.id);
            continue;
        }
        let others = passed.entry(&fact.key).or_default();
        if others
            .iter()
            .all(|other| (fact.at().unwrap() - other.at().unwrap()).abs() > within)
        {
            others.push(fact);
            expected.push(fact.id);
        }
    }
    let (found, found_late) = (ids(driver, "out"), ids(driver, "late"));
    if exact {
        assert_eq!((&found, &found_late), (&expected, &late));
        let passed = facts
            .iter()
            .filter(|fact| expected.binary_search(&fact.id).is_ok());
        let passed: Vec<Fact> = passed.cloned().collect();
        let counts = open(description, &passed).into_iter();
        let counts = counts.map(|((key, start), rows)| ((key, start, 0), json_of!({"count": rows.len()})));
        assert_eq!(windows(driver, "windows"), counts.collect());
        return;
    }
    // More may be late where partitions were idle; what was not, passed or was near one that did.
    assert!(late.iter().all(|id| found_late.binary_search(id).is_ok()));
    let near = |one: &Fact, other: &Fact| {
        one.key == other.key && (one.at().unwrap() - other.at().unwrap()).abs() <= within
    };
    for fact in facts {
        let (passed, is_late) = (
            found.binary_search(&fact.id).is_ok(),
            found_late.binary_search(&fact.id).is_ok(),
        );
        assert!(!(passed && is_late), "{fact:?} has two fates");
        if is_late {
            continue;
        }
        let others = found.iter().map(|id| &facts[*id as usize]);
        let met = others
            .filter(|other| other.id != fact.id && near(fact, other))
            .count();
        assert_eq!(met == 0, passed, "{fact:?}");
    }
}

/// The first rows in the order of their numbers, nulls last; equal ones as they came.
pub(super) fn first_rows(mut rows: Vec<&Fact>, most: usize, ties: bool) -> Vec<&Fact> {
    let order = |fact: &Fact| (fact.n().is_none(), fact.n().map(|n| -n));
    rows.sort_by_key(|fact| (order(fact), fact.id));
    let last = rows.get(most - 1).map(|fact| order(fact));
    let mut place = 0;
    rows.retain(|fact| {
        place += 1;
        place <= most || (ties && Some(order(fact)) == last)
    });
    rows
}

/// Rows by something that they have in common.
pub(super) fn grouped<'a, K: Ord>(
    facts: impl Iterator<Item = &'a Fact>,
    key: impl Fn(&Fact) -> Option<K>,
) -> BTreeMap<K, Vec<&'a Fact>> {
    let mut groups: BTreeMap<K, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        if let Some(key) = key(fact) {
            groups.entry(key).or_default().push(fact);
        }
    }
    groups
}

/// The ids of ranked rows, by what their key begins with.
pub(super) fn ranked(rows: &Rows) -> BTreeMap<String, Vec<i64>> {
    let mut groups: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for (key, row) in rows {
        let Value::Array(key) = serde_json::from_str(key).unwrap() else {
            panic!("a key of several columns")
        };
        let (rank, group) = (key[1].as_i64().unwrap(), key[0].to_string());
        groups
            .entry(group)
            .or_default()
            .push((rank, row["id"].as_i64().unwrap()));
    }
    let in_order = |(group, mut rows): (String, Vec<(i64, i64)>)| {
        rows.sort_unstable();
        assert!(rows.iter().zip(1..).all(|((rank, _), place)| *rank == place));
        (group, rows.into_iter().map(|(_, id)| id).collect())
    };
    groups.into_iter().map(in_order).collect()
}

pub(super) fn ids_of<'a>(rows: impl IntoIterator<Item = &'a Fact>) -> Vec<i64> {
    rows.into_iter().map(|fact| fact.id).collect()
}

fn check_top(driver: &mut TestDriver, facts: &[Fact], most: usize, ties: bool) {
    let groups = grouped(facts.iter(), |fact| Some(json_of!(fact.key).to_string()));
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    assert_eq!(ranked(&table(driver)), expected.collect());
}

pub(super) fn check_top_of_table(driver: &mut TestDriver, facts: &[Fact], most: usize, ties: bool) {
    let mut users: BTreeMap<&Option<String>, &Fact> = BTreeMap::new();
    for fact in facts {
        match fact.row {
            Some(_) => drop(users.insert(&fact.key, fact)),
            None => drop(users.remove(&fact.key)),
        }
    }
    let half = |fact: &Fact| Some(json_of!(fact.n().map(|n| n % 2)).to_string());
    let groups = grouped(users.into_values(), half);
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    let (mut found, mut expected) = (ranked(&table(driver)), expected.collect::<BTreeMap<_, _>>());
    if ties {
        // Users are in several partitions, so that there is no order among equals.
        found
            .values_mut()
            .chain(expected.values_mut())
            .for_each(|ids| ids.sort_unstable());
    }
    assert_eq!(found, expected);
}

/// The rows whose windows were open, by key and start.
pub(super) fn open<'a>(
    description: &Description,
    facts: &'a [Fact],
) -> BTreeMap<(String, i64), Vec<&'a Fact>> {
    let in_time = facts.iter().filter(|fact| fact.at() < Some(END));
    grouped(in_time, |fact| {
        Some((json_of!(fact.key).to_string(), fact.window(description)?))
    })
}

pub(super) fn late<'a>(description: &Description, facts: impl IntoIterator<Item = &'a Fact>) -> Vec<i64> {
    let late = facts
        .into_iter()
        .filter(|fact| fact.window(description).is_none());
    ids_of(late)
}

fn check_top_in_windows(
    driver: &mut TestDriver,
    description: &Description,
    (facts, most, ties): (&[Fact], usize, bool),
    exact: bool,
) {
    let mut found: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for ((key, start, rank), row) in windows(driver, "out") {
        let ids = found.entry((key, start)).or_default();
        ids.push(row["id"].as_i64().unwrap());
        assert_eq!(ids.len() as i64, rank, "ranks are in order");
    }
    let (came_late, expected_late) = (ids(driver, "late"), late(description, facts));
    let groups = if exact {
        assert_eq!(came_late, expected_late);
        open(description, facts)
    } else {
        assert!(expected_late.iter().all(|id| came_late.binary_search(id).is_ok()));
        let others: Vec<Fact> = facts
            .iter()
            .filter(|fact| came_late.binary_search(&fact.id).is_err())
            .cloned()
            .collect();
        let groups = open(description, &others).into_iter();
        let ids = groups.map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
        assert_eq!(found, ids.collect());
        return;
    };
    let expected = groups
        .into_iter()
        .map(|(key, rows)| (key, ids_of(first_rows(rows, most, ties))));
    assert_eq!(found, expected.collect());
}

pub(super) fn both(rows: &[&Fact]) -> Value {
    let of = |topic: usize| rows.iter().filter(move |fact| fact.topic == topic);
    let sum = of(0).filter_map(|fact| fact.n()).reduce(|one, other| one + other);
    let max = of(1).filter_map(|fact| fact.n()).max();
    let large = of(1).filter(|fact| fact.n() > Some(2)).count();
    json_of!({"count": of(0).count(), "sum": sum, "max": max, "large": large})
}

fn check_cogroup(driver: &mut TestDriver, facts: &[Fact]) {
    let groups = grouped(facts.iter(), |fact| {
        Some(fact.key.clone().unwrap_or_else(|| "[null]".to_owned()))
    });
    let expected = groups.into_iter().map(|(key, rows)| (key, both(&rows)));
    assert_eq!(table(driver), expected.collect());
}

fn check_cogroup_in_windows(driver: &mut TestDriver, description: &Description, facts: &[Fact], exact: bool) {
    let found: BTreeMap<(String, i64), Value> = windows(driver, "out")
        .into_iter()
        .map(|((key, start, _), row)| ((key, start), row))
        .collect();
    let (late_rows, expected_late) = (driver.read("late").len(), late(description, facts).len());
    let groups = open(description, facts);
    if exact {
        assert_eq!(late_rows, expected_late);
        let expected = groups.into_iter().map(|(key, rows)| (key, both(&rows)));
        assert_eq!(found, expected.collect());
        return;
    }
    assert!(late_rows >= expected_late);
    for (key, row) in &found {
        let count = |row: &Value| row["count"].as_u64();
        assert!(count(row) <= count(&both(&groups[key])), "{key:?}");
    }
}

fn check_distinct(driver: &mut TestDriver, facts: &[Fact]) {
    let groups = grouped(facts.iter(), |fact| {
        Some(fact.key.clone().unwrap_or_else(|| "[null]".to_owned()))
    });
    let expected = groups.into_iter().map(|(key, rows)| {
        let values = |least: i64| {
            let numbers = rows.iter().filter_map(|fact| fact.n()).filter(|n| *n > least);
            numbers.map(|n| n % 4).collect::<BTreeSet<_>>().len()
        };
        (key, json_of!({"all": values(i64::MIN), "some": values(2)}))
    });
    assert_eq!(table(driver), expected.collect());
}

pub(super) fn check(driver: &mut TestDriver, description: &Description, facts: &[Fact], exact: bool) {
    match description.family {
        Family::Deduplicate(within, _) => check_deduplicated(driver, description, within, facts, exact),
        Family::Top(most, ties) => check_top(driver, facts, most, ties),
        Family::TopOfTable(most, ties) => check_top_of_table(driver, facts, most, ties),
        Family::TopInWindows(most, ties) => {
            check_top_in_windows(driver, description, (facts, most, ties), exact);
        }
        Family::Cogroup => check_cogroup(driver, facts),
        Family::CogroupInWindows => check_cogroup_in_windows(driver, description, facts, exact),
        Family::CountDistinct => check_distinct(driver, facts),
    }
}
