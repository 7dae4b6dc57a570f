//! Rows to records.
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::json_encoder::JsonEncoder;
use super::{Format, FormatError, Kind};
use crate::sink::RecordBuffer;

/// A format that writes, bound to the rows it writes.
#[derive(Debug, Clone)]
pub(crate) struct OutputFormat {
    schema: SchemaRef,
    keys: usize,
    kind: OutputKind,
}

#[derive(Debug, Clone)]
enum OutputKind {
    /// The value is this column.
    Text {
        value: usize,
    },
    /// Key and value are these columns.
    Raw {
        key: Option<usize>,
        value: usize,
    },
    Json,
}

impl OutputFormat {
    /// The writing side of `format` for rows of `schema` whose first `keys` columns are the key.
    pub(crate) fn new(format: &Format, schema: &SchemaRef, keys: usize) -> Result<Self, String> {
        let kind = match &format.0 {
            Kind::Text { column } => OutputKind::Text {
                value: column_of(schema, column, is_string, "a string")?,
            },
            Kind::Raw => OutputKind::Raw {
                key: schema
                    .index_of("key")
                    .ok()
                    .map(|_| column_of(schema, "key", is_bytes, "binary"))
                    .transpose()?,
                value: column_of(schema, "value", is_bytes, "binary")?,
            },
            Kind::Json => {
                JsonEncoder::new(
                    &RecordBatch::new_empty(Arc::clone(schema)),
                    0..schema.fields().len(),
                )
                .map_err(|cause| cause.to_string())?;
                OutputKind::Json
            }
        };
        Ok(Self {
            schema: Arc::clone(schema),
            keys,
            kind,
        })
    }

    /// Readies `batch`, whose schema is the bound one, for encoding.
    pub(crate) fn encoder<'a>(&'a self, batch: &'a RecordBatch) -> Result<RowEncoder<'a>, FormatError> {
        let binary = |column: usize| cast(batch.column(column), &DataType::BinaryView);
        Ok(match &self.kind {
            OutputKind::Json => RowEncoder::Json {
                key: self.json_key(batch)?,
                value: JsonEncoder::new(batch, self.keys..self.schema.fields().len())?,
            },
            OutputKind::Raw { key, value } => RowEncoder::Bytes {
                key: key.map(binary).transpose()?,
                value: binary(*value)?,
            },
            OutputKind::Text { value } => {
                let key = (self.keys == 1 && is_string(batch.column(0).data_type()))
                    .then(|| binary(0))
                    .transpose()?;
                RowEncoder::Bytes {
                    key,
                    value: binary(*value)?,
                }
            }
        })
    }

    fn json_key<'a>(&'a self, batch: &'a RecordBatch) -> Result<JsonKey<'a>, FormatError> {
        Ok(match self.keys {
            0 => JsonKey::None,
            1 if is_string(batch.column(0).data_type()) => {
                JsonKey::Text(cast(batch.column(0), &DataType::Utf8View)?)
            }
            keys => JsonKey::Array(JsonEncoder::new(batch, 0..keys)?),
        })
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OutputKind::Text { value } => write!(f, "text({})", self.schema.field(*value).name()),
            OutputKind::Raw { .. } => f.write_str("raw"),
            OutputKind::Json => f.write_str("json"),
        }
    }
}

/// Encodes the rows of one batch.
pub(crate) enum RowEncoder<'a> {
    Json {
        key: JsonKey<'a>,
        value: JsonEncoder<'a>,
    },
    Bytes {
        key: Option<ArrayRef>,
        value: ArrayRef,
    },
}

/// The key of a JSON record.
pub(crate) enum JsonKey<'a> {
    None,
    Text(ArrayRef),
    Array(JsonEncoder<'a>),
}

impl RowEncoder<'_> {
    /// Appends the record of `row`.
    pub(crate) fn encode(&mut self, row: usize, records: &mut RecordBuffer) {
        match self {
            Self::Bytes { key, value } => {
                let cell = |array: &ArrayRef, out: &mut Vec<u8>| {
                    let array = array.as_binary_view();
                    let valid = array.is_valid(row);
                    if valid {
                        out.extend(array.value(row));
                    }
                    valid
                };
                records.push(
                    |out| key.as_ref().is_some_and(|key| cell(key, out)),
                    |out| cell(value, out),
                );
            }
            Self::Json { key, value } => records.push(
                |out| match key {
                    JsonKey::None => false,
                    JsonKey::Text(key) => {
                        let key = key.as_string_view();
                        let valid = key.is_valid(row);
                        if valid {
                            out.extend(key.value(row).as_bytes());
                        }
                        valid
                    }
                    JsonKey::Array(key) => {
                        key.array(row, out);
                        true
                    }
                },
                |out| {
                    value.object(row, out);
                    true
                },
            ),
        }
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    ) || is_string(data_type)
}

fn column_of(
    schema: &Schema,
    column: &str,
    fits: fn(&DataType) -> bool,
    expected: &str,
) -> Result<usize, String> {
    let (index, field) = schema
        .column_with_name(column)
        .ok_or_else(|| format!("there is no column {column:?}"))?;
    if fits(field.data_type()) {
        return Ok(index);
    }
    Err(format!(
        "column {column:?} is {}, not {expected}",
        field.data_type()
    ))
}
