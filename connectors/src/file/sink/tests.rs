//! Crashes at every step, and what files hold.
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    ErrorKind, FailedRecord, PartitionOffset, PluginError, SinkPlugin, SinkTask, SinkTaskContext, TaskId,
    TopicPartition,
};
use millstream_connect::record::{
    Datum, Field, Origin, Record, Schema, SchemaKind, SchemaRef, Struct, Value,
};
use proptest::prelude::*;

use super::FileSink;
use super::disk::{Disk, RealDisk};
use super::simulation::SimulatedDisk;
use super::task::FileSinkTask;

pub(super) fn record(topic: &str, partition: i32, offset: i64, value: Datum) -> Record {
    let topic: Arc<str> = Arc::from(topic);
    let mut record = Record::new(Arc::clone(&topic), value);
    record.partition = Some(partition);
    record.timestamp = Some(1_700_000_000_000 + offset * 60_000);
    record.origin = Some(Origin {
        topic,
        partition,
        offset,
    });
    record
}

fn line(partition: i32, offset: i64) -> Record {
    record(
        "t",
        partition,
        offset,
        Datum::text(format!("{partition}:{offset}")),
    )
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition {
        topic: Arc::from("t"),
        partition: number,
    }
}

/// A sink and the runtime that drives it.
struct Bench {
    runtime: tokio::runtime::Runtime,
    config: ConfigMap,
    task: FileSinkTask,
    disk: Arc<dyn Disk>,
}

impl Bench {
    fn new(disk: Arc<dyn Disk>, keys: &[(&str, &str)]) -> Self {
        let config = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            config,
            task: FileSinkTask::new(Arc::clone(&disk)),
            disk,
        }
    }

    fn start(
        &mut self,
        partitions: &[TopicPartition],
        epoch: u64,
    ) -> Result<Vec<PartitionOffset>, PluginError> {
        self.task = FileSinkTask::new(Arc::clone(&self.disk));
        let context = SinkTaskContext {
            task: TaskId {
                connector: "c".to_owned(),
                task: 0,
            },
        };
        self.runtime.block_on(self.task.start(&self.config, context))?;
        self.runtime.block_on(self.task.open(partitions, epoch))
    }

    fn put(&mut self, records: Vec<Record>) -> Result<Vec<FailedRecord>, PluginError> {
        self.runtime.block_on(self.task.put(&records))
    }

    fn flush(&mut self, taken: &[(i32, i64)]) -> Result<Vec<PartitionOffset>, PluginError> {
        let taken = taken.iter().map(|(number, next)| PartitionOffset {
            partition: partition(*number),
            next: *next,
        });
        let taken: Vec<PartitionOffset> = taken.collect();
        self.runtime.block_on(self.task.flush(&taken))
    }

    fn close(&mut self, lost: bool) -> Result<(), PluginError> {
        self.runtime
            .block_on(self.task.close(&[partition(0), partition(1)], lost))
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.task.stop());
    }
}

/// What a folder's complete files say, by partition.
fn lines_of(files: &[(PathBuf, Vec<u8>)]) -> BTreeMap<i32, Vec<i64>> {
    let mut found: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let whole = files.iter().filter(|(path, _)| {
        !path
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
    });
    for (_, content) in whole {
        for line in String::from_utf8(content.clone()).unwrap().lines() {
            let (partition, offset) = line.split_once(':').unwrap();
            found
                .entry(partition.parse().unwrap())
                .or_default()
                .push(offset.parse().unwrap());
        }
    }
    found.values_mut().for_each(|offsets| offsets.sort());
    found
}

