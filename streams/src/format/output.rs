//! Rows to records.
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::custom::{EncodeRow, OutputBatch, OutputRows, RecordEncoder};
use super::json_encoder::JsonEncoder;
use super::{CustomFormat, Format, FormatError, Kind, Metadata};
use crate::rows::EventTime;
use crate::sink::RecordBuffer;

/// What a table's record has as its key if the key is null: a null key would send the record to any partition, and compacted
/// topics refuse it.
const NULL_KEY: &[u8] = b"[null]";

/// A format that writes, bound to the rows it writes.
#[derive(Debug, Clone)]
pub(crate) struct OutputFormat {
    schema: SchemaRef,
    keys: usize,
    /// The column that is the key of a stream's records.
    key: Option<usize>,
    object_keys: bool,
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
    Custom(CustomFormat),
}

impl OutputFormat {
    /// The writing side of `format` for rows of `schema`, whose first `keys` columns are the key, to `topic`.
    pub(crate) fn new(format: &Format, topic: &str, schema: &SchemaRef, keys: usize) -> Result<Self, String> {
        check_key(format, schema, keys)?;
        let key = key_column(format, schema, keys)?;
        let kind = match &format.kind {
            Kind::Text { column } => OutputKind::Text {
                value: column_of(schema, column, is_string, "a string")?,
            },
            Kind::Raw => OutputKind::Raw {
                key: match key {
                    Some(_) => key,
                    None => schema
                        .index_of("key")
                        .ok()
                        .map(|_| column_of(schema, "key", is_bytes, "binary"))
                        .transpose()?,
                },
                value: column_of(schema, "value", is_bytes, "binary")?,
            },
            Kind::Json { .. } => {
                JsonEncoder::new(
                    &RecordBatch::new_empty(Arc::clone(schema)),
                    0..schema.fields().len(),
                )
                .map_err(|cause| cause.to_string())?;
                OutputKind::Json
            }
            Kind::Custom(custom) => OutputKind::Custom(custom.clone()),
        };
        let format = Self {
            schema: Arc::clone(schema),
            keys,
            key,
            object_keys: format.object_keys,
            kind,
        };
        if let OutputKind::Custom(_) = format.kind {
            let reason = |cause| match cause {
                FormatError::Unwritable { reason, .. } => reason,
                other => other.to_string(),
            };
            format.custom(topic).map_err(reason)?;
            let empty = RecordBatch::new_empty(Arc::clone(schema));
            format.json_key(&empty).map_err(|cause| cause.to_string())?;
        }
        Ok(format)
    }

    /// The columns of the rows it writes.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it writes what a table's rows were before.
    pub(crate) fn wants_changes(&self) -> bool {
        matches!(&self.kind, OutputKind::Custom(custom) if custom.0.wants_changes())
    }

    /// What writes to `topic`, if the format is not of this crate.
    pub(crate) fn custom(&self, topic: &str) -> Result<Option<Box<dyn RecordEncoder>>, FormatError> {
        let OutputKind::Custom(custom) = &self.kind else {
            return Ok(None);
        };
        let rows = OutputRows {
            topic,
            schema: &self.schema,
            keys: self.keys,
            key: self.key,
        };
        custom.0.encoder(&rows).map(Some)
    }

