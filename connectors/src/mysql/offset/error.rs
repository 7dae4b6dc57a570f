//! Offsets that say nothing that can be.
use crate::mysql::gtid::ParseGtidError;

/// Why an offset is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// Of another source, or of none.
    #[error(
        "the partition {partition} is not one of this connector, whose offset is that of {{\"server\": \"{prefix}\"}} (topic.prefix)"
    )]
    Partition {
        /// The partition.
        partition: String,
        /// `topic.prefix`.
        prefix: String,
    },
    /// The description of a table.
    #[error(
        "descriptions of tables cannot be set, only removed (\"offset\": null), which has them read from the server again"
    )]
    Description,
    /// A field that is none.
    #[error("the offset has a field {name:?}, which is not known; there are {known}")]
    Unknown {
        /// Its name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A field of another type.
    #[error("the offset's field {field} is {found}, not {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// GTIDs that are none.
    #[error("the offset's field gtids: {0}")]
    Gtids(#[from] ParseGtidError),
    /// Neither a place nor transactions.
    #[error(
        "the offset says no place: it needs file and pos, such as {{\"file\": \"bin.000003\", \"pos\": 154}}, or gtids"
    )]
    NoPlace,
    /// The state of a snapshot that is none.
    #[error(
        "the offset's field chunks is no state of a snapshot: {0}; leave it out to have none, or delete the offset to begin anew"
    )]
    Chunks(String),
}
