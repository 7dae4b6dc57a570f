//! Which tables keep the order of the topic among each other: those that refer to each other.
use std::collections::HashMap;

use super::batch::{Batch, Shape};
use super::change::Action;
use super::table::Table;

/// Where operations belong: what is in a lane keeps its order.
pub(super) struct Lane {
    /// Of each table of the lane, by its number: its place among them, parents first.
    pub ranks: HashMap<usize, usize>,
    /// Whether even tables must keep the order of the topic among each other.
    pub strict: bool,
}

/// Tables that refer to each other are of one lane.
pub(super) fn lanes(batch: &Batch, wanted: &[usize], tables: &[Table], shapes: &[Shape]) -> Vec<Lane> {
    let operations = || wanted.iter().map(|place| &batch.operations[*place]);
    let mut present: Vec<usize> = operations().map(|operation| operation.table).collect();
    present.sort_unstable();
    present.dedup();
    // For each table that of the lane it is in, and those it refers to.
    let mut lane_of: HashMap<usize, usize> = present.iter().map(|table| (*table, *table)).collect();
    let mut parents: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut strict: Vec<usize> = Vec::new();
    for child in &present {
        for reference in &tables[*child].parents {
            let Some(parent) = present
                .iter()
                .find(|table| tables[**table].id == reference.parent)
            else {
                continue;
            };
            let (from, to) = (lane_of[child], lane_of[parent]);
            lane_of
                .values_mut()
                .filter(|lane| **lane == from)
                .for_each(|lane| *lane = to);
            parents.entry(*child).or_default().push(*parent);
            // What is referred to may change, unless it is the key.
            let by_key = operations().all(|operation| {
                operation.table != *parent
                    || operation.action == Action::Truncate
                    || is_key(&reference.columns, &shapes[operation.shape], &tables[*parent])
            });
            if !by_key {
                strict.push(*child);
            }
        }
    }
    let mut lanes: Vec<Lane> = Vec::new();
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    for table in &present {
        let number = *numbers.entry(lane_of[table]).or_insert_with(|| {
            lanes.push(Lane {
                ranks: HashMap::new(),
                strict: false,
            });
            lanes.len() - 1
        });
        let rank = depth(*table, &parents, &mut Vec::new());
        lanes[number].strict |= rank.is_none() || strict.contains(table);
        lanes[number].ranks.insert(*table, rank.unwrap_or(0));
    }
    lanes
}

fn is_key(columns: &[String], shape: &Shape, table: &Table) -> bool {
    let key = shape
        .key
        .iter()
        .map(|place| table.columns[*place].name.to_lowercase());
    let key: Vec<String> = key.collect();
    key.len() == columns.len() && columns.iter().all(|column| key.contains(column))
}

/// How many tables are above it; nothing if it is above itself.
fn depth(table: usize, parents: &HashMap<usize, Vec<usize>>, path: &mut Vec<usize>) -> Option<usize> {
    if path.contains(&table) {
        return None;
    }
    path.push(table);
    let mut deepest = 0;
    for parent in parents.get(&table).map_or(&[][..], Vec::as_slice) {
        deepest = deepest.max(depth(*parent, parents, path)? + 1);
    }
    path.pop();
    Some(deepest)
}
