//! Changes of tables.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{Datum, Record, SchemaRef, Struct, Value};

use super::declared::Declared;
use super::schemas::{self, SchemaChangeSchemas};
use super::{Moment, Origin, Records};
use crate::mysql::charset;
use crate::mysql::schema::{Column, Table, TableId};

/// Makes the records of changes of tables (`include.schema.changes`), which go to the topic `topic.prefix`.
#[derive(Debug)]
pub struct SchemaChanges {
    records: Arc<Records>,
    topic: Arc<str>,
    schemas: SchemaChangeSchemas,
}

/// A statement that changed tables, or the database.
#[derive(Debug, Clone, Copy)]
pub struct SchemaChange<'a> {
    /// The database that it changed.
    pub database: &'a str,
    /// Its text.
    pub ddl: Option<&'a str>,
    /// What it did to tables.
    pub tables: &'a [TableChange<'a>],
}

/// What a statement did to a table.
#[derive(Debug, Clone, Copy)]
pub enum TableChange<'a> {
    /// It is new, and so it is.
    Create(&'a Table),
    /// It is another now.
    Alter(&'a Table),
    /// It is gone.
    Drop(&'a TableId),
}

impl<'a> TableChange<'a> {
    /// Its word, the table's name, and what the table is now.
    fn parts(self) -> (&'static str, &'a TableId, Option<&'a Table>) {
        match self {
            Self::Create(table) => ("CREATE", &table.id, Some(table)),
            Self::Alter(table) => ("ALTER", &table.id, Some(table)),
            Self::Drop(table) => ("DROP", table, None),
        }
    }
}

impl SchemaChanges {
    /// Of a source.
    #[must_use]
    pub fn new(records: &Arc<Records>) -> Self {
        let connector = records.connector.name();
        Self {
            topic: Arc::clone(&records.config.prefix),
            schemas: schemas::schema_change(connector, records.source_schema(), records.config.schema_names),
            records: Arc::clone(records),
        }
    }

    /// The record of a change.
    #[must_use]
    pub fn record(&self, change: &SchemaChange<'_>, origin: &Origin, now: Moment) -> Record {
        let database = ByteString::from(change.database);
        let names: Vec<&str> = change
            .tables
            .iter()
            .map(|table| &*table.parts().1.table)
            .collect();
        let tables = (!names.is_empty()).then(|| ByteString::from(names.join(",")));
        let changes = change.tables.iter().map(|change| self.table_change(*change));
        let values = vec![
            self.records.source(origin, &database, tables.as_ref()),
            Value::Int64(now.millis()),
            Value::String(database.clone()),
            Value::Null,
            change.ddl.map_or(Value::Null, Value::from),
            Value::Array(changes.collect()),
        ];
        let value = Datum::new(
            Arc::clone(&self.schemas.value),
            structure(&self.schemas.value, values),
        );
        let key = structure(&self.schemas.key, vec![Value::String(database)]);
        let mut record = Record::new(Arc::clone(&self.topic), value);
        record.key = Datum::new(Arc::clone(&self.schemas.key), key);
        // All changes are in one order.
        record.partition = Some(0);
        record
    }

    fn table_change(&self, change: TableChange<'_>) -> Value {
        let (word, id, table) = change.parts();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let values = vec![
            Value::String(ByteString::from_static(word)),
            Value::from(format!("{}.{}", quoted(&id.database), quoted(&id.table))),
            table.map_or(Value::Null, |table| self.table(table)),
        ];
        structure(&self.schemas.change, values)
    }

    fn table(&self, table: &Table) -> Value {
        let key = table
            .key
            .iter()
            .map(|index| Value::from(&*table.columns[*index].name));
        let columns = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.column(column, index));
        let values = vec![
            optional(table.charset.as_deref()),
            Value::Array(key.collect()),
            Value::Array(columns.collect()),
            optional(table.comment.as_deref().filter(|_| self.records.config.comments)),
        ];
        structure(&self.schemas.table, values)
    }

    fn column(&self, column: &Column, index: usize) -> Value {
        let declared = Declared::of(column);
        let charset = charset::name(column.log.collation).filter(|_| declared.is_text());
        let labels = column.log.labels.iter().map(|label| {
            let mut text = String::new();
            // What is no text of its character set shows as what it is of UTF-8.
            match charset::decode(column.log.collation, label, &mut text) {
                Ok(()) => Value::from(text),
                Err(_) => Value::from(String::from_utf8_lossy(label).into_owned()),
            }
        });
        let labels: Vec<Value> = labels.collect();
        let values = vec![
            Value::from(&*column.name),
            Value::Int32(declared.jdbc()),
            Value::Null,
            Value::from(&*declared.name),
            Value::from(&*declared.name),
            optional(charset),
            declared.length.map_or(Value::Null, Value::Int32),
            declared.scale.map_or(Value::Null, Value::Int32),
            Value::Int32(i32::try_from(index + 1).unwrap_or(i32::MAX)),
            Value::Boolean(column.log.nullable),
            Value::Boolean(column.auto_increment),
            Value::Boolean(column.generated || column.auto_increment),
            optional(column.comment.as_deref().filter(|_| self.records.config.comments)),
            optional(column.default.as_deref()),
            if labels.is_empty() {
                Value::Null
            } else {
                Value::Array(labels)
            },
        ];
        structure(&self.schemas.column, values)
    }
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn structure(schema: &SchemaRef, values: Vec<Value>) -> Value {
    Value::Struct(Struct::new(Arc::clone(schema), values))
}
