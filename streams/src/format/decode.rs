//! Records to rows: one column a value, or those of its schema, and what else of the record was asked for.
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StringViewBuilder, StructBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;

use super::{Format, FormatError, Kind, Metadata};
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::task::InputRecord;

/// A format that reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InputFormat {
    value: ValueFormat,
    metadata: Vec<(Metadata, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum ValueFormat {
    Text { column: String },
    Raw,
    Json { schema: SchemaRef },
}

/// A row that its record does not make.
#[derive(Debug)]
pub(crate) struct Undecodable {
    /// The offset of the record.
    pub(crate) offset: i64,
    pub(crate) cause: FormatError,
}

impl InputFormat {
    /// The reading side of `format`, if it has one.
    pub(crate) fn new(format: &Format) -> Option<Self> {
        let value = match &format.kind {
            Kind::Text { column } => ValueFormat::Text {
                column: column.clone(),
            },
            Kind::Raw => ValueFormat::Raw,
            Kind::Json { schema } => ValueFormat::Json {
                schema: schema.clone()?,
            },
        };
        Some(Self {
            value,
            metadata: format.metadata.clone(),
        })
    }

    /// The columns it gives: those of the value, then what else was asked for.
    pub(crate) fn schema(&self) -> SchemaRef {
        let mut fields = match &self.value {
            ValueFormat::Text { column } => vec![Arc::new(Field::new(column, DataType::Utf8View, true))],
            ValueFormat::Raw => ["key", "value"]
                .map(|name| Arc::new(Field::new(name, DataType::BinaryView, true)))
                .to_vec(),
            ValueFormat::Json { schema } => schema.fields().to_vec(),
        };
        let metadata = self.metadata.iter();
        fields.extend(metadata.map(|(what, column)| Arc::new(Field::new(column, what.data_type(), true))));
        Arc::new(Schema::new(fields))
    }

    /// Whether its values have these columns, so that a decoder can be made.
    pub(crate) fn check(&self) -> Result<(), ArrowError> {
        match &self.value {
            ValueFormat::Json { schema } => ReaderBuilder::new(Arc::clone(schema)).build_decoder().map(drop),
            ValueFormat::Text { .. } | ValueFormat::Raw => Ok(()),
        }
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ValueFormat::Text { column } => write!(f, "text({column})")?,
            ValueFormat::Raw => f.write_str("raw")?,
            ValueFormat::Json { schema } => {
                let names: Vec<&str> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                write!(f, "json({})", names.join(", "))?;
            }
        }
        for (what, column) in &self.metadata {
            write!(f, " with {what} as {column}")?;
        }
        Ok(())
    }
}

impl Metadata {
    fn data_type(self) -> DataType {
        match self {
            Self::Key => DataType::BinaryView,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Headers => DataType::List(header_item()),
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
        }
    }
}

fn header_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::BinaryView, true),
    ])
}

fn header_item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(header_fields()), false))
}

/// Collects records until they are taken as rows.
pub(crate) struct RowDecoder {
    schema: SchemaRef,
    value: Value,
    metadata: Vec<MetadataColumn>,
    times: Vec<EventTime>,
    offsets: Vec<i64>,
    bytes: usize,
}

enum Value {
    Text(StringViewBuilder),
    Raw {
        key: Box<BinaryViewBuilder>,
        value: Box<BinaryViewBuilder>,
    },
    Json(JsonRows),
}

