//! `ExtractField`: a key or value becomes one of its fields.
use std::mem::take;
use std::sync::Arc;

use super::field_path::FieldPath;
use super::fields::{Nulls, require_fields, require_map, require_struct};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Record, Schema, SchemaRef, Value};

const PURPOSE: &str = "extracting a field";

plugin_for_sides!(ExtractFieldPlugin, "ExtractField", keys, ExtractField::new);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(ConfigKey::required(
            "field",
            ConfigType::String,
            Importance::Medium,
            "Field name to extract.",
        ))
        .with(Nulls::key())
        .with(FieldPath::key())
}

struct ExtractField {
    side: Side,
    path: FieldPath,
    nulls: Nulls,
    plans: Plans<Plan>,
}

/// Where the field is.
struct Plan {
    indices: Vec<usize>,
    schema: SchemaRef,
}

impl ExtractField {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        Ok(Self {
            side,
            path: FieldPath::parse(config.string("field"), config)?,
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }
}

impl Plan {
    fn of(path: &FieldPath, schema: &Schema) -> Result<Self, PluginError> {
        let (mut indices, mut fields) = (Vec::new(), require_fields(schema, PURPOSE)?);
        let mut found: Option<&SchemaRef> = None;
        for step in path.steps() {
            if let Some(inside) = found.take() {
                fields = require_fields(inside, PURPOSE)?;
            }
            let index = fields.iter().position(|field| *field.name == **step);
            let index = index.ok_or_else(|| {
                PluginError::bad_record(format!("{PURPOSE}: there is no field {}", path.steps().join(".")))
            })?;
            indices.push(index);
            found = Some(&fields[index].schema);
        }
        let schema = Arc::clone(found.expect("a path has a step"));
        Ok(Self { indices, schema })
    }

    /// The field in a struct or in nothing. On the way defaults stand for nulls, whatever is configured for the field itself.
    fn read(&self, mut value: Value, nulls: Nulls) -> Result<Value, PluginError> {
        for (step, index) in self.indices.iter().enumerate() {
            if value.is_null() {
                return Ok(value);
            }
            let its = require_struct(value, PURPOSE)?;
            let schema = Arc::clone(its.schema());
            let field = schema.fields().get(*index).ok_or_else(|| {
                PluginError::bad_record(format!("{PURPOSE}: the struct is not of its schema"))
            })?;
            let inside = its.into_values().swap_remove(*index);
            let is_last = step + 1 == self.indices.len();
            let nulls = if is_last { nulls } else { Nulls::REPLACED };
            value = nulls.read(&field.schema, inside);
        }
        Ok(value)
    }
}

impl Transform for ExtractField {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        let mut value = take(&mut datum.value);
        match &mut datum.schema {
            Some(schema) => {
                let plan = self.plans.of(schema, |schema| Plan::of(&self.path, schema))?;
                datum.value = plan.read(value, self.nulls)?;
                *schema = Arc::clone(&plan.schema);
            }
            None => {
                for step in self.path.steps() {
                    if value.is_null() {
                        break;
                    }
                    let entries = require_map(value, PURPOSE)?;
                    let mut found = entries.into_iter().filter(|(key, _)| key.as_str() == Some(step));
                    value = found.next().map_or(Value::Null, |(_, value)| value);
                }
                datum.value = value;
            }
        }
        Ok(Some(record))
    }
}
