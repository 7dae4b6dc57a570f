//! `ByLogicalTableRouter`: the tables of one logical table, such as its shards, to one topic.
//!
//! The topic is found by a regular expression. Keys get a field that says which table a row is of, as rows of several tables may have the same
//! key; schemas are named after the new topic.
use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::config::{Config, ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance, Width};
use millstream_connect::plugin::{PluginError, Transform};
use millstream_connect::record::{Datum, Field, Record, Schema, SchemaRef, Struct, Value};
use millstream_connect::transform::{JavaRegex, Replacement};

use super::envelope::{self, described_like, place, require_struct};
use super::plugin;
use crate::mysql::config::NameAdjustment;
use crate::mysql::record::naming::{Named, adjusted};

const PURPOSE: &str = "routing by logical table";

plugin!(
    ByLogicalTableRouter,
    "io.debezium.transforms.ByLogicalTableRouter",
    keys,
    Router::new
);

/// A key: its name, type, default, room in a form, and what it does.
type Row = (
    &'static str,
    ConfigType,
    Option<&'static str>,
    Width,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = {
    use ConfigType::{Boolean, Int, String as Text};
    &[
        ("topic.regex", Text, None, Width::Long, "A regular expression that a topic has to match as a whole; others stay as they are."),
        ("topic.replacement", Text, None, Width::Long, "The new topic; $1 and ${name} stand for groups."),
        ("key.enforce.uniqueness", Boolean, Some("true"), Width::Short, UNIQUE),
        ("key.field.regex", Text, None, Width::Long, "What says which table a topic is of; without it that is the whole topic."),
        ("key.field.replacement", Text, None, Width::Long, "What stands in the key's field; $1 and ${name} stand for groups of key.field.regex."),
        ("logical.table.cache.size", Int, Some("16"), Width::Long, "How many topics are remembered with where they go."),
        ("key.field.name", Text, Some("__dbz__physicalTableIdentifier"), Width::Long, "The name of the key's field."),
        ("schema.name.adjustment.mode", Text, Some("none"), Width::Medium, ADJUST),
    ]
};

const UNIQUE: &str = "Whether keys get a field that says which topic they would have gone to. Without it, rows of two tables may have one key.";
const ADJUST: &str = "What becomes of characters in names of schemas that Avro does not take: none, avro (_) or avro_unicode (_uXXXX).";

fn keys() -> ConfigDef {
    let rows = ROWS.iter();
    rows.fold(
        ConfigDef::new(),
        |all, (name, kind, default, width, documentation)| {
            let key = match default {
                Some(default) => {
                    ConfigKey::with_default(name, *kind, default, Importance::Low, documentation)
                }
                None if name.starts_with("topic.") => {
                    ConfigKey::required(name, *kind, Importance::Low, documentation).not_empty()
                }
                None => ConfigKey::optional(name, *kind, Importance::Low, documentation),
            };
            let key = match *name {
                "topic.regex" => key.checked(|text| match text.trim().is_empty() {
                    true => Err("String must be non-empty".to_owned()),
                    false => regex(text),
                }),
                "key.field.regex" => key.checked(regex),
                "logical.table.cache.size" => key.between(1, 1_000_000),
                "schema.name.adjustment.mode" => key.one_of(&["none", "avro", "avro_unicode"]),
                _ => key,
            };
            all.with(ConfigKey {
                width: *width,
                order_in_group: 1,
                ..key
            })
        },
    )
}

fn regex(text: &str) -> Result<(), String> {
    match text.trim().is_empty() {
        true => Ok(()),
        false => JavaRegex::new(text.trim())
            .map(drop)
            .map_err(|wrong| format!("A valid regular expression is expected, but {wrong}")),
    }
}

/// A regular expression and what stands for its matches.
struct Rewriting {
    regex: JavaRegex,
    replacement: Replacement,
}

impl Rewriting {
    fn new(config: &Config, regex: &str, replacement: &str) -> Result<Self, PluginError> {
        let wrong = |key: &str, error| PluginError::user_config(format!("{key}: {error}"));
        let compiled = JavaRegex::new(config.string(regex)).map_err(|error| wrong(regex, error))?;
        let parsed = Replacement::new(config.string(replacement), &compiled);
        Ok(Self {
            replacement: parsed.map_err(|error| wrong(replacement, error))?,
            regex: compiled,
        })
    }

    /// Nothing if it does not match.
    fn of(&self, topic: &str) -> Option<String> {
        let matches = self.regex.matches(topic);
        matches.then(|| self.regex.replace_first(topic, &self.replacement))
    }
}

struct Router {
    topic: Rewriting,
    /// The name of the key's field, and what stands in it.
    identifier: Option<(Arc<str>, Option<Rewriting>)>,
    adjustment: NameAdjustment,
    routes: HashMap<Arc<str>, Option<Route>>,
    routes_max: usize,
}

/// Where the records of a topic go.
struct Route {
    topic: Arc<str>,
    identifier: ByteString,
    /// The last schemas that were met, and what they became.
    key: Option<(SchemaRef, SchemaRef)>,
    envelope: Option<Envelope>,
}

struct Envelope {
    from: SchemaRef,
    schema: SchemaRef,
    /// The rows before and after: their places, and their new schemas.
    sides: Vec<(usize, SchemaRef)>,
}

impl Router {
    fn new(config: &Config, _given: &ConfigMap) -> Result<Self, PluginError> {
        let given = |key: &str| config.optional_string(key).is_some_and(|text| !text.is_empty());
        let by = match (given("key.field.regex"), given("key.field.replacement")) {
            (true, false) => {
                return Err(PluginError::user_config(
                    "key.field.replacement must be non-empty if key.field.regex is set",
                ));
            }
            (true, true) => Some(Rewriting::new(
                config,
                "key.field.regex",
                "key.field.replacement",
            )?),
            (false, _) => None,
        };
        let unique = config.boolean("key.enforce.uniqueness");
        Ok(Self {
            topic: Rewriting::new(config, "topic.regex", "topic.replacement")?,
            identifier: unique.then(|| (config.string("key.field.name").into(), by)),
            adjustment: match &*config.string("schema.name.adjustment.mode").to_ascii_lowercase() {
                "avro" => NameAdjustment::Avro,
                "avro_unicode" => NameAdjustment::AvroUnicode,
                _ => NameAdjustment::None,
            },
            routes: HashMap::new(),
            routes_max: usize::try_from(config.int("logical.table.cache.size")).unwrap_or(1),
        })
    }

    fn route(&self, topic: &str) -> Option<Route> {
        let to = self.topic.of(topic)?;
        if to.is_empty() {
            tracing::warn!(
                "topic.regex and topic.replacement make an empty name of {topic}; its records stay there"
            );
            return None;
        }
        let by = self.identifier.as_ref().and_then(|(_, by)| by.as_ref());
        let identifier = by.and_then(|by| by.of(topic)).unwrap_or_else(|| topic.to_owned());
        Some(Route {
            topic: to.into(),
            identifier: identifier.into(),
            key: None,
            envelope: None,
        })
    }

    fn name(&self, proposed: &str) -> Arc<str> {
        adjusted(proposed, self.adjustment, Named::Schema).into()
    }

    fn key_schema(&self, old: &Schema, topic: &str) -> Result<SchemaRef, PluginError> {
        let mut fields = old.fields().to_vec();
        if let Some((name, _)) = &self.identifier {
            fields.push(Field {
                name: Arc::clone(name),
                schema: Schema::string(),
            });
        }
        let schema = renamed(old, fields, self.name(&format!("{topic}.Key")))?;
        Ok(Arc::new(schema))
    }

    fn move_key(&self, route: &mut Route, key: &mut Datum) -> Result<(), PluginError> {
        if key.is_null() {
            *key = Datum::NULL;
            return Ok(());
        }
        let schema = match &key.value {
            Value::Struct(its) => Arc::clone(its.schema()),
            other => {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE} needs keys that are structs, and found {}; see key.enforce.uniqueness",
                    other.kind_name()
                )));
            }
        };
        let known = route.key.take().filter(|(from, _)| same(from, &schema));
        let new = match known {
            Some((_, new)) => new,
            None => self.key_schema(&schema, &route.topic)?,
        };
        let mut values = require_struct(take(&mut key.value), &schema, PURPOSE)?.into_values();
        if self.identifier.is_some() {
            values.push(Value::String(route.identifier.clone()));
        }
        *key = Datum::new(
            Arc::clone(&new),
            Value::Struct(Struct::new(Arc::clone(&new), values)),
        );
        route.key = Some((schema, new));
        Ok(())
    }

    fn envelope(&self, from: &SchemaRef, topic: &str) -> Result<Envelope, PluginError> {
        let before = place(from, "before", PURPOSE)?;
        let name = self.name(&format!("{topic}.Value"));
        let after = from.field_index("after");
        let mut fields = from.fields().to_vec();
        let mut sides: Vec<(usize, SchemaRef)> = Vec::new();
        for side in [Some(before), after].into_iter().flatten() {
            // Either may lack fields that the other one has.
            let old = &from.fields()[side].schema;
            let known = sides
                .iter()
                .find(|(its, _)| same(&from.fields()[*its].schema, old));
            let row = match known {
                Some((_, row)) => Arc::clone(row),
                None => Arc::new(renamed(old, old.fields().to_vec(), Arc::clone(&name))?),
            };
            fields[side].schema = Arc::clone(&row);
            sides.push((side, row));
        }
        let schema = renamed(from, fields, self.name(&envelope::schema_name(topic)))?;
        Ok(Envelope {
            from: Arc::clone(from),
            schema: Arc::new(schema),
            sides,
        })
    }

    fn move_change(&self, route: &mut Route, value: &mut Datum) -> Result<(), PluginError> {
        let Some(schema) = envelope::schema(value).filter(|_| !value.is_null()).cloned() else {
            return Ok(());
        };
        let known = route.envelope.take().filter(|its| same(&its.from, &schema));
        let its = match known {
            Some(its) => its,
            None => self.envelope(&schema, &route.topic)?,
        };
        let mut values = require_struct(take(&mut value.value), &schema, PURPOSE)?.into_values();
        for (side, schema) in &its.sides {
            if !values[*side].is_null() {
                let row = require_struct(take(&mut values[*side]), schema, PURPOSE)?;
                values[*side] = Value::Struct(Struct::new(Arc::clone(schema), row.into_values()));
            }
        }
        *value = Datum::new(
            Arc::clone(&its.schema),
            Value::Struct(Struct::new(Arc::clone(&its.schema), values)),
        );
        route.envelope = Some(its);
        Ok(())
    }
}

