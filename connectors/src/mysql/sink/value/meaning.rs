//! What the values of a field mean.
use std::borrow::Cow;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use millstream_connect::record::{Schema, SchemaKind, Value};

use super::moment::since_epoch;
use super::{Cell, Unfit};

/// The parameter by which sources that propagate types say which one a column has.
pub(in crate::mysql::sink) const SOURCE_TYPE: &str = "__debezium.source.column.type";

/// What the values of a field mean, by the field's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql::sink) enum Meaning {
    /// What they are by themselves.
    Plain,
    /// A 64-bit number that is to be read without its sign.
    Natural,
    /// Text that means itself: JSON, labels, UUIDs.
    Exact,
    Date,
    /// Times of day, of which a second has so many units.
    Time(i64),
    /// Times of a wall clock, likewise.
    Local(i64),
    /// A wall clock's time as text.
    LocalText,
    Year,
    Bits,
    VariableDecimal,
    Geometry,
    Vector,
}

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

impl Meaning {
    /// What the values of a schema mean.
    pub fn of(schema: &Schema) -> Self {
        use SchemaKind as Kind;
        let Some(name) = schema.name.as_deref() else {
            return match &schema.kind {
                Kind::Int64 if is_unsigned_bigint(schema) => Self::Natural,
                _ => Self::Plain,
            };
        };
        match (name, &schema.kind) {
            ("io.debezium.time.Date", Kind::Int32 | Kind::Int64) => Self::Date,
            ("io.debezium.time.Time", Kind::Int32 | Kind::Int64) => Self::Time(MILLIS),
            ("io.debezium.time.MicroTime", Kind::Int64) => Self::Time(MICROS),
            ("io.debezium.time.NanoTime", Kind::Int64) => Self::Time(NANOS),
            ("io.debezium.time.Timestamp", Kind::Int64) => Self::Local(MILLIS),
            ("io.debezium.time.MicroTimestamp", Kind::Int64) => Self::Local(MICROS),
            ("io.debezium.time.NanoTimestamp", Kind::Int64) => Self::Local(NANOS),
            (
                "io.debezium.time.IsoDate" | "io.debezium.time.IsoTime" | "io.debezium.time.IsoTimestamp",
                Kind::String,
            ) => Self::LocalText,
            ("io.debezium.time.Year", Kind::Int32 | Kind::Int64) => Self::Year,
            ("io.debezium.data.Bits", Kind::Bytes) => Self::Bits,
            (
                "io.debezium.data.Json"
                | "io.debezium.data.Enum"
                | "io.debezium.data.EnumSet"
                | "io.debezium.data.Uuid"
                | "io.debezium.data.Xml",
                Kind::String,
            ) => Self::Exact,
            ("io.debezium.data.VariableScaleDecimal", Kind::Struct(_)) => Self::VariableDecimal,
            (
                "io.debezium.data.geometry.Geometry"
                | "io.debezium.data.geometry.Geography"
                | "io.debezium.data.geometry.Point",
                Kind::Struct(_),
            ) => Self::Geometry,
            ("io.debezium.data.FloatVector" | "io.debezium.data.DoubleVector", Kind::Array(_)) => {
                Self::Vector
            }
            (_, Kind::Int64) if is_unsigned_bigint(schema) => Self::Natural,
            _ => Self::Plain,
        }
    }

