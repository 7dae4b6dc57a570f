//! JSON: of texts that are it already, and of what has parts.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_connect::record::Value;
use serde_json::{Map, Number, Value as Json};

use super::literal::shown_as_text;
use super::meaning::plain;
use super::{Cell, Unfit, text};

/// How deep values may be.
const DEPTH_MAX: usize = 100;

/// A value of a column of JSON.
pub(super) fn write(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match cell {
        // The server says whether it is JSON.
        Cell::Text(value) | Cell::Exact(value) | Cell::LocalText(value) => text::push_text(out, value),
        Cell::Nested(value) => text::push_text(out, &self::text(value)?),
        Cell::Vector(numbers) => {
            let parts: Result<Vec<Json>, Unfit> = numbers.iter().map(|number| json(number, 0)).collect();
            text::push_text(out, &Json::Array(parts?).to_string());
        }
        Cell::Boolean(_) | Cell::Integer(_) | Cell::Natural(_) | Cell::Year(_) | Cell::Decimal(_) => {
            out.push(b'\'');
            shown_as_text(cell, out)?;
            out.push(b'\'');
        }
        Cell::Float(number) => text::push_text(out, &float((*number).into())?.to_string()),
        Cell::Double(number) => text::push_text(out, &float(*number)?.to_string()),
        cell => {
            let mut shown = Vec::new();
            shown_as_text(cell, &mut shown)?;
            let shown = String::from_utf8_lossy(&shown).into_owned();
            text::push_text(out, &Json::String(shown).to_string());
        }
    }
    Ok(())
}

/// A value with parts, as JSON; bytes are base64.
pub(super) fn text(value: &Value) -> Result<String, Unfit> {
    Ok(json(value, 0)?.to_string())
}

fn float(number: f64) -> Result<Json, Unfit> {
    let number = Number::from_f64(number);
    number
        .map(Json::Number)
        .ok_or_else(|| Unfit::new("it has a number that is not finite, which JSON does not know"))
}

fn json(value: &Value, depth: usize) -> Result<Json, Unfit> {
    if depth > DEPTH_MAX {
        return Err(Unfit::new(format!("its parts are more than {DEPTH_MAX} deep")));
    }
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Int8(number) => Json::from(*number),
        Value::Int16(number) => Json::from(*number),
        Value::Int32(number) => Json::from(*number),
        Value::Int64(number) => Json::from(*number),
        Value::Float32(number) => float((*number).into())?,
        Value::Float64(number) => float(*number)?,
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            let mut shown = Vec::new();
            shown_as_text(&plain(value), &mut shown)?;
            Json::String(String::from_utf8_lossy(&shown).into_owned())
        }
        Value::Array(values) => {
            let parts: Result<Vec<Json>, Unfit> = values.iter().map(|value| json(value, depth + 1)).collect();
            Json::Array(parts?)
        }
        Value::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = match key {
                    Value::String(text) => text.to_string(),
                    other => json(other, depth + 1)?.to_string(),
                };
                map.insert(key, json(value, depth + 1)?);
            }
            Json::Object(map)
        }
        Value::Struct(parts) => {
            let mut map = Map::new();
            for (field, value) in parts.schema().fields().iter().zip(parts.values()) {
                map.insert(field.name.to_string(), json(value, depth + 1)?);
            }
            Json::Object(map)
        }
    })
}
