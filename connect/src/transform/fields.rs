//! Fields of structs and of maps without a schema.
use std::sync::Arc;

use bytestring::ByteString;

use crate::config::{Config, ConfigKey, ConfigType, Importance};
use crate::plugin::PluginError;
use crate::record::{Field, Schema, SchemaRef, Struct, Value};

/// What is done with a field that is null and has a default.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nulls {
    replace: bool,
}

impl Nulls {
    const KEY: &'static str = "replace.null.with.default";

    /// The declaration of the key that decides it.
    pub(super) fn key() -> ConfigKey {
        ConfigKey::with_default(
            Self::KEY,
            ConfigType::Boolean,
            "true",
            Importance::Medium,
            "Whether to replace fields that have a default value and that are null to the default value. \
             When set to true, the default value is used, otherwise null is used.",
        )
    }

    /// As the configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let replace = config.boolean(Self::KEY);
        Self { replace }
    }

    /// Nulls become defaults.
    pub(super) const REPLACED: Self = Self { replace: true };

    /// What `value` of `schema` stands for.
    pub(super) fn read(self, schema: &Schema, value: Value) -> Value {
        match (&schema.default, value) {
            (Some(default), Value::Null) if self.replace => default.clone(),
            (_, value) => value,
        }
    }

    /// The values of all fields of a struct, as they are to be put into another one.
    pub(super) fn read_all(self, from: Struct) -> (SchemaRef, Vec<Value>) {
        let schema = Arc::clone(from.schema());
        let mut values = from.into_values();
        for (field, value) in schema.fields().iter().zip(&mut values) {
            if value.is_null() {
                *value = self.read(&field.schema, Value::Null);
            }
        }
        (schema, values)
    }
}

/// Refuses to put null into a field that must have a value (Kafka's `Struct.put`, which no default satisfies), or a struct that lacks one.
pub(super) fn check_null(field: &Field, value: &Value) -> Result<(), PluginError> {
    match value {
        Value::Null if !field.schema.optional => Err(PluginError::bad_record(format!(
            "the field {} is null, but its schema is not optional",
            field.name
        ))),
        Value::Struct(inside) => {
            let mut both = inside.schema().fields().iter().zip(inside.values());
            both.try_for_each(
                |(field, value)| match value.is_null() && field.schema.default.is_some() {
                    true => Ok(()),
                    false => check_null(field, value),
                },
            )
        }
        _ => Ok(()),
    }
}

/// [`check_null`] for all fields.
pub(super) fn check_nulls(schema: &Schema, values: &[Value]) -> Result<(), PluginError> {
    let mut both = schema.fields().iter().zip(values);
    both.try_for_each(|(field, value)| check_null(field, value))
}

/// A struct with these fields and what `like` has beside its fields, but neither optional nor with a default.
pub(super) fn struct_like(like: &Schema, fields: Vec<Field>) -> Result<Schema, PluginError> {
    if fields.iter().any(|field| field.name.is_empty()) {
        return Err(PluginError::bad_record(
            "the transform makes a field without a name",
        ));
    }
    let schema = Schema::try_struct(fields).map_err(|error| {
        PluginError::bad_record("the transform makes a schema that cannot be").caused_by(error)
    })?;
    Ok(described_like(like, schema))
}

/// `schema` with the name, version, documentation and parameters of `like`.
pub(super) fn described_like(like: &Schema, mut schema: Schema) -> Schema {
    schema.name.clone_from(&like.name);
    schema.version = like.version;
    schema.doc.clone_from(&like.doc);
    schema.parameters.clone_from(&like.parameters);
    schema
}

/// The struct that `value` is.
pub(super) fn require_struct(value: Value, purpose: &str) -> Result<Struct, PluginError> {
    match value {
        Value::Struct(its) => Ok(its),
        other => Err(PluginError::bad_record(format!(
            "{purpose} needs a struct where there is a schema, and found {}",
            other.kind_name()
        ))),
    }
}

/// The struct that `value` is, with as many fields as `schema` has: a connector may have given it another one.
pub(super) fn require_struct_of(value: Value, schema: &Schema, purpose: &str) -> Result<Struct, PluginError> {
    let its = require_struct(value, purpose)?;
    match its.values().len() == schema.fields().len() {
        true => Ok(its),
        false => Err(PluginError::bad_record(format!(
            "{purpose}: the struct has {} fields, but its schema has {}",
            its.values().len(),
            schema.fields().len()
        ))),
    }
}

/// The fields of a schema that has some.
pub(super) fn require_fields<'a>(schema: &'a Schema, purpose: &str) -> Result<&'a [Field], PluginError> {
    match &schema.kind {
        crate::record::SchemaKind::Struct(fields) => Ok(fields),
        _ => Err(PluginError::bad_record(format!(
            "{purpose} needs the schema of a struct, and found {}",
            schema.kind_name()
        ))),
    }
}

/// Entries of a map, in their order.
pub(super) type Entries = Vec<(Value, Value)>;

/// The map that `value` is.
pub(super) fn require_map(value: Value, purpose: &str) -> Result<Entries, PluginError> {
    match value {
        Value::Map(entries) => Ok(entries),
        other => Err(PluginError::bad_record(format!(
            "{purpose} needs a map where there is no schema, and found {}",
            other.kind_name()
        ))),
    }
}

/// The value of `name` in a map.
pub(super) fn entry<'a>(entries: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
    found.map(|(_, value)| value)
}

/// Sets `name` in a map.
pub(super) fn put_entry(entries: &mut Entries, name: &ByteString, value: Value) {
    match entries.iter_mut().find(|(key, _)| key.as_str() == Some(&**name)) {
        Some((_, its)) => *its = value,
        None => entries.push((Value::String(name.clone()), value)),
    }
}

/// A check for lists that must not be empty, or hold an empty name. A name may come twice, and counts once: see [`distinct`].
pub(super) fn some_names(text: &str) -> Result<(), String> {
    match text.trim().is_empty() {
        true => Err("Configuration must not be empty".to_owned()),
        false => any_names(text),
    }
}

/// A check for lists that must not hold an empty name.
pub(super) fn any_names(text: &str) -> Result<(), String> {
    let mut names = text.split(',').map(str::trim);
    match !text.trim().is_empty() && names.any(str::is_empty) {
        true => Err("Configuration values must not be empty".to_owned()),
        false => Ok(()),
    }
}

/// Each name once, where it first stands.
pub(super) fn distinct(names: &[String]) -> Vec<ByteString> {
    let mut seen = std::collections::HashSet::new();
    let first = names.iter().filter(|name| seen.insert(name.as_str()));
    first.map(|name| ByteString::from(&**name)).collect()
}

/// A check for lists that must not be empty.
pub(super) fn non_empty_list(text: &str) -> Result<(), String> {
    match text.trim().is_empty() {
        true => Err("Empty list".to_owned()),
        false => Ok(()),
    }
}

/// A check for one of these words, in exactly these letters.
pub(super) fn exactly_one_of(
    values: &'static [&'static str],
) -> impl Fn(&str) -> Result<(), String> + Send + Sync {
    move |text| match values.contains(&text.trim()) {
        true => Ok(()),
        false => Err(format!("String must be one of: {}", values.join(", "))),
    }
}
