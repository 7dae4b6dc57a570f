//! What can be wrong with bytes.
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
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
    /// A row, or the state of a key, that is larger than a record may be.
    #[error(
        "{} takes {bytes} bytes, a record holds at most {bytes_max}; shorten its values, filter such rows out before group_by, give a list \
         a .limit(n), count different values with count_distinct_of, or end what only grows with windows",
        match key {
            Some(key) => format!("what there is of the key {key}"),
            None => "one row".to_owned(),
        }
    )]
    RowTooLarge {
        /// The key, if it is of one.
        key: Option<String>,
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

    /// A row that is too large is named by its key: the one of `rows` that alone `is_too_large`.
    pub(crate) fn of_key(self, keys: &[ArrayRef], rows: &[u32], is_too_large: impl Fn(u32) -> bool) -> Self {
        let Self::RowTooLarge {
            key: None,
            bytes,
            bytes_max,
        } = self
        else {
            return self;
        };
        let row = rows.iter().find(|row| is_too_large(**row));
        Self::RowTooLarge {
            key: row.map(|row| key_text(keys, *row as usize)),
            bytes,
            bytes_max,
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

/// As much of a key is shown.
const KEY_CHARS_MAX: usize = 100;

/// Bytes that are a text.
fn as_text(column: &ArrayRef, row: usize) -> Option<String> {
    let bytes = match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(row),
        DataType::BinaryView => column.as_binary_view().value(row),
        _ => return None,
    };
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A key as a text for people.
pub(crate) fn key_text(keys: &[ArrayRef], row: usize) -> String {
    let values = keys.iter().map(|column| match column.is_null(row) {
        true => "null".to_owned(),
        // The keys of records are bytes, and texts as often as not.
        false => as_text(column, row)
            .or_else(|| array_value_to_string(column, row).ok())
            .unwrap_or_else(|| "…".to_owned()),
    });
    let text = values.collect::<Vec<_>>().join(", ");
    match text.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
