//! The file connectors do what any connector has to.
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    PartitionOffset, Plugin, RawValue, SinkPlugin, SinkTaskContext, TaskId, TopicPartition, conformance,
};
use millstream_connect::record::{Datum, Field, Origin, Record, Schema, SchemaKind, Struct, Value};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::sink::FileSink;
use super::source::FileSource;

fn config(keys: &[(&str, &str)]) -> ConfigMap {
    let keys = keys.iter();
    keys.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}

fn row(offset: i64) -> Record {
    let field = |name: &str, schema: Schema| Field {
        name: Arc::from(name),
        schema: Arc::new(schema),
    };
    let fields = vec![
        field("id", SchemaKind::Int64.into()),
        field("name", Schema::from(SchemaKind::String).optional()),
    ];
    let schema = Arc::new(Schema::try_struct(fields).unwrap());
    let values = vec![Value::Int64(offset), Value::from(format!("name {offset}"))];
    let value = Value::Struct(Struct::new(Arc::clone(&schema), values));
    let mut record = Record::new("t", Datum::new(schema, value));
    record.origin = Some(Origin {
        topic: "t".into(),
        partition: 0,
        offset,
    });
    record
}

fn rows(count: i64) -> Vec<Record> {
    (0..count).map(row).collect()
}

/// Three files that end where a record ends.
fn write_files(folder: &Path, format: &str) {
    for number in 0..3 {
        let lines = (0..7).map(|line| match format {
            "jsonl" => format!("{{\"file\":{number},\"line\":{line}}}\n"),
            "csv" if line == 0 => "file,line\n".to_owned(),
            "csv" => format!("{number},\"{line}\n\"\n"),
            "blocks" => format!("{number} {line}\n  and more\n"),
            _ => format!("{number}:{line} ä\r\n"),
        });
        let text: String = lines.collect();
        let path = folder.join(format!("{number}.data"));
        if format == "gzip" {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            fs::write(path, packed.finish().unwrap()).unwrap();
        } else {
            fs::write(path, text).unwrap();
        }
    }
}

fn source_conforms(format: &str, keys: &[(&str, &str)], mode: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    if format == "parquet" {
        let config = config(&[("directory", path), ("format", "parquet"), ("roll.records", "6")]);
        run(conformance::sink(&FileSink, &config, &rows(20))).unwrap();
    } else {
        write_files(folder.path(), format);
    }
    let mut config = config(&[
        ("file", path),
        ("topic", "t"),
        ("read.mode", mode),
        ("scan.interval.ms", "10"),
    ]);
    config.extend(
        keys.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    let found = run(conformance::source(&FileSource, &config));
    assert_eq!(found, Ok(()), "{format}, {mode}");
}

#[test]
fn the_plugins_say_what_they_are() {
    let plugins: [&dyn Plugin; 2] = [&FileSource, &FileSink];
    for plugin in plugins {
        assert_eq!(conformance::declarations(plugin), Ok(()), "{}", plugin.class());
    }
}

#[test]
fn a_source_of_any_format_goes_on_where_it_stopped() {
    for mode in ["once", "tail"] {
        source_conforms("lines", &[], mode);
        source_conforms("gzip", &[], mode);
        source_conforms(
            "blocks",
            &[("multiline.start", "^[0-9]"), ("last.line", "emit")],
            mode,
        );
        source_conforms("jsonl", &[("format", "jsonl")], mode);
        source_conforms("csv", &[("format", "csv")], mode);
        source_conforms("parquet", &[("format", "parquet")], mode);
    }
}

#[test]
fn a_sink_of_any_format_says_what_is_durable() {
    for format in ["lines", "jsonl"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.txt");
        let config = config(&[("file", file.to_str().unwrap()), ("format", format)]);
        let found = run(conformance::sink(&FileSink, &config, &rows(20)));
        assert_eq!(found, Ok(()), "{format}");
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 20);
    }
    for format in ["lines", "jsonl", "csv", "parquet"] {
        for records in ["3", "1000"] {
            let folder = tempfile::tempdir().unwrap();
            let config = config(&[
                ("directory", folder.path().to_str().unwrap()),
                ("format", format),
                ("roll.records", records),
                ("name", "conformance"),
            ]);
            let found = run(conformance::sink(&FileSink, &config, &rows(20)));
            assert_eq!(found, Ok(()), "{format} with {records} records a file");
            let owned = FileSink.owned_offsets(&config).unwrap();
            assert_eq!(owned[0].next, 20, "{format}");
        }
    }
}

