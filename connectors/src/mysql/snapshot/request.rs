//! What readers are asked, and what they answer.
use crate::mysql::schema::TableId;
use crate::mysql::stream::{Gtids, LogPosition};

use super::SnapshotError;

/// The number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a reader is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number; the answer has the same.
    pub id: RequestId,
    /// The stream's place: everything before it has to be visible to what is read.
    pub after: LogPosition,
    /// What is to be done.
    pub work: Work,
}

/// What is to be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The names of all tables.
    List,
}

/// A mark in the server's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Transactions.
    pub gtids: Option<Gtids>,
    /// A file and a position in it.
    pub place: Option<LogPosition>,
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
    Listed(Vec<TableId>),
    /// It cannot be done, now or ever.
    Failed(SnapshotError),
}
