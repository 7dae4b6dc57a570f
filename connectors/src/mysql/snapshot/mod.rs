//! What tables hold already, read in chunks beside the stream of changes, without stopping either.
//!
//! A chunk is some rows of a table in the order of its key, read between two marks in the server's log. The stream tells which rows
//! changes touch from the moment on in which the chunk is asked for. Once it has passed the chunk's high mark, the rows that were not touched
//! are as they are at that place of the stream: they are released, to be told there as `r`. Those that were touched are told by their changes. So whoever
//! applies the records in their order has the rows that the tables had at that place, nothing is told twice, and nothing is locked.
//!
//! # How a task drives it
//!
//! ```text
//! let mut snapshot = Snapshot::new(settings, state);      // the state that the offset has, or SnapshotState::initial()
//! let mut readers = Readers::start(…);                    // connections that read
//! loop {
//!     while let Some(answer) = readers.try_answer() { snapshot.answered(answer)?; }
//!     if the stream stands between two transactions (also when it was moved by a heartbeat or another file, and when nothing came) {
//!         snapshot.passed(stream.position());              // opens chunks, and releases those whose high mark is passed
//!         while let Some(request) = snapshot.next_request() { readers.ask(request); }
//!         while let Some(mut release) = snapshot.next_release() {
//!             // records of its rows: release.next_row(); then, in one commit with them:
//!             snapshot.told(release);                      // from now on state() has them
//!         }
//!     }
//!     if snapshot.holds() { wait for readers.answer() alone: no event may be handled }
//!     else { handle events until the transaction's end, or an answer:
//!         rows:  if let Some(touching) = snapshot.touching(&table) { for each row: touching.row(&row, told); }
//!                // also for rows that are passed over after a restart, for they are delivered already
//!         other: snapshot.changed(&TableChange::…);
//!     }
//! }
//! ```
//!
//! * [`Snapshot::passed`] has to be called at the end of **every** transaction, before the next one is begun, with all of the transaction
//!   handed over; it costs a comparison when nothing waits. A transaction that is delivered in parts counts at its end.
//! * What [`Snapshot::state`] gives belongs into the offset of the batch that ends the release, and of all later ones.
//! * After another server was connected to (not the same one again), [`Snapshot::forget_pending`] has what is on its way read again.
//!
//! * [`state`](SnapshotState): what is stored. [`request`](Request): what readers are asked and answer.
//! * `window`, `plan`: chunks on their way, and their order. `key`, `select`: keys as SQL and as bytes.
//! * [`readers`](Readers): connections that answer requests.
mod request;
mod state;

use std::sync::Arc;

use crate::mysql::binlog::Row;
use crate::mysql::config::{Filters, SnapshotConfig};
use crate::mysql::record;
use crate::mysql::schema::{Table, TableId};
use crate::mysql::signal::Signal;
use crate::mysql::stream::LogPosition;

pub use request::{Answer, Mark, Outcome, Request, RequestId, Work};
pub use state::{Run, RunKind, SnapshotState, TableState};

/// What a snapshot is told.
pub struct Settings {
    /// How it reads.
    pub config: SnapshotConfig,
    /// What is captured.
    pub filters: Filters,
    /// The most bytes of keys that are kept of changes while a chunk is read; the stream waits for the chunk then.
    pub window_bytes: usize,
    /// What is selected of a table: the list of a `SELECT`, and how many cells it gives.
    pub selector: Selector,
}

/// Says what is selected of a table, or why that cannot be.
pub type Selector = Arc<dyn Fn(&Table) -> Result<Selection, String> + Send + Sync>;

/// What is selected of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Expressions, with commas between them.
    pub list: String,
    /// How many.
    pub cells: usize,
}

/// How much the records of a change tell of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All that is captured of the row after it.
    Whole,
    /// Not all: a partial image, or no record at all (`skipped.operations`). The row is read again.
    Part,
}

