//! What identifies the rows of a table.
use std::sync::Arc;

use millstream_connect::record::{Datum, Schema, SchemaRef, Struct, Value};

use super::column::{Mapped, Role};
use super::{RecordError, Records, schemas};
use crate::mysql::schema::Table;

/// What identifies a row.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Mapped>,
}

impl Key {
    /// The key of `message.key.columns`, or else the table's.
    pub(super) fn new(table: &Table, topic: &str, records: &Records) -> Result<Option<Self>, RecordError> {
        let mut indexes: Vec<usize> = Vec::new();
        let name = table.id.to_string();
        for (tables, columns) in &records.config.keys {
            for column in columns.iter().filter(|_| tables.is_match(&name)) {
                let index = table
                    .columns
                    .iter()
                    .position(|its| its.name.eq_ignore_ascii_case(column));
                match index {
                    Some(index) if !indexes.contains(&index) => indexes.push(index),
                    Some(_) => {}
                    None => tracing::warn!("message.key.columns: {name} has no column {column}"),
                }
            }
        }
        if indexes.is_empty() {
            indexes.clone_from(&table.key);
        }
        if indexes.is_empty() {
            return Ok(None);
        }
        let columns = indexes
            .into_iter()
            .map(|index| Mapped::new(table, index, Role::Key, records))
            .collect::<Result<Vec<_>, _>>()?;
        let schema = structure(table, &columns, &records.schema_name(&format!("{topic}.Key")))?;
        Ok(Some(Self {
            schema: Arc::new(schema),
            columns,
        }))
    }

    pub(super) fn datum(&self, values: Vec<Value>) -> Datum {
        let value = Value::Struct(Struct::new(Arc::clone(&self.schema), values));
        Datum::new(Arc::clone(&self.schema), value)
    }
}

/// The struct of columns.
pub(super) fn structure(table: &Table, columns: &[Mapped], name: &str) -> Result<Schema, RecordError> {
    let field = |column: &Mapped| schemas::field(Arc::clone(&column.field), Arc::clone(&column.schema));
    let schema = Schema::try_struct(columns.iter().map(field).collect());
    match schema {
        Ok(schema) => Ok(schema.named(name)),
        Err(_) => Err(RecordError::RepeatedField {
            table: table.id.to_string(),
        }),
    }
}
