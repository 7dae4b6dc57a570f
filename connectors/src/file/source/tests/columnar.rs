//! Files of columns.
use std::fs::File;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use millstream_connect::record::{Schema, logical};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::*;

const PARQUET: (&str, &str) = ("format", "parquet");

/// `rows` rows with the numbers from `begin` on, in groups of ten.
fn numbers(begin: i64, rows: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(begin..begin + rows);
    let texts = StringArray::from_iter_values((begin..begin + rows).map(|number| format!("text {number}")));
    let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(numbers)), ("text", Arc::new(texts))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn file_of(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10))
        .set_compression(compression)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn plain(batch: &RecordBatch) -> Vec<u8> {
    file_of(batch, Compression::UNCOMPRESSED)
}

fn ids(records: &[Record]) -> Vec<i64> {
    let ids = records.iter().map(|record| match &record.value.value {
        Value::Struct(fields) => match fields.get("id") {
            Some(Value::Int64(id)) => *id,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    ids.collect()
}

fn all(bench: &mut Bench) -> Vec<i64> {
    ids(&bench.drain().unwrap())
}

fn up_to(end: i64) -> Vec<i64> {
    (0..end).collect()
}

#[test]
fn rows_are_read_group_by_group_and_on_after_a_restart() {
    let mut bench = Bench::new("*.parquet", &[PARQUET]);
    bench.write("a.parquet", plain(&numbers(0, 35)));
    let mut read = Vec::new();
    while read.len() < 35 {
        let (records, _) = bench.poll(4, 200).unwrap();
        for record in &records {
            record
                .value
                .schema
                .as_ref()
                .unwrap()
                .check(&record.value.value)
                .unwrap();
        }
        read.extend(ids(&records));
        bench.stop();
    }
    assert_eq!(read, up_to(35));
    assert_eq!(all(&mut bench), [0; 0]);
    let stored = bench.offsets.0.lock().unwrap()[0].1.0.clone();
    let place = (
        stored["row_group"].as_i64().unwrap(),
        stored["row"].as_i64().unwrap(),
    );
    assert!(place == (3, 5) || place == (4, 0), "{place:?}");
    bench.rename("a.parquet", "b.parquet");
    assert_eq!(all(&mut bench), [0; 0], "the same file");
    bench.write("b.parquet", plain(&numbers(100, 3)));
    assert_eq!(all(&mut bench), [100, 101, 102], "written anew");
}

#[test]
fn batches_that_are_lost_come_again() {
    let mut bench = Bench::new("a.parquet", &[PARQUET]);
    bench.write("a.parquet", plain(&numbers(0, 35)));
    for _ in 0..3 {
        bench.poll_and_crash().unwrap();
    }
    assert_eq!(all(&mut bench), up_to(35));
}

#[test]
fn compressions_are_unpacked() {
    for compression in [
        Compression::SNAPPY,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(parquet::basic::ZstdLevel::default()),
    ] {
        let mut bench = Bench::new("a.parquet", &[PARQUET, ("read.mode", "once")]);
        bench.write("a.parquet", file_of(&numbers(0, 35), compression));
        assert_eq!(all(&mut bench), up_to(35), "{compression:?}");
    }
}

#[test]
fn a_file_is_waited_for_until_it_is_finished() {
    let mut bench = Bench::new("*.parquet", &[PARQUET, ("last.line.idle.ms", "20")]);
    let whole = plain(&numbers(0, 35));
    bench.write("b.parquet", plain(&numbers(100, 1)));
    for length in [0, 2, 4, 11, whole.len() / 2, whole.len() - 1] {
        bench.write("a.parquet", &whole[..length]);
        let found = all(&mut bench);
        assert_eq!(
            found,
            if length == 0 { vec![100] } else { vec![] },
            "{length} bytes"
        );
    }
    bench.write("a.parquet", &whole);
    assert_eq!(all(&mut bench), up_to(35));
    let mut once = Bench::new("a.parquet", &[PARQUET, ("read.mode", "once")]);
    once.write("a.parquet", &whole[..100]);
    let error = once.error();
    assert!(
        error.contains("not finished") && error.contains("a.parquet"),
        "{error}"
    );
}

#[test]
fn what_is_broken_is_an_error_or_left_out() {
    let whole = plain(&numbers(0, 35));
    let mut footer = whole.clone();
    let in_footer = footer.len() - 40;
    footer[in_footer..in_footer + 20].fill(0xff);
    let mut page = whole.clone();
    page[4..40].fill(0xff);
    let cases: [(&str, &[u8]); 4] = [
        ("no Parquet", b"id,text\n1,a\n2,b and something more\n"),
        ("encrypted", b"PARE and so on and so on PARE"),
        ("footer", &footer),
        ("page", &page),
    ];
    for (case, content) in cases {
        let idle = ("last.line.idle.ms", "20");
        let mut bench = Bench::new("*.parquet", &[PARQUET, idle]);
        bench.write("a.parquet", content);
        let error = bench.error();
        assert!(
            error.contains("a.parquet") && error.contains("invalid.rows=skip"),
            "{case}: {error}"
        );
        let mut bench = Bench::new("*.parquet", &[PARQUET, idle, ("invalid.rows", "skip")]);
        bench.write("a.parquet", content);
        bench.write("b.parquet", plain(&numbers(100, 1)));
        assert_eq!(all(&mut bench), [100], "{case}");
        assert!(bench.path("a.parquet").exists());
    }
}

/// What is read before the damage is delivered, and a restart goes on behind it.
#[test]
fn damage_within_a_file_comes_after_what_is_whole() {
    let mut damaged = plain(&numbers(0, 35));
    let marker = damaged.windows(7).position(|bytes| bytes == b"text 20").unwrap();
    damaged[marker - 12..marker].fill(0xff);
    let mut bench = Bench::new("a.parquet", &[PARQUET]);
    bench.write("a.parquet", &damaged);
    let mut read = Vec::new();
    let error = loop {
        match bench.poll(7, 100) {
            Ok((records, _)) => read.extend(ids(&records)),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(read, up_to(20));
    assert!(error.contains("row 0 of row group 2"), "{error}");
}

#[test]
fn a_file_that_is_written_anew_while_it_is_read_begins_again() {
    let mut bench = Bench::new("a.parquet", &[PARQUET]);
    bench.write("a.parquet", plain(&numbers(0, 35)));
    assert_eq!(ids(&bench.poll(5, 200).unwrap().0), up_to(5));
    let other = plain(&numbers(500, 3));
    bench.write("a.parquet", &other);
    let rest = all(&mut bench);
    assert!(rest.ends_with(&[500, 501, 502]), "{rest:?}");
}

#[test]
fn finished_files_are_moved_when_all_rows_are_stored() {
    let mut bench = Bench::new(
        "*.parquet",
        &[PARQUET, ("finished.files", "delete"), ("finished.after.ms", "0")],
    );
    bench.write("a.parquet", plain(&numbers(0, 35)));
    let mut read = Vec::new();
    while read.len() < 30 {
        read.extend(ids(&bench.poll(3, 200).unwrap().0));
        assert!(bench.path("a.parquet").exists(), "{} rows of 35", read.len());
    }
    read.extend(all(&mut bench));
    assert_eq!(read, up_to(35));
    assert!(!bench.path("a.parquet").exists());
}

#[test]
fn offsets_can_be_set_to_a_row() {
    let mut bench = Bench::new("a.parquet", &[PARQUET]);
    bench.write("a.parquet", plain(&numbers(0, 35)));
    let partition = crate::file::source::place::partition(&bench.path("a.parquet"));
    let offset: SourceOffset = serde_json::from_str(r#"{"position":0,"row_group":2,"row":4}"#).unwrap();
    bench.offsets.store(&[(partition, offset)]);
    assert_eq!(all(&mut bench), (24..35).collect::<Vec<_>>());
}

#[test]
fn types_of_other_writers_are_understood() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("dictionary", Arc::new(dictionary), true),
        (
            "large",
            Arc::new(LargeStringArray::from(vec!["x", "y", "z"])),
            false,
        ),
        (
            "unsigned",
            Arc::new(UInt64Array::from(vec![0, 1, u64::MAX])),
            false,
        ),
        (
            "micros",
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, 1_500_001]).with_timezone("UTC")),
            false,
        ),
        (
            "nanos",
            Arc::new(TimestampNanosecondArray::from(vec![-1, 0, 1_500_001])),
            false,
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![0, 999, 1_000])),
            false,
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let read = |mode: &str| {
        let mut bench = Bench::new(
            "a.parquet",
            &[PARQUET, ("read.mode", "once"), ("time.precision.mode", mode)],
        );
        bench.write("a.parquet", plain(&batch));
        bench.drain().unwrap()
    };
    let last = |records: &[Record]| match &records[2].value.value {
        Value::Struct(fields) => fields.values().to_vec(),
        other => panic!("{other:?}"),
    };
    let exact = read("adaptive");
    let number = Value::Decimal(Box::new(u64::MAX.into()));
    let common = [Value::from("a"), Value::from("z"), number];
    let times = [
        Value::Int64(1_500_001),
        Value::Int64(1_500_001),
        Value::Int64(1_000),
    ];
    assert_eq!(last(&exact), [&common[..], &times[..]].concat());
    let names = |records: &[Record]| -> Vec<Option<String>> {
        let fields = records[0].value.schema.as_ref().unwrap().fields().iter();
        fields
            .skip(3)
            .map(|field| field.schema.name.as_deref().map(str::to_owned))
            .collect()
    };
    let debezium = ["MicroTimestamp", "NanoTimestamp", "MicroTime"];
    assert_eq!(
        names(&exact),
        debezium.map(|name| Some(format!("io.debezium.time.{name}")))
    );
    let cut = read("connect");
    let times = [Value::Timestamp(1_500), Value::Timestamp(1), Value::Time(1)];
    assert_eq!(last(&cut), [&common[..], &times[..]].concat());
    let connect = [logical::TIMESTAMP, logical::TIMESTAMP, logical::TIME];
    assert_eq!(names(&cut), connect.map(|name| Some(name.to_owned())));
    let schema: &Schema = cut[0].value.schema.as_ref().unwrap();
    assert!(schema.field("dictionary").unwrap().schema.optional);
    match &cut[0].value.value {
        Value::Struct(fields) => assert_eq!(fields.get("micros"), Some(&Value::Timestamp(-1)), "before 1970"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_is_not_read_at_once() {
    let properties = WriterProperties::builder().build();
    let bench = Bench::new("a.parquet", &[PARQUET, ("batch.size", "100000")]);
    let wide = StringArray::from_iter_values((0..400).map(|number| format!("{number:>50000}")));
    let batch = RecordBatch::try_from_iter([("wide", Arc::new(wide) as ArrayRef)]).unwrap();
    let file = File::create(bench.path("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut bench = bench;
    let (first, _) = bench.poll(100_000, 500).unwrap();
    assert!(
        (1..=24).contains(&first.len()),
        "{} rows of 50 kB in a batch of 1 MiB",
        first.len()
    );
    assert_eq!(first.len() + bench.drain().unwrap().len(), 400);
}

#[test]
fn what_has_no_end_to_begin_with_is_refused() {
    let config = ConfigMap::from([
        ("topic".to_owned(), "t".to_owned()),
        ("format".to_owned(), "parquet".to_owned()),
    ]);
    let values = FileSource.validate(&config);
    let file = values.iter().find(|value| value.name == "file").unwrap();
    assert!(file.errors[0].contains("needs files"), "{:?}", file.errors);
    let mut pipe = Bench::new("pipe", &[PARQUET]);
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert!(pipe.start().unwrap_err().to_string().contains("needs files"));
}

/// A file whose columns are said to be compressed in another way.
fn relabelled(batch: &RecordBatch, codec: Compression) -> Vec<u8> {
    use parquet::file::metadata::{
        ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    };
    let whole = plain(batch);
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&bytes::Bytes::from(whole.clone()))
        .unwrap();
    let relabel = |column: &ColumnChunkMetaData| {
        let column = column.clone().into_builder();
        column.set_compression(codec).build().unwrap()
    };
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().map(relabel).collect();
        let group = group.clone().into_builder();
        group.set_column_metadata(columns).build().unwrap()
    });
    let relabelled = ParquetMetaData::new(metadata.file_metadata().clone(), groups.collect());
    let length = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap());
    let mut file = whole[..whole.len() - 8 - usize::try_from(length).unwrap()].to_vec();
    ParquetMetaDataWriter::new(&mut file, &relabelled)
        .finish()
        .unwrap();
    file
}

/// The decoder's own words named a feature of a program that the user did not build.
#[test]
fn compressions_that_are_not_read_are_named() {
    for (codec, name) in [
        (
            Compression::BROTLI(parquet::basic::BrotliLevel::default()),
            "Brotli",
        ),
        (Compression::LZO, "LZO"),
    ] {
        let mut bench = Bench::new("a.parquet", &[PARQUET, ("read.mode", "once")]);
        bench.write("a.parquet", relabelled(&numbers(0, 35), codec));
        let error = bench.error();
        assert!(
            error.contains("a.parquet") && error.contains("id is compressed") && error.contains(name),
            "{error}"
        );
        let mut bench = Bench::new(
            "*.parquet",
            &[PARQUET, ("read.mode", "once"), ("invalid.rows", "skip")],
        );
        bench.write("a.parquet", relabelled(&numbers(0, 35), codec));
        bench.write(
            "b.parquet",
            relabelled(&numbers(0, 35), Compression::UNCOMPRESSED),
        );
        assert_eq!(all(&mut bench), up_to(35), "it alone is left out");
    }
}

#[test]
fn halves_and_lengths_of_time_are_numbers_that_say_what_they_count() {
    use arrow::array::{
        DurationMicrosecondArray, DurationMillisecondArray, DurationNanosecondArray, DurationSecondArray,
        Float32Array,
    };
    use arrow::datatypes::DataType;
    let halves = Float32Array::from(vec![Some(1.5), None, Some(-65504.0), Some(f32::NEG_INFINITY)]);
    let halves = arrow::compute::cast(&halves, &DataType::Float16).unwrap();
    let lengths = vec![Some(-3), None, Some(7), Some(0)];
    let columns: [(&str, ArrayRef); 5] = [
        ("half", halves),
        ("s", Arc::new(DurationSecondArray::from(lengths.clone()))),
        ("ms", Arc::new(DurationMillisecondArray::from(lengths.clone()))),
        ("us", Arc::new(DurationMicrosecondArray::from(lengths.clone()))),
        ("ns", Arc::new(DurationNanosecondArray::from(lengths))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for mode in ["adaptive", "connect"] {
        let keys = [PARQUET, ("read.mode", "once"), ("time.precision.mode", mode)];
        let mut bench = Bench::new("a.parquet", &keys);
        bench.write("a.parquet", plain(&batch));
        let records = bench.drain().unwrap();
        let schema = Arc::clone(records[0].value.schema.as_ref().unwrap());
        let names = schema.fields().iter().map(|field| field.schema.name.as_deref());
        let micro = Some("io.debezium.time.MicroDuration");
        let names: Vec<_> = names.collect();
        assert_eq!(
            names,
            [None, micro, micro, micro, Some("io.debezium.time.NanoDuration")]
        );
        let values = |field: &str| -> Vec<Value> {
            let values = records.iter().map(|record| match &record.value.value {
                Value::Struct(fields) => fields.get(field).unwrap().clone(),
                other => panic!("{other:?}"),
            });
            values.collect()
        };
        let half = |value: f32| Value::Float32(value);
        assert_eq!(
            values("half"),
            [half(1.5), Value::Null, half(-65504.0), half(f32::NEG_INFINITY)]
        );
        for (field, each) in [("s", 1_000_000), ("ms", 1000), ("us", 1), ("ns", 1)] {
            let of = |value: i64| Value::Int64(value * each);
            assert_eq!(values(field), [of(-3), Value::Null, of(7), of(0)], "{field}");
        }
        for record in &records {
            schema.check(&record.value.value).unwrap();
        }
    }
    let beyond: [(&str, ArrayRef); 1] = [("s", Arc::new(DurationSecondArray::from(vec![i64::MAX])))];
    let mut bench = Bench::new("a.parquet", &[PARQUET, ("read.mode", "once")]);
    bench.write("a.parquet", plain(&RecordBatch::try_from_iter(beyond).unwrap()));
    assert!(bench.error().contains("beyond what microseconds"));
}
