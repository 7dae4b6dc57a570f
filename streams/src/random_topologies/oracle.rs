//! What the outputs of a description must hold: loops over vectors.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::END;
use super::description::{End, Step, Tree, Windowed};

/// A row, with the watermark that its partition had before it.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) user: i64,
    pub(super) k: Option<i64>,
    pub(super) n: Option<i64>,
    pub(super) at: Option<i64>,
    pub(super) id: i64,
    pub(super) watermark: Option<i64>,
}

type Groups = BTreeMap<Option<i64>, Value>;
type WindowResults = BTreeMap<(Option<i64>, i64), Value>;

#[derive(Debug)]
pub(super) enum Expected {
    /// Rows as text with their times, sorted.
    Rows(Vec<(String, Option<i64>)>),
    Table(Groups),
    Windows {
        results: WindowResults,
        on_close: bool,
        /// Each row is in one window.
        tumbling: bool,
        /// The ids of late rows, sorted.
        late: Vec<i64>,
    },
    WindowsOfWindows(WindowResults),
}

/// The output topics in the order of the tree.
pub(super) fn expected(tree: &Tree, facts: &[Fact]) -> Vec<(String, Expected)> {
    let mut all = Vec::new();
    visit(tree, facts.to_vec(), true, &mut 0, &mut all);
    all
}

fn visit(
    tree: &Tree,
    facts: Vec<Fact>,
    ordered: bool,
    topics: &mut usize,
    all: &mut Vec<(String, Expected)>,
) {
    let ordered = ordered && tree.steps.iter().all(Step::keeps_order);
    let facts = chain(facts, &tree.steps);
    *topics += 1;
    let topic = format!("out{topics}");
    let again = format!("{topic}-again");
    match &tree.end {
        End::Table if ordered => {
            let table = last_of_users(&facts);
            all.push((again, Expected::Table(groups_of_rows(table.values().copied()))));
            let rows = table.iter().map(|(user, fact)| {
                (
                    Some(*user),
                    json!({"k": fact.k, "n": fact.n, "at": fact.at, "id": fact.id}),
                )
            });
            all.push((topic, Expected::Table(rows.collect())));
        }
        End::Rows | End::Table => all.push((topic, rows(&facts))),
        End::Aggregate(user, more) => {
            let key = |fact: &Fact| if *user { Some(fact.user) } else { fact.k };
            let table = aggregate(&facts, key, ordered && *user);
            if *more {
                all.push((again, Expected::Table(groups_of_groups(&table))));
            }
            all.push((topic, Expected::Table(table)));
        }
        End::Window(windowed) => {
            let (results, late) = windows(&facts, windowed);
            if let Some(size) = windowed.again {
                all.push((
                    again,
                    Expected::WindowsOfWindows(windows_again(&results, windowed, size)),
                ));
            }
            let on_close = windowed.on_close;
            let tumbling = windowed.advance == windowed.size;
            all.push((
                topic,
                Expected::Windows {
                    results,
                    on_close,
                    tumbling,
                    late,
                },
            ));
        }
    }
    for child in &tree.children {
        visit(child, facts.clone(), ordered, topics, all);
    }
}

fn chain(mut facts: Vec<Fact>, steps: &[Step]) -> Vec<Fact> {
    for step in steps {
        facts = apply(facts, step);
    }
    facts
}

fn apply(mut facts: Vec<Fact>, step: &Step) -> Vec<Fact> {
    match step {
        Step::Filter(of, is) => facts.retain(|fact| fact.id % of != *is),
        Step::Above(least) => facts.retain(|fact| fact.n.is_some_and(|n| n > *least)),
        Step::Add(number) => facts
            .iter_mut()
            .for_each(|fact| fact.n = fact.n.map(|n| n + number)),
        Step::Rekey(of) => facts.iter_mut().for_each(|fact| fact.k = fact.n.map(|n| n % of)),
        Step::FlatMap => {
            let mut made = Vec::new();
            for fact in facts {
                for copy in 0..fact.n.unwrap_or(1).rem_euclid(3) {
                    let (id, n) = (fact.id * 3 + copy, fact.n.map(|n| n + copy));
                    made.push(Fact {
                        id,
                        n,
                        ..fact.clone()
                    });
                }
            }
            facts = made;
        }
        Step::Branch(of, one, other) => {
            let (left, right) = facts.into_iter().partition(|fact| fact.id % of == 0);
            facts = chain(left, one);
            facts.extend(chain(right, other));
        }
        Step::Repartition(_) | Step::Process(_) => {}
    }
    facts
}

fn rows(facts: &[Fact]) -> Expected {
    let row = |fact: &Fact| {
        let Fact {
            user, k, n, at, id, ..
        } = fact;
        (
            json!({"user": user, "k": k, "n": n, "at": at, "id": id}).to_string(),
            *at,
        )
    };
    let mut rows: Vec<_> = facts.iter().map(row).collect();
    rows.sort();
    Expected::Rows(rows)
}

