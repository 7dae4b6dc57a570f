//! Records of a table's rows.
use std::sync::Arc;

use millstream_connect::record::{Record, SchemaRef};

use super::{Moment, Origin, RecordError, Records, Transactions};
use crate::mysql::binlog::{Change, Value};
use crate::mysql::schema::{Column, Table};

/// What is compiled once for a table as it is at a place of the log: topic, schemas, and how each column's values become Connect's.
/// Keep it as long as the log's `Arc<TableMap>` is the same.
#[derive(Debug)]
pub struct TableRecords {
    records: Arc<Records>,
    table: Table,
}

impl TableRecords {
    /// For a table. Its columns that `column.include.list` or `column.exclude.list` leave out are read but not told; those of the key
    /// always are.
    ///
    /// # Errors
    /// [`RecordError`] with settings that do not fit the table.
    pub fn new(table: &Table, records: &Arc<Records>) -> Result<Self, RecordError> {
        Ok(Self {
            records: Arc::clone(records),
            table: table.clone(),
        })
    }

    /// Where its records go.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        todo!()
    }

    /// The schema of keys; nothing for tables without a key.
    #[must_use]
    pub fn key_schema(&self) -> Option<&SchemaRef> {
        todo!()
    }

    /// The schema of values.
    #[must_use]
    pub fn value_schema(&self) -> &SchemaRef {
        todo!()
    }

    /// Whether such changes make no record (`skipped.operations`).
    #[must_use]
    pub fn skips(&self, change: Change) -> bool {
        let skipped = &self.records.filters.skipped;
        match change {
            Change::Insert => skipped.creates,
            Change::Update => skipped.updates,
            Change::Delete => skipped.deletes,
        }
    }

    /// Appends the records of a changed row of a log: `c`, `u`, or `d` and a tombstone; an update of the key is a `d`, a tombstone and
    /// a `c`. What a partial image lacks is the placeholder, or is left out of the row's schema where its type has none; an
    /// update's row has what either image holds. `row`s of a transaction whose records are counted
    /// (`provide.transaction.metadata`) are counted in `transaction`.
    ///
    /// # Errors
    /// [`RecordError`] with the column and the place; `out` is then as before.
    #[expect(
        clippy::too_many_arguments,
        reason = "both images, where they come from, and where the records go"
    )]
    pub fn change(
        &self,
        change: Change,
        before: &[Value<'_>],
        after: &[Value<'_>],
        origin: &Origin,
        transaction: Option<&mut Transactions>,
        now: Moment,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let _ = (change, before, after, origin, transaction, now, out);
        todo!()
    }

    /// Counts a changed row in `transaction` as [`Self::change`] does, without making its records: for rows that were delivered
    /// before a restart.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn pass_over(
        &self,
        change: Change,
        before: &[Value<'_>],
        after: &[Value<'_>],
        origin: &Origin,
        transaction: &mut Transactions,
    ) -> Result<(), RecordError> {
        let _ = (change, before, after, origin, transaction);
        todo!()
    }

    /// Appends the record `t` of a truncation, which has no key; nothing where `skipped.operations` has `t`.
    pub fn truncate(
        &self,
        origin: &Origin,
        transaction: Option<&mut Transactions>,
        now: Moment,
        out: &mut Vec<Record>,
    ) {
        let _ = (origin, transaction, now, out);
        todo!()
    }

    /// What a `SELECT` has to ask for, so that its text cells are what [`Self::read`] takes: the expressions of [`Self::selected`],
    /// with commas between them.
    #[must_use]
    pub fn select_list(&self) -> &str {
        todo!()
    }

    /// The columns that [`Self::read`] takes, as indexes among the table's, ascending: those that are told, and the key's.
    #[must_use]
    pub fn selected(&self) -> &[usize] {
        todo!()
    }

    /// Appends the record `r` of a row that was read with [`Self::select_list`].
    ///
    /// # Errors
    /// [`RecordError`] with the column; `out` is then as before.
    pub fn read(
        &self,
        cells: &[Option<&[u8]>],
        origin: &Origin,
        now: Moment,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let _ = (cells, origin, now, out);
        todo!()
    }
}

/// What a `SELECT` has to ask for, so that a column's text cell (session: `SET NAMES utf8mb4`, `time_zone = '+00:00'`) says all that
/// a log says: the quoted name, but for numbers of which the server prints no more than some digits.
#[must_use]
pub fn select_expression(column: &Column) -> String {
    let _ = column;
    todo!()
}
