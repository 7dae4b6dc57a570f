//! Records to columns.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use millstream_connect::arrow::{batch, columns};
use millstream_connect::record::{SchemaRef, Value};
use millstream_streams::{DecodedRecords, EncodedRecord, FormatError, RecordDecoder};

use crate::conform::{conform, same};
use crate::converters::Codec;
use crate::envelope::changed;

/// What rows are made of.
pub(crate) struct Reading {
    /// What the converter is asked for first, so that it knows what stands before data: the message's name.
    pub(crate) head: Option<Option<String>>,
    /// The schema of the rows.
    pub(crate) rows: SchemaRef,
    /// For Debezium's envelopes.
    pub(crate) envelopes: Option<Envelopes>,
}

/// How envelopes are read.
#[derive(Debug, Clone)]
pub(crate) struct Envelopes {
    /// The columns of the key, if a table is read.
    pub(crate) table: Option<Vec<String>>,
}

/// Values, until they are taken as columns.
pub(crate) struct ValueDecoder {
    codec: Result<Codec, Option<FormatError>>,
    name: String,
    reading: Reading,
    rows: Vec<Value>,
    ops: Vec<(String, bool)>,
    decoded: DecodedRecords,
    /// The records pushed.
    count: usize,
    /// The schema of the last value, and whether its values are rows as they are.
    last: Option<(SchemaRef, bool)>,
    /// Why no more records are read: none of them is to blame.
    failed: Option<FormatError>,
}

impl ValueDecoder {
    pub(crate) fn new(name: String, codec: Result<Codec, FormatError>, reading: Reading) -> Self {
        Self {
            codec: codec.map_err(Some),
            name,
            reading,
            rows: Vec::new(),
            ops: Vec::new(),
            decoded: DecodedRecords::default(),
            count: 0,
            last: None,
            failed: None,
        }
    }

    fn read(&mut self, record: &EncodedRecord<'_>) -> Result<Vec<(Value, String, bool)>, FormatError> {
        let codec = match &mut self.codec {
            Ok(codec) => codec,
            Err(error) => {
                return Err(error
                    .take()
                    .unwrap_or_else(|| unread(&self.name, "the converter is missing")));
            }
        };
        let Some(bytes) = record.value else {
            // Of a change, an envelope has said it before; else it is a row without values.
            return Ok(match self.reading.envelopes {
                Some(_) => Vec::new(),
                None => vec![(Value::Null, String::new(), false)],
            });
        };
        if let Some(message) = self.reading.head.take() {
            codec.latest(record.topic, message.as_deref())?;
        }
        let datum = codec.decode(record.topic, bytes)?;
        let rows = match &self.reading.envelopes {
            None => vec![(datum.value, String::new(), false)],
            Some(envelopes) => {
                let changed = changed(datum.value, envelopes.table.as_deref());
                let changed = changed.map_err(|reason| unread(&self.name, reason))?;
                let rows = changed
                    .into_iter()
                    .map(|changed| (changed.row, changed.op, changed.deletes));
                rows.collect()
            }
        };
        let rows = rows
            .into_iter()
            .map(|(row, op, deletes)| Ok((self.conformed(row)?, op, deletes)));
        rows.collect()
    }

    /// The value as a row of the stream.
    fn conformed(&mut self, value: Value) -> Result<Value, FormatError> {
        let Value::Struct(own) = &value else {
            return match value {
                Value::Null => Ok(value),
                other => {
                    let reason = format!("a value of type {} has no columns", other.kind_name());
                    Err(unread(&self.name, reason))
                }
            };
        };
        let schema = own.schema();
        let as_it_is = match &self.last {
            Some((last, same)) if Arc::ptr_eq(last, schema) => *same,
            _ => {
                let same = same(schema, &self.reading.rows);
                self.last = Some((Arc::clone(schema), same));
                same
            }
        };
        match as_it_is {
            true => Ok(value),
            false => conform(value, &self.reading.rows).map_err(|reason| unread(&self.name, reason)),
        }
    }

    /// The rows as columns. Those that make none are taken out.
    fn columns(&mut self, arrow: &ArrowSchemaRef) -> Result<RecordBatch, FormatError> {
        let schema = Arc::clone(&self.reading.rows);
        match batch(&self.rows, &schema, arrow) {
            Ok(batch) => return Ok(batch),
            Err(reason) if self.rows.is_empty() => return Err(unread(&self.name, reason)),
            Err(_) => {}
        }
        // Which of them it is, is seen when they are alone.
        let (mut good, mut kept) = (Vec::new(), Vec::new());
        for (row, record) in std::mem::take(&mut self.rows)
            .into_iter()
            .zip(&self.decoded.records)
        {
            let alone = batch(std::slice::from_ref(&row), &schema, arrow);
            kept.push(alone.is_ok());
            match alone {
                Ok(_) => good.push(row),
                Err(reason) => self
                    .decoded
                    .undecodable
                    .push((*record, unread(&self.name, reason))),
            }
        }
        let mut flags = kept.iter();
        self.decoded.records.retain(|_| flags.next() == Some(&true));
        let mut flags = kept.iter();
        self.ops.retain(|_| flags.next() == Some(&true));
        batch(&good, &schema, arrow).map_err(|reason| unread(&self.name, reason))
    }
}

fn unread(name: &str, reason: impl Into<String>) -> FormatError {
    FormatError::unreadable(name, reason)
}

impl RecordDecoder for ValueDecoder {
    fn push(&mut self, record: &EncodedRecord<'_>) {
        let place = self.count;
        self.count += 1;
        if self.failed.is_some() {
            return;
        }
        match self.read(record) {
            Ok(rows) => {
                for (row, op, deletes) in rows {
                    self.rows.push(row);
                    self.ops.push((op, deletes));
                    self.decoded.records.push(place);
                }
            }
            Err(cause @ FormatError::Unreadable { .. }) => self.decoded.unfit(place, cause),
            Err(cause) => self.failed = Some(cause),
        }
    }

    fn take(&mut self) -> Result<DecodedRecords, FormatError> {
        self.count = 0;
        if let Some(cause) = self.failed.take() {
            return Err(cause);
        }
        let arrow = columns(&self.reading.rows).map_err(|reason| unread(&self.name, reason))?;
        let batch = self.columns(&arrow)?;
        let mut decoded = std::mem::take(&mut self.decoded);
        let ops = std::mem::take(&mut self.ops);
        self.rows.clear();
        decoded.columns = batch.columns().to_vec();
        match &self.reading.envelopes {
            None => {}
            Some(Envelopes { table: Some(_) }) => {
                let deleted = ops.iter().map(|(_, deletes)| Some(*deletes));
                decoded
                    .columns
                    .push(Arc::new(deleted.collect::<BooleanArray>()) as ArrayRef);
            }
            Some(Envelopes { table: None }) => {
                let ops = ops.iter().map(|(op, _)| Some(op.as_str()));
                decoded
                    .columns
                    .push(Arc::new(ops.collect::<StringArray>()) as ArrayRef);
            }
        }
        decoded.undecodable.sort_by_key(|(place, _)| *place);
        Ok(decoded)
    }
}
