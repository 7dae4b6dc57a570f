//! What can be wrong with bytes.
use arrow::error::ArrowError;
use thiserror::Error;

/// Bytes that are not what the job's topology says, or rows that do not fit a record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A record on a repartition topic that no Streams job wrote.
    #[error(
        "the record has no {header:?} header, so it is not a batch of this library; \
         nothing else may write to a repartition topic"
    )]
    NotABatch {
        /// The header.
        header: &'static str,
    },
    /// A batch in an encoding this version does not know.
    #[error(
        "the batch is in encoding version {actual}, this program knows version {known}; upgrade the program"
    )]
    Version {
        /// The version found.
        actual: u8,
        /// The version known.
        known: u8,
    },
    /// A batch of another plan.
    #[error(
        "the batch has the schema fingerprint {actual:016x}, the job's plan has {expected:016x}; a changed \
         aggregate needs another step name or application id, because the stored states do not fit it"
    )]
    Fingerprint {
        /// The fingerprint found.
        actual: u64,
        /// The plan's fingerprint.
        expected: u64,
    },
    /// A batch that is cut short or damaged.
    #[error("the batch is damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// A value that is no JSON object of the stream's schema.
    #[error("its value is not the JSON of the stream's schema: {reason}")]
    Json {
        /// What is wrong with it.
        reason: String,
    },
    /// A record that is not what its format says.
    #[error("it cannot be read as {format}: {reason}")]
    Unreadable {
        /// The format.
        format: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows that a format cannot write.
    #[error("it cannot be written as {format}: {reason}")]
    Unwritable {
        /// The format.
        format: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What a format needs does not answer. No record is to blame, so that no policy applies: the job fails, and may be started again.
    #[error("{format}: {reason}")]
    Unavailable {
        /// The format.
        format: String,
        /// What does not answer, and what it says.
        reason: String,
    },
    /// A format that is not set up as it has to be. No record is to blame, so that no policy applies: the job fails.
    #[error("{format}: {reason}")]
    Misconfigured {
        /// The format.
        format: String,
        /// What is wrong.
        reason: String,
    },
    /// A row that is larger than a record may be.
    #[error(
        "one row takes {bytes} bytes, a record holds at most {bytes_max}; shorten its key or its state, or \
         filter such rows out before group_by"
    )]
    RowTooLarge {
        /// The encoded size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// An operation of Arrow failed.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
}

impl FormatError {
    /// A record that is not what `format` says.
    ///
    /// ```
    /// let error = millstream_streams::FormatError::unreadable("CSV", "it has 2 cells");
    /// assert_eq!(error.to_string(), "it cannot be read as CSV: it has 2 cells");
    /// ```
    pub fn unreadable(format: &str, reason: impl Into<String>) -> Self {
        Self::Unreadable {
            format: format.to_owned(),
            reason: reason.into(),
        }
    }

    /// A row that `format` cannot write.
    ///
    /// ```
    /// let error = millstream_streams::FormatError::unwritable("CSV", "column x is a list");
    /// assert_eq!(error.to_string(), "it cannot be written as CSV: column x is a list");
    /// ```
    pub fn unwritable(format: &str, reason: impl Into<String>) -> Self {
        Self::Unwritable {
            format: format.to_owned(),
            reason: reason.into(),
        }
    }

    /// Whether no record is to blame.
    pub(crate) fn is_of_nobody(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Misconfigured { .. })
    }

    /// Whether another try may do.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
