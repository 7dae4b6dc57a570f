//! Values of records: what they mean, and how statements say them.
//!
//! A field's schema says what its values mean ([`Meaning`]); with it a value becomes a [`Cell`], which knows nothing of schemas any more. What is
//! written of a cell depends on the column it goes to ([`literal`]). So each type is known in one place on each side.
mod geometry;
mod json;
pub(super) mod literal;
mod loose;
mod meaning;
mod moment;
mod number;
mod temporal;
mod text;

#[cfg(test)]
mod tests;

pub(super) use literal::{Literals, Unfit};
pub(super) use loose::Loose;
pub(super) use meaning::{Meaning, SOURCE_TYPE};
pub(super) use text::{push_identifier, push_text};

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use millstream_connect::record::Value;

/// A value, with its meaning.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number of 64 bits without a sign, which came as one with a sign.
    Natural(u64),
    Float(f32),
    Double(f64),
    Decimal(Cow<'a, BigDecimal>),
    Text(&'a str),
    /// A label of an ENUM, labels of a SET, JSON: text that means itself.
    Exact(&'a str),
    Bytes(&'a [u8]),
    /// Days since 1970.
    Date(i64),
    /// What the record has, and so many nanoseconds.
    Time(i64, i128),
    /// A wall clock's time: what the record has, and seconds since 1970 with nanoseconds.
    Local(i64, (i64, u32)),
    /// An instant: likewise.
    Instant(i64, (i64, u32)),
    /// A wall clock's time as text, whatever offset stands behind it.
    LocalText(&'a str),
    Year(i64),
    /// Bits, the lowest byte first.
    Bits(&'a [u8]),
    /// Well-known binary, and which system of coordinates.
    Geometry {
        wkb: &'a [u8],
        srid: u32,
    },
    /// Numbers.
    Vector(&'a [Value]),
    /// Arrays, maps and structs that are nothing of the above.
    Nested(&'a Value),
}

/// What a value is, for messages: never the value itself.
impl Cell<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::Natural(_) => "a whole number",
            Self::Float(_) | Self::Double(_) => "a floating-point number",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) | Self::Exact(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "a date",
            Self::Time(..) => "a time of day",
            Self::Local(..) | Self::LocalText(_) => "a date and time",
            Self::Instant(..) => "an instant",
            Self::Year(_) => "a year",
            Self::Bits(_) => "bits",
            Self::Geometry { .. } => "a geometry",
            Self::Vector(_) => "a vector",
            Self::Nested(Value::Struct(_)) => "a struct",
            Self::Nested(Value::Map(_)) => "a map",
            Self::Nested(_) => "an array",
        }
    }
}