    /// Readies `batch` for `encoder`, which [`custom`](Self::custom) made.
    pub(crate) fn custom_rows<'a>(
        &'a self,
        encoder: &'a mut dyn RecordEncoder,
        batch: &'a OutputBatch,
    ) -> Result<RowEncoder<'a>, FormatError> {
        let key = match self.keys > 0 && encoder.writes_keys() {
            true => None,
            false => Some(self.json_key(&batch.rows)?),
        };
        let rows = encoder.batch(batch)?;
        Ok(RowEncoder::Custom { key, rows })
    }

    /// Readies `batch`, whose schema is the bound one, for encoding.
    pub(crate) fn encoder<'a>(&'a self, batch: &'a RecordBatch) -> Result<RowEncoder<'a>, FormatError> {
        let binary = |column: usize| cast(batch.column(column), &DataType::BinaryView);
        Ok(match &self.kind {
            // With a custom format, its encoder writes the values instead.
            OutputKind::Json | OutputKind::Custom(_) => RowEncoder::Json {
                key: self.json_key(batch)?,
                value: JsonEncoder::new(
                    batch,
                    (self.keys..self.schema.fields().len()).filter(|column| Some(*column) != self.key),
                )?,
            },
            OutputKind::Raw { key, value } => RowEncoder::Bytes {
                key: key.map(binary).transpose()?,
                value: binary(*value)?,
                keyed: self.keys > 0,
            },
            OutputKind::Text { value } => RowEncoder::Bytes {
                key: self
                    .key
                    .or((self.keys > 0).then_some(0))
                    .map(binary)
                    .transpose()?,
                value: binary(*value)?,
                keyed: self.keys > 0,
            },
        })
    }

    fn json_key<'a>(&'a self, batch: &'a RecordBatch) -> Result<JsonKey<'a>, FormatError> {
        if self.object_keys {
            let columns = (0..self.keys).chain(self.key);
            return Ok(match self.keys > 0 || self.key.is_some() {
                true => JsonKey::Object(JsonEncoder::new(batch, columns)?),
                false => JsonKey::None,
            });
        }
        if let Some(key) = self.key {
            return Ok(JsonKey::Column(cast(batch.column(key), &DataType::BinaryView)?));
        }
        Ok(match self.keys {
            0 => JsonKey::None,
            1 if is_string(batch.column(0).data_type()) => {
                JsonKey::Text(cast(batch.column(0), &DataType::BinaryView)?)
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
            OutputKind::Custom(custom) => f.write_str(&custom.0.name()),
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
        /// Whether the rows are a table's, each of which has a key.
        keyed: bool,
    },
    Custom {
        /// Unless the format writes it.
        key: Option<JsonKey<'a>>,
        rows: Box<dyn EncodeRow + 'a>,
    },
}

/// The key of a JSON record.
pub(crate) enum JsonKey<'a> {
    None,
    /// Of a stream's rows: null is no key.
    Column(ArrayRef),
    Text(ArrayRef),
    Array(JsonEncoder<'a>),
    Object(JsonEncoder<'a>),
}

impl RowEncoder<'_> {
    /// Appends the record of `row`, made at `time`.
    pub(crate) fn encode(
        &mut self,
        row: usize,
        time: EventTime,
        records: &mut RecordBuffer,
    ) -> Result<(), FormatError> {
        match self {
            Self::Bytes { key, value, keyed } => records.push(
                time,
                |out| bytes_key(key.as_ref(), *keyed, row, out),
                |out| cell(value, row, out),
            ),
            Self::Json { key, value } => records.push(
                time,
                |out| key.write(row, out),
                |out| {
                    value.object(row, out);
                    true
                },
            ),
            Self::Custom { key, rows } => {
                return encode_custom(key.as_mut(), rows.as_mut(), row, time, records);
            }
        }
        Ok(())
    }

    /// Appends the record that deletes the key of `row`.
    pub(crate) fn encode_deletion(
        &mut self,
        row: usize,
        time: EventTime,
        records: &mut RecordBuffer,
    ) -> Result<(), FormatError> {
        let mut failed = Ok(());
        match self {
            Self::Bytes { key, keyed, .. } => {
                records.push(time, |out| bytes_key(key.as_ref(), *keyed, row, out), |_| false);
            }
            Self::Json { key, .. } | Self::Custom { key: Some(key), .. } => {
                records.push(time, |out| key.write(row, out), |_| false);
            }
            Self::Custom { key: None, rows } => {
                records.push(time, |out| unless(&mut failed, || rows.key(row, out)), |_| false);
            }
        }
        if failed.is_err() {
            records.pop();
        }
        failed
    }
}

fn encode_custom(
    key: Option<&mut JsonKey<'_>>,
    rows: &mut dyn EncodeRow,
    row: usize,
    time: EventTime,
    records: &mut RecordBuffer,
) -> Result<(), FormatError> {
    let (mut key_failed, mut value_failed) = (Ok(()), Ok(()));
    let rows = std::cell::RefCell::new(rows);
    records.push(
        time,
        |out| match key {
            Some(key) => key.write(row, out),
            None => unless(&mut key_failed, || rows.borrow_mut().key(row, out)),
        },
        |out| unless(&mut value_failed, || rows.borrow_mut().value(row, out)),
    );
    let written = key_failed.and(value_failed);
    if written.is_err() {
        records.pop();
    }
    written
}

/// Whether something was written; what failed is kept.
fn unless(failed: &mut Result<(), FormatError>, write: impl FnOnce() -> Result<bool, FormatError>) -> bool {
    match write() {
        Ok(is_there) => is_there,
        Err(cause) => {
            *failed = Err(cause);
            false
        }
    }
}

impl JsonKey<'_> {
    /// Appends the key of `row`, and says whether there is one.
    fn write(&mut self, row: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Self::None => false,
            Self::Column(key) => cell(key, row, out),
            Self::Text(key) => cell(key, row, out) || null_key(out),
            Self::Array(key) => {
                key.array(row, out);
                true
            }
            Self::Object(key) => {
                key.object(row, out);
                true
            }
        }
    }
}

