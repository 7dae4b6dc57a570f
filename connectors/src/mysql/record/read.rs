//! Records of rows that were read.
use std::sync::Arc;

use millstream_connect::record::{Datum, Record, Value};

use super::column::Mapped;
use super::envelope::{At, Envelope, Row, Source};
use super::origin::Snapshot;
use super::partial::LeftOut;
use super::{Moment, Origin, RecordError, TableRecords};

/// Makes the records of rows that were read at one place. Their block `source` is made once and shared.
#[derive(Debug)]
pub struct ReadRows<'a> {
    table: &'a TableRecords,
    origin: Origin,
    now: Moment,
    source: Option<(Snapshot, Arc<[Value]>)>,
    /// Which cell each column of the row and of the key is.
    told: Vec<usize>,
    key: Vec<usize>,
}

impl<'a> ReadRows<'a> {
    pub(super) fn new(table: &'a TableRecords, origin: Origin, now: Moment) -> Self {
        let place = |column: &Mapped| {
            let found = table.selected.binary_search(&column.index);
            found.expect("all that is told is selected")
        };
        Self {
            told: table.told.iter().map(place).collect(),
            key: table.key.iter().flat_map(|key| &key.columns).map(place).collect(),
            table,
            origin,
            now,
            source: None,
        }
    }

    /// Appends the record `r` of a row: the cells of [`TableRecords::selected`], as the server prints them.
    ///
    /// # Errors
    /// [`RecordError`] with the column; `out` is then as before.
    pub fn row(
        &mut self,
        snapshot: Snapshot,
        cells: &[Option<&[u8]>],
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let table = self.table;
        self.origin.snapshot = snapshot;
        table.check_width(cells.len(), table.selected.len(), &self.origin)?;
        let row = Row {
            values: self.values(&table.told, &self.told, cells)?,
            left_out: LeftOut::default(),
        };
        let key = match &table.key {
            Some(key) => key.datum(self.values(&key.columns, &self.key, cells)?),
            None => Datum::NULL,
        };
        let source = match &mut self.source {
            Some((of, shared)) if *of == snapshot => shared,
            other => {
                let records = &table.records;
                let made = records.shared_source(&self.origin, &table.database, &table.table);
                &mut other.insert((snapshot, made)).1
            }
        };
        let place = At {
            origin: &self.origin,
            source: Source::Shared(source),
            now: self.now,
        };
        let mut envelope = Envelope {
            table,
            place: &place,
            out,
        };
        let key = (key, Vec::new());
        envelope.push("r", table.shapes.whole(), (None, Some(row)), Value::Null, key);
        Ok(())
    }

    fn values(
        &self,
        columns: &[Mapped],
        places: &[usize],
        cells: &[Option<&[u8]>],
    ) -> Result<Vec<Value>, RecordError> {
        let mut values = Vec::with_capacity(columns.len());
        for (column, place) in columns.iter().zip(places) {
            let value = column.of_cell(cells[*place]);
            values.push(value.map_err(|damage| self.table.damaged(column, &self.origin, damage))?);
        }
        Ok(values)
    }
}
