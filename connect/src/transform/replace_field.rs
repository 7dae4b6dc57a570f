//! `ReplaceField`: leaves fields out, or renames them.
use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;

use super::fields::{Nulls, any_names, check_nulls, put_entry, require_map, require_struct, struct_like};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Field, Record, Schema, SchemaRef, Struct, Value};

const PURPOSE: &str = "replacing fields";

plugin_for_sides!(ReplaceFieldPlugin, "ReplaceField", keys, ReplaceField::new);

fn keys() -> ConfigDef {
    let list = |name: &str, documentation: &str| {
        ConfigKey::with_default(name, ConfigType::List, "", Importance::Medium, documentation)
    };
    ConfigDef::new()
        .with(
            list(
                "exclude",
                "Fields to exclude. This takes precedence over the fields to include.",
            )
            .checked(any_names),
        )
        .with(
            list(
                "include",
                "Fields to include. If specified, only these fields will be used.",
            )
            .checked(any_names),
        )
        .with(list("renames", "Field rename mappings.").checked(|text| {
            let parts = text.split(',').map(str::trim);
            let parts = parts.filter(|_| !text.trim().is_empty());
            parts.map(rename).collect::<Result<Vec<_>, _>>().map(drop)
        }))
        .with(Nulls::key())
}

/// The old name and the new one.
fn rename(text: &str) -> Result<(&str, &str), String> {
    // Colons at the end count for nothing, as in Java's `split`.
    match text.trim_end_matches(':').split_once(':') {
        Some((from, to)) if !to.contains(':') => Ok((from, to)),
        _ => Err(format!("Invalid rename mapping: {text}")),
    }
}

struct ReplaceField {
    side: Side,
    names: Names,
    nulls: Nulls,
    plans: Plans<Plan>,
}

struct Names {
    exclude: HashSet<String>,
    include: HashSet<String>,
    renames: HashMap<String, ByteString>,
    /// Old names by new ones.
    origins: HashMap<ByteString, String>,
}

struct Plan {
    schema: SchemaRef,
    /// Where the value of each field was.
    origins: Vec<usize>,
    /// A field got the value of another one, of another schema: two fields were to have one name.
    mixed: bool,
}

impl ReplaceField {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let set = |key: &str| config.list(key).iter().cloned().collect();
        let (mut renames, mut origins) = (HashMap::new(), HashMap::new());
        for text in config.list("renames") {
            let (from, to) = rename(text).map_err(PluginError::user_config)?;
            // Of two new names for one field the later one counts.
            if let Some(before) = renames.insert(from.to_owned(), ByteString::from(to)) {
                origins.remove(&before);
            }
            origins.insert(ByteString::from(to), from.to_owned());
        }
        Ok(Self {
            side,
            names: Names {
                exclude: set("exclude"),
                include: set("include"),
                renames,
                origins,
            },
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }

    fn apply_to_struct(&mut self, datum: &mut Datum) -> Result<(), PluginError> {
        let from = require_struct(take(&mut datum.value), PURPOSE)?;
        let plan = self
            .plans
            .of(from.schema(), |schema| Plan::of(&self.names, schema))?;
        let schema = Arc::clone(&plan.schema);
        let old = Arc::clone(from.schema());
        let mut all = from.into_values();
        let read = |origin: &usize| {
            let value = take(&mut all[*origin]);
            self.nulls.read(&old.fields()[*origin].schema, value)
        };
        let values: Vec<Value> = plan.origins.iter().map(read).collect();
        check_nulls(&schema, &values)?;
        if plan.mixed {
            for (field, value) in schema.fields().iter().zip(&values) {
                let fits = field.schema.check(value);
                fits.map_err(|error| {
                    PluginError::bad_record(format!("{PURPOSE}: {} gets another field's value", field.name))
                        .caused_by(error)
                })?;
            }
        }
        datum.value = Value::Struct(Struct::new(Arc::clone(&schema), values));
        datum.schema = Some(schema);
        Ok(())
    }
}

impl Names {
    fn keeps(&self, name: &str) -> bool {
        !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name))
    }
}

impl Plan {
    fn of(names: &Names, schema: &Schema) -> Result<Self, PluginError> {
        let (mut fields, mut origins, mut mixed) = (Vec::new(), Vec::new(), false);
        for field in schema.fields().iter().filter(|field| names.keeps(&field.name)) {
            // A field that keeps its name, which another one was to get, has the value of that other one.
            let (name, origin) = match names.renames.get(&*field.name) {
                Some(name) => (Arc::from(&**name), &*field.name),
                None => {
                    let origin = names.origins.get(&*field.name);
                    (
                        Arc::clone(&field.name),
                        origin.map_or(&*field.name, |origin| &**origin),
                    )
                }
            };
            let index = schema.field_index(origin).ok_or_else(|| {
                PluginError::bad_record(format!(
                    "{PURPOSE}: {name} would come from {origin}, which is no field"
                ))
            })?;
            origins.push(index);
            mixed |= schema.fields()[index].schema != field.schema;
            let schema = Arc::clone(&field.schema);
            fields.push(Field { name, schema });
        }
        let schema = Arc::new(struct_like(schema, fields)?);
        Ok(Self {
            schema,
            origins,
            mixed,
        })
    }
}

impl Transform for ReplaceField {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        if datum.is_null() {
            return Ok(Some(record));
        }
        if datum.schema.is_some() {
            self.apply_to_struct(datum)?;
            return Ok(Some(record));
        }
        let mut entries = require_map(take(&mut datum.value), PURPOSE)?;
        entries.retain(|(key, _)| key.as_str().is_some_and(|name| self.names.keeps(name)));
        if !self.names.renames.is_empty() {
            let old = take(&mut entries);
            for (key, value) in old {
                let renamed = key.as_str().and_then(|name| self.names.renames.get(name));
                match (renamed, &key) {
                    (Some(name), _) => put_entry(&mut entries, name, value),
                    (None, Value::String(name)) => put_entry(&mut entries, name, value),
                    (None, _) => entries.push((key, value)),
                }
            }
        }
        datum.value = Value::Map(entries);
        Ok(Some(record))
    }
}
