//! What statements say of a value, by the column it goes to.
//!
//! Nothing is cut or rounded on the way: what a column does not hold as it is, is refused here or by the server, which is in strict mode.
use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jiff::tz::TimeZone;

use super::{Cell, geometry, json, number, temporal, text};
use crate::mysql::config::BinaryMode;
use crate::mysql::sink::column::{Charset, Column, Kind};

/// Why a value does not go into a column; never with the value itself, which may be nobody's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql::sink) struct Unfit(Cow<'static, str>);

impl Unfit {
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How values are written.
#[derive(Debug, Clone)]
pub(in crate::mysql::sink) struct Literals {
    /// Where a DATETIME that came as an instant is.
    pub zone: TimeZone,
    /// Whether Kafka Connect's timestamps are instants; otherwise they are what a clock in UTC shows.
    pub connect_in_zone: bool,
    /// Whether digits of seconds and decimals that a column does not hold are rounded away.
    pub rounding: bool,
    /// What texts are that go to columns of bytes.
    pub binary: BinaryMode,
}

impl Literals {
    /// Appends what stands for `cell` in `column`.
    ///
    /// # Errors
    /// When the column cannot hold it; something may have been appended.
    #[inline]
    pub fn write(&self, cell: &Cell<'_>, column: &Column, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if *cell == Cell::Null {
            return match column.nullable {
                true => {
                    out.extend_from_slice(b"NULL");
                    Ok(())
                }
                false => Err(Unfit::new("it is null, and the column is NOT NULL")),
            };
        }
        match &column.kind {
            Kind::Integer { bits, unsigned } => number::integer(cell, *bits, *unsigned, out),
            Kind::Decimal {
                precision,
                scale,
                unsigned,
            } => number::decimal(cell, (*precision, *scale, *unsigned), self.rounding, out),
            Kind::Float => number::float(cell, true, out),
            Kind::Double => number::float(cell, false, out),
            Kind::Bit(bits) => number::bits(cell, *bits, out),
            Kind::Text {
                chars,
                bytes,
                charset,
            } => characters(cell, (*chars, *bytes, *charset), out),
            Kind::Binary(most) => self.binary(cell, *most, out),
            Kind::Enum(labels) | Kind::Set(labels) => label(cell, labels, out),
            Kind::Json => json::write(cell, out),
            Kind::Geometry => geometry::write(cell, out),
            Kind::Vector(length) => vector(cell, *length, out),
            Kind::Other => other(cell, out),
            Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_) | Kind::Time(_) | Kind::Year => {
                temporal::write(self, cell, &column.kind, out)
            }
        }
    }

    fn binary(&self, cell: &Cell<'_>, most: u64, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let decoded;
        let bytes: &[u8] = match (cell, self.binary) {
            (Cell::Bytes(bytes) | Cell::Bits(bytes), _) => bytes,
            (Cell::Text(text) | Cell::Exact(text), BinaryMode::Bytes) => text.as_bytes(),
            (Cell::Text(text), mode) => {
                decoded = from_text(text, mode)?;
                &decoded
            }
            (cell, _) => return Err(mismatch(cell)),
        };
        if bytes.len() as u64 > most {
            return Err(Unfit::new(format!(
                "it has {} bytes, and the column holds {most}",
                bytes.len()
            )));
        }
        text::push_bytes(out, bytes);
        Ok(())
    }
}

/// A value of a kind that a column does not take.
pub(super) fn mismatch(cell: &Cell<'_>) -> Unfit {
    Unfit::new(format!("the column does not take {}", cell.name()))
}

