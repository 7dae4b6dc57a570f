//! The rows of one event, kept for as long as it takes to deliver them.
use crate::mysql::binlog::{Change, DecodeError, Place, Row, Rows, RowsBody};

/// Rows of an event that need no decoder any more, so that a batch may end in their midst.
#[derive(Debug)]
pub struct RowsEvent {
    body: RowsBody,
    at: RowsPlace,
}

/// Which row of an event is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsPlace {
    /// Its ordinal within its transaction, from 0: rows of all tables count, whether they are captured or not.
    pub ordinal: u64,
    /// Its number within the event, from 0.
    pub number: u32,
    /// The bytes from it to the event's end.
    left: usize,
}

/// Reads rows one by one.
#[derive(Debug)]
pub struct RowsReader<'a> {
    rows: Rows<'a>,
    at: RowsPlace,
}

impl RowsEvent {
    /// Rows of which the first has this ordinal.
    #[must_use]
    pub fn new(body: RowsBody, ordinal: u64) -> Self {
        let left = body.rows().bytes_left();
        let at = RowsPlace {
            ordinal,
            number: 0,
            left,
        };
        Self { body, at }
    }

    /// What happened to them.
    #[must_use]
    pub fn change(&self) -> Change {
        self.body.change()
    }

    /// Where their event is.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.body.place()
    }

    /// The first row that was not read yet.
    #[must_use]
    pub fn next_row(&self) -> RowsPlace {
        self.at
    }

    /// Reads from there on.
    #[must_use]
    pub fn reader(&self) -> RowsReader<'_> {
        let rows = match self.at.number {
            0 => self.body.rows(),
            _ => self.body.rows_behind(self.at.left),
        };
        RowsReader { rows, at: self.at }
    }

    /// The rows before `at` are delivered: [`RowsEvent::reader`] begins there.
    pub fn advance(&mut self, at: RowsPlace) {
        self.at = at;
    }
}

impl<'a> RowsReader<'a> {
    /// Reads the next row into `row`; whether there was one.
    ///
    /// # Errors
    /// With bytes that are no row of this table.
    pub fn read_row(&mut self, row: &mut Row<'a>) -> Result<bool, DecodeError> {
        if !self.rows.read_row(row)? {
            return Ok(false);
        }
        self.at.ordinal += 1;
        self.at.number += 1;
        self.at.left = self.rows.bytes_left();
        Ok(true)
    }

    /// The row behind the last one that was read.
    #[must_use]
    pub fn next_row(&self) -> RowsPlace {
        self.at
    }
}
