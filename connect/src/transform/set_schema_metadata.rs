//! `SetSchemaMetadata`: another name or version for a schema.
use std::mem::take;
use std::sync::Arc;

use super::fields::{Nulls, check_nulls, require_fields, require_struct_of};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Record, SchemaRef, Struct, Value};

const PURPOSE: &str = "setting the name or version of a schema";

plugin_for_sides!(
    SetSchemaMetadataPlugin,
    "SetSchemaMetadata",
    keys,
    SetSchemaMetadata::new
);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(ConfigKey::optional(
            "schema.name",
            ConfigType::String,
            Importance::High,
            "Schema name to set.",
        ))
        .with(ConfigKey::optional(
            "schema.version",
            ConfigType::Int,
            Importance::High,
            "Schema version to set.",
        ))
        .with(Nulls::key())
}

struct SetSchemaMetadata {
    side: Side,
    name: Option<Arc<str>>,
    version: Option<i32>,
    nulls: Nulls,
    plans: Plans<SchemaRef>,
}

impl SetSchemaMetadata {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let name = config.optional_string("schema.name").map(Arc::from);
        let version = config.has("schema.version").then(|| config.int("schema.version"));
        if name.is_none() && version.is_none() {
            return Err(PluginError::user_config(
                "neither schema.name nor schema.version is given; set one of them",
            ));
        }
        Ok(Self {
            side,
            name,
            version,
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }
}

impl Transform for SetSchemaMetadata {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        let Some(schema) = &datum.schema else {
            return match datum.is_null() {
                true => Ok(Some(record)),
                false => Err(PluginError::bad_record(format!(
                    "{PURPOSE} needs a schema, and there is none"
                ))),
            };
        };
        let updated = self.plans.of(schema, |schema| {
            require_fields(schema, PURPOSE)?;
            let mut updated = schema.clone();
            updated.name = self.name.clone().or(updated.name);
            updated.version = self.version.or(updated.version);
            Ok::<_, PluginError>(Arc::new(updated))
        });
        let updated = Arc::clone(updated?);
        datum.value = match take(&mut datum.value) {
            its @ Value::Struct(_) => {
                let its = require_struct_of(its, &updated, PURPOSE)?;
                let (_, values) = self.nulls.read_all(its);
                check_nulls(&updated, &values)?;
                Value::Struct(Struct::new(Arc::clone(&updated), values))
            }
            other => other,
        };
        datum.schema = Some(updated);
        Ok(Some(record))
    }
}
