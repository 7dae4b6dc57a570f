//! Writes values and schemas as JSON.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;

use super::DecimalFormat;
use crate::converter::problem::Problem;
use crate::converter::text::{write_decimal, write_f32, write_f64, write_integer};
use crate::record::{Schema, SchemaKind, SchemaRef, Value, logical};

/// How values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    pub(super) decimals: DecimalFormat,
    pub(super) replace_null: bool,
}

type Done = Result<(), Problem>;

impl Encoder {
    /// Writes a value of `schema`, or of none.
    pub(super) fn value(self, schema: Option<&SchemaRef>, value: &Value, out: &mut Vec<u8>) -> Done {
        let Some(schema) = schema else {
            return self.schemaless(value, out);
        };
        if value.is_null() {
            return match &schema.default {
                Some(default) if self.replace_null => self.value(Some(schema), default, out),
                _ if schema.optional => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
                _ => Err(Problem::new(
                    "the value is null, but its schema is neither optional nor has a default",
                )),
            };
        }
        if let Some(name) = &schema.name
            && let Some(done) = self.logical(name, schema, value, out)
        {
            return done;
        }
        match (&schema.kind, value) {
            (SchemaKind::Array(element), Value::Array(values)) => self.array(Some(element), values, out),
            (SchemaKind::Map(key, element), Value::Map(entries)) if key.kind == SchemaKind::String => {
                self.object(Some((key, element)), entries, out)
            }
            (SchemaKind::Map(key, element), Value::Map(entries)) => {
                self.pairs(Some((key, element)), entries, out)
            }
            (SchemaKind::Struct(_), Value::Struct(its)) => {
                if !std::sync::Arc::ptr_eq(its.schema(), schema) && **its.schema() != **schema {
                    return Err(Problem::new("the struct has another schema than is said of it"));
                }
                self.structure(schema, its.values(), out)
            }
            (SchemaKind::Int8, Value::Int8(_))
            | (SchemaKind::Int16, Value::Int16(_))
            | (SchemaKind::Int32, Value::Int32(_))
            | (SchemaKind::Int64, Value::Int64(_))
            | (SchemaKind::Float32, Value::Float32(_))
            | (SchemaKind::Float64, Value::Float64(_))
            | (SchemaKind::Boolean, Value::Boolean(_))
            | (SchemaKind::String, Value::String(_))
            | (SchemaKind::Bytes, Value::Bytes(_)) => self.schemaless(value, out),
            _ => Err(mismatch(schema.kind_name(), value)),
        }
    }

    /// Writes a value as its logical type says; none if `name` is not one's.
    fn logical(self, name: &str, schema: &Schema, value: &Value, out: &mut Vec<u8>) -> Option<Done> {
        Some(match (name, value) {
            (logical::DECIMAL, Value::Decimal(decimal)) => self.decimal(schema, decimal, out),
            (logical::DATE, Value::Date(days)) => {
                write_integer((*days).into(), out);
                Ok(())
            }
            (logical::TIME, Value::Time(ms)) if (0..=86_400_000).contains(ms) => {
                write_integer((*ms).into(), out);
                Ok(())
            }
            (logical::TIME, Value::Time(ms)) => Err(Problem::new(format!("{ms} ms are no time of a day"))),
            (logical::TIMESTAMP, Value::Timestamp(ms)) => {
                write_integer(*ms, out);
                Ok(())
            }
            (logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP, other) => {
                Err(mismatch(name, other))
            }
            _ => return None,
        })
    }

    fn decimal(self, schema: &Schema, decimal: &BigDecimal, out: &mut Vec<u8>) -> Done {
        if let DecimalFormat::Numeric = self.decimals {
            write_decimal(decimal, out);
            return Ok(());
        }
        let Some(scale) = schema.decimal_scale() else {
            return Err(Problem::new("the schema of a decimal has no parameter scale"));
        };
        let (unscaled, its) = decimal.as_bigint_and_scale();
        if its != i64::from(scale) {
            return Err(Problem::new(format!(
                "a decimal has the scale {its} where its schema says {scale}"
            )));
        }
        write_base64(&unscaled.to_signed_bytes_be(), out);
        Ok(())
    }

