//! Records, of tables and of real servers' logs beside Debezium's.
mod debezium;
mod partial;
mod rows;

use millstream_connect::record::{Record, Struct, Value};

use super::{Connector, Moment, Origin, RecordError, Records, TableRecords, fixtures};
use crate::mysql::binlog::{self, Change, ColumnType, Value as Log};
use crate::mysql::config::{Filters, RecordConfig};
use crate::mysql::schema::{Column, Table, TableId};

const UTF8MB4: u16 = 255;

fn column(name: &str, column_type: ColumnType, nullable: bool) -> Column {
    let text = matches!(column_type, ColumnType::Varchar { .. } | ColumnType::Blob { .. });
    Column {
        name: name.into(),
        log: binlog::Column {
            column_type,
            nullable,
            unsigned: None,
            collation: if text { UTF8MB4 } else { 0 },
            name: Some(name.to_owned()),
            labels: Vec::new(),
            geometry_type: None,
            vector_dimensions: None,
            visible: true,
        },
        declared: None,
        default: None,
        generated: false,
        auto_increment: false,
        comment: None,
    }
}

/// `id int primary key, name varchar(20) null, n int null, doc json null`.
fn people() -> Table {
    Table {
        id: TableId::new("d", "people"),
        columns: vec![
            column("id", ColumnType::Long, false),
            column("name", ColumnType::Varchar { length_max: 80 }, true),
            column("n", ColumnType::Long, true),
            column("doc", ColumnType::Json { length_bytes: 4 }, true),
        ],
        key: vec![0],
        comment: None,
        charset: None,
        structure: None,
    }
}

fn compiled(table: &Table, config: RecordConfig, filters: Filters) -> TableRecords {
    let records = Records::new(config, filters, Connector::MySql);
    TableRecords::new(table, &records).unwrap()
}

fn plain() -> TableRecords {
    compiled(&people(), fixtures::config(), Filters::default())
}

fn text(text: &'static str) -> Log<'static> {
    Log::Text {
        bytes: text.as_bytes(),
        collation: UTF8MB4,
    }
}

fn origin() -> Origin {
    Origin {
        file: "log.1".into(),
        position: 77,
        ..Origin::default()
    }
}

fn made(
    table: &TableRecords,
    change: Change,
    before: &[Log<'_>],
    after: &[Log<'_>],
) -> Result<Vec<Record>, RecordError> {
    let mut out = Vec::new();
    let now = Moment::from_micros(5_000_001);
    table.change(change, before, after, &origin(), None, now, &mut out)?;
    Ok(out)
}

fn payload(record: &Record) -> &Struct {
    let schema = record.value.schema.as_ref().unwrap();
    assert_eq!(schema.check(&record.value.value), Ok(()));
    match &record.value.value {
        Value::Struct(payload) => payload,
        other => panic!("{other:?}"),
    }
}

/// The fields of a row that are there, with their values.
fn row(record: &Record, side: &str) -> Vec<(String, Value)> {
    let Some(Value::Struct(row)) = payload(record).get(side) else {
        panic!("no {side}")
    };
    let fields = row.schema().fields().iter().map(|field| field.name.to_string());
    fields.zip(row.values().iter().cloned()).collect()
}

fn named(fields: &[(&str, Value)]) -> Vec<(String, Value)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn operation(record: &Record) -> Option<&str> {
    payload(record).get("op").and_then(Value::as_str)
}

fn key(record: &Record) -> Value {
    match &record.key.value {
        Value::Struct(key) => key.values()[0].clone(),
        other => other.clone(),
    }
}
