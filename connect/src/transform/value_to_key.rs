//! `ValueToKey`: fields of the value make the key.
use std::sync::Arc;

use bytestring::ByteString;

use super::fields::{Nulls, check_nulls, distinct, entry, some_names};
use super::plans::Plans;
use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Field, Record, Schema, SchemaRef, Struct, Value};

plugin_for_records!(ValueToKeyPlugin, "ValueToKey", keys, ValueToKey::new);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(
            ConfigKey::required(
                "fields",
                ConfigType::List,
                Importance::High,
                "Field names on the record value to extract as the record key.",
            )
            .checked(some_names),
        )
        .with(Nulls::key())
}

struct ValueToKey {
    fields: Vec<ByteString>,
    nulls: Nulls,
    plans: Plans<Plan>,
}

struct Plan {
    schema: SchemaRef,
    /// Where in the value the fields of the key are.
    indices: Vec<usize>,
}

impl ValueToKey {
    fn new(config: &Config) -> Result<Self, PluginError> {
        Ok(Self {
            fields: distinct(config.list("fields")),
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }
}

impl Plan {
    fn of(names: &[ByteString], schema: &Schema) -> Result<Self, PluginError> {
        let (mut fields, mut indices) = (Vec::new(), Vec::new());
        for name in names {
            let index = schema.field_index(name).ok_or_else(|| {
                PluginError::bad_record(format!(
                    "copying fields to the key: the value has no field {name}"
                ))
            })?;
            fields.push(schema.fields()[index].clone());
            indices.push(index);
        }
        let schema = Schema::try_struct(fields)
            .map_err(|error| PluginError::bad_record("copying fields to the key").caused_by(error))?;
        Ok(Self {
            schema: Arc::new(schema),
            indices,
        })
    }
}

impl Transform for ValueToKey {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        record.key = match (&record.value.schema, &record.value.value) {
            (None, Value::Map(entries)) => {
                let fields = self.fields.iter().map(|name| {
                    let value = entry(entries, name).cloned();
                    (Value::String(name.clone()), value.unwrap_or_default())
                });
                Datum::schemaless(Value::Map(fields.collect()))
            }
            (Some(_), Value::Struct(value)) => {
                let plan = self
                    .plans
                    .of(value.schema(), |schema| Plan::of(&self.fields, schema))?;
                let fields: &[Field] = plan.schema.fields();
                let both = fields.iter().zip(&plan.indices);
                let values =
                    both.map(|(field, index)| self.nulls.read(&field.schema, value.values()[*index].clone()));
                let values: Vec<Value> = values.collect();
                check_nulls(&plan.schema, &values)?;
                let key = Struct::new(Arc::clone(&plan.schema), values);
                Datum::new(Arc::clone(&plan.schema), Value::Struct(key))
            }
            (schema, other) => {
                let needed = if schema.is_some() { "a struct" } else { "a map" };
                return Err(PluginError::bad_record(format!(
                    "copying fields to the key needs {needed} as the value, and found {}",
                    other.kind_name()
                )));
            }
        };
        Ok(Some(record))
    }
}
