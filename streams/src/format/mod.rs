//! Bytes ↔ Arrow.
//!
//! Owns: the formats users name ([`Format`]: [`text`], [`raw`], [`json`], [`csv()`], [`debezium_json`]) and the seam for others
//! ([`RecordFormat`]), the batches of partial states on
//! repartition topics (`shuffle`), rows in changelogs (`row_codec`), the encoding of keys and the partition of a row
//! (`placement`).
//! Does not own: topics, offsets or clients.
//!
//! Invariants: decoding never fails on a record's content where the format has a lossy reading (text is lossy UTF-8, as in
//! Kafka's own deserializer), and names the record where it does fail; shuffled batches name their encoding and schema, and a mismatch is an error, never a guess;
//! key encoding, placement and fingerprints are fixed by golden tests.
mod csv;
mod custom;
mod debezium;
mod decode;
mod error;
mod json_encoder;
mod json_rows;
mod order;
mod output;
mod placement;
mod row_codec;
mod shuffle;
mod shuffled_rows;
mod widened;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

pub use csv::{Csv, csv};
pub use custom::{
    BeforeRows, DecodedRecords, EncodeRow, EncodedRecord, OutputBatch, OutputRows, RecordDecoder,
    RecordEncoder, RecordFormat, TableFormat,
};
pub use debezium::debezium_json;
pub use error::FormatError;
pub(crate) use error::key_text;

pub(crate) use custom::CustomFormat;

pub(crate) use decode::{Decoded, InputFormat, RowDecoder, Undecodable};
pub(crate) use json_encoder::JsonEncoder;
pub(crate) use order::{Direction, OrderWriter};
pub(crate) use output::{OutputFormat, RowEncoder};
pub(crate) use placement::{Placement, key_type, murmur2};
pub(crate) use row_codec::{ROW_ENCODING_VERSION, RowCodec, RowReader, put_bytes, take_bytes};
pub(crate) use shuffle::{BATCH_HEADER, RecordBytes, ShuffleCodec, fingerprint};
pub(crate) use shuffled_rows::{ROWS_VERSION, ShuffledRows};

/// How records are read or written. Made by [`text`], [`raw`], [`json`], [`json_schema`], [`csv()`], [`debezium_json`], and of any
/// [`RecordFormat`].
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    pub(crate) kind: Kind,
    pub(crate) metadata: Vec<(Metadata, String)>,
    /// Keys are JSON objects.
    pub(crate) object_keys: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Text { column: String },
    Raw,
    Json { schema: Option<SchemaRef> },
    Custom(CustomFormat),
}

/// What a record has besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Metadata {
    Key,
    Timestamp,
    Headers,
    Partition,
    Offset,
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Timestamp => "timestamp",
            Self::Headers => "headers",
            Self::Partition => "partition",
            Self::Offset => "offset",
        })
    }
}

