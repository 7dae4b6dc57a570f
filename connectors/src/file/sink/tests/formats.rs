//! What files hold.
use std::io::Read;
use std::path::Path;

use millstream_connect::record::{Field, Schema, SchemaKind, SchemaRef, Struct};

use super::*;

pub(super) fn order_schema() -> SchemaRef {
    let field = |name: &str, schema: Schema| Field {
        name: Arc::from(name),
        schema: Arc::new(schema),
    };
    let fields = vec![
        field("id", SchemaKind::Int32.into()),
        field("name", Schema::from(SchemaKind::String).optional()),
        field("price", Schema::from(SchemaKind::Float64)),
    ];
    Arc::new(Schema::try_struct(fields).unwrap())
}

pub(super) fn order(schema: &SchemaRef, offset: i64, name: Value) -> Record {
    let id = Value::Int32(i32::try_from(offset).unwrap());
    let value = Struct::new(Arc::clone(schema), vec![id, name, Value::Float64(1.5)]);
    record(
        "orders",
        0,
        offset,
        Datum::new(Arc::clone(schema), Value::Struct(value)),
    )
}

pub(super) fn orders() -> TopicPartition {
    TopicPartition {
        topic: Arc::from("orders"),
        partition: 0,
    }
}

/// Ends well: all that was put is flushed.
pub(super) fn end(bench: &mut Bench, next: i64) {
    let taken = [PartitionOffset {
        partition: orders(),
        next,
    }];
    bench.runtime.block_on(bench.task.flush(&taken)).unwrap();
    bench
        .runtime
        .block_on(bench.task.close(&[orders()], false))
        .unwrap();
}