/// Bytes that came as text.
pub(in crate::mysql::sink) fn from_text(text: &str, mode: BinaryMode) -> Result<Vec<u8>, Unfit> {
    let decoded = match mode {
        BinaryMode::Bytes => Some(text.as_bytes().to_vec()),
        BinaryMode::Base64 => STANDARD.decode(text).ok(),
        BinaryMode::Base64UrlSafe => URL_SAFE.decode(text).ok(),
        BinaryMode::Hex => from_hex(text),
    };
    decoded.ok_or_else(|| {
        Unfit::new("it is a text for a column of bytes, but not written as binary.handling.mode says")
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() % 2 == 1 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Characters. What is none becomes what a SELECT would show of it.
fn characters(
    cell: &Cell<'_>,
    (chars, bytes, charset): (Option<u64>, u64, Charset),
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let shown;
    let value: &str = match cell {
        Cell::Text(text) | Cell::Exact(text) | Cell::LocalText(text) => text,
        Cell::Nested(value) => {
            shown = json::text(value)?;
            &shown
        }
        Cell::Bytes(_) | Cell::Bits(_) | Cell::Geometry { .. } | Cell::Vector(_) => {
            return Err(mismatch(cell));
        }
        cell => {
            let mut buffer = Vec::new();
            shown_as_text(cell, &mut buffer)?;
            shown = String::from_utf8(buffer).map_err(|_| mismatch(cell))?;
            &shown
        }
    };
    let length = value.len() as u64;
    // Servers cut spaces beyond the end without an error.
    let most = chars.unwrap_or(u64::MAX);
    if length > most {
        let count = value.chars().count() as u64;
        if count > most {
            return Err(Unfit::new(format!(
                "it has {count} characters, and the column holds {most}"
            )));
        }
    }
    if chars.is_none() && length > bytes {
        let stored = match charset {
            Charset::Utf8 => length,
            Charset::Single => value.chars().count() as u64,
            Charset::Other => 0,
        };
        if stored > bytes {
            return Err(Unfit::new(format!(
                "it has {stored} bytes, and the column holds {bytes}"
            )));
        }
    }
    text::push_text(out, value);
    Ok(())
}

/// Numbers and moments as a SELECT shows them.
pub(super) fn shown_as_text(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match cell {
        Cell::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Cell::Integer(number) | Cell::Year(number) => number::push_integer(out, (*number).into()),
        Cell::Natural(number) => number::push_integer(out, (*number).into()),
        Cell::Float(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Cell::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Cell::Decimal(number) => number::push_decimal(out, number)?,
        Cell::Date(_) | Cell::Time(..) | Cell::Local(..) | Cell::Instant(..) => {
            temporal::push_shown(cell, out)?;
        }
        cell => return Err(mismatch(cell)),
    }
    Ok(())
}

/// A label. A text of digits that is none would be taken for a label's number, whatever blanks and sign it begins with.
fn label(cell: &Cell<'_>, labels: &[String], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (Cell::Text(value) | Cell::Exact(value)) = cell else {
        return Err(mismatch(cell));
    };
    let number = value.trim();
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && !labels.iter().any(|label| label == value) {
        return Err(Unfit::new("it is none of the column's labels"));
    }
    text::push_text(out, value);
    Ok(())
}

/// Numbers of 32 bits, the lowest byte first.
fn vector(cell: &Cell<'_>, most: u32, out: &mut Vec<u8>) -> Result<(), Unfit> {
    use millstream_connect::record::Value;
    let numbers = match cell {
        Cell::Vector(numbers) => numbers,
        Cell::Nested(Value::Array(numbers)) => numbers.as_slice(),
        Cell::Bytes(bytes) => {
            text::push_bytes(out, bytes);
            return Ok(());
        }
        cell => return Err(mismatch(cell)),
    };
    if numbers.len() > most as usize {
        return Err(Unfit::new(format!(
            "it has {} numbers, and the column holds {most}",
            numbers.len()
        )));
    }
    let mut bytes = Vec::with_capacity(numbers.len() * 4);
    for number in numbers {
        let number = match number {
            Value::Float32(number) => *number,
            Value::Float64(number) => *number as f32,
            Value::Int64(number) => *number as f32,
            Value::Int32(number) => *number as f32,
            _ => return Err(Unfit::new("a part of a vector is no number")),
        };
        if !number.is_finite() {
            return Err(Unfit::new("a part of a vector is not finite"));
        }
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    text::push_bytes(out, &bytes);
    Ok(())
}

/// What the server reads from text: UUIDs, addresses, and types that are not known here.
fn other(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match cell {
        Cell::Text(value) | Cell::Exact(value) | Cell::LocalText(value) => text::push_text(out, value),
        Cell::Bytes(bytes) => text::push_bytes(out, bytes),
        cell => {
            out.push(b'\'');
            shown_as_text(cell, out)?;
            out.push(b'\'');
        }
    }
    Ok(())
}
