//! How much memory many open files take.
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use millstream_connect::record::{Field, Schema, SchemaKind, SchemaRef, Struct};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::formats::{end, order, order_schema, orders};
use super::*;

const BUDGET: usize = 4 << 20;

fn bench(folder: &Path, keys: &[(&str, &str)]) -> Bench {
    let given = [
        ("directory", folder.to_str().unwrap()),
        ("format", "parquet"),
        ("max.buffer.bytes", "4194304"),
        ("path.format", "{field:name}"),
    ];
    let mut bench = Bench::new(Arc::new(RealDisk), &[&given, keys].concat());
    bench.start(&[orders()]).unwrap();
    bench
}

/// A file's numbers, and how many row groups it has.
fn numbers(path: &Path) -> (Vec<i32>, usize) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let groups = reader.metadata().num_row_groups();
    let batches = reader.build().unwrap().map(Result::unwrap);
    let ids =
        |batch: arrow::array::RecordBatch| batch.column(0).as_primitive::<Int32Type>().values().to_vec();
    (batches.flat_map(ids).collect(), groups)
}

/// The files of each folder, in the order of their names.
fn files(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with('.') {
            let inside = std::fs::read_dir(entry.path()).unwrap();
            let mut inside: Vec<PathBuf> = inside.map(|file| file.unwrap().path()).collect();
            inside.sort();
            found.insert(name, inside);
        }
    }
    found
}

/// Each open file kept up to 32 MiB of rows, and as much of a row group.
#[test]
fn open_files_share_a_budget() {
    const FILES: i64 = 100;
    for keys in [&[][..], &[("compression", "zstd")]] {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = bench(folder.path(), keys);
        let schema = order_schema();
        let (mut fullest, mut next) = (0, 0);
        while next < 40_000 {
            let records = (next..next + 500).map(|offset| {
                // A few folders have most of the records.
                let folder = (offset * 7919) % FILES;
                let folder = if offset % 3 == 0 { folder } else { folder / 25 };
                order(&schema, offset, Value::from(format!("{folder:0>150}")))
            });
            assert!(bench.put(records.collect()).unwrap().is_empty());
            next += 500;
            let (held, summed) = bench.task.held_bytes();
            assert_eq!(held, summed);
            assert!(held <= BUDGET, "{held} bytes after {next} records");
            fullest = fullest.max(held);
        }
        assert!(fullest > BUDGET / 2, "the budget is used: {fullest}");
        end(&mut bench, next);
        let files = files(folder.path());
        assert_eq!(files.len(), usize::try_from(FILES).unwrap());
        let (mut all, mut most) = (Vec::new(), 0);
        for file in files.values() {
            assert_eq!(file.len(), 1, "none was completed early");
            let (numbers, groups) = numbers(&file[0]);
            assert!(numbers.is_sorted());
            all.extend(numbers);
            most = most.max(groups);
        }
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..40_000), "{} records", all.len());
        assert!(most > 1, "the fullest wrote row groups of their own");
    }
}

/// What is kept of row groups that are written goes with the file only.
#[test]
fn files_of_many_row_groups_are_completed_early() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(folder.path(), &[]);
    let field = |name: String, kind: SchemaKind| Field {
        name: Arc::from(name),
        schema: Arc::new(kind.into()),
    };
    let mut fields = vec![
        field("id".to_owned(), SchemaKind::Int32),
        field("name".to_owned(), SchemaKind::String),
    ];
    fields.extend((0..200).map(|number| field(format!("c{number}"), SchemaKind::Int32)));
    let schema = Arc::new(Schema::try_struct(fields).unwrap());
    for offset in 0..12_000 {
        let id = Value::Int32(offset);
        let mut values = vec![id.clone(), Value::from((offset % 5).to_string())];
        values.extend((0..200).map(|_| id.clone()));
        let value = Value::Struct(Struct::new(Arc::clone(&schema), values));
        let datum = Datum::new(Arc::clone(&schema), value);
        let refused = bench
            .put(vec![record("orders", 0, offset.into(), datum)])
            .unwrap();
        assert!(refused.is_empty());
        let (held, summed) = bench.task.held_bytes();
        assert!(held == summed && held <= BUDGET, "{held} of {summed}");
    }
    end(&mut bench, 12_000);
    let files = files(folder.path());
    let all = files.values().flatten().flat_map(|file| numbers(file).0);
    let mut all: Vec<i32> = all.collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..12_000));
    assert!(files.values().all(|files| files.len() > 1), "{files:?}");
}

/// A row that waits for its row group is small; the buffer that its text is a part of has all that was read with it.
#[test]
fn rows_that_wait_share_nothing_with_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(folder.path(), &[]);
    let kind: Schema = SchemaKind::Bytes.into();
    let fields = ["name", "other"].map(|name| Field {
        name: Arc::from(name),
        schema: Arc::new(kind.clone()),
    });
    let schema: SchemaRef = Arc::new(Schema::try_struct(fields.to_vec()).unwrap());
    let read = Bytes::from(vec![b'a'; 100_000]);
    let value = |from: usize| Value::Bytes(read.slice(from..from + 10));
    let value = Value::Struct(Struct::new(Arc::clone(&schema), vec![value(0), value(50)]));
    let row = record("orders", 0, 0, Datum::new(schema, value));
    assert!(!read.is_unique());
    let refused = bench.put(vec![row]).unwrap();
    assert!(refused.is_empty() && bench.task.held_bytes().0 > 0);
    assert!(read.is_unique());
}

/// How much memory the process has, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

#[test]
#[ignore = "what other tests allocate would be counted: it is run alone"]
fn what_is_held_is_what_is_allocated() {
    // What the first leaves is used again by the second, which takes far more.
    for (compression, count) in [("zstd", 10), ("none", 100)] {
        let folder = tempfile::tempdir().unwrap();
        let keys = [
            ("max.buffer.bytes", "1000000000000"),
            ("compression", compression),
            ("roll.interval.ms", "36000000"),
        ];
        let mut bench = bench(folder.path(), &keys);
        let schema = order_schema();
        let before = resident();
        for (rows, what) in [(0..4000, "rows"), (4000..30_000, "a row group that is begun")] {
            for offset in rows.start * count..rows.end * count {
                let name = Value::from(format!("{:0>100}", offset % count));
                bench.put(vec![order(&schema, offset, name)]).unwrap();
            }
            let (held, is) = (bench.task.held_bytes().0, resident() - before);
            println!("{compression}, {what}: {held} bytes are accounted, {is} are there");
            // The allocator keeps some, too.
            assert!(is < held + held / 2 + (16 << 20), "{is} bytes of {held}");
        }
    }
}
