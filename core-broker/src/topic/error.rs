//! Why a topic could not be created, changed, deleted or loaded.

use super::{NameError, PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX, TopicConfigError, TopicFileError};
use crate::ids::{TopicName, TopicPartition};
use crate::log::LogError;

/// Why a topic could not be created, changed, deleted or loaded.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The name breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The topic is there already.
    #[error("topic {0} already exists")]
    Exists(TopicName),
    /// Only `.` and `_` tell the name from that of another topic.
    #[error("topic {name} collides with topic {other}: the names differ only in '.' and '_'")]
    Collides {
        /// The new name.
        name: TopicName,
        /// The topic that exists.
        other: TopicName,
    },
    /// No such topic.
    #[error("topic {0} does not exist")]
    Unknown(String),
    /// A count out of range.
    #[error("{count} partitions for topic {topic}: expected {at_least} to {PARTITIONS_PER_TOPIC_MAX}")]
    Partitions {
        /// The topic.
        topic: TopicName,
        /// The count asked for.
        count: i32,
        /// The least that would do.
        at_least: i32,
    },
    /// The broker is full.
    #[error(
        "topic {topic} would bring the broker to {count} partitions, at most {PARTITIONS_MAX} are allowed: delete topics"
    )]
    TooMany {
        /// The topic.
        topic: TopicName,
        /// How many there would be.
        count: usize,
    },
    /// A setting does not fit.
    #[error(transparent)]
    Config(#[from] TopicConfigError),
    /// The disk or the log failed.
    #[error("topic {topic}: {source}")]
    Log {
        /// The topic being changed, or the topics file.
        topic: String,
        /// What failed.
        source: LogError,
    },
    /// The topics file cannot be read.
    #[error("topics file: {0}; restore it from a copy, or move the data directory away")]
    File(#[from] TopicFileError),
    /// Records that no topic owns.
    #[error(
        "folder {0} holds records but the topics file does not name its topic; \
         restore the topics file from a copy, or move the folder out of the data directory"
    )]
    Orphan(TopicPartition),
}