    /// A value with this meaning.
    ///
    /// # Errors
    /// When the value is not what its schema's name says.
    #[inline]
    pub fn cell(self, value: &Value) -> Result<Cell<'_>, Unfit> {
        match (self, value) {
            (_, Value::Null) => Ok(Cell::Null),
            (Self::Plain, value) => Ok(plain(value)),
            (Self::Exact, Value::String(text)) => Ok(Cell::Exact(text)),
            (Self::LocalText, Value::String(text)) => Ok(Cell::LocalText(text)),
            (Self::Natural, Value::Int64(number)) => Ok(Cell::Natural(*number as u64)),
            (Self::Bits, Value::Bytes(bytes)) => Ok(Cell::Bits(bytes)),
            (Self::Vector, Value::Array(numbers)) => Ok(Cell::Vector(numbers)),
            (Self::Geometry, Value::Struct(_)) => geometry(value),
            (Self::VariableDecimal, Value::Struct(_)) => variable_decimal(value),
            (Self::Date, value) => whole(value).map(Cell::Date),
            (Self::Year, value) => whole(value).map(Cell::Year),
            (Self::Time(per_second), value) => whole(value)
                .map(|units| Cell::Time(units, i128::from(units) * i128::from(NANOS / per_second))),
            (Self::Local(per_second), value) => {
                whole(value).map(|units| Cell::Local(units, since_epoch(units, per_second)))
            }
            (_, value) => Err(Unfit::new(format!(
                "a value of type {} is not what the name of its schema says",
                value.kind_name()
            ))),
        }
    }
}

fn is_unsigned_bigint(schema: &Schema) -> bool {
    let declared = schema.parameter(SOURCE_TYPE);
    declared.is_some_and(|declared| {
        let declared = declared.to_ascii_uppercase();
        (declared.starts_with("BIGINT") || declared.starts_with("INT8")) && declared.contains("UNSIGNED")
    })
}

/// A value by itself. Kafka Connect's own logical types are values of their own.
#[inline]
pub(super) fn plain(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Boolean(value) => Cell::Boolean(*value),
        Value::Int8(number) => Cell::Integer((*number).into()),
        Value::Int16(number) => Cell::Integer((*number).into()),
        Value::Int32(number) => Cell::Integer((*number).into()),
        Value::Int64(number) => Cell::Integer(*number),
        Value::Float32(number) => Cell::Float(*number),
        Value::Float64(number) => Cell::Double(*number),
        Value::String(text) => Cell::Text(text),
        Value::Bytes(bytes) => Cell::Bytes(bytes),
        Value::Decimal(number) => Cell::Decimal(Cow::Borrowed(number)),
        Value::Date(days) => Cell::Date((*days).into()),
        Value::Time(millis) => Cell::Time((*millis).into(), i128::from(*millis) * 1_000_000),
        Value::Timestamp(millis) => Cell::Instant(*millis, since_epoch(*millis, MILLIS)),
        Value::Array(_) | Value::Map(_) | Value::Struct(_) => Cell::Nested(value),
    }
}

fn whole(value: &Value) -> Result<i64, Unfit> {
    match plain(value) {
        Cell::Integer(number) => Ok(number),
        // As another converter may have read it.
        Cell::Date(number) | Cell::Time(number, _) | Cell::Instant(number, _) => Ok(number),
        other => Err(Unfit::new(format!(
            "{} stands where the schema says a number",
            other.name()
        ))),
    }
}

/// A part of a struct, or of a map that stands for one.
fn part<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Struct(parts) => parts.get(name),
        Value::Map(parts) => parts
            .iter()
            .find(|(its, _)| its.as_str() == Some(name))
            .map(|(_, part)| part),
        _ => None,
    }
}

fn geometry(value: &Value) -> Result<Cell<'_>, Unfit> {
    let srid = match part(value, "srid") {
        None | Some(Value::Null) => 0,
        Some(number) => {
            u32::try_from(whole(number)?).map_err(|_| Unfit::new("a geometry's srid is none".to_owned()))?
        }
    };
    match part(value, "wkb") {
        Some(Value::Bytes(wkb)) => Ok(Cell::Geometry { wkb, srid }),
        _ => Err(Unfit::new("a geometry has no wkb".to_owned())),
    }
}

fn variable_decimal(value: &Value) -> Result<Cell<'_>, Unfit> {
    let (Some(scale), Some(Value::Bytes(unscaled))) = (part(value, "scale"), part(value, "value")) else {
        return Err(Unfit::new(
            "a VariableScaleDecimal has no scale or no value".to_owned(),
        ));
    };
    let number = BigInt::from_signed_bytes_be(unscaled);
    Ok(Cell::Decimal(Cow::Owned(BigDecimal::new(number, whole(scale)?))))
}
