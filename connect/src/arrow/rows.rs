//! From columns to records.
//!
//! What is nullable is optional. Columns are turned into values one by one, and these into rows.
use std::sync::Arc;

use crate::record::{Field, Schema, SchemaKind, SchemaRef, Struct, Value};
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field as ArrowField, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema as ArrowSchema, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytes::Bytes;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What becomes of times that are finer than Connect's milliseconds; Debezium's `time.precision.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// They are numbers whose schemas' names say what they count.
    Adaptive,
    /// They are Connect's, cut to milliseconds.
    Connect,
}

/// The schema of rows with these columns.
///
/// # Errors
/// The column that Connect has no type for.
pub fn schema(columns: &ArrowSchema, times: Times) -> Result<SchemaRef, String> {
    fields(columns.fields(), times).map(Arc::new)
}

fn fields(fields: &Fields, times: Times) -> Result<Schema, String> {
    let fields = fields.iter().map(|field| {
        let schema = of_field(field, times)?;
        let name = Arc::from(field.name().as_str());
        Ok(Field { name, schema })
    });
    let fields = fields.collect::<Result<Vec<Field>, String>>()?;
    Schema::try_struct(fields).map_err(|error| error.to_string())
}

fn of_field(field: &ArrowField, times: Times) -> Result<SchemaRef, String> {
    let schema = of_type(field.data_type(), times).map_err(|error| format!("{}: {error}", field.name()))?;
    let nullable = field.is_nullable() || *field.data_type() == DataType::Null;
    Ok(Arc::new(if nullable { schema.optional() } else { schema }))
}

/// A time that is finer than milliseconds.
fn fine(name: &str, unit: TimeUnit, times: Times, cut: Schema) -> Schema {
    let size = match unit {
        TimeUnit::Microsecond => "Micro",
        TimeUnit::Nanosecond => "Nano",
        TimeUnit::Second | TimeUnit::Millisecond => return cut,
    };
    match times {
        Times::Connect => cut,
        Times::Adaptive => Schema::from(SchemaKind::Int64).named(format!("io.debezium.time.{size}{name}")),
    }
}

/// A length of time, which Connect has no type for: a number whose schema's name says what it counts, as Debezium has it.
fn duration(unit: TimeUnit) -> Schema {
    let size = match unit {
        TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond => "Micro",
        TimeUnit::Nanosecond => "Nano",
    };
    Schema::from(SchemaKind::Int64).named(format!("io.debezium.time.{size}Duration"))
}

fn of_type(data_type: &DataType, times: Times) -> Result<Schema, String> {
    use DataType::*;
    Ok(match data_type {
        Boolean => SchemaKind::Boolean.into(),
        Int8 => SchemaKind::Int8.into(),
        Int16 | UInt8 => SchemaKind::Int16.into(),
        Int32 | UInt16 => SchemaKind::Int32.into(),
        Int64 | UInt32 => SchemaKind::Int64.into(),
        Duration(unit) => duration(*unit),
        UInt64 => Schema::decimal(0),
        Float16 | Float32 => SchemaKind::Float32.into(),
        Float64 => SchemaKind::Float64.into(),
        Null | Utf8 | LargeUtf8 | Utf8View => SchemaKind::String.into(),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => SchemaKind::Bytes.into(),
        Decimal32(_, scale) | Decimal64(_, scale) | Decimal128(_, scale) | Decimal256(_, scale) => {
            Schema::decimal(i32::from(*scale))
        }
        Date32 | Date64 => Schema::date(),
        Time32(_) => Schema::time(),
        Time64(unit) => fine("Time", *unit, times, Schema::time()),
        Timestamp(unit, _) => fine("Timestamp", *unit, times, Schema::timestamp()),
        List(element) | LargeList(element) | FixedSizeList(element, _) => {
            SchemaKind::Array(of_field(element, times)?).into()
        }
        Map(entries, _) => match entries.data_type() {
            Struct(parts) if parts.len() == 2 => {
                SchemaKind::Map(of_field(&parts[0], times)?, of_field(&parts[1], times)?).into()
            }
            other => return Err(format!("a map of {other} is none")),
        },
        Struct(parts) => fields(parts, times)?,
        Dictionary(_, values) => of_type(values, times)?,
        RunEndEncoded(_, values) => of_type(values.data_type(), times)?,
        other => return Err(format!("Connect has no type for Arrow's {other}")),
    })
}

/// The rows of a batch, each a struct of `schema`, which [`schema`] made of the batch's.
///
/// # Errors
/// If the batch is not what the schema says.
pub fn rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<Vec<Value>, String> {
    structs(batch.columns(), schema, batch.num_rows(), |_| false)
}

fn structs(
    columns: &[ArrayRef],
    schema: &SchemaRef,
    length: usize,
    is_null: impl Fn(usize) -> bool,
) -> Result<Vec<Value>, String> {
    let fields = schema.fields().iter().zip(columns);
    let columns = fields.map(|(field, column)| {
        let values = values(column, &field.schema).map_err(|error| format!("{}: {error}", field.name))?;
        Ok(values.into_iter())
    });
    let mut columns = columns.collect::<Result<Vec<_>, String>>()?;
    let rows = (0..length).map(|row| {
        let values = columns.iter_mut().map(|column| column.next().unwrap_or_default());
        let values: Vec<Value> = values.collect();
        match is_null(row) {
            true => Value::Null,
            false => Value::Struct(Struct::new(Arc::clone(schema), values)),
        }
    });
    Ok(rows.collect())
}

/// The values of an array of primitives.
fn plain<T: ArrowPrimitiveType>(array: &dyn Array, value: impl Fn(T::Native) -> Value) -> Vec<Value> {
    let values = array.as_primitive::<T>().iter();
    values.map(|its| its.map_or(Value::Null, &value)).collect()
}

/// The same where a value may have no counterpart.
fn checked<T: ArrowPrimitiveType>(
    array: &dyn Array,
    value: impl Fn(T::Native) -> Result<Value, String>,
) -> Result<Vec<Value>, String> {
    let values = array.as_primitive::<T>().iter();
    values.map(|its| its.map_or(Ok(Value::Null), &value)).collect()
}

fn decimal(digits: impl Into<BigInt>, scale: i8) -> Value {
    Value::Decimal(Box::new(BigDecimal::new(digits.into(), i64::from(scale))))
}

fn values(array: &ArrayRef, schema: &SchemaRef) -> Result<Vec<Value>, String> {
    use DataType::*;
    Ok(match array.data_type() {
        Null => vec![Value::Null; array.len()],
        Boolean => {
            let values = array.as_boolean().iter();
            values
                .map(|its| its.map_or(Value::Null, Value::Boolean))
                .collect()
        }
        Int8 => plain::<Int8Type>(array, Value::Int8),
        Int16 => plain::<Int16Type>(array, Value::Int16),
        Int32 => plain::<Int32Type>(array, Value::Int32),
        Int64 => plain::<Int64Type>(array, Value::Int64),
        UInt8 => plain::<UInt8Type>(array, |value| Value::Int16(value.into())),
        UInt16 => plain::<UInt16Type>(array, |value| Value::Int32(value.into())),
        UInt32 => plain::<UInt32Type>(array, |value| Value::Int64(value.into())),
        UInt64 => plain::<UInt64Type>(array, |value| decimal(value, 0)),
        Float32 => plain::<Float32Type>(array, Value::Float32),
        Float64 => plain::<Float64Type>(array, Value::Float64),
        Decimal32(_, scale) => plain::<Decimal32Type>(array, |value| decimal(value, *scale)),
        Decimal64(_, scale) => plain::<Decimal64Type>(array, |value| decimal(value, *scale)),
        Decimal128(_, scale) => plain::<Decimal128Type>(array, |value| decimal(value, *scale)),
        Decimal256(_, scale) => plain::<Decimal256Type>(array, |value| {
            decimal(BigInt::from_signed_bytes_le(&value.to_le_bytes()), *scale)
        }),
        Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_) => times(array, schema)?,
        Utf8 => strings::<i32>(array),
        LargeUtf8 => strings::<i64>(array),
        Binary => binaries::<i32>(array),
        LargeBinary => binaries::<i64>(array),
        FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary().iter();
            values.map(|its| its.map_or(Value::Null, bytes)).collect()
        }
        Float16 => return recast(array, &Float32, schema),
        Utf8View => return recast(array, &Utf8, schema),
        BinaryView => return recast(array, &Binary, schema),
        Dictionary(_, of) => return recast(array, of, schema),
        RunEndEncoded(_, of) => return recast(array, of.data_type(), schema),
        List(_) => lists::<i32>(array, schema)?,
        LargeList(_) => lists::<i64>(array, schema)?,
        FixedSizeList(element, _) => return recast(array, &List(Arc::clone(element)), schema),
        Map(..) => maps(array, schema)?,
        Struct(_) => {
            let parts = array.as_struct();
            structs(parts.columns(), schema, parts.len(), |row| parts.is_null(row))?
        }
        other => return Err(format!("Connect has no type for Arrow's {other}")),
    })
}

fn recast(array: &ArrayRef, to: &DataType, schema: &SchemaRef) -> Result<Vec<Value>, String> {
    let other = cast(array, to).map_err(|error| error.to_string())?;
    values(&other, schema)
}

fn strings<O: OffsetSizeTrait>(array: &ArrayRef) -> Vec<Value> {
    let values = array.as_string::<O>().iter();
    values.map(|its| its.map_or(Value::Null, Value::from)).collect()
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(value))
}

fn binaries<O: OffsetSizeTrait>(array: &ArrayRef) -> Vec<Value> {
    let values = array.as_binary::<O>().iter();
    values.map(|its| its.map_or(Value::Null, bytes)).collect()
}

/// Times; the schema says whether those finer than milliseconds are cut.
fn times(array: &ArrayRef, schema: &Schema) -> Result<Vec<Value>, String> {
    use DataType::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    // Connect's times have names that Debezium's have not.
    let exact = schema
        .name
        .as_deref()
        .is_none_or(|name| name.starts_with("io.debezium."));
    let time = |millis: i64| Value::Time(i32::try_from(millis).unwrap_or(i32::MAX));
    let beyond = |value: i64| format!("{value} is beyond what milliseconds of 64 bits can say");
    let stamp = |value: i64| Ok::<_, String>(Value::Timestamp(value));
    let micros = |value: i64, each: i64| {
        let micros = value.checked_mul(each).map(Value::Int64);
        micros.ok_or_else(|| format!("{value} is beyond what microseconds of 64 bits can say"))
    };
    Ok(match array.data_type() {
        Date32 => plain::<Date32Type>(array, Value::Date),
        Date64 => checked::<Date64Type>(array, |millis| {
            let days = i32::try_from(millis.div_euclid(DAY_MS)).map_err(|_| beyond(millis))?;
            Ok(Value::Date(days))
        })?,
        Time32(Second) => plain::<Time32SecondType>(array, |value| time(i64::from(value) * 1000)),
        Time32(_) => plain::<Time32MillisecondType>(array, Value::Time),
        Time64(Nanosecond) if exact => plain::<Time64NanosecondType>(array, Value::Int64),
        Time64(Nanosecond) => plain::<Time64NanosecondType>(array, |value| time(value.div_euclid(1_000_000))),
        Time64(_) if exact => plain::<Time64MicrosecondType>(array, Value::Int64),
        Time64(_) => plain::<Time64MicrosecondType>(array, |value| time(value.div_euclid(1000))),
        Timestamp(Second, _) => checked::<TimestampSecondType>(array, |value| {
            stamp(value.checked_mul(1000).ok_or_else(|| beyond(value))?)
        })?,
        Timestamp(Millisecond, _) => plain::<TimestampMillisecondType>(array, Value::Timestamp),
        Timestamp(Microsecond, _) if exact => plain::<TimestampMicrosecondType>(array, Value::Int64),
        Timestamp(Microsecond, _) => {
            plain::<TimestampMicrosecondType>(array, |value| Value::Timestamp(value.div_euclid(1000)))
        }
        Timestamp(Nanosecond, _) if exact => plain::<TimestampNanosecondType>(array, Value::Int64),
        Timestamp(Nanosecond, _) => {
            plain::<TimestampNanosecondType>(array, |value| Value::Timestamp(value.div_euclid(1_000_000)))
        }
        Duration(Second) => checked::<DurationSecondType>(array, |value| micros(value, 1_000_000))?,
        Duration(Millisecond) => checked::<DurationMillisecondType>(array, |value| micros(value, 1000))?,
        Duration(Microsecond) => plain::<DurationMicrosecondType>(array, Value::Int64),
        Duration(Nanosecond) => plain::<DurationNanosecondType>(array, Value::Int64),
        other => return Err(format!("{other} is no time")),
    })
}

/// Cuts the values of all lists into lists; `ends` are where each begins and ends.
fn cut<T>(
    all: Vec<T>,
    ends: impl Iterator<Item = (usize, usize)>,
    is_null: impl Fn(usize) -> bool,
    list: impl Fn(Vec<T>) -> Value,
) -> Vec<Value> {
    let (mut all, mut at) = (all.into_iter(), 0);
    let mut lists = Vec::new();
    for (row, (begin, end)) in ends.enumerate() {
        // What lies between lists belongs to none, as what a null may have.
        let skipped = begin.saturating_sub(at);
        let own: Vec<T> = all.by_ref().skip(skipped).take(end - begin).collect();
        at = end;
        lists.push(if is_null(row) { Value::Null } else { list(own) });
    }
    lists
}

fn lists<O: OffsetSizeTrait>(array: &ArrayRef, schema: &Schema) -> Result<Vec<Value>, String> {
    let SchemaKind::Array(element) = &schema.kind else {
        return Err(format!("a list where the schema says {}", schema.kind_name()));
    };
    let array = array.as_list::<O>();
    let ends = array
        .offsets()
        .windows(2)
        .map(|ends| (ends[0].as_usize(), ends[1].as_usize()));
    let all = values(array.values(), element)?;
    Ok(cut(all, ends, |row| array.is_null(row), Value::Array))
}

fn maps(array: &ArrayRef, schema: &Schema) -> Result<Vec<Value>, String> {
    let SchemaKind::Map(key, value) = &schema.kind else {
        return Err(format!("a map where the schema says {}", schema.kind_name()));
    };
    let array = array.as_map();
    let ends = array
        .offsets()
        .windows(2)
        .map(|ends| (ends[0].as_usize(), ends[1].as_usize()));
    let keys = values(array.keys(), key)?;
    let all = keys.into_iter().zip(values(array.values(), value)?).collect();
    Ok(cut(all, ends, |row| array.is_null(row), Value::Map))
}
