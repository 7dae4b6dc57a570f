//! Why a question to a job's stores has no answer.
use std::time::Duration;

use thiserror::Error;

use crate::error::ErrorKind;

/// A question to a store that was not answered.
///
/// ```
/// use millstream_streams::{ErrorKind, QueryError};
/// let error = QueryError::Stopped { application_id: "word-count".to_owned() };
/// assert_eq!(error.kind(), ErrorKind::FixInput);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The job has no such store.
    #[error("the job {application_id} has no store {name}: {known}")]
    UnknownStore {
        /// The job.
        application_id: String,
        /// What was asked for.
        name: String,
        /// The names of those there are.
        known: String,
    },
    /// A step whose state is not made for questions.
    #[error("the state of {name} cannot be asked for: {reason}")]
    NotReadable {
        /// The step.
        name: String,
        /// Why, and what can be asked instead.
        reason: String,
    },
    /// A question that the store cannot be asked.
    #[error("the store {store} cannot be asked that: {reason}")]
    Question {
        /// The store.
        store: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// A partition that another instance works on, or none.
    #[error("partition {partition} of the store {store} is not in this process: {owner}")]
    NotHere {
        /// The store.
        store: String,
        /// The partition.
        partition: i32,
        /// Who has it, as far as that is known, and what to do.
        owner: String,
    },
    /// Partitions that are being restored, or moved.
    #[error("partition {partition} of the store {store} gave no answer within {} s: {cause}; ask again", .timeout.as_secs_f32())]
    Unavailable {
        /// The store.
        store: String,
        /// The partition.
        partition: i32,
        /// How long was waited.
        timeout: Duration,
        /// Why.
        cause: String,
    },
    /// The group distributes the partitions anew, or those of this process are being restored.
    #[error("the partitions of the store {store} were moved or restored for {} s; ask again", .timeout.as_secs_f32())]
    Rebalancing {
        /// The store.
        store: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// More rows than one answer may have.
    #[error(
        "the answer of the store {store} takes more than {bytes_max} bytes; ask for fewer rows, or for a range"
    )]
    TooLarge {
        /// The store.
        store: String,
        /// The limit.
        bytes_max: usize,
    },
    /// A statement of SQL that is not answered.
    #[error("the SQL statement is not answered: {reason}")]
    Sql {
        /// Why.
        reason: String,
    },
    /// A statement of SQL that takes too long.
    #[error(
        "the SQL statement was not answered within {} s; ask for fewer rows, or ask again",
        .timeout.as_secs_f32()
    )]
    TimedOut {
        /// How long was waited.
        timeout: Duration,
    },
    /// State that cannot be read.
    #[error("the store {store} cannot be read: {cause}")]
    Failed {
        /// The store.
        store: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The job has ended.
    #[error("the job {application_id} does not run any more; ask another instance, or start it")]
    Stopped {
        /// The job.
        application_id: String,
    },
}

impl QueryError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownStore { .. }
            | Self::NotReadable { .. }
            | Self::Question { .. }
            | Self::TooLarge { .. }
            | Self::Sql { .. }
            | Self::Stopped { .. } => ErrorKind::FixInput,
            Self::NotHere { .. }
            | Self::Unavailable { .. }
            | Self::Rebalancing { .. }
            | Self::TimedOut { .. } => ErrorKind::Retry,
            Self::Failed { .. } => ErrorKind::Corrupt,
        }
    }
}
