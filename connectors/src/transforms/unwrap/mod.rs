//! `ExtractNewRecordState`: the row as it is now, instead of the change.
//!
//! What changes have in common is found once for each schema; then values only move, and no schema is made per record.
mod config;
mod dropping;
mod reference;
mod shape;

use std::mem::take;
use std::sync::Arc;

use millstream_connect::config::{Config, ConfigMap};
use millstream_connect::plugin::{PluginError, Transform};
use millstream_connect::record::{Datum, Header, Record, Schema, SchemaKind, SchemaRef, Struct, Value};
use millstream_connect::transform::Plans;

use self::config::{Deletes, Options};
use self::dropping::Dropping;
use self::reference::Found;
use self::shape::Shape;
use super::envelope::{self, LastTopic, place, place_of, require_struct};
use super::plugin;

const PURPOSE: &str = "taking the row out of a change";

plugin!(
    ExtractNewRecordState,
    "io.debezium.transforms.ExtractNewRecordState",
    config::keys,
    Unwrap::new
);

struct Unwrap {
    options: Options,
    dropping: Option<Dropping>,
    /// Rows that are there, and rows that are gone, by the schema of the change.
    present: Plans<Shape>,
    gone: Plans<Shape>,
    headers: Plans<Vec<Found>>,
    topic: LastTopic,
}

/// A change whose envelope is open.
struct Change {
    schema: SchemaRef,
    values: Vec<Value>,
}

impl Unwrap {
    fn new(config: &Config, given: &ConfigMap) -> Result<Self, PluginError> {
        Ok(Self {
            options: Options::new(config, given)?,
            dropping: Dropping::new(config),
            present: Plans::new(),
            gone: Plans::new(),
            headers: Plans::new(),
            topic: LastTopic::default(),
        })
    }

    /// What is known of a tombstone is that something was deleted.
    fn tombstone(&self, mut record: Record) -> Option<Record> {
        if !self.options.keeps_tombstones {
            return None;
        }
        let operations = self.options.headers.iter().filter(|header| header.field == "op");
        let headers = operations.map(|header| Header {
            name: Arc::clone(&header.name),
            datum: Datum::text("d"),
        });
        record.headers.extend(headers);
        Some(record)
    }

    fn add_headers(&mut self, record: &mut Record, change: &Change) -> Result<(), PluginError> {
        if self.options.headers.is_empty() {
            return Ok(());
        }
        let wanted = &self.options.headers;
        let all = self.headers.of(&change.schema, |schema| {
            wanted
                .iter()
                .filter_map(|one| one.find(schema).transpose())
                .collect::<Result<Vec<_>, PluginError>>()
        })?;
        for found in all {
            record.headers.push(Header {
                name: Arc::clone(&found.name),
                datum: Datum::new(Arc::clone(&found.schema), found.value(&change.values)?),
            });
        }
        Ok(())
    }

    /// The row is there: it was inserted, updated or read.
    fn present(&mut self, mut record: Record, mut change: Change) -> Result<Record, PluginError> {
        let (options, schema) = (&self.options, Arc::clone(&change.schema));
        let shape = self
            .present
            .of(&schema, |schema| Shape::of(schema, "after", false, options))?;
        let row = shape.fill(&mut change.values)?;
        if let Some(field) = &self.options.route_by {
            let (schema, values) = (row.schema(), row.values());
            let at = place_of(schema, field, &SchemaKind::String, PURPOSE)?;
            route(&mut self.topic, &mut record, &values[at]);
        }
        record.value = of_its_schema(row);
        if let Some(dropping) = &mut self.dropping {
            dropping.apply(&mut record, usize::MAX)?;
        }
        Ok(record)
    }

    /// The row is gone; `before` is where it was.
    fn gone(
        &mut self,
        mut record: Record,
        mut change: Change,
        before: usize,
    ) -> Result<Option<Record>, PluginError> {
        if self.options.deletes == Deletes::Drop {
            return Ok(None);
        }
        if let Some(field) = &self.options.route_by {
            let Value::Struct(row) = &change.values[before] else {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE}: the row before is no struct, which {field} could be a field of"
                )));
            };
            let at = place_of(row.schema(), field, &SchemaKind::String, PURPOSE)?;
            route(&mut self.topic, &mut record, &row.values()[at]);
        }
        let mut fields = usize::MAX;
        record.value = match self.options.deletes {
            Deletes::Null => {
                let after = place(&change.schema, "after", PURPOSE)?;
                Datum::new(Arc::clone(&change.schema.fields()[after].schema), Value::Null)
            }
            Deletes::Rewrite => {
                let (options, schema) = (&self.options, Arc::clone(&change.schema));
                let shape = self
                    .gone
                    .of(&schema, |schema| Shape::of(schema, "before", true, options))?;
                fields = shape.fields_of_row();
                of_its_schema(shape.fill(&mut change.values)?)
            }
            Deletes::Drop | Deletes::Tombstone => Datum::NULL,
        };
        if let Some(dropping) = &mut self.dropping {
            // What was added to a deleted row is never left out.
            dropping.apply(&mut record, fields)?;
        }
        Ok(Some(record))
    }
}

impl Transform for Unwrap {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        if record.value.is_null() {
            return Ok(self.tombstone(record));
        }
        let Some(schema) = envelope::schema(&record.value).cloned() else {
            return Ok(Some(record));
        };
        let values = require_struct(take(&mut record.value.value), &schema, PURPOSE)?.into_values();
        let change = Change { schema, values };
        self.add_headers(&mut record, &change)?;
        let after = place(&change.schema, "after", PURPOSE)?;
        if !change.values[after].is_null() {
            return self.present(record, change).map(Some);
        }
        let before = place(&change.schema, "before", PURPOSE)?;
        match change.values[before].is_null() {
            // A truncation has no row.
            true => Ok(None),
            false => self.gone(record, change, before),
        }
    }
}

fn of_its_schema(row: Struct) -> Datum {
    let schema: SchemaRef = Arc::clone(row.schema());
    Datum::new(schema, Value::Struct(row))
}

/// To the topic that a field names, if it names one.
fn route(topics: &mut LastTopic, record: &mut Record, value: &Value) {
    match value.as_str() {
        Some(name) if !name.trim().is_empty() => record.topic = topics.shared(name),
        _ => {}
    }
}

/// The field's schema as it is where it is added: optional and without a default.
fn added(schema: &Schema) -> Schema {
    let kind = match &schema.kind {
        // As in Debezium, such a field can be null and nothing else.
        SchemaKind::Struct(_) => SchemaKind::Struct(Vec::new()),
        kind => kind.clone(),
    };
    envelope::described_like(schema, Schema::from(kind)).optional()
}
