//! Writes rows with the MySQL sink and says how fast, for measurements:  mysql_sink URL USER ROWS [KEY=VALUE …]
//!
//! The rows are those of a table of six columns, new ones and, in the second half, changes of these. Further words are keys of the sink:
//! batch.size=1 shows what a statement for each row costs. Seconds are those of the clock, and of this process's processor.
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{SinkPlugin, SinkTaskContext, TaskId, TopicPartition};
use millstream_connect::record::{Datum, Field, Origin, Record, Schema, SchemaKind, Struct, Value};
use millstream_connectors::mysql::sink::MySqlSink;

/// What the worker puts at once.
const PUT: i64 = 4_096;

fn field(name: &str, schema: Schema) -> Field {
    Field {
        name: name.into(),
        schema: Arc::new(schema),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "mysql_sink URL USER ROWS [KEY=VALUE …]";
    let mut arguments = std::env::args().skip(1);
    let (url, user) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let rows: i64 = arguments.next().ok_or(usage)?.parse()?;
    let common = [
        ("name", "bench"),
        ("connection.url", &*url),
        ("connection.username", &*user),
        ("insert.mode", "upsert"),
        ("primary.key.mode", "record_key"),
        ("schema.evolution", "basic"),
    ];
    let common = common.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut config = ConfigMap::from(common);
    for word in arguments {
        let (key, value) = word.split_once('=').ok_or(usage)?;
        config.insert(key.to_owned(), value.to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&config, rows))
}

async fn run(config: &ConfigMap, rows: i64) -> Result<(), Box<dyn Error>> {
    let key = Arc::new(Schema::try_struct(vec![field("id", SchemaKind::Int64.into())])?);
    let value = Arc::new(Schema::try_struct(vec![
        field("id", SchemaKind::Int64.into()),
        field("customer", SchemaKind::Int32.into()),
        field(
            "total",
            Schema::decimal(2).with_parameter("connect.decimal.precision", "12"),
        ),
        field("note", Schema::from(SchemaKind::String).optional()),
        field(
            "at",
            Schema::from(SchemaKind::Int64).named("io.debezium.time.MicroTimestamp"),
        ),
        field("paid", SchemaKind::Boolean.into()),
    ])?);
    let topic: Arc<str> = "bench_rows".into();
    let record = |offset: i64| {
        let id = offset % (rows / 2).max(1);
        let values = vec![
            Value::Int64(id),
            Value::Int32((id % 10_000) as i32),
            Value::Decimal(Box::new(bigdecimal::BigDecimal::new((offset * 7).into(), 2))),
            Value::from(format!("order number {offset}, it's paid later")),
            Value::Int64(1_714_978_089_000_000 + offset),
            Value::Boolean(offset % 3 == 0),
        ];
        let row = Value::Struct(Struct::new(Arc::clone(&value), values));
        let mut record = Record::new(Arc::clone(&topic), Datum::new(Arc::clone(&value), row));
        let id = Value::Struct(Struct::new(Arc::clone(&key), vec![Value::Int64(id)]));
        record.key = Datum::new(Arc::clone(&key), id);
        record.origin = Some(Origin {
            topic: Arc::clone(&topic),
            partition: 0,
            offset,
        });
        record
    };
    let mut task = MySqlSink.new_task();
    let id = TaskId {
        connector: "bench".to_owned(),
        task: 0,
    };
    task.start(config, SinkTaskContext { task: id }).await?;
    let partition = TopicPartition {
        topic: Arc::clone(&topic),
        partition: 0,
    };
    let begin = task
        .open(&[partition])
        .await?
        .first()
        .map_or(0, |known| known.next);
    let (mut seconds, mut processor, mut offset) = (0.0, 0.0, begin);
    while offset < begin + rows {
        let end = (offset + PUT).min(begin + rows);
        let records: Vec<Record> = (offset..end).map(record).collect();
        let (clock, before) = (Instant::now(), processor_seconds()?);
        let refused = task.put(&records).await?;
        seconds += clock.elapsed().as_secs_f64();
        processor += processor_seconds()? - before;
        if let Some(refused) = refused.first() {
            return Err(format!("record {} is refused: {}", refused.index, refused.error).into());
        }
        offset = end;
    }
    task.stop().await;
    println!(
        "{rows} rows, {seconds:.1} s, {:.0} rows/s, {:.0} rows per second of the sink's processor",
        rows as f64 / seconds,
        rows as f64 / processor.max(0.01)
    );
    Ok(())
}

/// What this process has used of the processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
