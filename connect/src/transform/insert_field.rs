//! `InsertField`: new fields from what is known of a record, or with a fixed value.
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;

use super::fields::{Nulls, check_nulls, put_entry, require_map, require_struct, struct_like};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

const PURPOSE: &str = "inserting fields";

plugin_for_sides!(InsertFieldPlugin, "InsertField", keys, InsertField::new);

fn keys() -> ConfigDef {
    let field = |name: &str, what: &str| {
        let documentation = format!(
            "{what}Suffix with <code>!</code> to make this a required field, or <code>?</code> to keep it optional (the default)."
        );
        ConfigKey::optional(name, ConfigType::String, Importance::Medium, &documentation)
    };
    ConfigDef::new()
        .with(field("topic.field", "Field name for Kafka topic. "))
        .with(field("partition.field", "Field name for Kafka partition. "))
        .with(field(
            "offset.field",
            "Field name for Kafka offset - only applicable to sink connectors.<br/>",
        ))
        .with(field("timestamp.field", "Field name for record timestamp. "))
        .with(field("static.field", "Field name for static data field. "))
        .with(ConfigKey::optional(
            "static.value",
            ConfigType::String,
            Importance::Medium,
            "Static field value, if field name configured.",
        ))
        .with(Nulls::key())
}

struct InsertField {
    side: Side,
    insertions: Vec<Insertion>,
    nulls: Nulls,
    plans: Plans<SchemaRef>,
    /// The last topic as a text: records of one topic come in runs.
    topic: Option<(Arc<str>, ByteString)>,
}

/// A field that is added.
struct Insertion {
    name: ByteString,
    schema: SchemaRef,
    source: Source,
}

/// What a field is filled with.
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static(ByteString),
}

impl InsertField {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let mut insertions = Vec::new();
        let mut insert = |key: &str, schema: Schema, source: Source| {
            if let Some(text) = config.optional_string(key) {
                insertions.push(Insertion::of(text, schema, source));
            }
        };
        insert("topic.field", SchemaKind::String.into(), Source::Topic);
        insert("partition.field", SchemaKind::Int32.into(), Source::Partition);
        insert("offset.field", SchemaKind::Int64.into(), Source::Offset);
        insert("timestamp.field", Schema::timestamp(), Source::Timestamp);
        if config.has("static.field") {
            let value = config.optional_string("static.value").ok_or_else(|| {
                PluginError::user_config("static.value: static.field is given, but not what to fill it with")
            })?;
            insert(
                "static.field",
                SchemaKind::String.into(),
                Source::Static(value.into()),
            );
        }
        if insertions.is_empty() {
            return Err(PluginError::user_config(
                "no field is inserted; set topic.field, partition.field, offset.field, timestamp.field or static.field",
            ));
        }
        Ok(Self {
            side,
            insertions,
            nulls: Nulls::of(config),
            plans: Plans::new(),
            topic: None,
        })
    }

    /// What a field is filled with, if there is something.
    fn value(&mut self, index: usize, record: &Record) -> Result<Value, PluginError> {
        Ok(match &self.insertions[index].source {
            Source::Topic => {
                let text = match &self.topic {
                    Some((topic, text)) if Arc::ptr_eq(topic, &record.topic) => text.clone(),
                    _ => {
                        let text = ByteString::from(&*record.topic);
                        self.topic = Some((Arc::clone(&record.topic), text.clone()));
                        text
                    }
                };
                Value::String(text)
            }
            Source::Partition => record.partition.map_or(Value::Null, Value::Int32),
            Source::Offset => match &record.origin {
                Some(origin) => Value::Int64(origin.offset),
                None => {
                    return Err(PluginError::bad_record(
                        "offset.field is for sinks only: records of sources have no offset",
                    ));
                }
            },
            Source::Timestamp => record.timestamp.map_or(Value::Null, Value::Timestamp),
            Source::Static(text) => Value::String(text.clone()),
        })
    }

    fn apply_to_struct(&mut self, record: &mut Record) -> Result<(), PluginError> {
        let from = require_struct(take(&mut self.side.of(record).value), PURPOSE)?;
        let schema = self
            .plans
            .of(from.schema(), |schema| updated(schema, &self.insertions))?;
        let schema = Arc::clone(schema);
        let (_, mut all) = self.nulls.read_all(from);
        check_nulls(&schema, &all)?;
        all.reserve_exact(self.insertions.len());
        for index in 0..self.insertions.len() {
            all.push(self.value(index, record)?);
        }
        let datum = self.side.of(record);
        datum.value = Value::Struct(Struct::new(Arc::clone(&schema), all));
        datum.schema = Some(schema);
        Ok(())
    }
}

impl Insertion {
    fn of(text: &str, schema: Schema, source: Source) -> Self {
        let (name, optional) = match (text.strip_suffix('?'), text.strip_suffix('!')) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => (text, true),
        };
        let schema = if optional { schema.optional() } else { schema };
        Self {
            name: name.into(),
            schema: Arc::new(schema),
            source,
        }
    }
}

fn updated(schema: &Schema, insertions: &[Insertion]) -> Result<SchemaRef, PluginError> {
    let mut fields = schema.fields().to_vec();
    fields.extend(insertions.iter().map(|insertion| Field {
        name: Arc::from(&*insertion.name),
        schema: Arc::clone(&insertion.schema),
    }));
    struct_like(schema, fields).map(Arc::new)
}

impl Transform for InsertField {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        if datum.is_null() {
            return Ok(Some(record));
        }
        if datum.schema.is_some() {
            self.apply_to_struct(&mut record)?;
            return Ok(Some(record));
        }
        let mut entries = require_map(take(&mut datum.value), PURPOSE)?;
        for index in 0..self.insertions.len() {
            let value = match self.value(index, &record)? {
                Value::Null => continue,
                Value::Timestamp(milliseconds) => Value::Int64(milliseconds),
                value => value,
            };
            put_entry(&mut entries, &self.insertions[index].name, value);
        }
        self.side.of(&mut record).value = Value::Map(entries);
        Ok(Some(record))
    }
}
