//! Writes values and schemas as JSON.
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::{BigDecimal, ToPrimitive};

use super::DecimalFormat;
use super::plan::{Logical, Members, Plan, Shape};
use crate::converter::problem::Problem;
use crate::converter::text::{write_decimal, write_f32, write_f64, write_integer};
use crate::record::{Common, Schema, SchemaKind, SchemaRef, Struct, Value};

/// How values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    pub(super) decimals: DecimalFormat,
    pub(super) replace_null: bool,
}

type Done = Result<(), Problem>;

impl Encoder {
    /// Writes a value of a schema, or of none.
    pub(super) fn value(self, plan: Option<&Plan>, value: &Value, out: &mut Vec<u8>) -> Done {
        let Some(plan) = plan else {
            return self.schemaless(value, out);
        };
        match (&plan.shape, value) {
            (_, Value::Null) => self.null(plan, out),
            (Shape::Plain, _) if plan.allows(value) => self.schemaless(value, out),
            (Shape::Struct(members), Value::Struct(its)) => {
                if !members.alike.has(&plan.schema, its.schema()) {
                    return Err(Problem::new("the struct has another schema than is said of it"));
                }
                self.structure(plan, members, its, out)
            }
            (Shape::Logical(logical), _) => self.logical(*logical, &plan.schema, value, out),
            (Shape::Array(element), Value::Array(values)) => self.array(Some(element), values, out),
            (Shape::Object(plans), Value::Map(entries)) => self.object(Some(plans), entries, out),
            (Shape::Pairs(plans), Value::Map(entries)) => self.pairs(Some(plans), entries, out),
            _ => Err(mismatch(plan.schema.kind_name(), value)),
        }
    }

    fn null(self, plan: &Plan, out: &mut Vec<u8>) -> Done {
        match &plan.schema.default {
            Some(default) if self.replace_null && !default.is_null() => self.value(Some(plan), default, out),
            _ if plan.schema.optional => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            _ => Err(Problem::new(
                "the value is null, but its schema is neither optional nor has a default",
            )),
        }
    }