/// The values of records as they came: they are parsed together, and again one by one if that fails.
struct JsonRows {
    schema: SchemaRef,
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

enum MetadataColumn {
    Key(BinaryViewBuilder),
    Timestamp(TimestampMillisecondBuilder),
    Headers(Box<ListBuilder<StructBuilder>>),
    Partition(Int32Builder),
    Offset(Int64Builder),
}

impl RowDecoder {
    pub(crate) fn new(format: &InputFormat) -> Self {
        let value = match &format.value {
            ValueFormat::Text { .. } => Value::Text(StringViewBuilder::new()),
            ValueFormat::Raw => Value::Raw {
                key: Box::default(),
                value: Box::default(),
            },
            ValueFormat::Json { schema } => Value::Json(JsonRows {
                schema: Arc::clone(schema),
                bytes: Vec::new(),
                ends: Vec::new(),
            }),
        };
        let metadata = format.metadata.iter().map(|(what, _)| MetadataColumn::new(*what));
        Self {
            schema: format.schema(),
            value,
            metadata: metadata.collect(),
            times: Vec::new(),
            offsets: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a record as a row.
    pub(crate) fn push(&mut self, record: &InputRecord<'_>) {
        let (key, value) = (record.key, record.value);
        match &mut self.value {
            Value::Text(text) => match value {
                Some(value) => text.append_value(String::from_utf8_lossy(value)),
                None => text.append_null(),
            },
            Value::Raw {
                key: keys,
                value: values,
            } => {
                keys.append_option(key);
                values.append_option(value);
            }
            Value::Json(rows) => {
                // A null value is an object without members.
                rows.bytes.extend_from_slice(value.unwrap_or(b"{}"));
                rows.ends.push(rows.bytes.len());
            }
        }
        self.metadata.iter_mut().for_each(|column| column.push(record));
        self.times.push(record.timestamp);
        self.offsets.push(record.offset);
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

    /// The rows collected since the last call, if any. After an error they are gone.
    pub(crate) fn take(&mut self) -> Result<Option<Rows>, Undecodable> {
        if self.times.is_empty() {
            return Ok(None);
        }
        let times = std::mem::take(&mut self.times);
        let offsets = std::mem::take(&mut self.offsets);
        self.bytes = 0;
        let at = |place: usize| offsets.get(place).copied().unwrap_or(-1);
        let mut columns: Vec<ArrayRef> = match &mut self.value {
            Value::Text(text) => vec![Arc::new(text.finish())],
            Value::Raw { key, value } => vec![Arc::new(key.finish()), Arc::new(value.finish())],
            Value::Json(rows) => {
                let parsed = rows.take();
                parsed.map_err(|(place, cause)| Undecodable {
                    offset: at(place),
                    cause,
                })?
            }
        };
        columns.extend(self.metadata.iter_mut().map(MetadataColumn::finish));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|cause| Undecodable {
            offset: at(0),
            cause: cause.into(),
        })?;
        Ok(Some(Rows::new(batch, times)))
    }
}

impl JsonRows {
    /// The columns of all values; or which of them does not fit, and why.
    fn take(&mut self) -> Result<Vec<ArrayRef>, (usize, FormatError)> {
        let (bytes, ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        if let Ok(batch) = self.parse(&bytes, ends.len()) {
            return Ok(batch.columns().to_vec());
        }
        // One of them does not fit. Which?
        let mut start = 0;
        for (place, &end) in ends.iter().enumerate() {
            self.parse(&bytes[start..end], 1)
                .map_err(|cause| (place, cause))?;
            start = end;
        }
        let reason = "the values are JSON one by one, but not together".to_owned();
        Err((0, FormatError::Json { reason }))
    }

    fn parse(&self, bytes: &[u8], rows: usize) -> Result<RecordBatch, FormatError> {
        let invalid = |reason: String| FormatError::Json { reason };
        // Room for one more, so that a value that holds two objects is noticed.
        let builder = ReaderBuilder::new(Arc::clone(&self.schema)).with_batch_size(rows + 1);
        let mut decoder = builder.build_decoder()?;
        let consumed = decoder.decode(bytes).map_err(|error| invalid(reason(&error)))?;
        if decoder.has_partial_record() {
            return Err(invalid("it is cut short".to_owned()));
        }
        if consumed != bytes.len() || decoder.len() != rows {
            return Err(invalid("it is not one object".to_owned()));
        }
        let batch = decoder.flush().map_err(|error| invalid(reason(&error)))?;
        batch.ok_or_else(|| invalid("it is empty".to_owned()))
    }
}

/// What Arrow says, without the name of its error's kind.
fn reason(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(reason) => reason.clone(),
        other => other.to_string(),
    }
}

impl MetadataColumn {
    fn new(what: Metadata) -> Self {
        match what {
            Metadata::Key => Self::Key(BinaryViewBuilder::new()),
            Metadata::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Metadata::Headers => {
                let items = StructBuilder::from_fields(header_fields(), 0);
                Self::Headers(Box::new(ListBuilder::new(items).with_field(header_item())))
            }
            Metadata::Partition => Self::Partition(Int32Builder::new()),
            Metadata::Offset => Self::Offset(Int64Builder::new()),
        }
    }

    fn push(&mut self, record: &InputRecord<'_>) {
        match self {
            Self::Key(keys) => keys.append_option(record.key),
            Self::Timestamp(times) => {
                times.append_option((record.timestamp != NO_TIME).then_some(record.timestamp));
            }
            Self::Headers(lists) => {
                record.headers.each(&mut |name, value| {
                    let items = lists.values();
                    if let Some(names) = items.field_builder::<StringBuilder>(0) {
                        names.append_value(name);
                    }
                    if let Some(values) = items.field_builder::<BinaryViewBuilder>(1) {
                        values.append_option(value);
                    }
                    items.append(true);
                });
                lists.append(true);
            }
            Self::Partition(partitions) => partitions.append_value(record.partition),
            Self::Offset(offsets) => offsets.append_value(record.offset),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Key(keys) => Arc::new(keys.finish()),
            Self::Timestamp(times) => Arc::new(times.finish()),
            Self::Headers(lists) => Arc::new(lists.finish()),
            Self::Partition(partitions) => Arc::new(partitions.finish()),
            Self::Offset(offsets) => Arc::new(offsets.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{json_schema, raw, text};
    use super::*;
    use crate::task::HeaderLookup;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};

    struct Headers(Vec<(&'static str, Option<&'static [u8]>)>);

    impl HeaderLookup for Headers {
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }

        fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
            self.0.iter().for_each(|(name, value)| each(name, *value));
        }
    }

    fn decoder(format: &Format) -> RowDecoder {
        let format = InputFormat::new(format).unwrap();
        format.check().unwrap();
        RowDecoder::new(&format)
    }

    fn push(decoder: &mut RowDecoder, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        decoder.push(&InputRecord {
            topic: "t",
            partition: 3,
            offset,
            timestamp: if offset == 2 { NO_TIME } else { 1000 + offset },
            key,
            value,
            headers: &Headers(vec![("a", Some(b"1")), ("a", None)]),
        });
    }

    #[test]
    fn text_is_lossy_utf8_and_null_stays_null() {
        let mut decoder = decoder(&text("line"));
        assert!(decoder.take().unwrap().is_none());
        for (offset, value) in (0..).zip([Some(b"plain".as_slice()), None, Some(b"a\xffb"), Some(b"")]) {
            push(&mut decoder, offset, Some(b"key"), value);
        }
        assert_eq!((decoder.rows(), decoder.bytes()), (4, 20));
        let rows = decoder.take().unwrap().unwrap();
        assert_eq!(rows.times(), [1000, 1001, NO_TIME, 1003]);
        let lines: Vec<Option<&str>> = rows.batch["line"].as_string_view().iter().collect();
        assert_eq!(lines, [Some("plain"), None, Some("a\u{fffd}b"), Some("")]);
        assert!(decoder.take().unwrap().is_none());
    }

    #[test]
    fn raw_keeps_key_and_value() {
        let mut decoder = decoder(&raw());
        push(&mut decoder, 0, None, Some(b"\xff"));
        push(&mut decoder, 1, Some(b"k"), None);
        let batch = decoder.take().unwrap().unwrap().batch;
        assert!(batch["key"].is_null(0) && batch["value"].is_null(1));
        assert_eq!(batch["value"].as_binary_view().value(0), b"\xff");
        assert_eq!(batch["key"].as_binary_view().value(1), b"k");
    }

    #[test]
    fn what_else_a_record_has_becomes_columns() {
        let format = text("line").with_key("k").with_timestamp("at");
        let format = format.with_headers("h").with_partition("p").with_offset("o");
        let mut decoder = decoder(&format);
        push(&mut decoder, 1, Some(b"key"), Some(b"x"));
        push(&mut decoder, 2, None, Some(b"y"));
        let batch = decoder.take().unwrap().unwrap().batch;
        assert_eq!(
            batch["k"].as_binary_view().iter().collect::<Vec<_>>(),
            [Some(b"key".as_slice()), None]
        );
        let times: Vec<_> = batch["at"]
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect();
        assert_eq!(times, [Some(1001), None]);
        assert_eq!(batch["p"].as_primitive::<Int32Type>().values(), &[3, 3]);
        assert_eq!(batch["o"].as_primitive::<Int64Type>().values(), &[1, 2]);
        let headers = batch["h"].as_list::<i32>().value(1);
        let headers = headers.as_struct();
        assert_eq!(
            headers.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("a"), Some("a")]
        );
        assert_eq!(
            headers.column(1).as_binary_view().iter().collect::<Vec<_>>(),
            [Some(b"1".as_slice()), None]
        );
    }

    fn bids() -> Format {
        json_schema(Schema::new(vec![
            Field::new("auction", DataType::Int64, true),
            Field::new("price", DataType::Float64, true),
        ]))
    }

    #[test]
    fn json_members_become_columns() {
        let mut decoder = decoder(&bids());
        let values = [
            r#"{"auction": 1, "price": 2.5, "more": [{}]}"#,
            r#" {"price":1} "#,
            "{}",
        ];
        for (offset, value) in (0..).zip(values) {
            push(&mut decoder, offset, None, Some(value.as_bytes()));
        }
        push(&mut decoder, 3, None, None);
        let batch = decoder.take().unwrap().unwrap().batch;
        let auctions: Vec<_> = batch["auction"].as_primitive::<Int64Type>().iter().collect();
        assert_eq!(auctions, [Some(1), None, None, None]);
        let prices: Vec<_> = batch["price"].as_primitive::<Float64Type>().iter().collect();
        assert_eq!(prices, [Some(2.5), Some(1.0), None, None]);
    }

    #[test]
    fn the_record_that_is_no_json_is_named() {
        for (bad, expected) in [
            (r#"{"auction": "x"}"#, "auction"),
            (r#"{"auction": 1"#, "cut short"),
            (r#"{"auction": 1}{"auction": 2}"#, "not one object"),
            ("", "not one object"),
            ("  ", "not one object"),
            ("[1]", "expected"),
            ("nonsense", "Encountered unexpected"),
        ] {
            let mut decoder = decoder(&bids());
            for (offset, value) in [(5, "{}"), (6, bad), (7, r#"{"auction": 3}"#)] {
                push(&mut decoder, offset, None, Some(value.as_bytes()));
            }
            let error = decoder.take().unwrap_err();
            assert_eq!(error.offset, 6, "{bad}: {}", error.cause);
            assert!(
                error.cause.to_string().contains(expected),
                "{bad}: {}",
                error.cause
            );
            assert!(decoder.take().unwrap().is_none());
        }
    }
}
