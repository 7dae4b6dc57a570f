//! Structs as rows of Parquet.
//!
//! Rows are gathered, and handed to the writer as columns. Compression is within the file. A file says how much memory it takes, so that who
//! has many can bound it: rows are copies, because texts that share a buffer would keep all of it.
use std::io;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, SchemaRef as ArrowSchemaRef};
use bytes::Bytes;
use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Datum, Schema, SchemaKind, SchemaRef, Struct, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::disk::Output;
use super::format::Compression;
use millstream_connect::arrow::{batch, columns};

/// So many rows are handed on at once.
const ROWS_MAX: usize = 8192;
/// A row group ends when it has this many bytes, so that memory stays bounded.
const GROUP_BYTES: usize = 32 << 20;

/// What the writer of a column takes that it does not tell: Snappy's table, or Zstandard's states.
const COLUMN_BYTES: usize = 40 << 10;
const COLUMN_BYTES_ZSTANDARD: usize = 512 << 10;
/// What is kept up to the end of the file of a column of a row group that is written: where it is, and its statistics.
const CHUNK_BYTES: usize = 1 << 10;

/// A Parquet file that is being written.
pub(super) struct ParquetFile {
    output: Option<Box<dyn Output>>,
    codec: Compression,
    opened: Option<Opened>,
    rows: Vec<Value>,
    /// How much memory they take.
    rows_bytes: usize,
    /// How much the row group takes that is being written.
    group_bytes: usize,
    /// How much those take that are written.
    ended_bytes: usize,
}

/// How much memory a file takes, as far as it depends on what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub all: usize,
    /// What is free again once the row group is written.
    pub group: usize,
}

struct Opened {
    schema: SchemaRef,
    columns: ArrowSchemaRef,
    writer: ArrowWriter<Box<dyn Output>>,
    /// How many columns Parquet has of them, in which structs, lists and maps are none.
    leaves: usize,
    /// There are values that the schema allows and Arrow does not.
    has_limits: bool,
}

/// Whether Arrow allows less than the schema: decimals have 38 digits, keys of maps are not null.
fn has_limits(schema: &Schema) -> bool {
    match &schema.kind {
        _ if schema.decimal_scale().is_some() => true,
        SchemaKind::Array(element) => has_limits(element),
        SchemaKind::Map(..) => true,
        SchemaKind::Struct(fields) => fields.iter().any(|field| has_limits(&field.schema)),
        _ => false,
    }
}

fn leaves(fields: &Fields) -> usize {
    let of = |field: &Arc<arrow::datatypes::Field>| match field.data_type() {
        DataType::Struct(parts) => leaves(parts),
        DataType::List(element) => leaves(&Fields::from(vec![Arc::clone(element)])),
        DataType::Map(entries, _) => leaves(&Fields::from(vec![Arc::clone(entries)])),
        _ => 1,
    };
    fields.iter().map(of).sum()
}

fn disk_error(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

/// Roughly how many bytes a value takes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 4,
        Value::Bytes(bytes) => bytes.len() + 4,
        Value::Array(values) => values.iter().map(size).sum::<usize>() + 4,
        Value::Map(entries) => {
            entries
                .iter()
                .map(|(key, value)| size(key) + size(value))
                .sum::<usize>()
                + 4
        }
        Value::Struct(fields) => fields.values().iter().map(size).sum(),
        Value::Decimal(_) => 16,
        _ => 8,
    }
}

/// A copy that shares nothing with the original.
fn copy(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(&**text),
        Value::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
        Value::Array(values) => Value::Array(values.iter().map(copy).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (copy(key), copy(value)));
            Value::Map(entries.collect())
        }
        Value::Struct(fields) => {
            let values = fields.values().iter().map(copy).collect();
            Value::Struct(Struct::new(Arc::clone(fields.schema()), values))
        }
        other => other.clone(),
    }
}

/// How much memory such a copy takes.
fn weight(value: &Value) -> usize {
    let beside = match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| weight(key) + weight(value))
            .sum(),
        Value::Struct(fields) => fields.values().iter().map(weight).sum(),
        Value::Decimal(_) => size_of::<bigdecimal::BigDecimal>() + 16,
        _ => 0,
    };
    size_of::<Value>() + beside
}

impl ParquetFile {
    /// A file with nothing in it.
    pub fn new(output: Box<dyn Output>, codec: Compression) -> Self {
        Self {
            output: Some(output),
            codec,
            opened: None,
            rows: Vec::new(),
            rows_bytes: 0,
            group_bytes: 0,
            ended_bytes: 0,
        }
    }

