//! Google's wrappers: messages of one field, for values that can be null or stand alone.
use super::files::{FieldKind, Message};
use super::from_connect::Written;
use super::wire::Scalar;
use crate::converter::problem::Problem;
use crate::record::{Schema, SchemaKind, logical};

/// The wrappers, as Confluent's converter prints their file.
const WRAPPERS_HEAD: &str = r#"syntax = "proto3";
package google.protobuf;

option java_package = "com.google.protobuf";
option java_outer_classname = "WrappersProto";
option java_multiple_files = true;
option go_package = "google.golang.org/protobuf/types/known/wrapperspb";
option cc_enable_arenas = true;
option objc_class_prefix = "GPB";
option csharp_namespace = "Google.Protobuf.WellKnownTypes";

"#;

/// The messages in that file, and the types of their fields.
const WRAPPERS: [(&str, &str); 9] = [
    ("DoubleValue", "double"),
    ("FloatValue", "float"),
    ("Int64Value", "int64"),
    ("UInt64Value", "uint64"),
    ("Int32Value", "int32"),
    ("UInt32Value", "uint32"),
    ("BoolValue", "bool"),
    ("StringValue", "string"),
    ("BytesValue", "bytes"),
];

/// A value that is no struct is written as the wrapper of its type.
pub(super) fn write(schema: &Schema) -> Result<Written, Problem> {
    let is_logical = matches!(
        schema.name.as_deref(),
        Some(logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP)
    );
    let wrapper = if is_logical { None } else { of_kind(&schema.kind) };
    let wrapper = wrapper.ok_or_else(|| {
        let kind = schema.name.as_deref().unwrap_or_else(|| schema.kind_name());
        Problem::new(format!(
            "Protobuf has messages only: a whole value can be a struct, a number, a boolean, a string or bytes, not {kind}; \
             put it into a struct, with the transform HoistField"
        ))
    })?;
    let mut text = WRAPPERS_HEAD.to_owned();
    for (name, kind) in WRAPPERS {
        text.push_str(&format!("message {name} {{\n  {kind} value = 1;\n}}\n"));
    }
    let full = wrapper.to_owned();
    Ok(Written { text, full })
}

/// The full name of the wrapper for values of this kind.
pub(super) fn of_kind(kind: &SchemaKind) -> Option<&'static str> {
    Some(match kind {
        SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32 => "google.protobuf.Int32Value",
        SchemaKind::Int64 => "google.protobuf.Int64Value",
        SchemaKind::Float32 => "google.protobuf.FloatValue",
        SchemaKind::Float64 => "google.protobuf.DoubleValue",
        SchemaKind::Boolean => "google.protobuf.BoolValue",
        SchemaKind::String => "google.protobuf.StringValue",
        SchemaKind::Bytes => "google.protobuf.BytesValue",
        _ => return None,
    })
}

/// The type of the value in a wrapper of Google's.
pub(super) fn wrapped(message: &Message) -> Option<Scalar> {
    let name = message.full.strip_prefix("google.protobuf.")?;
    let is_wrapper = matches!(
        name,
        "DoubleValue"
            | "FloatValue"
            | "Int64Value"
            | "UInt64Value"
            | "Int32Value"
            | "UInt32Value"
            | "BoolValue"
            | "StringValue"
            | "BytesValue"
    );
    match message.field("value").filter(|_| is_wrapper)?.kind {
        FieldKind::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}