fn results(facts: &[&Fact], came: bool) -> Value {
    let numbers: Vec<i64> = facts.iter().filter_map(|fact| fact.n).collect();
    let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<i64>());
    let mut ids: Vec<i64> = facts.iter().map(|fact| fact.id).collect();
    let came_ids = (ids[0], ids[ids.len() - 1]);
    ids.sort_unstable();
    let mut row = json!({
        "count": facts.len(), "sum": sum, "min": numbers.iter().min(), "max": numbers.iter().max(),
        "avg": sum.map(|sum| sum as f64 / numbers.len() as f64), "first": ids[0], "last": ids[ids.len() - 1],
    });
    if came {
        row["first_came"] = json!(came_ids.0);
        row["last_came"] = json!(came_ids.1);
    }
    row
}

fn aggregate(facts: &[Fact], key: impl Fn(&Fact) -> Option<i64>, came: bool) -> Groups {
    let mut groups: BTreeMap<Option<i64>, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        groups.entry(key(fact)).or_default().push(fact);
    }
    let row = |(key, facts): (Option<i64>, Vec<&Fact>)| (key, results(&facts, came));
    groups.into_iter().map(row).collect()
}

fn groups_of_groups(table: &Groups) -> Groups {
    let mut groups: BTreeMap<Option<i64>, Vec<&Value>> = BTreeMap::new();
    for row in table.values() {
        groups.entry(row["count"].as_i64()).or_default().push(row);
    }
    let numbers = |rows: &[&Value], name: &str| -> Vec<i64> {
        rows.iter().filter_map(|row| row[name].as_i64()).collect()
    };
    let row = |(count, rows): (Option<i64>, Vec<&Value>)| {
        let (sums, most) = (numbers(&rows, "sum"), numbers(&rows, "max"));
        let sum = (!sums.is_empty()).then(|| sums.iter().sum::<i64>());
        let row = json!({"groups": rows.len(), "sums": sum, "most": most.iter().max()});
        (count, row)
    };
    groups.into_iter().map(row).collect()
}

/// The last row of each user that is not deleted.
fn last_of_users(facts: &[Fact]) -> BTreeMap<i64, &Fact> {
    let mut table = BTreeMap::new();
    for fact in facts {
        match fact.id % 5 {
            0 => drop(table.remove(&fact.user)),
            _ => drop(table.insert(fact.user, fact)),
        }
    }
    table
}

fn groups_of_rows<'a>(rows: impl Iterator<Item = &'a Fact>) -> Groups {
    let mut groups: BTreeMap<Option<i64>, Vec<&Fact>> = BTreeMap::new();
    rows.for_each(|fact| groups.entry(fact.k).or_default().push(fact));
    let row = |(key, facts): (Option<i64>, Vec<&Fact>)| {
        let numbers: Vec<i64> = facts.iter().filter_map(|fact| fact.n).collect();
        let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<i64>());
        let row = json!({"groups": facts.len(), "sums": sum, "most": numbers.iter().max()});
        (key, row)
    };
    groups.into_iter().map(row).collect()
}

/// Results by key and window, and the ids of late rows.
fn windows(facts: &[Fact], windowed: &Windowed) -> (WindowResults, Vec<i64>) {
    let mut windows: BTreeMap<(Option<i64>, i64), Vec<&Fact>> = BTreeMap::new();
    let mut late = Vec::new();
    for fact in facts {
        let mut taken = false;
        let Some(at) = fact.at else {
            late.push(fact.id);
            continue;
        };
        let mut start = at - at % windowed.advance;
        while start >= 0 && start + windowed.size > at {
            let closed = fact
                .watermark
                .is_some_and(|mark| start + windowed.size + windowed.grace <= mark);
            if !closed {
                taken = true;
                windows.entry((fact.k, start)).or_default().push(fact);
            }
            start -= windowed.advance;
        }
        if !taken {
            late.push(fact.id);
        }
    }
    late.sort_unstable();
    let windows = windows.into_iter().filter(|((_, start), _)| *start < END);
    let results = windows.map(|(window, facts)| (window, results(&facts, false)));
    (results.collect(), late)
}

/// Windows over the results, each at the last millisecond of its window.
fn windows_again(results: &WindowResults, windowed: &Windowed, size: i64) -> WindowResults {
    let mut again: BTreeMap<(Option<i64>, i64), (i64, i64)> = BTreeMap::new();
    for ((key, start), row) in results {
        let last = start + windowed.size - 1;
        let sums = again.entry((*key, last - last % size)).or_default();
        *sums = (sums.0 + row["count"].as_i64().unwrap(), sums.1 + 1);
    }
    let row = |(window, (rows, count))| (window, json!({"rows": rows, "windows": count}));
    again.into_iter().map(row).collect()
}
