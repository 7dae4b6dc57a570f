//! Records of rows that one event changed.
use std::sync::Arc;

use millstream_connect::record::{Record, Value};

use super::envelope::{At, Source};
use super::{Moment, Origin, RecordError, TableRecords, Transactions};
use crate::mysql::binlog::{Change, Row};

/// Makes the records of rows that one event changed. What their blocks `source` have in common is made once, if there are several.
#[derive(Debug)]
pub struct ChangedRows<'a> {
    table: &'a TableRecords,
    origin: Origin,
    now: Moment,
    rows: usize,
    source: Option<Arc<[Value]>>,
}

impl<'a> ChangedRows<'a> {
    pub(super) fn new(table: &'a TableRecords, origin: Origin, now: Moment) -> Self {
        Self {
            table,
            origin,
            now,
            rows: 0,
            source: None,
        }
    }

    /// Appends the records of the event's row `number`, as [`TableRecords::change`] does.
    ///
    /// # Errors
    /// As there.
    pub fn row(
        &mut self,
        number: u32,
        (change, row): (Change, &Row<'_>),
        transaction: Option<&mut Transactions>,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let table = self.table;
        self.origin.row = number;
        self.rows += 1;
        let source = match &mut self.source {
            Some(shared) => Source::Row(shared),
            None if self.rows == 1 => Source::Own,
            none => {
                let records = &table.records;
                let made = records.shared_source(&self.origin, &table.database, &table.table);
                Source::Row(none.insert(made))
            }
        };
        let place = At {
            origin: &self.origin,
            source,
            now: self.now,
        };
        table.tell(change, (&row.before, &row.after), &place, transaction, out)
    }

    /// Counts the event's row `number` in `transaction`, as [`TableRecords::pass_over`] does.
    ///
    /// # Errors
    /// As there.
    pub fn pass_over(
        &mut self,
        number: u32,
        (change, row): (Change, &Row<'_>),
        transaction: &mut Transactions,
    ) -> Result<(), RecordError> {
        self.origin.row = number;
        self.table
            .pass_over(change, &row.before, &row.after, &self.origin, transaction)
    }
}
