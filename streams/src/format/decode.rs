//! Records to rows: one column a value, or those of its schema, and what else of the record was asked for.
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanArray, Int32Builder, Int64Array, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, StringViewBuilder, StructBuilder, TimestampMillisecondBuilder,
};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;

use super::json_rows::JsonRows;
use super::{Format, FormatError, Kind, Metadata};
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::sink::{Destination, RecordBuffer};
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
    /// The number of the record among those that were taken together.
    pub(crate) place: usize,
    /// The offset of the record.
    pub(crate) offset: i64,
    pub(crate) cause: FormatError,
}

/// What became of the records that were taken together.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Those that could be read, if there is one.
    pub(crate) rows: Option<Rows>,
    pub(crate) undecodable: Vec<Undecodable>,
    /// All of them as they came, if some could not be read and that was asked for.
    pub(crate) originals: Option<RecordBuffer>,
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

    /// The column that is the record's key, if one is.
    pub(crate) fn key_column(&self) -> Option<&str> {
        let raw = matches!(self.value, ValueFormat::Raw).then_some("key");
        let mut metadata = self.metadata.iter();
        let asked = metadata.find(|(what, _)| *what == Metadata::Key);
        raw.or(asked.map(|(_, column)| column.as_str()))
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
    /// The records as they came, if that was asked for.
    originals: Option<RecordBuffer>,
}

