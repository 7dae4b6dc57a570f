//! What is known of one transactional id, and the order in which its states follow each other.

use std::collections::BTreeSet;
use std::fmt;

use crate::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// No producer id.
pub(super) const NO_PRODUCER: ProducerId = ProducerId(-1);
/// No epoch.
pub(super) const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);
/// No time.
pub(super) const NO_TIME: Timestamp = Timestamp(-1);
/// From this epoch on a producer gets a new id: the last epoch stays free for fencing.
pub(super) const EPOCH_MAX: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

/// Where a transactional id stands, by Kafka's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionState {
    /// Initialized, and nothing begun.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// To be committed: that is decided, markers are being written.
    PrepareCommit,
    /// To be aborted: that is decided, markers are being written.
    PrepareAbort,
    /// Committed everywhere.
    CompleteCommit,
    /// Aborted everywhere.
    CompleteAbort,
    /// About to be forgotten.
    Dead,
}

impl TransactionState {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
    ];

    /// Kafka's name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Kafka's number of the state, as records hold it.
    pub(super) const fn number(self) -> i8 {
        self as i8
    }

    /// The state of that number.
    pub(super) fn numbered(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Whether the end is decided and markers are due.
    pub(super) const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether a transaction is under way.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Ongoing | Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether `next` may follow.
    pub(super) const fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty | Self::Dead => {
                matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
            }
            Self::Ongoing => !self.is_prepared() && !matches!(self, Self::Dead),
            Self::PrepareCommit | Self::PrepareAbort => matches!(self, Self::Ongoing),
            Self::CompleteCommit => matches!(self, Self::PrepareCommit),
            Self::CompleteAbort => matches!(self, Self::PrepareAbort),
        }
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is kept of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub state: TransactionState,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// The producer id before the epochs of the last one were used up; not on disk.
    pub previous_producer_id: ProducerId,
    /// The epoch before the producer itself asked for a higher one, so that it may ask again; not on disk.
    pub last_producer_epoch: ProducerEpoch,
    pub timeout_ms: i32,
    pub partitions: BTreeSet<TopicPartition>,
    /// When the transaction under way began.
    pub started: Timestamp,
    /// When the state last changed.
    pub updated: Timestamp,
}

impl Metadata {
    /// Whether the producer needs a new id before it can get a higher epoch.
    pub fn is_epoch_exhausted(&self) -> bool {
        self.producer_epoch >= EPOCH_MAX
    }

    /// Whether the transaction is over its time.
    pub fn is_timed_out(&self, now: Timestamp) -> bool {
        let age = now.0.saturating_sub(self.started.0);
        self.state == TransactionState::Ongoing && age > i64::from(self.timeout_ms)
    }
}