#[test]
fn rolling_files_have_names_formats_and_compressions() {
    let schema = order_schema();
    for (format, compression, name, expected) in [
        (
            "lines",
            "none",
            "orders+0+0000000000-0000000002.txt",
            "Struct{id=0,name=a,price=1.5}\nStruct{id=1,price=1.5}\nStruct{id=2,name=,price=1.5}\n",
        ),
        (
            "jsonl",
            "gzip",
            "orders+0+0000000000-0000000002.jsonl.gz",
            "{\"id\":0,\"name\":\"a\",\"price\":1.5}\n{\"id\":1,\"name\":null,\"price\":1.5}\n{\"id\":2,\"name\":\"\",\"price\":1.5}\n",
        ),
        (
            "csv",
            "zstd",
            "orders+0+0000000000-0000000002.csv.zst",
            "id,name,price\n0,a,1.5\n1,,1.5\n2,\"\",1.5\n",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let keys = [
            ("directory", path.to_str().unwrap()),
            ("format", format),
            ("compression", compression),
        ];
        let mut bench = Bench::new(Arc::new(RealDisk), &keys);
        bench.start(&[orders()]).unwrap();
        let names = [Value::from("a"), Value::Null, Value::from("")];
        let records = (0..)
            .zip(names)
            .map(|(offset, name)| order(&schema, offset, name));
        assert!(bench.put(records.collect()).unwrap().is_empty());
        end(&mut bench, 100);
        let content = std::fs::read(path.join(name)).unwrap();
        let mut text = String::new();
        match compression {
            "gzip" => drop(
                flate2::read::MultiGzDecoder::new(&*content)
                    .read_to_string(&mut text)
                    .unwrap(),
            ),
            "zstd" => text = String::from_utf8(zstd::decode_all(&*content).unwrap()).unwrap(),
            _ => text = String::from_utf8(content).unwrap(),
        }
        assert_eq!(text, expected);
    }
}

#[test]
fn a_record_without_columns_is_refused_alone_and_other_columns_begin_a_file() {
    let schema = order_schema();
    let mut other = Schema::clone(&schema);
    other.version = Some(2);
    let other = Arc::new(other);
    let disk = SimulatedDisk::default();
    disk.kill();
    let mut bench = Bench::new(
        Arc::new(disk.clone()),
        &[("directory", "/out"), ("format", "csv")],
    );
    bench.start(&[orders()]).unwrap();
    let refused = bench
        .put(vec![
            record("orders", 0, 0, Datum::text("no columns")),
            order(&schema, 1, Value::from("a,\"b\"")),
            record("orders", 0, 2, Datum::NULL),
            order(&other, 3, Value::Null),
        ])
        .unwrap();
    assert_eq!(
        refused.iter().map(|refused| refused.index).collect::<Vec<_>>(),
        [0, 2]
    );
    end(&mut bench, 100);
    let files = disk.all_files();
    let of = |name: &str| {
        let file = files
            .iter()
            .find(|(path, _)| path == &Path::new("/out").join(name));
        String::from_utf8(file.unwrap_or_else(|| panic!("{name} in {files:?}")).1.clone()).unwrap()
    };
    assert_eq!(
        of("orders+0+0000000001-0000000001.csv"),
        "id,name,price\n1,\"a,\"\"b\"\"\",1.5\n"
    );
    assert_eq!(
        of("orders+0+0000000003-0000000003.csv"),
        "id,name,price\n3,,1.5\n"
    );
    assert!(
        !files
            .iter()
            .any(|(path, _)| path.extension().is_some_and(|end| end == "tmp")),
        "{files:?}"
    );
}

#[test]
fn rows_of_parquet_have_all_types() {
    use bigdecimal::BigDecimal;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let field = |name: &str, schema: Schema| Field {
        name: Arc::from(name),
        schema: Arc::new(schema),
    };
    let point = Schema::try_struct(vec![field("x", SchemaKind::Int16.into())]).unwrap();
    let text: SchemaRef = Schema::string();
    let schema = Arc::new(
        Schema::try_struct(vec![
            field("id", SchemaKind::Int64.into()),
            field("price", Schema::decimal(2).optional()),
            field("day", Schema::date()),
            field("at", Schema::timestamp()),
            field("tags", SchemaKind::Array(Schema::optional_string()).into()),
            field(
                "more",
                SchemaKind::Map(Arc::clone(&text), Arc::new(SchemaKind::Float32.into())).into(),
            ),
            field("point", point.clone().optional()),
            field("raw", SchemaKind::Bytes.into()),
        ])
        .unwrap(),
    );
    let row = |offset: i64, price: Value, spot: Value| {
        let values = vec![
            Value::Int64(offset),
            price,
            Value::Date(1),
            Value::Timestamp(1_500),
            Value::Array(vec![Value::from("a"), Value::Null]),
            Value::Map(vec![(Value::from("k"), Value::Float32(0.5))]),
            spot,
            Value::Bytes(bytes::Bytes::from_static(b"\x01")),
        ];
        let value = Value::Struct(Struct::new(Arc::clone(&schema), values));
        record("orders", 0, offset, Datum::new(Arc::clone(&schema), value))
    };
    let decimal = |text: &str| Value::Decimal(Box::new(text.parse::<BigDecimal>().unwrap()));
    let spot = Value::Struct(Struct::new(Arc::new(point.optional()), vec![Value::Int16(7)]));
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        ("directory", folder.path().to_str().unwrap()),
        ("format", "parquet"),
        ("compression", "zstd"),
    ];
    let mut bench = Bench::new(Arc::new(RealDisk), &keys);
    bench.start(&[orders()]).unwrap();
    let refused = bench.put(vec![
        row(0, decimal("1.5"), Value::Null),
        row(1, decimal("1.555"), Value::Null),
        record("orders", 0, 2, Datum::text("no columns")),
        row(3, Value::Null, spot),
    ]);
    assert_eq!(
        refused
            .unwrap()
            .iter()
            .map(|refused| refused.index)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    end(&mut bench, 100);
    let path = folder.path().join("orders+0+0000000000-0000000003.parquet");
    let file = std::fs::File::open(path).unwrap();
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 2);
    let shown = |column: &str, row: usize| {
        let array = batch.column_by_name(column).unwrap();
        arrow::util::display::array_value_to_string(array, row).unwrap()
    };
    let times = batch.column_by_name("at").unwrap().as_any();
    let times = times
        .downcast_ref::<arrow::array::TimestampMillisecondArray>()
        .unwrap();
    assert_eq!((times.value(0), times.timezone()), (1_500, Some("UTC")));
    let all = ["id", "price", "day", "tags", "more", "point", "raw"];
    let rows = [0, 1].map(|row| all.map(|column| shown(column, row)));
    assert_eq!(
        rows[0],
        ["0", "1.50", "1970-01-02", "[a, ]", "{k: 0.5}", "", "01"]
    );
    assert_eq!(
        rows[1],
        ["3", "", "1970-01-02", "[a, ]", "{k: 0.5}", "{x: 7}", "01"]
    );
}
