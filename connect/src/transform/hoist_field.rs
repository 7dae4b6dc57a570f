//! `HoistField`: wraps a key or value in a struct or map of one field.
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;

use super::fields::{check_nulls, struct_like};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

plugin_for_sides!(HoistFieldPlugin, "HoistField", keys, HoistField::new);

fn keys() -> ConfigDef {
    ConfigDef::new().with(ConfigKey::required(
        "field",
        ConfigType::String,
        Importance::Medium,
        "Field name for the single field that will be created in the resulting Struct or Map.",
    ))
}

struct HoistField {
    side: Side,
    field: ByteString,
    /// A schema that says nothing more.
    plain: Schema,
    plans: Plans<SchemaRef>,
}

impl HoistField {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        Ok(Self {
            side,
            field: config.string("field").into(),
            plain: SchemaKind::Struct(Vec::new()).into(),
            plans: Plans::new(),
        })
    }
}

impl Transform for HoistField {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        let value = take(&mut datum.value);
        let Some(schema) = &datum.schema else {
            datum.value = Value::Map(vec![(Value::String(self.field.clone()), value)]);
            return Ok(Some(record));
        };
        let inside = Arc::clone(schema);
        let outside = self.plans.of(schema, |_| {
            let name = Arc::from(&*self.field);
            let field = Field { name, schema: inside };
            struct_like(&self.plain, vec![field]).map(Arc::new)
        })?;
        let outside = Arc::clone(outside);
        let values = vec![value];
        check_nulls(&outside, &values)?;
        datum.schema = Some(Arc::clone(&outside));
        datum.value = Value::Struct(Struct::new(outside, values));
        Ok(Some(record))
    }
}
