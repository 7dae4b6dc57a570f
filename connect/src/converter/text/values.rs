//! Texts of header values, as `Values.convertToString` writes them.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::calendar::{DAY_MS, Day, write_time};
use super::{write_decimal, write_f32, write_f64, write_integer};
use crate::record::{Struct, Value};

/// Writes a value that is not null.
pub(crate) fn write_values(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => write_base64(bytes, out),
        value => write_embedded(value, out),
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn write_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_embedded(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Int8(number) => write_integer((*number).into(), out),
        Value::Int16(number) => write_integer((*number).into(), out),
        Value::Int32(number) => write_integer((*number).into(), out),
        Value::Int64(number) => write_integer(*number, out),
        Value::Float32(number) => write_f32(*number, out),
        Value::Float64(number) => write_f64(*number, out),
        Value::String(text) => write_quoted(text, out),
        Value::Bytes(bytes) => {
            out.push(b'"');
            write_base64(bytes, out);
            out.push(b'"');
        }
        Value::Decimal(decimal) => write_decimal(decimal, out),
        Value::Date(days) => write_date(i64::from(*days) * DAY_MS, out),
        Value::Time(ms) => write_date((*ms).into(), out),
        Value::Timestamp(ms) => write_date(*ms, out),
        Value::Array(values) => {
            out.push(b'[');
            write_separated(values, out, write_embedded);
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            write_separated(entries, out, |(key, value), out| {
                write_embedded(key, out);
                out.push(b':');
                write_embedded(value, out);
            });
            out.push(b'}');
        }
        Value::Struct(its) => write_struct(its, out),
    }
}

fn write_separated<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

fn write_struct(its: &Struct, out: &mut Vec<u8>) {
    out.push(b'{');
    let fields = its.schema().fields().iter().zip(its.values());
    for (number, (field, value)) in fields.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_quoted(&field.name, out);
        out.push(b':');
        match (value, &field.schema.default) {
            (Value::Null, Some(default)) => write_embedded(default, out),
            (value, _) => write_embedded(value, out),
        }
    }
    out.push(b'}');
}

/// Before 2 January 1970 the time alone, at midnight the date alone, otherwise both.
fn write_date(epoch_ms: i64, out: &mut Vec<u8>) {
    use std::io::Write;
    let (days, of_day_ms) = (epoch_ms.div_euclid(DAY_MS), epoch_ms.rem_euclid(DAY_MS));
    if epoch_ms >= DAY_MS {
        let Day { year, month, day } = Day::from_epoch(days);
        let _ = write!(out, "{year:04}-{month:02}-{day:02}");
        if of_day_ms == 0 {
            return;
        }
        out.push(b'T');
    }
    write_time(of_day_ms, out);
}
