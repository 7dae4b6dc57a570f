//! Records to rows: one column a value, or those of its schema, and what else of the record was asked for.
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, Int32Builder, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, StringViewBuilder, StructBuilder, TimestampMillisecondBuilder, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;

use super::custom::{EncodedRecord, RecordDecoder};
use super::json_rows::JsonRows;
use super::{CustomFormat, Format, FormatError, Kind, Metadata};
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
    Custom { format: CustomFormat, schema: SchemaRef },
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
    ///
    /// # Errors
    /// If the format does not know its columns.
    pub(crate) fn new(format: &Format, topic: &str) -> Result<Option<Self>, FormatError> {
        let value = match &format.kind {
            Kind::Text { column } => ValueFormat::Text {
                column: column.clone(),
            },
            Kind::Raw => ValueFormat::Raw,
            Kind::Json { schema } => match schema.clone() {
                Some(schema) => ValueFormat::Json { schema },
                None => return Ok(None),
            },
            Kind::Custom(custom) => match custom.0.schema(topic)? {
                Some(schema) => ValueFormat::Custom {
                    format: custom.clone(),
                    schema,
                },
                None => return Ok(None),
            },
        };
        Ok(Some(Self {
            value,
            metadata: format.metadata.clone(),
        }))
    }

    /// The columns it gives: those of the value, then what else was asked for.
    pub(crate) fn schema(&self) -> SchemaRef {
        let mut fields = match &self.value {
            ValueFormat::Text { column } => vec![Arc::new(Field::new(column, DataType::Utf8View, true))],
            ValueFormat::Raw => ["key", "value"]
                .map(|name| Arc::new(Field::new(name, DataType::BinaryView, true)))
                .to_vec(),
            ValueFormat::Json { schema } | ValueFormat::Custom { schema, .. } => schema.fields().to_vec(),
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
            ValueFormat::Text { .. } | ValueFormat::Raw | ValueFormat::Custom { .. } => Ok(()),
        }
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ValueFormat::Text { column } => write!(f, "text({column})")?,
            ValueFormat::Raw => f.write_str("raw")?,
            ValueFormat::Json { schema } => write!(f, "json({})", names(schema))?,
            ValueFormat::Custom { format, schema } => write!(f, "{}({})", format.0.name(), names(schema))?,
        }
        for (what, column) in &self.metadata {
            write!(f, " with {what} as {column}")?;
        }
        Ok(())
    }
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.join(", ")
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
    Custom(Box<dyn RecordDecoder>),
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
            ValueFormat::Custom { format, schema } => Value::Custom(format.0.decoder(schema)),
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
        if let Value::Json(_) | Value::Custom(_) = self.value {
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
            Value::Custom(decoder) => decoder.push(&EncodedRecord {
                topic: record.topic,
                key,
                value,
            }),
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
        let (mut undecodable, mut records) = (Vec::new(), None);
        let mut columns: Vec<ArrayRef> = match &mut self.value {
            Value::Text(text) => vec![Arc::new(text.finish())],
            Value::Raw { key, value } => vec![Arc::new(key.finish()), Arc::new(value.finish())],
            Value::Json(rows) => {
                let (columns, unfit) = rows.take().map_err(|cause| failed((0, cause)))?;
                if !unfit.is_empty() {
                    let fits =
                        |place: &usize| unfit.binary_search_by_key(place, |(unfit, _)| *unfit).is_err();
                    records = Some((0..offsets.len()).filter(fits).collect());
                }
                undecodable.extend(unfit.into_iter().map(failed));
                columns
            }
            Value::Custom(decoder) => {
                let decoded = decoder.take().map_err(|cause| failed((0, cause)))?;
                for (place, cause) in decoded.undecodable {
                    // What no record is to blame for is not for their policy.
                    match cause.is_of_nobody() {
                        true => return Err(failed((place, cause))),
                        false => undecodable.push(failed((place, cause))),
                    }
                }
                records = (!is_each(&decoded.records, offsets.len())).then_some(decoded.records);
                decoded.columns
            }
        };
        let metadata = self.metadata.iter_mut().map(MetadataColumn::finish);
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        let mut of_record: Vec<ArrayRef> = metadata.chain([times]).collect();
        if let Some(records) = records {
            let places = places(&records, offsets.len()).map_err(|cause| failed((0, cause)))?;
            let taken = of_record.iter().map(|column| take(column, &places, None));
            of_record = taken
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

/// Whether the rows are of all records, one each.
fn is_each(records: &[usize], count: usize) -> bool {
    records.len() == count && records.iter().enumerate().all(|(row, record)| row == *record)
}

/// The record of each row, of `count` that there are.
fn places(records: &[usize], count: usize) -> Result<UInt32Array, FormatError> {
    let in_order = records.is_sorted() && records.last().is_none_or(|last| *last < count);
    let places = records.iter().map(|record| u32::try_from(*record).ok());
    match places.collect::<Option<Vec<u32>>>().filter(|_| in_order) {
        Some(places) => Ok(places.into()),
        None => Err(FormatError::Damaged {
            reason: format!(
                "the decoder gave rows of other records than the {count} it was given, or not in their order"
            ),
        }),
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
#[path = "decode_tests.rs"]
mod tests;
