//! Values of logs, and what is common to both sources.
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::record::{SchemaRef, Struct, Value};

use super::kind::{Characters, Kind, Width};
use super::{number, temporal};
use crate::mysql::binlog::mariadb::{self, FixedType};
use crate::mysql::binlog::{self, BINARY, Damage};
use crate::mysql::config::BinaryMode;
use crate::mysql::{charset, json};

/// The most bytes that a compressed value may have: servers send no more in one piece (`max_allowed_packet`).
const INFLATED_MAX: usize = 1 << 30;

fn other_type() -> Damage {
    Damage::Unsupported("a value of another type than its column's")
}

impl Kind {
    /// A value of a log that is neither NULL nor absent; nothing for dates that are none.
    #[inline]
    pub(super) fn of_log(
        &self,
        value: &binlog::Value<'_>,
        schema: &SchemaRef,
    ) -> Result<Option<Value>, Damage> {
        use binlog::Value as Log;
        Ok(Some(match (self, value) {
            (Self::Int { into, .. }, Log::UInt(number)) => into.value(*number as i64),
            (
                Self::Int {
                    into,
                    unsigned: Some(bits),
                },
                Log::Int(number),
            ) => into.value(*number & ((1_i64 << bits) - 1)),
            (Self::Int { into, .. }, Log::Int(number)) => into.value(*number),
            (Self::Text(characters), Log::Text { bytes, collation }) => {
                characters.value(bytes, *collation)?
            }
            (Self::Unsigned, Log::UInt(number)) => number::exact(*number, 0),
            (Self::Unsigned, Log::Int(number)) => number::exact(*number as u64, 0),
            (Self::Float, Log::Float(number)) => Value::Float32(*number),
            (Self::FloatAsDouble, Log::Float(number)) => Value::Float64(f64::from(*number)),
            (Self::Double, Log::Double(number)) => Value::Float64(*number),
            (Self::Decimal(form), Log::Decimal(number)) => form.of_log(number)?,
            (Self::Boolean, Log::Bit(bits)) => Value::Boolean(bits & 1 == 1),
            (Self::Bits(length), Log::Bit(bits)) => bit_bytes(*bits, *length),
            (Self::Year, Log::Year(year)) => Value::Int32(i32::from(*year)),
            (Self::Date(form), Log::Date(date)) => return form.value(*date),
            (Self::Time(form), Log::Time(time)) => form.value(time)?,
            (Self::DateTime(form), Log::DateTime(moment)) => return form.value(moment),
            (Self::Timestamp(fraction), Log::Timestamp { seconds, micros, .. }) => {
                let moment = temporal::of_seconds(*seconds, *micros, *fraction);
                return Ok(temporal::zoned(&moment, *fraction));
            }
            (Self::Enum(labels), Log::Enum(number)) => label(labels, *number)?,
            (Self::Set(labels), Log::Set(bits)) => set(labels, *bits)?,
            (Self::Json, Log::Json(document)) => {
                let mut text = String::new();
                json::text(document, &mut text)?;
                Value::from(text)
            }
            _ => self.of_bytes(value, schema)?,
        }))
    }

    /// A value that stands as bytes in the log.
    fn of_bytes(&self, value: &binlog::Value<'_>, schema: &SchemaRef) -> Result<Value, Damage> {
        use binlog::Value as Log;
        let inflated;
        let (bytes, collation) = match value {
            Log::Bytes(bytes) | Log::Geometry(bytes) | Log::Vector(bytes) => (*bytes, BINARY),
            Log::Binary { bytes, .. } => (*bytes, BINARY),
            Log::Text { bytes, collation } => (*bytes, *collation),
            Log::Compressed { bytes, collation } => {
                inflated = mariadb::inflate(bytes, INFLATED_MAX)?;
                (&*inflated, *collation)
            }
            _ => return Err(other_type()),
        };
        match self {
            Self::Text(characters) => characters.value(bytes, collation),
            Self::Bytes { mode, fixed } => Ok(binary(bytes, *mode, *fixed)),
            Self::Geometry => geometry(bytes, schema),
            Self::Point => point(bytes, schema),
            Self::Vector => vector(bytes),
            Self::Fixed(fixed) => {
                let length = if *fixed == FixedType::Inet4 { 4 } else { 16 };
                fixed.text(bytes, length).map(Value::from)
            }
            _ => Err(other_type()),
        }
    }
}

impl Width {
    #[inline]
    pub(super) fn value(self, number: i64) -> Value {
        match self {
            Self::Short => Value::Int16(number as i16),
            Self::Int => Value::Int32(number as i32),
            Self::Long => Value::Int64(number),
        }
    }
}

