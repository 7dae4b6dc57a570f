//! Where transactions begin and end.
use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{Datum, Record, SchemaRef, Struct, Value};

use super::{Moment, Records, schemas};
use crate::mysql::schema::TableId;

/// Counts the records of a transaction, and tells of its beginning and end (`provide.transaction.metadata`).
#[derive(Debug)]
pub struct Transactions {
    topic: Arc<str>,
    key: SchemaRef,
    value: SchemaRef,
    collection: SchemaRef,
    block: SchemaRef,
    /// The transaction that goes on.
    current: Option<ByteString>,
    total: i64,
    /// Records by table, in the order in which tables come.
    tables: Vec<(TableId, i64)>,
    /// Where each of them is.
    places: HashMap<TableId, usize>,
    /// The last one: rows of a table come together.
    last: usize,
}

/// Where a record stands in its transaction: the block `transaction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTransaction {
    /// The transaction's id.
    pub id: ByteString,
    /// Which record of the transaction it is, from 1.
    pub total_order: i64,
    /// Which record of its table, from 1.
    pub data_collection_order: i64,
}

impl Transactions {
    /// Of a source.
    #[must_use]
    pub fn new(records: &Arc<Records>) -> Self {
        let (key, value) = schemas::transaction(records.config.schema_names);
        Self {
            topic: records.topic_of(&[&records.config.prefix, &records.config.transaction_topic]),
            key,
            value,
            collection: schemas::event_collection(),
            block: schemas::transaction_block(),
            current: None,
            total: 0,
            tables: Vec::new(),
            places: HashMap::new(),
            last: 0,
        }
    }

    /// The id of a transaction that begins at a place of a log without GTIDs.
    ///
    /// ```
    /// use millstream_connectors::mysql::record::Transactions;
    ///
    /// assert_eq!(Transactions::id_without_gtid("log.000001", 4), "file=log.000001,pos=4");
    /// ```
    #[must_use]
    pub fn id_without_gtid(file: &str, position: u64) -> ByteString {
        format!("file={file},pos={position}").into()
    }

    /// A transaction begins: its GTID, or [`Self::id_without_gtid`]. Appends the record BEGIN.
    pub fn begin(&mut self, id: ByteString, moment: Moment, out: &mut Vec<Record>) {
        self.resume(id.clone());
        out.push(self.record("BEGIN", id, (Value::Null, Value::Null), moment));
    }

    /// A transaction begins again after a restart: as [`Self::begin`], but BEGIN was told before.
    pub fn resume(&mut self, id: ByteString) {
        self.current = Some(id);
        self.total = 0;
        self.tables.clear();
        self.places.clear();
    }

    /// Counts a record of a table; nothing outside of transactions.
    pub fn count(&mut self, table: &TableId) -> Option<InTransaction> {
        let id = self.current.clone()?;
        self.total += 1;
        if self.tables.get(self.last).is_none_or(|(last, _)| last != table) {
            self.last = self.places.get(table).copied().unwrap_or_else(|| {
                self.places.insert(table.clone(), self.tables.len());
                self.tables.push((table.clone(), 0));
                self.tables.len() - 1
            });
        }
        let count = &mut self.tables[self.last].1;
        *count += 1;
        Some(InTransaction {
            id,
            total_order: self.total,
            data_collection_order: *count,
        })
    }

    /// It ends: appends the record END. Nothing outside of transactions.
    pub fn end(&mut self, moment: Moment, out: &mut Vec<Record>) {
        let Some(id) = self.current.take() else {
            return;
        };
        let collections = self.tables.drain(..).map(|(table, count)| {
            let values = vec![Value::from(table.to_string()), Value::Int64(count)];
            Value::Struct(Struct::new(Arc::clone(&self.collection), values))
        });
        let collections = Value::Array(collections.collect());
        out.push(self.record("END", id, (Value::Int64(self.total), collections), moment));
    }

    /// Counts a record of a table: its block `transaction`.
    pub(super) fn next_block(&mut self, table: &TableId) -> Value {
        let Some(place) = self.count(table) else {
            return Value::Null;
        };
        let values = vec![
            Value::String(place.id),
            Value::Int64(place.total_order),
            Value::Int64(place.data_collection_order),
        ];
        Value::Struct(Struct::new(Arc::clone(&self.block), values))
    }

    fn record(
        &self,
        status: &'static str,
        id: ByteString,
        (count, collections): (Value, Value),
        moment: Moment,
    ) -> Record {
        let key = Struct::new(Arc::clone(&self.key), vec![Value::String(id.clone())]);
        let values = vec![
            Value::String(ByteString::from_static(status)),
            Value::String(id),
            count,
            collections,
            Value::Int64(moment.millis()),
        ];
        let value = Struct::new(Arc::clone(&self.value), values);
        let value = Datum::new(Arc::clone(&self.value), Value::Struct(value));
        let mut record = Record::new(Arc::clone(&self.topic), value);
        record.key = Datum::new(Arc::clone(&self.key), Value::Struct(key));
        record
    }
}