/// A change of tables themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// It may have other columns now.
    Altered(TableId),
    /// It is gone.
    Dropped(TableId),
    /// It is called otherwise.
    Renamed {
        /// Its name before.
        from: TableId,
        /// Its name now.
        to: TableId,
    },
    /// It was emptied.
    Truncated(TableId),
    /// Any table of this database may have changed.
    Database(String),
    /// Any table may have changed.
    Everything,
}

/// The snapshots of a source: the initial one, and those that signals ask for, one after the other.
pub struct Snapshot {
    state: SnapshotState,
}

/// Takes the changed rows of one table.
pub struct Touching<'a> {
    snapshot: &'a mut Snapshot,
}

impl Touching<'_> {
    /// A row was changed.
    pub fn row(&mut self, row: &Row<'_>, told: Told) {
        let _ = (&self.snapshot, row, told);
        todo!()
    }
}

/// Rows that are told at this place of the stream.
pub struct Release {
    /// Their table, as it was described when they were read. The same table is the same `Arc`.
    pub table: Arc<Table>,
}

impl Release {
    /// Puts the next row's cells into `cells`, as [`Settings::selector`] has them; what the row's block `source` says of the snapshot.
    pub fn next_row<'a>(&'a mut self, cells: &mut Vec<Option<&'a [u8]>>) -> Option<record::Snapshot> {
        let _ = cells;
        todo!()
    }
}

/// Why a snapshot cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A statement that the server refuses.
    #[error("{table}: {message}")]
    Refused {
        /// The table.
        table: TableId,
        /// Why, and what to do.
        message: String,
    },
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Tables that are done.
    pub tables_done: u64,
    /// Tables of all.
    pub tables: u64,
    /// Rows that were told.
    pub rows_told: u64,
    /// Rows that there are, by the server's estimates.
    pub rows: Option<u64>,
}

impl Snapshot {
    /// Goes on behind `state`.
    #[must_use]
    pub fn new(settings: Settings, state: SnapshotState) -> Self {
        let _ = settings;
        Self { state }
    }

    /// The stream stands between two transactions, and all before is handed over.
    pub fn passed(&mut self, position: &LogPosition) {
        let _ = position;
        todo!()
    }

    /// Whether the stream has to stand still: no event may be handled before there are answers.
    #[must_use]
    pub fn holds(&self) -> bool {
        todo!()
    }

    /// What a reader is to do next. There are never more on their way than there are readers.
    pub fn next_request(&mut self) -> Option<Request> {
        todo!()
    }

    /// A reader answers.
    ///
    /// # Errors
    /// When the snapshot cannot go on.
    pub fn answered(&mut self, answer: Answer) -> Result<(), SnapshotError> {
        let _ = answer;
        todo!()
    }

    /// Rows to be told here; the next ones when these were [`Snapshot::told`].
    pub fn next_release(&mut self) -> Option<Release> {
        todo!()
    }

    /// All rows of a release are handed over: the state has them.
    pub fn told(&mut self, release: Release) {
        let _ = release;
        todo!()
    }

    /// Takes changed rows of a table; nothing where nobody wants to know of them.
    pub fn touching(&mut self, table: &Arc<Table>) -> Option<Touching<'_>> {
        let _ = table;
        todo!()
    }

    /// Tables themselves changed, at this place of the stream.
    pub fn changed(&mut self, change: &TableChange) {
        let _ = change;
        todo!()
    }

    /// A signal came, from the signal table or from REST.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn signal(&mut self, signal: &Signal) -> Result<(), String> {
        let _ = signal;
        todo!()
    }

    /// What is on its way is read again: another server answers now.
    pub fn forget_pending(&mut self) {
        todo!()
    }

    /// What is to be stored with the records of all releases so far.
    #[must_use]
    pub fn state(&self) -> &SnapshotState {
        &self.state
    }

    /// Whether nothing is left to read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        todo!()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> SnapshotProgress {
        todo!()
    }
}