impl Format {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            metadata: Vec::new(),
            object_keys: false,
        }
    }

    fn with(mut self, what: Metadata, column: impl Into<String>) -> Self {
        self.metadata.push((what, column.into()));
        self
    }

    /// The record's key is the column `column`: binary when read; a string or binary when a stream's row is written, and then
    /// no part of the value. A null key is a record without one.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, json, text};
    /// let app = Streams::new("keyed");
    /// app.stream("lines", text("line").with_key("user"))
    ///     .with_column("user", cast(col("user"), DataType::Utf8))
    ///     .to("lines-by-user", json().with_key("user"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn with_key(self, column: impl Into<String>) -> Self {
        self.with(Metadata::Key, column)
    }

    /// Keys are written as JSON objects, `{"id":1}`, which is what the sinks of Connect take apart into columns; with
    /// [`with_key`](Self::with_key) the column may be of any type then. For formats whose keys are JSON otherwise: not for [`text`]
    /// and [`raw`].
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("totals");
    /// app.stream("orders", json_schema(Schema::new(vec![Field::new("customer", DataType::Int64, true)])))
    ///     .group_by([col("customer")])
    ///     .aggregate("counts", [count_all().alias("n")])
    ///     .to("counts", json().object_keys());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("orders", TestRecord::new(r#"{"customer":7}"#))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("counts")[0].as_text(), (r#"{"customer":7}"#, r#"{"n":1}"#));
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn object_keys(mut self) -> Self {
        self.object_keys = true;
        self
    }

    /// The record's timestamp is the column `column`, in milliseconds and UTC; null for a record that has none. For reading.
    ///
    /// ```
    /// let lines = millstream_streams::text("line").with_timestamp("at");
    /// ```
    pub fn with_timestamp(self, column: impl Into<String>) -> Self {
        self.with(Metadata::Timestamp, column)
    }

    /// The record's headers are the column `column`: a list of `key` (string) and `value` (binary), in their order. For reading.
    ///
    /// ```
    /// let lines = millstream_streams::text("line").with_headers("headers");
    /// ```
    pub fn with_headers(self, column: impl Into<String>) -> Self {
        self.with(Metadata::Headers, column)
    }

    /// The number of the record's partition is the column `column`, a 32-bit integer. For reading.
    ///
    /// ```
    /// let lines = millstream_streams::text("line").with_partition("partition").with_offset("offset");
    /// ```
    pub fn with_partition(self, column: impl Into<String>) -> Self {
        self.with(Metadata::Partition, column)
    }

    /// The record's offset is the column `column`, a 64-bit integer. For reading.
    ///
    /// ```
    /// let lines = millstream_streams::text("line").with_partition("partition").with_offset("offset");
    /// ```
    pub fn with_offset(self, column: impl Into<String>) -> Self {
        self.with(Metadata::Offset, column)
    }
}

/// Text: the record's value is one string, in the column `column`.
///
/// Reading replaces what is not UTF-8 by U+FFFD, as Kafka's `StringDeserializer` does; a null value is a null.
/// Writing takes that column as the value. A table's key must be one string column, which becomes the record's key; a null
/// key becomes `[null]`.
///
/// ```
/// let lines = millstream_streams::text("line");
/// ```
pub fn text(column: impl Into<String>) -> Format {
    Format::new(Kind::Text {
        column: column.into(),
    })
}

/// Bytes as they are: the columns `key` and `value`, both binary. A table's key must be the column `key` alone; there, a null
/// key becomes `[null]`.
///
/// ```
/// let bytes = millstream_streams::raw();
/// ```
pub fn raw() -> Format {
    Format::new(Kind::Raw)
}

/// JSON, for writing. The value is an object of the columns that are not the key; the key is the key column's text
/// if it is one string column, otherwise an array of the key columns. A null in a single string column is `[null]`, because
/// a record without a key would land anywhere, and compacted topics refuse it. A stream's rows have no key.
///
/// ```
/// let json = millstream_streams::json();
/// ```
pub fn json() -> Format {
    Format::new(Kind::Json { schema: None })
}

/// JSON with known columns, for reading and writing. A value is one object; a member that is missing is null, one that the schema
/// does not name is passed over. A record that does not fit the schema fails the job with its place, unless
/// [`Stream::on_error`](crate::Stream::on_error) says otherwise. A null value is a row of nulls.
///
/// ```
/// use millstream_streams::{DataType, Field, Schema, json_schema};
/// let bids = json_schema(Schema::new(vec![
///     Field::new("auction", DataType::Int64, true),
///     Field::new("price", DataType::Float64, true),
/// ]));
/// ```
pub fn json_schema(schema: Schema) -> Format {
    let schema = Some(Arc::new(schema));
    Format::new(Kind::Json { schema })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Text { column } => write!(f, "text({column})"),
            Kind::Raw => f.write_str("raw"),
            Kind::Json { .. } => f.write_str("json"),
            Kind::Custom(CustomFormat(format)) => f.write_str(&format.name()),
        }
    }
}
