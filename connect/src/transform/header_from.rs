//! `HeaderFrom`: fields move to headers, or are copied there.
use std::mem::take;
use std::sync::Arc;

use super::fields::{
    Entries, Nulls, check_nulls, entry, exactly_one_of, non_empty_list, require_fields, require_map,
    require_struct_of, struct_like,
};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Header, Headers, Record, SchemaRef, Struct, Value};

const PURPOSE: &str = "making headers from fields";

plugin_for_sides!(HeaderFromPlugin, "HeaderFrom", keys, HeaderFrom::new);

fn keys() -> ConfigDef {
    let list = |name: &str, documentation: &str| {
        ConfigKey::required(name, ConfigType::List, Importance::High, documentation).checked(non_empty_list)
    };
    ConfigDef::new()
        .with(list(
            "fields",
            "Field names in the record whose values are to be copied or moved to headers.",
        ))
        .with(list(
            "headers",
            "Header names, in the same order as the field names listed in the fields configuration property.",
        ))
        .with(
            ConfigKey::required(
                "operation",
                ConfigType::String,
                Importance::High,
                "Either <code>move</code> if the fields are to be moved to the headers (removed from the key/value), \
                 or <code>copy</code> if the fields are to be copied to the headers (retained in the key/value).",
            )
            .checked(exactly_one_of(&["move", "copy"])),
        )
        .with(Nulls::key())
}

struct HeaderFrom {
    side: Side,
    /// Fields with the names of their headers.
    names: Vec<(String, Arc<str>)>,
    moves: bool,
    nulls: Nulls,
    plans: Plans<Plan>,
}

struct Plan {
    /// What remains of the struct; the same if fields are copied.
    schema: SchemaRef,
    /// Where what remains is.
    kept: Vec<usize>,
    /// Where the value of each header is, and its schema.
    headers: Vec<(usize, SchemaRef)>,
}

impl HeaderFrom {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let (fields, headers) = (config.list("fields"), config.list("headers"));
        if fields.len() != headers.len() {
            return Err(PluginError::user_config(format!(
                "fields and headers belong together one by one, but there are {} fields and {} headers",
                fields.len(),
                headers.len()
            )));
        }
        let both = fields.iter().zip(headers);
        Ok(Self {
            side,
            names: both
                .map(|(field, header)| (field.clone(), Arc::from(&**header)))
                .collect(),
            moves: config.string("operation") == "move",
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }

    fn apply_to_struct(
        &mut self,
        value: Value,
        schema: &SchemaRef,
        headers: &mut Headers,
    ) -> Result<Datum, PluginError> {
        let from = require_struct_of(value, schema, PURPOSE)?;
        let plan = self
            .plans
            .of(schema, |_| Plan::of(&self.names, self.moves, schema))?;
        for ((_, name), (index, schema)) in self.names.iter().zip(&plan.headers) {
            let value = from.values().get(*index).cloned().unwrap_or_default();
            let value = self.nulls.read(schema, value);
            if value.is_null() && !schema.optional {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE}: the header {name} is null, but its schema is not optional"
                )));
            }
            let name = Arc::clone(name);
            let datum = Datum::new(Arc::clone(schema), value);
            headers.push(Header { name, datum });
        }
        if !self.moves {
            return Ok(Datum::new(Arc::clone(schema), Value::Struct(from)));
        }
        let (_, mut all) = self.nulls.read_all(from);
        let values: Vec<Value> = plan.kept.iter().map(|index| take(&mut all[*index])).collect();
        check_nulls(&plan.schema, &values)?;
        let rest = Struct::new(Arc::clone(&plan.schema), values);
        Ok(Datum::new(Arc::clone(&plan.schema), Value::Struct(rest)))
    }

    fn apply_to_map(&self, value: Value, headers: &mut Headers) -> Result<Datum, PluginError> {
        let mut entries: Entries = require_map(value, PURPOSE)?;
        for (field, name) in &self.names {
            let value = entry(&entries, field).cloned().unwrap_or_default();
            let name = Arc::clone(name);
            let datum = Datum::schemaless(value);
            headers.push(Header { name, datum });
        }
        if self.moves {
            let moved = |key: &Value| self.names.iter().any(|(field, _)| key.as_str() == Some(field));
            entries.retain(|(key, _)| !moved(key));
        }
        Ok(Datum::schemaless(Value::Map(entries)))
    }
}

impl Plan {
    fn of(names: &[(String, Arc<str>)], moves: bool, schema: &SchemaRef) -> Result<Self, PluginError> {
        let fields = require_fields(schema, PURPOSE)?;
        let headers = names.iter().map(|(name, _)| {
            let index = schema
                .field_index(name)
                .ok_or_else(|| PluginError::bad_record(format!("{PURPOSE}: there is no field {name}")))?;
            Ok((index, Arc::clone(&fields[index].schema)))
        });
        let headers: Vec<(usize, SchemaRef)> = headers.collect::<Result<_, PluginError>>()?;
        let moved = |index: &usize| headers.iter().any(|(its, _)| its == index);
        let kept: Vec<usize> = (0..fields.len()).filter(|index| !moved(index)).collect();
        let remaining = match moves {
            true => {
                let remaining = kept.iter().map(|index| fields[*index].clone()).collect();
                Arc::new(struct_like(schema, remaining)?)
            }
            false => Arc::clone(schema),
        };
        Ok(Self {
            schema: remaining,
            kept,
            headers,
        })
    }
}

impl Transform for HeaderFrom {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let mut headers = take(&mut record.headers);
        let datum = std::mem::replace(self.side.of(&mut record), Datum::NULL);
        let datum = match &datum.schema {
            Some(schema) => self.apply_to_struct(datum.value, schema, &mut headers)?,
            None => self.apply_to_map(datum.value, &mut headers)?,
        };
        *self.side.of(&mut record) = datum;
        record.headers = headers;
        Ok(Some(record))
    }
}
