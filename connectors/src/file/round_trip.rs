//! What the sink writes as Parquet, the source reads as it was.
use std::sync::Arc;

use bytes::Bytes;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{PartitionOffset, SinkPlugin, SinkTaskContext, TaskId, TopicPartition};
use millstream_connect::record::{
    Datum, Field, Origin, Record, Schema, SchemaKind, SchemaRef, Struct, Value, logical,
};
use proptest::prelude::*;

use super::sink::FileSink;
use super::source::tests::Bench;

fn leaf() -> BoxedStrategy<Schema> {
    let kinds = [
        SchemaKind::Boolean,
        SchemaKind::Int8,
        SchemaKind::Int16,
        SchemaKind::Int32,
        SchemaKind::Int64,
        SchemaKind::Float32,
        SchemaKind::Float64,
        SchemaKind::String,
        SchemaKind::Bytes,
    ];
    prop_oneof![
        3 => prop::sample::select(kinds.to_vec()).prop_map(Schema::from),
        1 => Just(Schema::date()),
        1 => Just(Schema::time()),
        1 => Just(Schema::timestamp()),
        1 => (0_i32..10).prop_map(Schema::decimal),
    ]
    .boxed()
}

fn maybe_optional(schema: impl Strategy<Value = Schema> + 'static) -> BoxedStrategy<SchemaRef> {
    (schema, any::<bool>())
        .prop_map(|(schema, optional)| Arc::new(if optional { schema.optional() } else { schema }))
        .boxed()
}

fn structure(field: BoxedStrategy<SchemaRef>) -> BoxedStrategy<Schema> {
    prop::collection::vec(field, 1..5)
        .prop_map(|schemas| {
            let fields = schemas.into_iter().enumerate().map(|(number, schema)| Field {
                name: format!("field {number}").into(),
                schema,
            });
            Schema::from(SchemaKind::Struct(fields.collect()))
        })
        .boxed()
}

fn any_schema() -> BoxedStrategy<SchemaRef> {
    maybe_optional(leaf())
        .prop_recursive(3, 16, 4, |inner| {
            let list = inner
                .clone()
                .prop_map(|element| Schema::from(SchemaKind::Array(element)));
            let map = inner
                .clone()
                .prop_map(|value| Schema::from(SchemaKind::Map(Schema::string(), value)));
            prop_oneof![
                maybe_optional(list),
                maybe_optional(map),
                maybe_optional(structure(inner))
            ]
        })
        .boxed()
}

/// A value of a schema; `dice` decides.
fn value(schema: &SchemaRef, dice: &mut dyn FnMut() -> u64) -> Value {
    if schema.optional && dice().is_multiple_of(4) {
        return Value::Null;
    }
    let die = dice();
    let number = die.cast_signed();
    if let Some(scale) = schema.decimal_scale() {
        let digits = bigdecimal::num_bigint::BigInt::from(number);
        return Value::Decimal(Box::new(bigdecimal::BigDecimal::new(digits, scale.into())));
    }
    match (&schema.kind, schema.name.as_deref()) {
        (SchemaKind::Int32, Some(logical::DATE)) => Value::Date(number as i32),
        (SchemaKind::Int32, Some(logical::TIME)) => Value::Time((die % 86_400_000) as i32),
        (SchemaKind::Int64, Some(logical::TIMESTAMP)) => Value::Timestamp(number),
        (SchemaKind::Boolean, _) => Value::Boolean(die.is_multiple_of(2)),
        (SchemaKind::Int8, _) => Value::Int8(number as i8),
        (SchemaKind::Int16, _) => Value::Int16(number as i16),
        (SchemaKind::Int32, _) => Value::Int32(number as i32),
        (SchemaKind::Int64, _) => Value::Int64(number),
        (SchemaKind::Float32, _) => Value::Float32(number as f32),
        (SchemaKind::Float64, _) => Value::Float64(number as f64 / 7.0),
        (SchemaKind::String, _) => Value::from("ä😀x".repeat((die % 5) as usize)),
        (SchemaKind::Bytes, _) => Value::Bytes(Bytes::from(die.to_be_bytes()[(die % 9) as usize..].to_vec())),
        (SchemaKind::Array(element), _) => Value::Array((0..die % 4).map(|_| value(element, dice)).collect()),
        (SchemaKind::Map(key, of), _) => Value::Map(
            (0..die % 4)
                .map(|_| (value(key, dice), value(of, dice)))
                .collect(),
        ),
        (SchemaKind::Struct(fields), _) => {
            let values = fields.iter().map(|field| value(&field.schema, dice));
            Value::Struct(Struct::new(Arc::clone(schema), values.collect()))
        }
    }
}

fn write(folder: &str, compression: &str, records: &[Record]) {
    let config = ConfigMap::from(
        [
            ("name", "c"),
            ("directory", folder),
            ("format", "parquet"),
            ("compression", compression),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = TaskId {
        connector: "c".to_owned(),
        task: 0,
    };
    let partition = TopicPartition {
        topic: "t".into(),
        partition: 0,
    };
    runtime.block_on(async {
        let mut sink = FileSink.new_task();
        sink.start(&config, SinkTaskContext { task }).await.unwrap();
        sink.open(std::slice::from_ref(&partition)).await.unwrap();
        let refused = sink.put(records).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let taken = [PartitionOffset {
            partition: partition.clone(),
            next: i64::try_from(records.len()).unwrap(),
        }];
        sink.flush(&taken).await.unwrap();
        sink.close(&[partition], false).await.unwrap();
        sink.stop().await;
    });
}

fn check(schema: &SchemaRef, rows: usize, seed: u64, zstandard: bool, batch: usize) {
    let mut state = seed | 1;
    let mut dice = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let records = (0..).take(rows).map(|offset| {
        let mut record = Record::new("t", Datum::new(Arc::clone(schema), value(schema, &mut dice)));
        let topic = "t".into();
        record.origin = Some(Origin {
            topic,
            partition: 0,
            offset,
        });
        record
    });
    let records: Vec<Record> = records.collect();
    let mut bench = Bench::new("*.parquet", &[("format", "parquet"), ("read.mode", "once")]);
    let compression = if zstandard { "zstd" } else { "none" };
    write(bench.folder.path().to_str().unwrap(), compression, &records);
    let mut read = Vec::new();
    loop {
        let (some, finished) = bench.poll(batch, 100).unwrap();
        read.extend(some);
        if finished {
            break;
        }
        bench.stop();
    }
    let values = |records: &[Record]| -> Vec<Datum> { records.iter().map(|its| its.value.clone()).collect() };
    assert_eq!(values(&read), values(&records));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_as_parquet_is_read_as_it_was(
        schema in structure(any_schema()),
        rows in 1_usize..40,
        seed in any::<u64>(),
        zstandard in any::<bool>(),
        batch in 1_usize..50,
    ) {
        check(&Arc::new(schema), rows, seed, zstandard, batch);
    }
}