    /// How much memory it takes, and how much of that only up to the end of the row group.
    pub fn held(&self) -> Held {
        let group = self.rows_bytes + self.group_bytes;
        Held {
            group,
            all: group + self.ended_bytes,
        }
    }

    /// Adds a row, and says roughly how many bytes it has.
    ///
    /// # Errors
    /// If it has no columns, or is not what its schema says.
    pub fn add(&mut self, row: &Datum) -> Result<usize, PluginError> {
        let refused = |error: String| {
            PluginError::bad_record(format!(
                "{error}; format=parquet needs structs that are what their schema says"
            ))
        };
        let Some(schema) = row.schema.as_ref().filter(|_| !row.is_null()) else {
            return Err(refused(
                "a value without a schema, or null, has no columns".to_owned(),
            ));
        };
        let known = self.opened.as_ref().map(|opened| Arc::clone(&opened.columns));
        let columns = match known {
            Some(columns) => columns,
            None => columns(schema).map_err(refused)?,
        };
        // What cannot be a row has to show now, while it can be refused alone.
        schema
            .check(&row.value)
            .map_err(|error| refused(error.to_string()))?;
        if self.opened.as_ref().is_none_or(|opened| opened.has_limits) {
            batch(std::slice::from_ref(&row.value), schema, &columns).map_err(refused)?;
        }
        if self.opened.is_none() {
            let output = self.output.take().expect("a file is opened once");
            let codec = match self.codec {
                Compression::None => Codec::SNAPPY,
                Compression::Gzip => Codec::UNCOMPRESSED,
                Compression::Zstandard => Codec::ZSTD(ZstdLevel::default()),
            };
            let properties = WriterProperties::builder().set_compression(codec).build();
            let writer = ArrowWriter::try_new(output, Arc::clone(&columns), Some(properties));
            let writer = writer
                .map_err(|error| PluginError::disconnected("cannot begin a Parquet file").caused_by(error))?;
            self.opened = Some(Opened {
                has_limits: has_limits(schema),
                schema: Arc::clone(schema),
                leaves: leaves(columns.fields()),
                columns,
                writer,
            });
        }
        let bytes = size(&row.value);
        self.rows.push(copy(&row.value));
        self.rows_bytes += weight(&row.value);
        Ok(bytes)
    }

    /// Hands on the rows, if there are many.
    ///
    /// # Errors
    /// The file system's.
    pub fn spill(&mut self) -> io::Result<()> {
        match self.rows.len() >= ROWS_MAX || self.rows_bytes >= GROUP_BYTES {
            true => self.write_rows(),
            false => Ok(()),
        }
    }

    fn write_rows(&mut self) -> io::Result<()> {
        let Some(opened) = &mut self.opened else {
            return Ok(());
        };
        let rows = std::mem::take(&mut self.rows);
        self.rows_bytes = 0;
        if !rows.is_empty() {
            let batch = batch(&rows, &opened.schema, &opened.columns).map_err(io::Error::other)?;
            drop(rows);
            opened.writer.write(&batch).map_err(disk_error)?;
        }
        let column = match self.codec {
            Compression::Zstandard => COLUMN_BYTES_ZSTANDARD,
            Compression::None | Compression::Gzip => COLUMN_BYTES,
        };
        self.group_bytes = opened.writer.memory_size() + opened.leaves * column;
        match opened.writer.in_progress_size() >= GROUP_BYTES {
            true => self.end_group(),
            false => Ok(()),
        }
    }

    /// Writes what there is as a row group.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_group(&mut self) -> io::Result<()> {
        self.write_rows()?;
        self.end_group()
    }

    fn end_group(&mut self) -> io::Result<()> {
        let Some(opened) = &mut self.opened else {
            return Ok(());
        };
        opened.writer.flush().map_err(disk_error)?;
        self.group_bytes = 0;
        self.ended_bytes = opened.writer.flushed_row_groups().len() * opened.leaves * CHUNK_BYTES;
        Ok(())
    }

    /// Ends the file, and gives back what it is written to.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(mut self) -> io::Result<Box<dyn Output>> {
        self.write_rows()?;
        match (self.opened, self.output) {
            (Some(opened), _) => opened.writer.into_inner().map_err(disk_error),
            (None, Some(output)) => Ok(output),
            (None, None) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        }
    }
}
