//! Values as JSON, one a line.
//!
//! Structs and maps are objects, bytes base64, decimals texts (a JSON number would lose digits in most readers), dates, times and
//! timestamps texts as in ISO 8601, numbers that JSON has not (NaN, infinities) null.
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, Time};
use jiff::{Span, Timestamp};
use millstream_connect::plugin::PluginError;
use millstream_connect::record::Value;

/// Writes a value behind what is in `out`.
///
/// # Errors
/// If a map has keys that are no texts, numbers or booleans.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<(), PluginError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => drop(write!(out, "{value}")),
        Value::Int8(value) => drop(write!(out, "{value}")),
        Value::Int16(value) => drop(write!(out, "{value}")),
        Value::Int32(value) => drop(write!(out, "{value}")),
        Value::Int64(value) => drop(write!(out, "{value}")),
        Value::Float32(value) => drop(serde_json::to_writer(out, value)),
        Value::Float64(value) => drop(serde_json::to_writer(out, value)),
        Value::String(text) => write_text(text, out),
        Value::Bytes(bytes) => write_text(&STANDARD.encode(bytes), out),
        Value::Decimal(value) => write_text(&value.to_plain_string(), out),
        Value::Date(days) => write_text(&date(*days), out),
        Value::Time(millis) => write_text(&time(*millis), out),
        Value::Timestamp(millis) => write_text(&timestamp(*millis), out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(value, out)?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_key(key, out)?;
                out.push(b':');
                write_value(value, out)?;
            }
            out.push(b'}');
        }
        Value::Struct(fields) => {
            out.push(b'{');
            for (index, (field, value)) in fields.schema().fields().iter().zip(fields.values()).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(&field.name, out);
                out.push(b':');
                write_value(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}

fn write_key(key: &Value, out: &mut Vec<u8>) -> Result<(), PluginError> {
    match key {
        Value::String(text) => write_text(text, out),
        Value::Array(_) | Value::Map(_) | Value::Struct(_) | Value::Bytes(_) => {
            return Err(PluginError::bad_record(format!(
                "a map with keys of type {} cannot be written as JSON; its keys have to be texts",
                key.kind_name()
            )));
        }
        other => {
            let mut text = Vec::new();
            super::text::write_value(other, &mut text);
            write_text(&String::from_utf8_lossy(&text), out);
        }
    }
    Ok(())
}

/// A day, as in ISO 8601.
pub(super) fn date(days: i32) -> String {
    let date = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).unwrap_or_default());
    date.map_or_else(|_| days.to_string(), |date| date.to_string())
}

/// A time of day, as in ISO 8601.
pub(super) fn time(millis: i32) -> String {
    let time = Time::midnight().checked_add(Span::new().milliseconds(millis));
    time.map_or_else(
        |_| millis.to_string(),
        |time| time.strftime("%H:%M:%S%.3f").to_string(),
    )
}

/// A moment in UTC, as in ISO 8601.
pub(super) fn timestamp(millis: i64) -> String {
    let time = Timestamp::from_millisecond(millis);
    time.map_or_else(
        |_| millis.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}
