//! The seam to the consumer: records in, offsets committed, assignment changes.
//!
//! Owns: the calls a worker needs of a consumer ([`Source`]) and their implementation on librdkafka. Does not own:
//! which partition belongs to which task, or when to commit (`runtime`).
//!
//! A native fetch path can take librdkafka's place behind [`Source`]: membership and commits may stay where they are.
//!
//! Invariants: between reporting a change of the assignment and its confirmation (`assign`, `unassign`) no record is
//! handed out, so the worker ends its epoch on its own stack; records of one partition come in the order of the log.
mod follow;
mod kafka;
mod looks;
mod reader;
mod restore;
mod topic;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use thiserror::Error;

pub(crate) use follow::{Follow, Followed, KafkaFollow};
pub(crate) use kafka::{KafkaSource, LagBoard};
pub(crate) use looks::{Look, Looker};
#[cfg(test)]
pub(crate) use restore::Change;
pub(crate) use restore::{KafkaRestore, Restore, Restored};
pub(crate) use topic::TopicReader;

use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::task::{InputRecord, Position};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicPartition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

/// Positions in the form the client takes them.
pub(crate) fn offset_list(positions: &[(TopicPartition, Position)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (at, position) in positions {
        let mut element = list.add_partition(&at.topic, at.partition);
        element.set_offset(Offset::Offset(position.offset))?;
        element.set_metadata(&position.metadata);
    }
    Ok(list)
}

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// The committed offset; without one, what `auto.offset.reset` says.
    Committed,
    /// The first record.
    Beginning,
    /// This offset.
    Offset(i64),
}

fn offset_of(start: StartAt) -> Offset {
    match start {
        StartAt::Committed => Offset::Stored,
        StartAt::Beginning => Offset::Beginning,
        StartAt::Offset(offset) => Offset::Offset(offset),
    }
}

/// What came of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Polled {
    /// That many records, each handed to the callback.
    Records(usize),
    /// Nothing within the time.
    Idle,
    /// These partitions are now this member's; answer with [`Source::assign`].
    Assigned(Vec<TopicPartition>),
    /// All partitions are taken away; answer with [`Source::unassign`]. `lost`: they may be another's already.
    Revoked { lost: bool },
}

/// Gives records. One member of the consumer group.
pub(crate) trait Source {
    /// Waits up to `timeout` for input, and hands at most `max` records to `each`, until it says to stop.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(&InputRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Polled, SourceError>;

    /// What is committed for each partition, in the order asked; none if there is nothing, or it is beyond the log's end.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Position>>, SourceError>;

    /// Where reading begins in a partition without a committed offset, if that is the log's end as it is now: whoever asks commits it.
    fn begins_at_end(&mut self, _at: &TopicPartition) -> Result<Option<i64>, SourceError> {
        Ok(None)
    }

    /// The first offset of a partition and its end, as they are now; none where nobody knows.
    fn bounds(&mut self, _at: &TopicPartition) -> Result<Option<(i64, i64)>, SourceError> {
        Ok(None)
    }

    /// Confirms an assignment and says where to begin.
    fn assign(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError>;

    /// Confirms a revocation.
    fn unassign(&mut self) -> Result<(), SourceError>;

    /// Records behind the end of a partition, as far as it is known.
    fn lag(&self, _topic: &str, _partition: i32) -> u64 {
        0
    }

    /// What the member is to its group now, for offsets that go into a transaction.
    fn member(&self) -> Option<ConsumerGroupMetadata>;

    /// Commits positions, and returns only when the outcome is known.
    fn commit(&mut self, positions: &[(TopicPartition, Position)]) -> Result<(), SourceError>;
}

/// How reading and committing fail.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The partitions were taken away before the commit; the new owner reads the same records again.
    #[error("the commit came too late: the group gave the partitions to others ({cause})")]
    Fenced {
        /// What the broker says.
        cause: String,
    },
    /// A commit that the broker refuses.
    #[error("offsets cannot be committed: {cause}{remedy}")]
    Commit {
        /// What the broker says.
        cause: String,
        /// What to do, or nothing.
        remedy: &'static str,
    },
    /// Reading cannot go on.
    #[error("cannot read: {cause}{remedy}")]
    Read {
        /// What the client says.
        cause: String,
        /// What to do, or nothing.
        remedy: &'static str,
    },
    /// The job was told to stop and gave the commit up.
    #[error("the job stopped before its last commit was known to be done; its records will be read again")]
    Abandoned,
}
