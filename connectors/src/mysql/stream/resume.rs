//! Where a stream goes on after a restart.
use bytestring::ByteString;

use super::LogPosition;

/// Everything that is delivered: the part of an offset that is the stream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The transaction that is to be delivered next begins here; all before it are delivered.
    pub position: LogPosition,
    /// Where the log has to be read from, if that is before [`Resume::position`]: rows of XA transactions that were prepared there are still needed.
    pub read_from: Option<LogPosition>,
    /// How many events of the next transaction are delivered, from its BEGIN on (MariaDB: from its GTID on). Only Debezium counts them.
    pub event: u64,
    /// How many rows behind these events are delivered, of all tables together.
    pub row: u64,
    /// The GTID of the transaction that they are of; nothing without GTIDs.
    pub transaction: Option<ByteString>,
}

impl Resume {
    /// Between two transactions.
    #[must_use]
    pub fn at(position: LogPosition) -> Self {
        Self {
            position,
            read_from: None,
            event: 0,
            row: 0,
            transaction: None,
        }
    }

    /// Whether a part of a transaction is delivered.
    #[must_use]
    pub fn is_within_transaction(&self) -> bool {
        self.event > 0 || self.row > 0
    }

    /// Where the server has to begin.
    #[must_use]
    pub fn dump_from(&self) -> &LogPosition {
        self.read_from.as_ref().unwrap_or(&self.position)
    }
}

/// The part of a transaction that was delivered before a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) event: u64,
    pub(super) row: u64,
    pub(super) transaction: Option<ByteString>,
}

impl Cut {
    pub(super) fn of(resume: &Resume) -> Option<Self> {
        resume.is_within_transaction().then(|| Self {
            event: resume.event,
            row: resume.row,
            transaction: resume.transaction.clone(),
        })
    }
}

/// What of the open transaction is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    /// Events, counted from its beginning.
    events: u64,
    /// Rows behind them.
    rows: u64,
    /// The ordinal of the first row that is not passed over, once the events are.
    until: Option<u64>,
}

impl Skip {
    pub(super) fn of(cut: &Cut) -> Self {
        Self {
            events: cut.event,
            rows: cut.row,
            until: (cut.event == 0).then_some(cut.row),
        }
    }

    /// How many of an event's rows are passed over: the event is the `event`-th of the transaction, from 0, and its first row has this ordinal.
    pub(super) fn of_event(&mut self, event: u64, ordinal: u64, rows: u64) -> u64 {
        if event < self.events {
            return rows;
        }
        let until = *self.until.get_or_insert(ordinal + self.rows);
        until.saturating_sub(ordinal).min(rows)
    }
}
