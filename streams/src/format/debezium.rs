//! Envelopes of changes, as Debezium writes them in JSON: `{"before": …, "after": …, "op": "u"}`, with or without
//! `{"schema": …, "payload": …}` around.
//!
//! Owns: which of both rows counts, and what an envelope without it means. Does not own: what a table had before; its own state says
//! that, because the row before of an envelope may be incomplete.
mod encode;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;

use self::encode::EnvelopeEncoder;
use self::rows::Envelopes;
use super::custom::{OutputRows, RecordDecoder, RecordEncoder, RecordFormat, TableFormat};
use super::json_encoder::JsonEncoder;
use super::{Format, FormatError};

const NAME: &str = "debezium_json";
/// The column that says what happened.
const OP: &str = "$op";
/// The column that says whether a row is gone.
const DELETED: &str = "$deleted";
/// What stands for values that Debezium does not know, as text, and as bytes in base64 and in hexadecimal digits.
const UNAVAILABLE: [&str; 3] = [
    "__debezium_unavailable_value",
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565",
];

/// Changes of rows with these columns, in Debezium's envelopes as JSON, for reading and writing.
///
/// [`Streams::table`](crate::Streams::table) reads them as a table: rows are created (`c`), read by a snapshot (`r`), updated (`u`) and
/// deleted (`d`), and an update that changes the key of the table deletes the row with the old one, if the envelope has it.
/// Records without a value are passed over, because an envelope has said before that the row is gone. Text that Debezium could not know
/// (`__debezium_unavailable_value`) stays what it was. [`Streams::stream`](crate::Streams::stream) reads the changes themselves: the columns of the row
/// after the change, or of the deleted row, and the column `$op`.
///
/// All columns may be null but for those that the schema says are not; a row after a change that lacks one of these, a truncation
/// (`t`) and an operation that is not known are errors of their record. Values are read as [`json_schema`](super::json_schema) reads them:
/// what numbers and texts mean is what the connector's `decimal.handling.mode` and `time.precision.mode` say. Days since 1970 can be read as
/// `Date32`, milliseconds and texts with a zone as `Timestamp(Millisecond, Some("UTC"))`.
///
/// Written are the changes of a table, with the row before and after, and a record without a value behind each that deletes; rows of a stream are written
/// as created. Keys are objects of the table's key, as Connect's JSON converter writes them without schemas. `ts_ms` is the row's event
/// time.
///
/// ```
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
/// let order = Schema::new(vec![
///     Field::new("id", DataType::Int64, false),
///     Field::new("customer", DataType::Utf8, true),
///     Field::new("amount", DataType::Int64, true),
/// ]);
/// let app = Streams::new("revenue");
/// app.table("shop.orders", debezium_json(order), [col("id")])
///     .group_by([col("customer")])
///     .aggregate("revenue", [sum(col("amount")).alias("total")])
///     .to("revenue", json());
/// let mut driver = TestDriver::new(&app)?;
/// for change in [
///     r#"{"before": null, "after": {"id": 1, "customer": "ann", "amount": 5}, "op": "c"}"#,
///     r#"{"before": null, "after": {"id": 2, "customer": "ann", "amount": 7}, "op": "c"}"#,
///     r#"{"before": {"id": 1}, "after": null, "op": "d"}"#,
/// ] {
///     driver.pipe("shop.orders", TestRecord::new(change))?;
/// }
/// driver.commit()?;
/// assert_eq!(driver.read("revenue").last().unwrap().as_text(), ("ann", r#"{"total":7}"#));
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn debezium_json(schema: Schema) -> Format {
    Format::custom(Arc::new(DebeziumJson {
        columns: Arc::new(schema),
        table: None,
    }))
}

/// The format; `table` has the columns of the key if a table is read.
#[derive(Debug)]
struct DebeziumJson {
    columns: SchemaRef,
    table: Option<Vec<String>>,
}

impl RecordFormat for DebeziumJson {
    fn name(&self) -> String {
        match &self.table {
            None => NAME.to_owned(),
            Some(keys) => format!("{NAME} by {}", keys.join(", ")),
        }
    }

    fn schema(&self, _topic: &str) -> Result<Option<SchemaRef>, FormatError> {
        ReaderBuilder::new(envelopes(&self.columns)).build_decoder()?;
        let mut fields = nullable(&self.columns);
        fields.push(match self.table {
            None => Arc::new(Field::new(OP, DataType::Utf8, false)),
            Some(_) => Arc::new(Field::new(DELETED, DataType::Boolean, false)),
        });
        Ok(Some(Arc::new(Schema::new(fields))))
    }

    fn decoder(&self, _columns: &SchemaRef) -> Box<dyn RecordDecoder> {
        Box::new(Envelopes::new(
            Arc::clone(&self.columns),
            envelopes(&self.columns),
            self.table.clone(),
        ))
    }

    fn encoder(&self, rows: &OutputRows<'_>) -> Result<Box<dyn RecordEncoder>, FormatError> {
        let empty = arrow::array::RecordBatch::new_empty(Arc::clone(rows.schema));
        JsonEncoder::new(&empty, 0..rows.schema.fields().len())
            .map_err(|cause| FormatError::unwritable(NAME, cause.to_string()))?;
        Ok(Box::new(EnvelopeEncoder::new(rows)))
    }

    fn as_table(&self, keys: &[String]) -> Option<TableFormat> {
        Some(TableFormat {
            format: Arc::new(Self {
                columns: Arc::clone(&self.columns),
                table: Some(keys.to_vec()),
            }),
            deleted: DELETED.to_owned(),
            unavailable: UNAVAILABLE.map(str::to_owned).to_vec(),
        })
    }

    fn wants_changes(&self) -> bool {
        true
    }
}

/// The columns, each of which may be null: of a deleted row there may be no more than its key.
fn nullable(columns: &Schema) -> Vec<Arc<Field>> {
    let fields = columns.fields().iter();
    fields
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect()
}

/// What is read of a record: the envelope, alone or as a payload.
fn envelopes(columns: &Schema) -> SchemaRef {
    let row = DataType::Struct(nullable(columns).into());
    let envelope: Fields = vec![
        Field::new("before", row.clone(), true),
        Field::new("after", row, true),
        Field::new("op", DataType::Utf8, true),
    ]
    .into();
    let payload = Field::new("payload", DataType::Struct(envelope.clone()), true);
    let fields = envelope.iter().cloned().chain([Arc::new(payload)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
