//! What readers are asked, and what they answer.
use std::sync::Arc;
use std::time::Duration;

use super::key::{KeyColumns, Place};
use super::mark::Mark;
use super::rows::Rows;
use super::settings::SnapshotError;
use crate::mysql::schema::{Table, TableId};
use crate::mysql::stream::LogPosition;

/// The number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a reader is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number; the answer has the same.
    pub id: RequestId,
    /// The stream's place: all changes before it have to be visible to what is read.
    pub after: LogPosition,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The names of all tables that are not the server's own: [`Outcome::Listed`].
    List,
    /// What a table is, and which keys it has: [`Outcome::Surveyed`] or [`Outcome::Missing`].
    Survey {
        /// The table.
        table: TableId,
        /// The column in whose order it is read instead of its key's.
        surrogate: Option<String>,
    },
    /// Some rows: [`Outcome::Chunk`].
    Chunk(ChunkWork),
    /// All rows of a table without a key, as they are at one place of the log: [`Outcome::Begun`], and nothing more without
    /// [`Work::More`].
    Whole(ChunkWork),
    /// The next rows of a table that was begun: [`Outcome::Part`]. For the reader that began it.
    More(RequestId),
    /// The rest of a table that was begun is not wanted. For the reader that began it; there is no answer.
    Forget(RequestId),
    /// Nothing for a while: [`Outcome::Rested`].
    Rest(Duration),
}

/// Rows to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkWork {
    /// Their table.
    pub table: TableId,
    /// The statement.
    pub sql: String,
    /// How many cells its rows have.
    pub width: usize,
    /// How many rows its `LIMIT` lets through.
    pub rows_max: usize,
    /// With the row that reaches so many bytes the chunk, or the part, ends.
    pub bytes_max: usize,
    /// The rows are locked against changes while they are read, and until the high mark is taken.
    pub locking: bool,
    /// The rows are those of a user's own statement over the table.
    pub derived: bool,
    /// Whether transactions isolate the table's readers. Without, its lock is held until all is read.
    pub transactional: bool,
}

/// What a reader answers.
#[derive(Debug)]
pub struct Answer {
    /// The request's number.
    pub id: RequestId,
    /// What came out.
    pub outcome: Outcome,
}

/// What comes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The tables that there are.
    Listed {
        /// Each with how many rows it may have.
        tables: Vec<(TableId, u64)>,
        /// Nothing that is behind it was visible.
        high: Mark,
    },
    /// What a table is.
    Surveyed(Box<Surveyed>),
    /// It is not there. The stream tells why before this mark.
    Missing(Mark),
    /// Rows.
    Chunk(Box<ChunkRead>),
    /// A table without a key is begun: its rows are those at this mark, exactly.
    Begun(Mark),
    /// Rows of it.
    Part {
        /// The rows.
        rows: Rows,
        /// Whether there are no more.
        last: bool,
    },
    /// Time has passed.
    Rested,
    /// The table is not what it was when it was surveyed.
    Changed(String),
    /// A lock cannot be had now.
    Busy(String),
    /// It cannot be done.
    Failed(SnapshotError),
}

/// A table as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Surveyed {
    /// What it is.
    pub table: Arc<Table>,
    /// The columns in whose order it is read; nothing without a key.
    pub key: Option<KeyColumns>,
    /// Its first and its last key; nothing if it is empty, or without a key.
    pub range: Option<(Place, Place)>,
    /// How many bytes a row may have.
    pub row_bytes: usize,
    /// Whether transactions isolate its readers.
    pub transactional: bool,
    /// Nothing that is behind it was visible.
    pub high: Mark,
}

/// Rows that were read between two marks.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkRead {
    /// All that is before it was visible.
    pub low: Mark,
    /// Nothing that is behind it was.
    pub high: Mark,
    /// The rows.
    pub rows: Rows,
    /// Whether there are no more in the range that was asked for.
    pub ended: bool,
}
