//! What Java's `toString` makes of a value.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::calendar::{DAY_MS, write_date_to_string};
use super::{write_decimal, write_f32, write_f64, write_integer};
use crate::record::Value;

/// Writes `value.toString()`. Bytes, of which Java tells only where they are in memory, are written in base64.
pub(crate) fn write_to_string(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Int8(number) => write_integer((*number).into(), out),
        Value::Int16(number) => write_integer((*number).into(), out),
        Value::Int32(number) => write_integer((*number).into(), out),
        Value::Int64(number) => write_integer(*number, out),
        Value::Float32(number) => write_f32(*number, out),
        Value::Float64(number) => write_f64(*number, out),
        Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        Value::Decimal(decimal) => write_decimal(decimal, out),
        Value::Date(days) => write_date_to_string(i64::from(*days) * DAY_MS, out),
        Value::Time(ms) => write_date_to_string((*ms).into(), out),
        Value::Timestamp(ms) => write_date_to_string(*ms, out),
        Value::Array(values) => {
            out.push(b'[');
            write_separated(values.iter(), b", ", out, write_to_string);
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            write_separated(entries.iter(), b", ", out, |(key, value), out| {
                write_to_string(key, out);
                out.push(b'=');
                write_to_string(value, out);
            });
            out.push(b'}');
        }
        Value::Struct(its) => {
            out.extend_from_slice(b"Struct{");
            let fields = its.schema().fields().iter().zip(its.values());
            let given = fields.filter(|(_, value)| !value.is_null());
            write_separated(given, b",", out, |(field, value), out| {
                out.extend_from_slice(field.name.as_bytes());
                out.push(b'=');
                write_to_string(value, out);
            });
            out.push(b'}');
        }
    }
}

fn write_separated<T>(
    items: impl Iterator<Item = T>,
    between: &[u8],
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.extend_from_slice(between);
        }
        write(item, out);
    }
}