    /// Writes a value as what it is.
    fn schemaless(self, value: &Value, out: &mut Vec<u8>) -> Done {
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Boolean(true) => out.extend_from_slice(b"true"),
            Value::Boolean(false) => out.extend_from_slice(b"false"),
            Value::Int8(number) => write_integer((*number).into(), out),
            Value::Int16(number) => write_integer((*number).into(), out),
            Value::Int32(number) => write_integer((*number).into(), out),
            Value::Int64(number) => write_integer(*number, out),
            Value::Float32(number) if number.is_finite() => write_f32(*number, out),
            Value::Float32(number) => quoted(out, |out| write_f32(*number, out)),
            Value::Float64(number) if number.is_finite() => write_f64(*number, out),
            Value::Float64(number) => quoted(out, |out| write_f64(*number, out)),
            Value::String(text) => write_string(text, out),
            Value::Bytes(bytes) => write_base64(bytes, out),
            Value::Array(values) => return self.array(None, values, out),
            Value::Map(entries) => {
                let texts = entries.iter().all(|(key, _)| matches!(key, Value::String(_)));
                return match texts {
                    true => self.object(None, entries, out),
                    false => self.pairs(None, entries, out),
                };
            }
            Value::Struct(_) | Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                let kind = value.kind_name();
                return Err(Problem::new(format!(
                    "a {kind} has to have a schema to be written"
                )));
            }
        }
        Ok(())
    }

    fn array(self, element: Option<&SchemaRef>, values: &[Value], out: &mut Vec<u8>) -> Done {
        out.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.value(element, value, out)
                .map_err(|problem| problem.within(format_args!("[{index}]")))?;
        }
        out.push(b']');
        Ok(())
    }

    /// A map with texts for keys.
    fn object(
        self,
        schemas: Option<(&SchemaRef, &SchemaRef)>,
        entries: &[(Value, Value)],
        out: &mut Vec<u8>,
    ) -> Done {
        out.push(b'{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let start = out.len();
            self.value(schemas.map(|(key, _)| key), key, out)?;
            if out[start] != b'"' {
                out.insert(start, b'"');
                out.push(b'"');
            }
            out.push(b':');
            self.value(schemas.map(|(_, value)| value), value, out)
                .map_err(|problem| problem.within(format_args!(".{}", key.as_str().unwrap_or("null"))))?;
        }
        out.push(b'}');
        Ok(())
    }

    /// A map with other keys.
    fn pairs(
        self,
        schemas: Option<(&SchemaRef, &SchemaRef)>,
        entries: &[(Value, Value)],
        out: &mut Vec<u8>,
    ) -> Done {
        out.push(b'[');
        for (index, (key, value)) in entries.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
            let within = |problem: Problem| problem.within(format_args!("[{index}]"));
            self.value(schemas.map(|(key, _)| key), key, out)
                .map_err(within)?;
            out.push(b',');
            self.value(schemas.map(|(_, value)| value), value, out)
                .map_err(within)?;
            out.push(b']');
        }
        out.push(b']');
        Ok(())
    }

    fn structure(self, schema: &Schema, values: &[Value], out: &mut Vec<u8>) -> Done {
        out.push(b'{');
        for (index, (field, value)) in schema.fields().iter().zip(values).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&field.name, out);
            out.push(b':');
            self.value(Some(&field.schema), value, out)
                .map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Writes a schema; of a field's also the field's name.
    pub(super) fn schema(self, schema: &SchemaRef, field: Option<&str>, out: &mut Vec<u8>) -> Done {
        out.extend_from_slice(b"{\"type\":");
        write_string(schema.kind_name(), out);
        match &schema.kind {
            SchemaKind::Array(element) => {
                out.extend_from_slice(b",\"items\":");
                self.schema(element, None, out)?;
            }
            SchemaKind::Map(key, element) => {
                out.extend_from_slice(b",\"keys\":");
                self.schema(key, None, out)?;
                out.extend_from_slice(b",\"values\":");
                self.schema(element, None, out)?;
            }
            SchemaKind::Struct(fields) => {
                out.extend_from_slice(b",\"fields\":[");
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.schema(&field.schema, Some(&field.name), out)
                        .map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
                }
                out.push(b']');
            }
            _ => {}
        }
        out.extend_from_slice(match schema.optional {
            true => b",\"optional\":true",
            false => b",\"optional\":false",
        });
        self.properties(schema, out)?;
        if let Some(field) = field {
            out.extend_from_slice(b",\"field\":");
            write_string(field, out);
        }
        out.push(b'}');
        Ok(())
    }

    fn properties(self, schema: &SchemaRef, out: &mut Vec<u8>) -> Done {
        if let Some(name) = &schema.name {
            out.extend_from_slice(b",\"name\":");
            write_string(name, out);
        }
        if let Some(version) = schema.version {
            out.extend_from_slice(b",\"version\":");
            write_integer(version.into(), out);
        }
        if let Some(doc) = &schema.doc {
            out.extend_from_slice(b",\"doc\":");
            write_string(doc, out);
        }
        if !schema.parameters.is_empty() {
            out.extend_from_slice(b",\"parameters\":{");
            for (index, (name, value)) in schema.parameters.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write_string(value, out);
            }
            out.push(b'}');
        }
        if let Some(default) = &schema.default {
            out.extend_from_slice(b",\"default\":");
            self.value(Some(schema), default, out)
                .map_err(|problem| problem.within(" (the default)"))?;
        }
        Ok(())
    }
}

fn mismatch(expected: &str, value: &Value) -> Problem {
    let found = value.kind_name();
    Problem::new(format!(
        "the schema says {expected}, but the value is of type {found}"
    ))
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.truncate(start + written.expect("four characters for three bytes"));
    out.push(b'"');
}

/// Whether Jackson writes it otherwise: control characters, quotes, backslashes, and what takes two UTF-16 units.
fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0xf0
}

/// Writes a text with its quotes.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut start = 0;
    while let Some(length) = plain_length(&text.as_bytes()[start..]) {
        out.extend_from_slice(&text.as_bytes()[start..start + length]);
        let escaped = text[start + length..].chars().next();
        let escaped = escaped.expect("what is escaped begins a character");
        write_escaped(escaped, out);
        start += length + escaped.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}

/// How many bytes come before one that is escaped; none if no byte is.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    const STEP: usize = 32;
    // Whole steps at a time, which the compiler turns into a few instructions.
    let mut plain = 0;
    for step in bytes.as_chunks::<STEP>().0 {
        if step.iter().fold(false, |any, byte| any | is_escaped(*byte)) {
            break;
        }
        plain += STEP;
    }
    let rest = bytes[plain..].iter().position(|byte| is_escaped(*byte));
    rest.map(|length| plain + length)
}

fn write_escaped(c: char, out: &mut Vec<u8>) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{c}' => b'f',
        '\r' => b'r',
        _ => {
            use std::io::Write;
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04X}");
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
