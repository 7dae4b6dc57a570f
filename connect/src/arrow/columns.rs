//! From records to columns.
//!
//! What is optional, or has a default, is nullable. A value that its schema does not allow is an error, as is a decimal that has more than
//! 38 digits or more behind the point than its scale says.
use std::sync::Arc;

use crate::record::{Schema, SchemaKind, Value, logical};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef as ArrowSchemaRef, TimeUnit};

/// The most digits of a decimal.
const DIGITS_MAX: u8 = 38;

/// The type of the values of a schema.
///
/// # Errors
/// If Arrow has none.
fn data_type(schema: &Schema) -> Result<DataType, String> {
    if let Some(scale) = schema.decimal_scale() {
        let scale = i8::try_from(scale)
            .ok()
            .filter(|scale| scale.unsigned_abs() <= DIGITS_MAX);
        let scale = scale.ok_or("a decimal's scale is from -38 to 38 in Arrow")?;
        return Ok(DataType::Decimal128(DIGITS_MAX, scale));
    }
    Ok(match (&schema.kind, schema.name.as_deref()) {
        (SchemaKind::Int32, Some(logical::DATE)) => DataType::Date32,
        (SchemaKind::Int32, Some(logical::TIME)) => DataType::Time32(TimeUnit::Millisecond),
        (SchemaKind::Int64, Some(logical::TIMESTAMP)) => {
            DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::from("UTC")))
        }
        (SchemaKind::Int8, _) => DataType::Int8,
        (SchemaKind::Int16, _) => DataType::Int16,
        (SchemaKind::Int32, _) => DataType::Int32,
        (SchemaKind::Int64, _) => DataType::Int64,
        (SchemaKind::Float32, _) => DataType::Float32,
        (SchemaKind::Float64, _) => DataType::Float64,
        (SchemaKind::Boolean, _) => DataType::Boolean,
        (SchemaKind::String, _) => DataType::Utf8,
        (SchemaKind::Bytes, _) => DataType::Binary,
        (SchemaKind::Array(element), _) => DataType::List(Arc::new(field("item", element)?)),
        (SchemaKind::Map(key, value), _) => {
            let key = Field::new("key", data_type(key)?, false);
            let entries = DataType::Struct(Fields::from(vec![key, field("value", value)?]));
            DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
        }
        (SchemaKind::Struct(fields), _) => {
            let fields = fields.iter().map(|its| field(&its.name, &its.schema));
            DataType::Struct(fields.collect::<Result<Fields, String>>()?)
        }
    })
}

fn field(name: &str, schema: &Schema) -> Result<Field, String> {
    let nullable = schema.optional || schema.default.is_some();
    let data_type = data_type(schema).map_err(|error| format!("{name}: {error}"))?;
    Ok(Field::new(name, data_type, nullable))
}

/// The columns of structs of a schema.
///
/// # Errors
/// If it is no struct, has no fields, or one of a type that Arrow has not.
pub fn columns(schema: &Schema) -> Result<ArrowSchemaRef, String> {
    match data_type(schema)? {
        DataType::Struct(fields) if !fields.is_empty() => Ok(Arc::new(arrow::datatypes::Schema::new(fields))),
        _ => Err(format!("a value of type {} has no columns", schema.kind_name())),
    }
}

/// Structs of one schema as columns.
///
/// # Errors
/// If a value is not what the schema says.
pub fn batch(rows: &[Value], schema: &Schema, columns: &ArrowSchemaRef) -> Result<RecordBatch, String> {
    let rows: Vec<&Value> = rows.iter().collect();
    let arrays = struct_columns(&rows, schema)?;
    RecordBatch::try_new(Arc::clone(columns), arrays).map_err(|error| error.to_string())
}

fn struct_columns(rows: &[&Value], schema: &Schema) -> Result<Vec<ArrayRef>, String> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let values = rows.iter().map(|row| match row {
            Value::Null => Ok(&Value::Null),
            Value::Struct(fields) => fields
                .values()
                .get(index)
                .ok_or("a struct has fewer fields than its schema"),
            _ => Err("a value is no struct"),
        });
        let values = values.collect::<Result<Vec<&Value>, &str>>()?;
        array(&values, &field.schema).map_err(|error| format!("{}: {error}", field.name))
    });
    columns.collect()
}

fn wrong(value: &Value, schema: &Schema) -> String {
    format!(
        "a value of type {} where the schema says {}",
        value.kind_name(),
        schema.kind_name()
    )
}

macro_rules! plain {
    ($array:ty, $values:expr, $schema:expr, $($variant:pat => $value:expr),+) => {{
        let values = $values.iter().map(|value| match value {
            Value::Null => Ok(None),
            $($variant => Ok(Some($value)),)+
            other => Err(wrong(other, $schema)),
        });
        Arc::new(values.collect::<Result<$array, String>>()?) as ArrayRef
    }};
}

