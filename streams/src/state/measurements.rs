//! What the state of a million rows costs: time and memory. Run with
//! `cargo test --locked --workspace --lib -- --ignored --nocapture state::measurements`, on a release build for figures to be quoted.
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::RowTable;
use super::members::Members;

const ROWS: i64 = 1_000_000;
const BATCH: i64 = 8_192;

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The memory of the process that is in use, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn batches() -> impl Iterator<Item = std::ops::Range<i64>> {
    (0..ROWS)
        .step_by(BATCH as usize)
        .map(|first| first..ROWS.min(first + BATCH))
}

/// A million members in groups of so many.
fn members(group_size: i64) -> Members {
    let columns = [
        ("group", DataType::Int64),
        ("key", DataType::Int64),
        ("value", DataType::Int64),
        ("number", DataType::Int64),
    ];
    let mut members = Members::new(&schema(&columns), 2, 1).unwrap();
    for rows in batches() {
        let column = |of: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.clone().map(of)))
        };
        let keys = [column(&|row| row / group_size), column(&|row| row)];
        let live = vec![true; keys[0].len()];
        members
            .set(&keys, &[column(&|row| row % 100), column(&|row| row)], &live)
            .unwrap();
    }
    members
}

#[test]
#[ignore = "a measurement"]
fn groups_of_a_million_members() {
    for group_size in [1, 10, ROWS] {
        let before = Instant::now();
        let mut members = members(group_size);
        let load = before.elapsed();
        let groups: ArrayRef = Arc::new(Int64Array::from(vec![ROWS / group_size / 2]));
        let touched = members.groups(&[groups]).unwrap();
        let before = Instant::now();
        let found = black_box(members.of(&touched).unwrap());
        println!(
            "groups of {group_size}: {load:?} to load, {:?} for the {} members of one, {} MB",
            before.elapsed(),
            found.0.len(),
            members.size_bytes() / 1_000_000
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn texts_of_a_million_rows() {
    for length in [8, 40] {
        let start = resident_kib();
        let keys = schema(&[("key", DataType::Int64)]);
        let mut table = RowTable::new(keys, schema(&[("text", DataType::Utf8View)])).unwrap();
        let text = |row: i64| format!("{row:0length$}");
        let (mut set, mut replace) = (Duration::ZERO, Duration::ZERO);
        for time in [&mut set, &mut replace] {
            for rows in batches() {
                let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
                let values: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.map(text)));
                let places = table.places(&[keys]).unwrap();
                let before = Instant::now();
                table.set(&places, &[values], &vec![true; places.len()]).unwrap();
                *time += before.elapsed();
            }
        }
        let before = Instant::now();
        for rows in batches() {
            let places: Vec<usize> = rows.map(|row| row as usize).collect();
            black_box(table.gather(&places).unwrap());
        }
        let gather = before.elapsed();
        println!(
            "texts of {length} bytes: {set:?} to set, {replace:?} to replace, {gather:?} to gather; {} MB counted, {} MB in use",
            table.size_bytes() / 1_000_000,
            (resident_kib().saturating_sub(start)) / 1_000
        );
    }
}