    /// Writes a value as its logical type says.
    fn logical(self, logical: Logical, schema: &Schema, value: &Value, out: &mut Vec<u8>) -> Done {
        match (logical, value) {
            (Logical::Decimal, Value::Decimal(decimal)) => return self.decimal(schema, decimal, out),
            (Logical::Date, Value::Date(days)) => write_integer((*days).into(), out),
            (Logical::Time, Value::Time(ms)) if (0..=86_400_000).contains(ms) => {
                write_integer((*ms).into(), out);
            }
            (Logical::Time, Value::Time(ms)) => {
                return Err(Problem::new(format!("{ms} ms are no time of a day")));
            }
            (Logical::Timestamp, Value::Timestamp(ms)) => write_integer(*ms, out),
            (_, other) => return Err(mismatch(schema.name.as_deref().unwrap_or_default(), other)),
        }
        Ok(())
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
        match unscaled.to_i64() {
            Some(short) => write_base64(significant(&short.to_be_bytes()), out),
            None => write_base64(&unscaled.to_signed_bytes_be(), out),
        }
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

    fn array(self, element: Option<&Plan>, values: &[Value], out: &mut Vec<u8>) -> Done {
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
    fn object(self, plans: Option<&[Plan; 2]>, entries: &[(Value, Value)], out: &mut Vec<u8>) -> Done {
        out.push(b'{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let start = out.len();
            self.value(plans.map(|plans| &plans[0]), key, out)?;
            if out[start] != b'"' {
                out.insert(start, b'"');
                out.push(b'"');
            }
            out.push(b':');
            self.value(plans.map(|plans| &plans[1]), value, out)
                .map_err(|problem| problem.within(format_args!(".{}", key.as_str().unwrap_or("null"))))?;
        }
        out.push(b'}');
        Ok(())
    }

    /// A map with other keys.
    fn pairs(self, plans: Option<&[Plan; 2]>, entries: &[(Value, Value)], out: &mut Vec<u8>) -> Done {
        out.push(b'[');
        for (index, (key, value)) in entries.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
            let within = |problem: Problem| problem.within(format_args!("[{index}]"));
            self.value(plans.map(|plans| &plans[0]), key, out)
                .map_err(within)?;
            out.push(b',');
            self.value(plans.map(|plans| &plans[1]), value, out)
                .map_err(within)?;
            out.push(b']');
        }
        out.push(b']');
        Ok(())
    }

    fn structure(self, plan: &Plan, members: &Members, value: &Struct, out: &mut Vec<u8>) -> Done {
        let (shared, own) = match value.common() {
            Common::Nothing => return self.members(plan, members, value.values(), None, out).map(drop),
            Common::All(shared) => (shared, None),
            Common::But(shared, field, value) => (shared, Some((field, value))),
        };
        let field = own.map(|(field, _)| field);
        let write_own = |out: &mut Vec<u8>| match own {
            Some((field, value)) => {
                let written = self.value(Some(&members.members[field].plan), value, out);
                written.map_err(|problem| within(plan, field, problem))
            }
            None => Ok(()),
        };
        if members.again(shared, field, out, write_own)? {
            return Ok(());
        }
        let start = out.len();
        let gap = self.members(plan, members, value.values(), field, out)?;
        members.keep(shared, field, &out[start..], gap.start - start..gap.end - start);
        Ok(())
    }

    /// Writes all members, and says where the value of `field` stands in `out`.
    fn members(
        self,
        plan: &Plan,
        members: &Members,
        values: &[Value],
        field: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, Problem> {
        let mut found = out.len()..out.len();
        out.push(b'{');
        for (index, (member, value)) in members.members.iter().zip(values).enumerate() {
            out.extend_from_slice(&member.key);
            let start = out.len();
            self.value(Some(&member.plan), value, out)
                .map_err(|problem| within(plan, index, problem))?;
            if field == Some(index) {
                found = start..out.len();
            }
        }
        out.push(b'}');
        Ok(found)
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
            self.value(Some(&Plan::of(schema)), default, out)
                .map_err(|problem| problem.within(" (the default)"))?;
        }
        Ok(())
    }
}

#[cold]
fn within(plan: &Plan, field: usize, problem: Problem) -> Problem {
    let name = &plan.schema.fields()[field].name;
    problem.within(format_args!(".{name}"))
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

/// The bytes of a signed number, the highest first, without those that only repeat the sign.
fn significant(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && let [next, ..] = rest
        && matches!((*first, *next), (0, 0..0x80) | (0xff, 0x80..))
    {
        bytes = rest;
    }
    bytes
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
    // Whole steps at a time, which the compiler turns into a few instructions; then words.
    let mut plain = 0;
    for step in bytes.as_chunks::<STEP>().0 {
        if step.iter().fold(false, |any, byte| any | is_escaped(*byte)) {
            break;
        }
        plain += STEP;
    }
    for word in bytes[plain..].as_chunks::<8>().0 {
        if has_escaped(u64::from_le_bytes(*word)) {
            break;
        }
        plain += 8;
    }
    let rest = bytes[plain..].iter().position(|byte| is_escaped(*byte));
    rest.map(|length| plain + length)
}

/// Whether one of eight bytes is escaped.
fn has_escaped(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // What is borrowed comes from a byte that is below itself.
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & HIGH;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let four_bits = word & (word << 1) & (word << 2) & (word << 3) & HIGH;
    (below(word, 0x20) | is(b'"') | is(b'\\') | four_bits) != 0
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

#[cfg(test)]
mod tests {
    use bigdecimal::num_bigint::BigInt;

    use super::*;

    #[test]
    fn short_numbers_have_the_bytes_of_long_ones() {
        let powers = (0..63).map(|bit| 1_i64 << bit);
        let numbers = powers.flat_map(|power| [power - 1, power, power + 1]);
        let both = numbers.flat_map(|number| [number, -number]);
        for number in both.chain([0, i64::MIN, i64::MAX]) {
            assert_eq!(
                significant(&number.to_be_bytes()),
                BigInt::from(number).to_signed_bytes_be()
            );
        }
    }
}
