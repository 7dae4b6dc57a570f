//! Reads schemas from JSON.
use std::sync::Arc;

use super::decode::Decoder;
use super::tree::{Members, Node};
use crate::converter::problem::Problem;
use crate::record::{Field, Schema, SchemaKind, SchemaRef, Value};

/// The schema that `node` describes; none if it is null.
pub(super) fn read(decoder: &Decoder<'_>, node: &Node<'_>) -> Result<Option<SchemaRef>, Problem> {
    let Some(kind) = node.get("type").and_then(Node::as_text) else {
        return match node {
            Node::Null => Ok(None),
            _ => Err(Problem::new("a schema has no text named type")),
        };
    };
    let mut schema = with_kind(decoder, kind, node)?;
    schema.optional = matches!(node.get("optional"), Some(Node::Boolean(true)));
    schema.name = node.get("name").and_then(Node::as_text).map(Arc::from);
    schema.doc = node.get("doc").and_then(Node::as_text).map(Arc::from);
    schema.version = match node.get("version") {
        Some(Node::Number(number)) if number.is_whole() => Some(number.long() as i32),
        _ => None,
    };
    if let Some(Node::Object(Members(parameters))) = node.get("parameters") {
        for (name, value) in parameters {
            let Some(value) = value.as_text() else {
                return Err(Problem::new(format!("the parameter {name} is not a text")));
            };
            schema.parameters.push((Arc::from(&**name), Arc::from(value)));
        }
    }
    let schema = Arc::new(schema);
    let Some(default) = node.get("default") else {
        return Ok(Some(schema));
    };
    let within = |problem: Problem| problem.within(" (the default)");
    let default = decoder.value(Some(&schema), default).map_err(within)?;
    let schema = Arc::unwrap_or_clone(schema);
    Ok(Some(Arc::new(match default {
        Value::Null if schema.optional => schema,
        Value::Null => return Err(within(Problem::new("null, which the schema does not allow"))),
        default => {
            schema
                .check(&default)
                .map_err(|error| within(Problem::new(error.to_string())))?;
            schema.with_default(default)
        }
    })))
}

fn with_kind(decoder: &Decoder<'_>, kind: &str, node: &Node<'_>) -> Result<Schema, Problem> {
    let part = |name: &str| match node.get(name) {
        Some(part) => {
            let part = read(decoder, part).map_err(|problem| problem.within(format_args!(" ({name})")))?;
            part.ok_or_else(|| Problem::new(format!("{name} of a schema of type {kind} is null")))
        }
        None => Err(Problem::new(format!("a schema of type {kind} has no {name}"))),
    };
    let kind = match kind {
        "boolean" => SchemaKind::Boolean,
        "int8" => SchemaKind::Int8,
        "int16" => SchemaKind::Int16,
        "int32" => SchemaKind::Int32,
        "int64" => SchemaKind::Int64,
        "float" => SchemaKind::Float32,
        "double" => SchemaKind::Float64,
        "bytes" => SchemaKind::Bytes,
        "string" => SchemaKind::String,
        "array" => SchemaKind::Array(part("items")?),
        "map" => SchemaKind::Map(part("keys")?, part("values")?),
        "struct" => return structure(decoder, node),
        other => return Err(Problem::new(format!("{other} is no type of a schema"))),
    };
    Ok(kind.into())
}

fn structure(decoder: &Decoder<'_>, node: &Node<'_>) -> Result<Schema, Problem> {
    let Some(Node::Array(nodes)) = node.get("fields") else {
        return Err(Problem::new("the fields of a struct are not an array"));
    };
    let mut fields = Vec::with_capacity(nodes.len());
    for node in nodes {
        let name = node.get("field").and_then(Node::as_text);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(Problem::new("a field of a struct has no text named field"));
        };
        let schema = read(decoder, node).map_err(|problem| problem.within(format_args!(".{name}")))?;
        let name = Arc::from(name);
        let schema = schema.expect("what has a member is not null");
        fields.push(Field { name, schema });
    }
    Schema::try_struct(fields).map_err(|error| Problem::new(error.to_string()))
}