/// How many records the complete files of a format hold.
fn count(folder: &Path, format: &str) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
        if hidden || !path.is_file() {
            continue;
        }
        let lines = || fs::read_to_string(&path).unwrap().lines().count();
        count += match format {
            "parquet" => {
                let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
                usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap()
            }
            "csv" => lines() - 1,
            _ => lines(),
        };
    }
    count
}

/// The single file kept lines that no offset covered: they came again, and were there twice.
#[test]
fn a_sink_of_any_format_repeats_nothing_when_its_partitions_are_lost() {
    let text = |mut record: Record| {
        record.value = Datum::text("one of the lines");
        record
    };
    let texts: Vec<Record> = rows(20).into_iter().map(text).collect();
    for (format, records) in [("lines", &texts), ("lines", &rows(20)), ("jsonl", &rows(20))] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.txt");
        let config = config(&[("file", file.to_str().unwrap()), ("format", format)]);
        let count = || count(folder.path(), format);
        let found = run(conformance::lost_membership(&FileSink, &config, records, &count));
        assert_eq!(found, Ok(()), "{format}");
    }
    for format in ["lines", "jsonl", "csv", "parquet"] {
        for roll in ["3", "1000"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_str().unwrap();
            let config = config(&[("directory", path), ("format", format), ("roll.records", roll)]);
            let count = || count(folder.path(), format);
            let found = run(conformance::lost_membership(
                &FileSink,
                &config,
                &rows(20),
                &count,
            ));
            assert_eq!(found, Ok(()), "{format} with {roll} records a file");
        }
    }
}

/// What a sink makes of values: as records, or alone.
fn written(values: &[Option<&'static [u8]>], alone: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.txt");
    let config = config(&[("file", file.to_str().unwrap()), ("name", "c")]);
    let topic: Arc<str> = "t".into();
    let partition = TopicPartition {
        topic: Arc::clone(&topic),
        partition: 0,
    };
    let records = (0..).zip(values).map(|(offset, value)| {
        let bytes = value.map(|bytes| Value::Bytes(Bytes::from_static(bytes)));
        let mut record = row(offset);
        record.value = bytes.map_or(Datum::NULL, Datum::schemaless);
        record
    });
    let records: Vec<Record> = records.collect();
    let values = (0..).zip(values).map(|(offset, value)| RawValue {
        topic: &topic,
        partition: 0,
        offset,
        value: *value,
    });
    let values: Vec<RawValue<'_>> = values.collect();
    let taken = PartitionOffset {
        partition: partition.clone(),
        next: i64::try_from(values.len()).unwrap(),
    };
    run(async {
        let mut task = FileSink.new_task();
        let id = TaskId {
            connector: "c".to_owned(),
            task: 0,
        };
        task.start(&config, SinkTaskContext { task: id }).await.unwrap();
        task.open(std::slice::from_ref(&partition)).await.unwrap();
        assert!(task.wants_values());
        let refused = match alone {
            true => task.put_values(&values).await.unwrap(),
            false => task.put(&records).await.unwrap(),
        };
        assert!(refused.is_empty());
        let taken = [taken];
        assert_eq!(task.flush(&taken).await.unwrap(), taken);
        task.close(std::slice::from_ref(&partition), false).await.unwrap();
        task.stop().await;
    });
    fs::read(file).unwrap()
}

/// Wherever a value ends: within a character, without a byte, or without a value.
#[test]
fn values_alone_make_the_same_file_as_records() {
    let values: [Option<&'static [u8]>; 6] = [
        Some(b"a\xc3"),
        Some(b"\xa9b"),
        None,
        Some(b""),
        Some("é".as_bytes()),
        Some(b"\xf0\x9f"),
    ];
    let expected = b"a\xc3\n\xa9b\nnull\n\n\xc3\xa9\n\xf0\x9f\n";
    assert_eq!(written(&values, true), expected);
    assert_eq!(written(&values, false), expected);
}
