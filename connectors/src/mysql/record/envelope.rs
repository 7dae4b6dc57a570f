//! The envelope around rows.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{Datum, Headers, Record, SchemaRef, Struct, Value};

use super::partial::LeftOut;
use super::records::ROW_FIELD;
use super::{Moment, Origin, TableRecords};

/// A row, as the envelope holds it.
#[derive(Debug)]
pub(super) struct Row {
    /// The values of the columns that are told, but for those that are left out.
    pub(super) values: Vec<Value>,
    pub(super) left_out: LeftOut,
}

/// What the block `source` is made of.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// It is the record's own.
    Own,
    /// Many records have the same.
    Shared(&'a Arc<[Value]>),
    /// Many records have the same but for the row's number.
    Row(&'a Arc<[Value]>),
}

/// Where a change comes from, and when it is told.
pub(super) struct At<'a> {
    pub(super) origin: &'a Origin,
    pub(super) source: Source<'a>,
    pub(super) now: Moment,
}

/// Makes the records of one change.
pub(super) struct Envelope<'a> {
    pub(super) table: &'a TableRecords,
    pub(super) place: &'a At<'a>,
    pub(super) out: &'a mut Vec<Record>,
}

impl Envelope<'_> {
    /// Appends a record. `schema` is the envelope's, whose fields `before` and `after` fit the rows.
    pub(super) fn push(
        &mut self,
        operation: &'static str,
        schema: &SchemaRef,
        (before, after): (Option<Row>, Option<Row>),
        block: Value,
        (key, headers): (Datum, Headers),
    ) {
        let table = self.table;
        let row = |row: Option<Row>, field: usize| match row {
            Some(row) => Value::Struct(Struct::new(
                Arc::clone(&schema.fields()[field].schema),
                row.values,
            )),
            None => Value::Null,
        };
        let source_schema = || Arc::clone(table.records.source_schema());
        let source = match self.place.source {
            Source::Own => table
                .records
                .source(self.place.origin, &table.database, Some(&table.table)),
            Source::Shared(values) => Value::Struct(Struct::shared(source_schema(), Arc::clone(values))),
            Source::Row(values) => {
                let row = Value::Int32(i32::try_from(self.place.origin.row).unwrap_or(i32::MAX));
                Value::Struct(Struct::varied(
                    source_schema(),
                    Arc::clone(values),
                    ROW_FIELD,
                    row,
                ))
            }
        };
        let values = vec![
            row(before, 0),
            row(after, 1),
            source,
            block,
            Value::String(ByteString::from_static(operation)),
            Value::Int64(self.place.now.millis()),
            Value::Int64(self.place.now.micros()),
            Value::Int64(self.place.now.nanos()),
        ];
        let value = Value::Struct(Struct::new(Arc::clone(schema), values));
        self.out.push(Record {
            topic: Arc::clone(&table.topic),
            partition: None,
            key,
            value: Datum::new(Arc::clone(schema), value),
            headers,
            timestamp: None,
            origin: None,
        });
    }

    /// Appends the tombstone of the record before, where they are wanted.
    pub(super) fn tombstone(&mut self) {
        if !self.table.records.config.tombstones {
            return;
        }
        let tombstone = self.out.last().map(|deleted| Record {
            topic: Arc::clone(&deleted.topic),
            partition: None,
            key: deleted.key.clone(),
            value: Datum::NULL,
            headers: deleted.headers.clone(),
            timestamp: None,
            origin: None,
        });
        self.out.extend(tombstone);
    }
}
