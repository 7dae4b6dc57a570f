//! Structs as rows of CSV (RFC 4180, with line feeds).
//!
//! Null is nothing, an empty text is `""`, so that they can be told apart. Dates and the like are written as in ISO 8601; values with parts as JSON.
use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Datum, Struct, Value};

use super::{json, text};

fn fields(value: &Datum) -> Result<&Struct, PluginError> {
    match &value.value {
        Value::Struct(fields) => Ok(fields),
        other => Err(PluginError::bad_record(format!(
            "a value of type {} has no columns; format=csv needs structs (a converter with schemas, or the transform HoistField)",
            other.kind_name()
        ))),
    }
}

/// Writes the names of the columns, with a line end.
///
/// # Errors
/// If the value has none.
pub(super) fn write_header(value: &Datum, out: &mut Vec<u8>) -> Result<(), PluginError> {
    for (index, field) in fields(value)?.schema().fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(field.name.as_bytes(), out);
    }
    out.push(b'\n');
    Ok(())
}

/// Writes a row, without a line end.
///
/// # Errors
/// If the value has no columns, or one that cannot be written.
pub(super) fn write_row(value: &Datum, out: &mut Vec<u8>) -> Result<(), PluginError> {
    for (index, value) in fields(value)?.values().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match value {
            Value::Null => {}
            Value::String(text) if text.is_empty() => out.extend_from_slice(b"\"\""),
            Value::String(text) => write_text(text.as_bytes(), out),
            Value::Decimal(value) => out.extend_from_slice(value.to_plain_string().as_bytes()),
            Value::Date(days) => out.extend_from_slice(json::date(*days).as_bytes()),
            Value::Time(millis) => out.extend_from_slice(json::time(*millis).as_bytes()),
            Value::Timestamp(millis) => out.extend_from_slice(json::timestamp(*millis).as_bytes()),
            Value::Bytes(_) => {
                // Base64 between JSON's quotes, which CSV takes, too.
                json::write_value(value, out)?;
            }
            Value::Array(_) | Value::Map(_) | Value::Struct(_) => {
                let mut text = Vec::new();
                json::write_value(value, &mut text)?;
                write_text(&text, out);
            }
            other => text::write_value(other, out),
        }
    }
    Ok(())
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let padded = text.first() == Some(&b' ') || text.last() == Some(&b' ');
    if !padded && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