/// Runs a sink that crashes again and again until all records are written, and checks what is there.
fn survives(keys: &[(&str, &str)], crashes: &[(u64, bool)], luck: u64) {
    const RECORDS: i64 = 40;
    let disk = SimulatedDisk::default();
    disk.restart(&mut || true);
    let mut bench = Bench::new(Arc::new(disk.clone()), keys);
    let mut random = luck | 1;
    let mut chance = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.is_multiple_of(2)
    };
    let mut committed = [0_i64; 2];
    let mut crashes = crashes.iter();
    let partitions = [partition(0), partition(1)];
    for epoch in 1.. {
        assert!(epoch < 1000, "it gets nowhere");
        let crash = crashes.next();
        if let Some((steps, _)) = crash {
            disk.crash_after(*steps, io::ErrorKind::StorageFull);
        }
        let mut run = || -> Result<bool, PluginError> {
            let mut next = committed;
            for known in bench.start(&partitions, epoch)? {
                next[usize::try_from(known.partition.partition).unwrap()] = known.next;
            }
            assert!(
                next[0] >= committed[0] && next[1] >= committed[1],
                "what was committed is durable"
            );
            while next.iter().any(|next| *next < RECORDS) {
                let mut batch = Vec::new();
                for (number, next) in (0..).zip(&mut next) {
                    for _ in 0..3 {
                        if *next < RECORDS {
                            batch.push(line(number, *next));
                            *next += 1;
                        }
                    }
                }
                assert!(bench.put(batch)?.is_empty());
                for durable in bench.flush(&[(0, next[0]), (1, next[1])])? {
                    let number = usize::try_from(durable.partition.partition).unwrap();
                    assert!(durable.next >= committed[number]);
                    committed[number] = durable.next;
                }
            }
            bench.close(false)?;
            bench.stop();
            Ok(true)
        };
        match run() {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}"),
        }
        match crash {
            Some((_, true)) => disk.restart(&mut chance),
            _ => disk.kill(),
        }
    }
    disk.restart(&mut || false);
    let expected: Vec<i64> = (0..RECORDS).collect();
    let found = lines_of(&disk.all_files());
    assert_eq!(found, BTreeMap::from([(0, expected.clone()), (1, expected)]));
}

const SINGLE: &[(&str, &str)] = &[("file", "/out/lines.txt")];
const ROLLING: &[(&str, &str)] = &[("directory", "/out"), ("roll.records", "4")];
const PARTITIONED: &[(&str, &str)] = &[
    ("directory", "/out"),
    ("roll.records", "3"),
    ("path.format", "{topic}/{mm}"),
];

#[test]
fn a_crash_at_each_step_neither_loses_nor_repeats() {
    for keys in [SINGLE, ROLLING, PARTITIONED] {
        for step in 0..150 {
            for machine in [false, true] {
                survives(keys, &[(step, machine)], step);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn crashes_upon_crashes(
        crashes in proptest::collection::vec((0_u64..120, any::<bool>()), 1..25),
        luck in any::<u64>(),
        which in 0_usize..3,
    ) {
        survives([SINGLE, ROLLING, PARTITIONED][which], &crashes, luck);
    }
}

#[test]
fn an_older_owner_is_fenced() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut old, mut new) = (
        Bench::new(Arc::clone(&shared), ROLLING),
        Bench::new(shared, ROLLING),
    );
    old.start(&[partition(0)], 1).unwrap();
    old.put((0..3).map(|offset| line(0, offset)).collect()).unwrap();
    assert_eq!(new.start(&[partition(0)], 2).unwrap(), []);
    let error = old.put(vec![line(0, 3)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(
        old.flush(&[(0, 4)]).is_err(),
        "it may not say that anything is durable"
    );
    new.put((0..4).map(|offset| line(0, offset)).collect()).unwrap();
    assert_eq!(lines_of(&disk.all_files())[&0], [0, 1, 2, 3]);
    assert!(
        old.start(&[partition(0)], 1)
            .unwrap_err()
            .to_string()
            .contains("epoch 2")
    );
}

#[test]
fn a_single_file_is_kafkas_and_keeps_what_others_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    std::fs::write(&path, "before\n").unwrap();
    let mut bench = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    assert_eq!(bench.start(&[partition(0)], 1).unwrap(), []);
    bench
        .put(vec![
            line(0, 0),
            record("t", 0, 1, Datum::schemaless(Value::Null)),
        ])
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\n0:0\nnull\n",
        "it shows at once"
    );
    let mut second = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    assert!(
        second
            .start(&[partition(0)], 1)
            .unwrap_err()
            .to_string()
            .contains("locked")
    );
    assert_eq!(bench.flush(&[(0, 2)]).unwrap()[0].next, 2);
    bench.put(vec![line(0, 2)]).unwrap();
    bench.task = FileSinkTask::default();
    let known = bench.start(&[partition(0)], 2).unwrap();
    assert_eq!(known[0].next, 2);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\n0:0\nnull\n",
        "what was not flushed comes again"
    );
    bench.put(vec![line(0, 1), line(0, 2)]).unwrap();
    bench.close(false).unwrap();
    bench.stop();
    super::super::source::tests::append(&path, "by hand\n");
    bench.start(&[partition(0)], 3).unwrap();
    bench.put(vec![line(0, 3)]).unwrap();
    let content = std::fs::read_to_string(&path).unwrap();
    assert_eq!(content, "before\n0:0\nnull\n0:2\nby hand\n0:3\n");
    bench.stop();
    let altered = FileSink.alter_offsets(&bench.config, &[(partition(0), Some(1))]);
    assert!(altered.is_ok());
    assert_eq!(bench.start(&[partition(0)], 4).unwrap()[0].next, 1);
}