impl Characters {
    /// A text of a log, whose collation counts where the log says it.
    #[inline]
    fn value(&self, bytes: &[u8], collation: binlog::Collation) -> Result<Value, Damage> {
        if self.utf8 && (collation == self.collation || collation == 0) {
            let text = charset::utf8(bytes).ok_or(Damage::Text {
                what: "a value",
                charset: "utf8mb4",
            })?;
            return Ok(Value::String(ByteString::from(&*text)));
        }
        let collation = if collation == 0 { self.collation } else { collation };
        let mut text = String::new();
        charset::decode(collation, bytes, &mut text)?;
        Ok(Value::from(text))
    }
}

/// BIT(n), the lowest bits first.
pub(super) fn bit_bytes(bits: u64, length: u16) -> Value {
    let bytes = usize::from(length.div_ceil(8)).min(8);
    Value::Bytes(Bytes::copy_from_slice(&bits.to_le_bytes()[..bytes]))
}

/// The label of a number from 1; 0 is the empty text that an invalid label became.
fn label(labels: &[ByteString], number: u16) -> Result<Value, Damage> {
    let Some(index) = usize::from(number).checked_sub(1) else {
        return Ok(Value::String(ByteString::new()));
    };
    let label = labels.get(index).cloned().ok_or(Damage::Invalid {
        what: "a label's number",
        value: u64::from(number),
        rule: "more than the labels that are known",
    });
    label.map(Value::String)
}

fn set(labels: &[ByteString], bits: u64) -> Result<Value, Damage> {
    if let Some(beyond) = (labels.len()..64).find(|index| bits >> index & 1 == 1) {
        return Err(Damage::Invalid {
            what: "a label's number",
            value: beyond as u64 + 1,
            rule: "more than the labels that are known",
        });
    }
    let mut text = String::new();
    for (_, label) in labels
        .iter()
        .enumerate()
        .filter(|(index, _)| bits >> index & 1 == 1)
    {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(label);
    }
    Ok(Value::from(text))
}

/// Bytes, as the mode has them. The log leaves zeros at the end of BINARY(n) out.
pub(super) fn binary(bytes: &[u8], mode: BinaryMode, fixed: Option<u16>) -> Value {
    let length = fixed.map_or(0, usize::from);
    let mut padded = Vec::new();
    let bytes = match bytes.len() < length {
        true => {
            padded.reserve_exact(length);
            padded.extend_from_slice(bytes);
            padded.resize(length, 0);
            &padded
        }
        false => bytes,
    };
    match mode {
        BinaryMode::Bytes => Value::Bytes(Bytes::copy_from_slice(bytes)),
        BinaryMode::Base64 => Value::from(STANDARD.encode(bytes)),
        BinaryMode::Base64UrlSafe => Value::from(URL_SAFE.encode(bytes)),
        BinaryMode::Hex => {
            let mut text = String::with_capacity(2 * bytes.len());
            super::hash::hex(bytes, &mut text);
            Value::from(text)
        }
    }
}

/// The bytes of WKB, and the SRID before them, where one is set.
fn divided(bytes: &[u8]) -> Result<(&[u8], Value), Damage> {
    let Some((srid, wkb)) = bytes.split_first_chunk::<4>() else {
        return Err(Damage::Short {
            what: "a geometry",
            needed: 4,
            left: bytes.len(),
        });
    };
    let srid = match i32::from_le_bytes(*srid) {
        0 => Value::Null,
        srid => Value::Int32(srid),
    };
    Ok((wkb, srid))
}

pub(super) fn geometry(bytes: &[u8], schema: &SchemaRef) -> Result<Value, Damage> {
    let (wkb, srid) = divided(bytes)?;
    let values = vec![Value::Bytes(Bytes::copy_from_slice(wkb)), srid];
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

pub(super) fn point(bytes: &[u8], schema: &SchemaRef) -> Result<Value, Damage> {
    let (wkb, srid) = divided(bytes)?;
    // The order of bytes (1: the lowest first), the type (1: a point), and two doubles.
    let [1, 1, 0, 0, 0, rest @ ..] = wkb else {
        return Err(Damage::Unsupported(
            "a geometry in a column of points that is no point",
        ));
    };
    let (doubles, []) = rest.as_chunks::<8>() else {
        return Err(Damage::Unsupported("a point that is not of two numbers"));
    };
    let [x, y] = doubles else {
        return Err(Damage::Unsupported("a point that is not of two numbers"));
    };
    let [x, y] = [x, y].map(|bytes| Value::Float64(f64::from_le_bytes(*bytes)));
    let values = vec![x, y, Value::Bytes(Bytes::copy_from_slice(wkb)), srid];
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

pub(super) fn vector(bytes: &[u8]) -> Result<Value, Damage> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Damage::Surplus {
            what: "the numbers of a vector",
            left: rest.len(),
        });
    }
    let floats = floats
        .iter()
        .map(|bytes| Value::Float32(f32::from_le_bytes(*bytes)));
    Ok(Value::Array(floats.collect()))
}