fn same(one: &SchemaRef, other: &SchemaRef) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// `old` with these fields and another name, without a default.
fn renamed(old: &Schema, fields: Vec<Field>, name: Arc<str>) -> Result<Schema, PluginError> {
    let schema = Schema::try_struct(fields).map_err(|error| {
        PluginError::bad_record(format!("{PURPOSE}: another key.field.name is needed")).caused_by(error)
    })?;
    let mut schema = described_like(old, schema);
    schema.name = Some(name);
    schema.optional = old.optional;
    Ok(schema)
}

impl Transform for Router {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        // The route is taken out while its schemas are asked for, and put back.
        let route = match self.routes.get_mut(&record.topic) {
            Some(known) => known.take(),
            None => {
                let route = self.route(&record.topic);
                if self.routes.len() >= self.routes_max {
                    self.routes.clear();
                }
                self.routes.insert(Arc::clone(&record.topic), None);
                route
            }
        };
        let Some(mut route) = route else {
            return Ok(Some(record));
        };
        let moved = self
            .move_key(&mut route, &mut record.key)
            .and_then(|()| self.move_change(&mut route, &mut record.value));
        let topic = std::mem::replace(&mut record.topic, Arc::clone(&route.topic));
        self.routes.insert(topic, Some(route));
        moved.map(|()| Some(record))
    }
}