#[test]
fn errors_of_disks_are_errors() {
    let mut full = Bench::new(Arc::new(RealDisk), &[("file", "/dev/full")]);
    full.start(&[partition(0)], 1).unwrap();
    let error = full.put(vec![line(0, 0)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(full.flush(&[(0, 1)]).unwrap(), [], "nothing is durable");
    let mut missing = Bench::new(Arc::new(RealDisk), &[("file", "/nowhere/at/all.txt")]);
    assert!(missing.start(&[partition(0)], 1).is_err());
    for (kind, remedy) in [
        (io::ErrorKind::ReadOnlyFilesystem, "mount"),
        (io::ErrorKind::CrossesDevices, "one file system"),
    ] {
        let disk = SimulatedDisk::default();
        disk.kill();
        disk.crash_after(0, kind);
        let error = Bench::new(Arc::new(disk), ROLLING)
            .start(&[partition(0)], 1)
            .unwrap_err();
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

fn order_schema() -> SchemaRef {
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

fn orders() -> TopicPartition {
    TopicPartition {
        topic: Arc::from("orders"),
        partition: 0,
    }
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
        bench.start(&[orders()], 1).unwrap();
        let names = [Value::from("a"), Value::Null, Value::from("")];
        let records = (0..)
            .zip(names)
            .map(|(offset, name)| order(&schema, offset, name));
        assert!(bench.put(records.collect()).unwrap().is_empty());
        bench
            .runtime
            .block_on(bench.task.close(&[orders()], false))
            .unwrap();
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
    bench.start(&[orders()], 1).unwrap();
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
    bench
        .runtime
        .block_on(bench.task.close(&[orders()], false))
        .unwrap();
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
fn wrong_keys_are_told() {
    let errors = |keys: &[(&str, &str)]| {
        let config = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let values = FileSink.validate(&config);
        values
            .into_iter()
            .filter(|value| !value.errors.is_empty())
            .map(|value| value.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(errors(&[("file", "a"), ("directory", "b")]), ["directory"]);
    assert_eq!(
        errors(&[("file", "a"), ("format", "csv"), ("compression", "gzip")]),
        ["format", "compression"]
    );
    assert_eq!(
        errors(&[
            ("directory", "a"),
            ("path.format", "../{topic}"),
            ("roll.records", "0")
        ]),
        ["roll.records"]
    );
    assert_eq!(
        errors(&[("directory", "a"), ("path.format", "../{topic}")]),
        ["path.format"]
    );
    assert_eq!(errors(&[]), [""; 0]);
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
    bench.start(&[orders()], 1).unwrap();
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
    bench
        .runtime
        .block_on(bench.task.close(&[orders()], false))
        .unwrap();
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
