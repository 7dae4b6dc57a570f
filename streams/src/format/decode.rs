//! Records to rows, in batches.
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewBuilder, RecordBatch, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Format, FormatError, Kind};
use crate::rows::{EventTime, Rows};

/// A format that reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputFormat {
    Text { column: String },
    Raw,
}

impl InputFormat {
    /// The reading side of `format`, if it has one.
    pub(crate) fn new(format: &Format) -> Option<Self> {
        match &format.0 {
            Kind::Text { column } => Some(Self::Text {
                column: column.clone(),
            }),
            Kind::Raw => Some(Self::Raw),
            Kind::Json => None,
        }
    }

    /// The columns it gives.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(match self {
            Self::Text { column } => Schema::new(vec![Field::new(column, DataType::Utf8View, true)]),
            Self::Raw => Schema::new(vec![
                Field::new("key", DataType::BinaryView, true),
                Field::new("value", DataType::BinaryView, true),
            ]),
        })
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { column } => write!(f, "text({column})"),
            Self::Raw => f.write_str("raw"),
        }
    }
}

/// Collects records until they are taken as a batch.
pub(crate) struct RowDecoder {
    schema: SchemaRef,
    columns: Columns,
    times: Vec<EventTime>,
    bytes: usize,
}

enum Columns {
    Text(StringViewBuilder),
    Raw {
        key: Box<BinaryViewBuilder>,
        value: Box<BinaryViewBuilder>,
    },
}

impl RowDecoder {
    pub(crate) fn new(format: &InputFormat) -> Self {
        let columns = match format {
            InputFormat::Text { .. } => Columns::Text(StringViewBuilder::new()),
            InputFormat::Raw => Columns::Raw {
                key: Box::default(),
                value: Box::default(),
            },
        };
        Self {
            schema: format.schema(),
            columns,
            times: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a record as a row.
    pub(crate) fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, time: EventTime) {
        match &mut self.columns {
            Columns::Text(text) => match value {
                Some(value) => text.append_value(String::from_utf8_lossy(value)),
                None => text.append_null(),
            },
            Columns::Raw {
                key: keys,
                value: values,
            } => {
                keys.append_option(key);
                values.append_option(value);
            }
        }
        self.times.push(time);
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    }

    /// Rows collected.
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Bytes collected.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows collected since the last call, if any.
    pub(crate) fn take(&mut self) -> Result<Option<Rows>, FormatError> {
        if self.times.is_empty() {
            return Ok(None);
        }
        let times = std::mem::take(&mut self.times);
        self.bytes = 0;
        let columns: Vec<ArrayRef> = match &mut self.columns {
            Columns::Text(text) => vec![Arc::new(text.finish())],
            Columns::Raw { key, value } => vec![Arc::new(key.finish()), Arc::new(value.finish())],
        };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Some(Rows::new(batch, times)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{raw, text};
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn text_is_lossy_utf8_and_null_stays_null() {
        let mut decoder = RowDecoder::new(&InputFormat::new(&text("line")).unwrap());
        assert!(decoder.take().unwrap().is_none());
        for value in [Some(b"plain".as_slice()), None, Some(b"a\xffb"), Some(b"")] {
            decoder.push(Some(b"key"), value, 7);
        }
        assert_eq!((decoder.rows(), decoder.bytes()), (4, 20));
        let rows = decoder.take().unwrap().unwrap();
        assert_eq!(rows.times(), [7; 4]);
        let batch = rows.batch;
        let lines: Vec<Option<&str>> = batch["line"].as_string_view().iter().collect();
        assert_eq!(lines, [Some("plain"), None, Some("a\u{fffd}b"), Some("")]);
        assert!(decoder.take().unwrap().is_none());
    }

    #[test]
    fn raw_keeps_key_and_value() {
        let mut decoder = RowDecoder::new(&InputFormat::new(&raw()).unwrap());
        decoder.push(None, Some(b"\xff"), 1);
        decoder.push(Some(b"k"), None, 2);
        let rows = decoder.take().unwrap().unwrap();
        assert_eq!(rows.times(), [1, 2]);
        let batch = rows.batch;
        assert!(batch["key"].is_null(0) && batch["value"].is_null(1));
        assert_eq!(batch["value"].as_binary_view().value(0), b"\xff");
        assert_eq!(batch["key"].as_binary_view().value(1), b"k");
    }
}
