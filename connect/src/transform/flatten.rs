//! `Flatten`: fields of structs and maps inside become fields of the outermost one.
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;

use super::fields::{
    Entries, Nulls, check_null, put_entry, require_fields, require_map, require_struct, struct_like,
};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

const PURPOSE: &str = "flattening";

/// How deep structs and maps may be within each other.
const DEPTH: usize = 256;

plugin_for_sides!(FlattenPlugin, "Flatten", keys, Flatten::new);

fn keys() -> ConfigDef {
    ConfigDef::new().with(ConfigKey::with_default(
        "delimiter",
        ConfigType::String,
        ".",
        Importance::Medium,
        "Delimiter to insert between field names from the input record when generating field names for the output record",
    ))
}

struct Flatten {
    side: Side,
    delimiter: String,
    plans: Plans<Plan>,
}

struct Plan {
    schema: SchemaRef,
    root: Vec<Node>,
}

/// What becomes of a field.
enum Node {
    /// It is the next field.
    Leaf,
    /// Its fields are the next ones: so many, by these.
    Struct(usize, Vec<Node>),
}

impl Flatten {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        Ok(Self {
            side,
            delimiter: config.string("delimiter").to_owned(),
            plans: Plans::new(),
        })
    }

    fn apply_with_schema(&mut self, datum: &mut Datum, schema: &SchemaRef) -> Result<(), PluginError> {
        let from = require_struct(take(&mut datum.value), PURPOSE)?;
        let delimiter = &self.delimiter;
        let plan = self.plans.of(schema, |schema| Plan::of(schema, delimiter))?;
        let mut values = Vec::with_capacity(plan.schema.fields().len());
        plan.move_fields(from, &plan.root, &mut values)?;
        datum.value = Value::Struct(Struct::new(Arc::clone(&plan.schema), values));
        datum.schema = Some(Arc::clone(&plan.schema));
        Ok(())
    }

    fn flatten_map(
        &self,
        from: Entries,
        prefix: &str,
        depth: usize,
        to: &mut Entries,
    ) -> Result<(), PluginError> {
        if depth > DEPTH {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: maps are more than {DEPTH} deep"
            )));
        }
        for (key, value) in from {
            let Value::String(key) = key else {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE}: a map without a schema has a key of type {}, not a text",
                    key.kind_name()
                )));
            };
            let name = match prefix.is_empty() {
                true => key,
                false => ByteString::from(format!("{prefix}{}{key}", self.delimiter)),
            };
            match value {
                Value::Map(inside) => self.flatten_map(inside, &name, depth + 1, to)?,
                Value::Struct(_)
                | Value::Decimal(_)
                | Value::Date(_)
                | Value::Time(_)
                | Value::Timestamp(_) => {
                    return Err(PluginError::bad_record(format!(
                        "{PURPOSE}: the field {name} is of type {}, which needs a schema",
                        value.kind_name()
                    )));
                }
                value => put_entry(to, &name, value),
            }
        }
        Ok(())
    }
}

impl Plan {
    fn of(schema: &Schema, delimiter: &str) -> Result<Self, PluginError> {
        let mut fields = Vec::new();
        let default = schema.default.as_ref();
        let outer = Outer {
            prefix: "",
            optional: schema.optional,
            default,
            depth: 0,
        };
        let root = outer.nodes(schema, delimiter, &mut fields)?;
        let schema = Arc::new(struct_like(schema, fields)?);
        Ok(Self { schema, root })
    }

    fn move_fields(&self, from: Struct, nodes: &[Node], values: &mut Vec<Value>) -> Result<(), PluginError> {
        let schema = Arc::clone(from.schema());
        if nodes.len() != schema.fields().len() {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: a struct has {} fields, but its schema has {}",
                schema.fields().len(),
                nodes.len()
            )));
        }
        for ((value, node), field) in from.into_values().into_iter().zip(nodes).zip(schema.fields()) {
            match (node, value) {
                (Node::Leaf, value) => {
                    let value = Nulls::REPLACED.read(&field.schema, value);
                    check_null(&self.schema.fields()[values.len()], &value)?;
                    values.push(value);
                }
                (Node::Struct(leaves, _), Value::Null) => {
                    values.resize(values.len() + leaves, Value::Null);
                }
                (Node::Struct(_, nodes), value) => {
                    self.move_fields(require_struct(value, PURPOSE)?, nodes, values)?;
                }
            }
        }
        Ok(())
    }
}

/// What fields inherit from the structs they are in.
struct Outer<'a> {
    prefix: &'a str,
    optional: bool,
    default: Option<&'a Value>,
    depth: usize,
}

impl Outer<'_> {
    fn nodes(&self, schema: &Schema, delimiter: &str, to: &mut Vec<Field>) -> Result<Vec<Node>, PluginError> {
        if self.depth > DEPTH {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: structs are more than {DEPTH} deep"
            )));
        }
        let fields = require_fields(schema, PURPOSE)?;
        let nodes = fields.iter().map(|field| self.node(field, delimiter, to));
        nodes.collect()
    }

    fn node(&self, field: &Field, delimiter: &str, to: &mut Vec<Field>) -> Result<Node, PluginError> {
        let name: Arc<str> = match self.prefix.is_empty() {
            true => Arc::clone(&field.name),
            false => Arc::from(format!("{}{delimiter}{}", self.prefix, field.name)),
        };
        let optional = self.optional || field.schema.optional;
        let default = match (&field.schema.default, self.default) {
            (None, Some(Value::Struct(outer))) => outer.get(&field.name).filter(|value| !value.is_null()),
            (own, _) => own.as_ref(),
        };
        match &field.schema.kind {
            SchemaKind::Struct(_) => {
                let before = to.len();
                let outer = Outer {
                    prefix: &name,
                    optional,
                    default,
                    depth: self.depth + 1,
                };
                let nodes = outer.nodes(&field.schema, delimiter, to)?;
                Ok(Node::Struct(to.len() - before, nodes))
            }
            SchemaKind::Map(..) => Err(PluginError::bad_record(format!(
                "{PURPOSE}: the field {name} is a map, which has no fields of its own in a schema"
            ))),
            _ => {
                let mut schema = (*field.schema).clone();
                schema.optional = optional;
                schema.default = default.cloned();
                let schema = match schema == *field.schema {
                    true => Arc::clone(&field.schema),
                    false => Arc::new(schema),
                };
                to.push(Field { name, schema });
                Ok(Node::Leaf)
            }
        }
    }
}

impl Transform for Flatten {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        if datum.is_null() {
            return Ok(Some(record));
        }
        match datum.schema.clone() {
            Some(schema) => self.apply_with_schema(datum, &schema)?,
            None => {
                let from = require_map(take(&mut datum.value), PURPOSE)?;
                let mut to = Entries::with_capacity(from.len());
                self.flatten_map(from, "", 0, &mut to)?;
                datum.value = Value::Map(to);
            }
        }
        Ok(Some(record))
    }
}
