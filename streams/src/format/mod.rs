//! Bytes ↔ Arrow.
//!
//! Owns: the formats users name ([`Format`]: [`text`], [`raw`], [`json`]), the batches of partial states on
//! repartition topics (`shuffle`), rows in changelogs (`row_codec`), the encoding of keys and the partition of a row
//! (`placement`).
//! Does not own: topics, offsets or clients.
//!
//! Invariants: decoding never fails on a record's content where the format has a lossy reading (text is lossy UTF-8, as in
//! Kafka's own deserializer); shuffled batches name their encoding and schema, and a mismatch is an error, never a guess;
//! key encoding, placement and fingerprints are fixed by golden tests.
mod decode;
mod error;
mod json_encoder;
mod output;
mod placement;
mod row_codec;
mod shuffle;
mod widened;

use std::fmt;

pub use error::FormatError;

pub(crate) use decode::{InputFormat, RowDecoder};
pub(crate) use output::OutputFormat;
pub(crate) use placement::Placement;
pub(crate) use row_codec::{ROW_ENCODING_VERSION, RowCodec, RowReader};
pub(crate) use shuffle::{BATCH_HEADER, ShuffleCodec, fingerprint};

/// How records are read or written. Made by [`text`], [`raw`] and [`json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text { column: String },
    Raw,
    Json,
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
    Format(Kind::Text {
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
    Format(Kind::Raw)
}

/// JSON, for writing. The value is an object of the columns that are not the key; the key is the key column's text
/// if it is one string column, otherwise an array of the key columns. A null in a single string column is `[null]`, because
/// a record without a key would land anywhere, and compacted topics refuse it. A stream's rows have no key.
///
/// ```
/// let json = millstream_streams::json();
/// ```
pub fn json() -> Format {
    Format(Kind::Json)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text { column } => write!(f, "text({column})"),
            Kind::Raw => f.write_str("raw"),
            Kind::Json => f.write_str("json"),
        }
    }
}