fn bytes_key(key: Option<&ArrayRef>, keyed: bool, row: usize, out: &mut Vec<u8>) -> bool {
    key.is_some_and(|key| cell(key, row, out)) || (keyed && null_key(out))
}

/// Appends the bytes at `row`, and says whether there are any, or it is null.
fn cell(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> bool {
    let array = array.as_binary_view();
    let valid = array.is_valid(row);
    if valid {
        out.extend(array.value(row));
    }
    valid
}

fn null_key(out: &mut Vec<u8>) -> bool {
    out.extend(NULL_KEY);
    true
}

/// The column that is the key of a stream's records, if one is to be.
fn key_column(format: &Format, schema: &Schema, keys: usize) -> Result<Option<usize>, String> {
    let mut key = None;
    for (what, column) in &format.metadata {
        match what {
            Metadata::Key if keys > 0 => {
                return Err(format!(
                    "the key of a table's records is the table's; leave with_key({column:?}) out"
                ));
            }
            Metadata::Key if format.object_keys => key = Some(column_of(schema, column, |_| true, "")?),
            Metadata::Key => key = Some(column_of(schema, column, is_bytes, "a string or binary")?),
            other => {
                return Err(format!(
                    "with_{other} is for reading; leave with_{other}({column:?}) out"
                ));
            }
        }
    }
    Ok(key)
}

/// Whether the format can carry the key of a table whose first `keys` columns are its key.
fn check_key(format: &Format, schema: &Schema, keys: usize) -> Result<(), String> {
    let names = || {
        let names: Vec<&str> = schema.fields()[..keys]
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        names.join(", ")
    };
    let remedy = "use json(), or group by what the format can carry";
    match &format.kind {
        Kind::Text { .. } | Kind::Raw if format.object_keys => Err(
            "keys are JSON objects only with formats whose keys are JSON; leave object_keys() out".to_owned(),
        ),
        _ if keys == 0 => Ok(()),
        Kind::Text { .. } if keys > 1 || !is_string(schema.field(0).data_type()) => Err(format!(
            "the table's key ({}) is not one string column; {remedy}",
            names()
        )),
        Kind::Raw if keys > 1 || schema.field(0).name() != "key" => Err(format!(
            "the table's key ({}) is not one column named \"key\"; {remedy}",
            names()
        )),
        _ => Ok(()),
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
