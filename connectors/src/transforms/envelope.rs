//! Changes, as transforms meet them.
use std::sync::Arc;

use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};

/// What the names of changes' schemas end with.
const SUFFIX: &str = ".Envelope";

/// The schema of a change, if `datum` says that it is one.
pub(super) fn schema(datum: &Datum) -> Option<&SchemaRef> {
    let schema = datum.schema.as_ref()?;
    let name = schema.name.as_deref()?;
    name.ends_with(SUFFIX).then_some(schema)
}

/// The name of the schema of changes whose topic is `topic`.
pub(super) fn schema_name(topic: &str) -> String {
    format!("{topic}{SUFFIX}")
}

/// The struct that `value` is, of as many fields as `schema` says: whoever made the record may have given it another one.
pub(super) fn require_struct(value: Value, schema: &Schema, purpose: &str) -> Result<Struct, PluginError> {
    match value {
        Value::Struct(its) if its.values().len() == schema.fields().len() => Ok(its),
        Value::Struct(its) => Err(PluginError::bad_record(format!(
            "{purpose}: the struct has {} fields, but its schema has {}",
            its.values().len(),
            schema.fields().len()
        ))),
        other => Err(PluginError::bad_record(format!(
            "{purpose} needs a struct, and found {}",
            other.kind_name()
        ))),
    }
}

/// Where the field `name` of a struct is.
pub(super) fn place(schema: &Schema, name: &str, purpose: &str) -> Result<usize, PluginError> {
    schema.field_index(name).ok_or_else(|| {
        let has: Vec<&str> = schema.fields().iter().map(|field| &*field.name).collect();
        PluginError::bad_record(format!(
            "{purpose}: there is no field {name} in {}, which has {}",
            schema.name.as_deref().unwrap_or(schema.kind_name()),
            has.join(", ")
        ))
    })
}

/// Where the field `name` is, which has to be of `kind`.
pub(super) fn place_of(
    schema: &Schema,
    name: &str,
    kind: &SchemaKind,
    purpose: &str,
) -> Result<usize, PluginError> {
    let place = place(schema, name, purpose)?;
    let found = &schema.fields()[place].schema;
    match found.kind == *kind {
        true => Ok(place),
        false => Err(PluginError::bad_record(format!(
            "{purpose}: the field {name} is of type {}, and would have to be {}",
            found.kind_name(),
            Schema::from(kind.clone()).kind_name()
        ))),
    }
}

/// A struct of these fields with what `like` has beside its fields, but neither optional nor with a default.
pub(super) fn struct_like(like: &Schema, fields: Vec<Field>, purpose: &str) -> Result<Schema, PluginError> {
    let schema = Schema::try_struct(fields)
        .map_err(|error| PluginError::bad_record(purpose.to_owned()).caused_by(error))?;
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

/// What a field stands for: its default where it is null and has one.
pub(super) fn read(schema: &Schema, values: &[Value], place: usize) -> Value {
    match (&values[place], &schema.fields()[place].schema.default) {
        (Value::Null, Some(default)) => default.clone(),
        (value, _) => value.clone(),
    }
}

/// The last topic that was made: records that go to one come in runs.
#[derive(Debug, Default)]
pub(super) struct LastTopic(Option<Arc<str>>);

impl LastTopic {
    /// `name`, shared with the record before if that had the same.
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::clone(self.0.insert(name.into())),
        }
    }
}
