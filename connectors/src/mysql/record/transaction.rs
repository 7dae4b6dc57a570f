//! Where transactions begin and end.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::Record;

use super::{Moment, Records};
use crate::mysql::schema::TableId;

/// Counts the records of a transaction, and tells of its beginning and end (`provide.transaction.metadata`).
#[derive(Debug)]
pub struct Transactions {
    records: Arc<Records>,
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
        Self {
            records: Arc::clone(records),
        }
    }

    /// A transaction begins: the GTID, or without GTIDs `file=…,pos=…` ([`Self::id_without_gtid`]). Appends the record BEGIN.
    pub fn begin(&mut self, id: ByteString, moment: Moment, out: &mut Vec<Record>) {
        let _ = (&self.records, id, moment, out);
        todo!()
    }

    /// It begins again after a restart: as [`Self::begin`], but BEGIN was told before.
    pub fn resume(&mut self, id: ByteString) {
        let _ = id;
        todo!()
    }

    /// The id of a transaction that begins at a place of a log without GTIDs.
    #[must_use]
    pub fn id_without_gtid(file: &str, position: u64) -> ByteString {
        format!("file={file},pos={position}").into()
    }

    /// Counts a record of a table.
    pub fn count(&mut self, table: &TableId) -> Option<InTransaction> {
        let _ = table;
        todo!()
    }

    /// It ends. Appends the record END.
    pub fn end(&mut self, moment: Moment, out: &mut Vec<Record>) {
        let _ = (moment, out);
        todo!()
    }
}