/// Values of one schema as an array.
fn array(values: &[&Value], schema: &Schema) -> Result<ArrayRef, String> {
    if let Some(scale) = schema.decimal_scale() {
        return decimals(values, schema, scale);
    }
    Ok(match (&schema.kind, schema.name.as_deref()) {
        (SchemaKind::Int32, Some(logical::DATE)) => {
            plain!(Date32Array, values, schema, Value::Date(days) => *days)
        }
        (SchemaKind::Int32, Some(logical::TIME)) => {
            plain!(Time32MillisecondArray, values, schema, Value::Time(millis) => *millis)
        }
        (SchemaKind::Int64, Some(logical::TIMESTAMP)) => {
            let times = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                Value::Timestamp(millis) => Ok(Some(*millis)),
                other => Err(wrong(other, schema)),
            });
            let times = times.collect::<Result<TimestampMillisecondArray, String>>()?;
            Arc::new(times.with_timezone("UTC"))
        }
        (SchemaKind::Int8, _) => plain!(Int8Array, values, schema, Value::Int8(value) => *value),
        (SchemaKind::Int16, _) => plain!(Int16Array, values, schema, Value::Int16(value) => *value),
        (SchemaKind::Int32, _) => plain!(Int32Array, values, schema, Value::Int32(value) => *value),
        (SchemaKind::Int64, _) => plain!(Int64Array, values, schema, Value::Int64(value) => *value),
        (SchemaKind::Float32, _) => plain!(Float32Array, values, schema, Value::Float32(value) => *value),
        (SchemaKind::Float64, _) => plain!(Float64Array, values, schema, Value::Float64(value) => *value),
        (SchemaKind::Boolean, _) => plain!(BooleanArray, values, schema, Value::Boolean(value) => *value),
        (SchemaKind::String, _) => plain!(StringArray, values, schema, Value::String(text) => &**text),
        (SchemaKind::Bytes, _) => plain!(BinaryArray, values, schema, Value::Bytes(bytes) => &**bytes),
        (SchemaKind::Array(element), _) => lists(values, schema, element)?,
        (SchemaKind::Map(key, value), _) => maps(values, schema, key, value)?,
        (SchemaKind::Struct(_), _) => {
            let DataType::Struct(fields) = data_type(schema)? else {
                return Err(wrong(&Value::Null, schema));
            };
            let nulls = nulls(values);
            let columns = struct_columns(values, schema)?;
            Arc::new(StructArray::try_new(fields, columns, nulls).map_err(|error| error.to_string())?)
        }
    })
}

fn nulls(values: &[&Value]) -> Option<NullBuffer> {
    let nulls: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

fn decimals(values: &[&Value], schema: &Schema, scale: i32) -> Result<ArrayRef, String> {
    let unscaled = values.iter().map(|value| match value {
        Value::Null => Ok(None),
        Value::Decimal(value) => {
            let exact = value.with_scale(i64::from(scale));
            let (digits, _) = exact.as_bigint_and_exponent();
            let fits = exact == **value
                && digits.to_string().trim_start_matches('-').len() <= usize::from(DIGITS_MAX);
            let number = i128::try_from(digits).ok().filter(|_| fits);
            number
                .map(Some)
                .ok_or_else(|| format!("{value} is no decimal of {DIGITS_MAX} digits with scale {scale}"))
        }
        other => Err(wrong(other, schema)),
    });
    let unscaled = unscaled.collect::<Result<Decimal128Array, String>>()?;
    let scale = i8::try_from(scale).map_err(|error| error.to_string())?;
    let decimals = unscaled.with_precision_and_scale(DIGITS_MAX, scale);
    Ok(Arc::new(decimals.map_err(|error| error.to_string())?))
}

fn lists(values: &[&Value], schema: &Schema, element: &Schema) -> Result<ArrayRef, String> {
    let (mut lengths, mut elements) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Null => lengths.push(0),
            Value::Array(list) => {
                lengths.push(list.len());
                elements.extend(list.iter());
            }
            other => return Err(wrong(other, schema)),
        }
    }
    let DataType::List(field) = data_type(schema)? else {
        return Err(wrong(&Value::Null, schema));
    };
    let elements = array(&elements, element)?;
    let list = ListArray::try_new(
        field,
        OffsetBuffer::from_lengths(lengths),
        elements,
        nulls(values),
    );
    Ok(Arc::new(list.map_err(|error| error.to_string())?))
}

fn maps(values: &[&Value], schema: &Schema, key: &Schema, value: &Schema) -> Result<ArrayRef, String> {
    let (mut lengths, mut keys, mut elements) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Null => lengths.push(0),
            Value::Map(entries) => {
                lengths.push(entries.len());
                keys.extend(entries.iter().map(|(key, _)| key));
                elements.extend(entries.iter().map(|(_, element)| element));
            }
            other => return Err(wrong(other, schema)),
        }
    }
    let DataType::Map(field, _) = data_type(schema)? else {
        return Err(wrong(&Value::Null, schema));
    };
    let DataType::Struct(fields) = field.data_type().clone() else {
        return Err(wrong(&Value::Null, schema));
    };
    let columns = vec![array(&keys, key)?, array(&elements, value)?];
    let entries = StructArray::try_new(fields, columns, None).map_err(|error| error.to_string())?;
    let map = MapArray::try_new(
        field,
        OffsetBuffer::from_lengths(lengths),
        entries,
        nulls(values),
        false,
    );
    Ok(Arc::new(map.map_err(|error| error.to_string())?))
}