enum Value {
    Text(StringViewBuilder),
    Raw {
        key: Box<BinaryViewBuilder>,
        value: Box<BinaryViewBuilder>,
    },
    Json(JsonRows),
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
            ValueFormat::Json { schema } => Value::Json(JsonRows::new(Arc::clone(schema))),
        };
        let metadata = format.metadata.iter().map(|(what, _)| MetadataColumn::new(*what));
        Self {
            schema: format.schema(),
            value,
            metadata: metadata.collect(),
            times: Vec::new(),
            offsets: Vec::new(),
            bytes: 0,
            originals: None,
        }
    }

    /// Keeps the records as they come until their rows are taken, for dead letters. What can always be read is not kept.
    pub(crate) fn keep_originals(&mut self) {
        if let Value::Json(_) = self.value {
            // Without a destination: what is needed of it is copied.
            self.originals = Some(RecordBuffer::new(Destination::ByKey("".into())));
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
            Value::Json(rows) => rows.push(value),
        }
        self.metadata.iter_mut().for_each(|column| column.push(record));
        if let Some(originals) = &mut self.originals {
            originals.push_bytes(record.timestamp, key, value);
            record
                .headers
                .each(&mut |name, value| originals.push_header(name, value));
        }
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
        // Headers count only where they are kept.
        self.bytes
            .max(self.originals.as_ref().map_or(0, RecordBuffer::bytes))
    }

    /// The rows collected since the last call. After an error they are gone.
    pub(crate) fn take(&mut self) -> Result<Decoded, Undecodable> {
        if self.times.is_empty() {
            return Ok(Decoded::default());
        }
        let times = std::mem::take(&mut self.times);
        let offsets = std::mem::take(&mut self.offsets);
        self.bytes = 0;
        let failed = |(place, cause): (usize, FormatError)| Undecodable {
            place,
            offset: offsets.get(place).copied().unwrap_or(-1),
            cause,
        };
        let mut undecodable = Vec::new();
        let mut columns: Vec<ArrayRef> = match &mut self.value {
            Value::Text(text) => vec![Arc::new(text.finish())],
            Value::Raw { key, value } => vec![Arc::new(key.finish()), Arc::new(value.finish())],
            Value::Json(rows) => {
                let (columns, unfit) = rows.take().map_err(|cause| failed((0, cause)))?;
                undecodable.extend(unfit.into_iter().map(failed));
                columns
            }
        };
        let metadata = self.metadata.iter_mut().map(MetadataColumn::finish);
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        let mut of_record: Vec<ArrayRef> = metadata.chain([times]).collect();
        if !undecodable.is_empty() {
            let mut good = vec![true; offsets.len()];
            undecodable.iter().for_each(|unfit| good[unfit.place] = false);
            let good = BooleanArray::from(good);
            let kept = of_record.iter().map(|column| filter(column, &good));
            of_record = kept
                .collect::<Result<_, _>>()
                .map_err(|cause| failed((0, cause.into())))?;
        }
        let times = of_record.pop().expect("the times are the last of them");
        columns.extend(of_record);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        let batch = batch.map_err(|cause| failed((0, cause.into())))?;
        let originals = self.originals.as_mut().and_then(|originals| {
            let fresh = RecordBuffer::new(originals.destination().clone());
            match undecodable.is_empty() {
                true => {
                    originals.clear();
                    None
                }
                false => Some(std::mem::replace(originals, fresh)),
            }
        });
        Ok(Decoded {
            rows: (batch.num_rows() > 0).then(|| Rows::with_array(batch, times)),
            undecodable,
            originals,
        })
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
        assert!(decoder.take().unwrap().rows.is_none());
        for (offset, value) in (0..).zip([Some(b"plain".as_slice()), None, Some(b"a\xffb"), Some(b"")]) {
            push(&mut decoder, offset, Some(b"key"), value);
        }
        assert_eq!((decoder.rows(), decoder.bytes()), (4, 20));
        let rows = decoder.take().unwrap().rows.unwrap();
        assert_eq!(rows.times(), [1000, 1001, NO_TIME, 1003]);
        let lines: Vec<Option<&str>> = rows.batch["line"].as_string_view().iter().collect();
        assert_eq!(lines, [Some("plain"), None, Some("a\u{fffd}b"), Some("")]);
        assert!(decoder.take().unwrap().rows.is_none());
    }

    #[test]
    fn raw_keeps_key_and_value() {
        let mut decoder = decoder(&raw());
        push(&mut decoder, 0, None, Some(b"\xff"));
        push(&mut decoder, 1, Some(b"k"), None);
        let batch = decoder.take().unwrap().rows.unwrap().batch;
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
        let batch = decoder.take().unwrap().rows.unwrap().batch;
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
        let batch = decoder.take().unwrap().rows.unwrap().batch;
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
            let mut decoder = decoder(&bids().with_offset("o"));
            decoder.keep_originals();
            for (offset, value) in [(5, "{}"), (6, bad), (7, r#"{"auction": 3}"#), (8, bad)] {
                push(&mut decoder, offset, Some(b"k"), Some(value.as_bytes()));
            }
            let decoded = decoder.take().unwrap();
            let places: Vec<_> = decoded
                .undecodable
                .iter()
                .map(|unfit| (unfit.place, unfit.offset))
                .collect();
            assert_eq!(places, [(1, 6), (3, 8)], "{bad}");
            let cause = decoded.undecodable[0].cause.to_string();
            assert!(cause.contains(expected), "{bad}: {cause}");
            // The others go on, and the record is at hand as it came.
            let rows = decoded.rows.unwrap();
            let auctions: Vec<_> = rows.batch["auction"].as_primitive::<Int64Type>().iter().collect();
            assert_eq!(auctions, [None, Some(3)]);
            assert_eq!(rows.times(), [1005, 1007]);
            let offsets = rows.batch["o"].as_primitive::<Int64Type>().values();
            assert_eq!(offsets, &[5, 7]);
            let originals = decoded.originals.unwrap();
            let original = originals.get(1);
            assert_eq!(
                (original.key, original.value),
                (Some(b"k".as_slice()), Some(bad.as_bytes()))
            );
            assert_eq!((original.time, original.headers.len()), (1006, 2));
            assert!(decoder.take().unwrap().rows.is_none());
        }
    }

    #[test]
    fn values_that_are_json_only_together_are_refused() {
        let mut decoder = decoder(&bids());
        for (offset, value) in (0..).zip(["{} {}", "", "{\"auction\":", "1}", "{}"]) {
            push(&mut decoder, offset, None, Some(value.as_bytes()));
        }
        let decoded = decoder.take().unwrap();
        assert_eq!(decoded.undecodable.len(), 4);
        assert_eq!(decoded.rows.unwrap().len(), 1);
        assert!(decoded.originals.is_none());
    }
}
