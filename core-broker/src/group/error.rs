//! Errors of the group coordinator, and their Kafka error codes.
//!
//! Why: a member reacts to the code (rejoin, give up its id, retry elsewhere, stop), so each refusal is one
//! variant with the values that explain it. Owns: the variants and the one mapping to codes.

use kafka_protocol::ResponseError;

use super::names::{GroupId, InstanceId, MemberId};
use crate::ids::{ProducerId, TopicPartition};

/// Why the coordinator refused a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group id is empty where a name is needed, or too long.
    #[error("group id of {bytes} bytes is not between 1 and {bytes_max} bytes")]
    InvalidGroupId {
        /// Length of the id.
        bytes: usize,
        /// Longest allowed id.
        bytes_max: usize,
    },
    /// A field of the request is out of its limits.
    #[error("{field} is {size} in the request to group {group}, the limit is {limit}")]
    InvalidRequest {
        /// The group addressed.
        group: GroupId,
        /// The field, in words.
        field: &'static str,
        /// What was sent.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The session timeout is outside of the broker's bounds.
    #[error("session timeout {session_timeout_ms} ms is not within {min_ms}..={max_ms} ms")]
    InvalidSessionTimeout {
        /// What was asked for.
        session_timeout_ms: i32,
        /// `group.min.session.timeout.ms`.
        min_ms: i32,
        /// `group.max.session.timeout.ms`.
        max_ms: i32,
    },
    /// The member must join again with the id it is given here (KIP-394).
    #[error("join again with member id {member_id}")]
    MemberIdRequired {
        /// The id to join with.
        member_id: MemberId,
    },
    /// The member is not, or no longer, part of the group.
    #[error("group {group} has no member {member_id}")]
    UnknownMember {
        /// The group addressed.
        group: GroupId,
        /// The id that is not known.
        member_id: MemberId,
    },
    /// The group has no static member of that name.
    #[error("group {group} has no static member {instance}")]
    UnknownInstance {
        /// The group addressed.
        group: GroupId,
        /// The instance id that is not known.
        instance: InstanceId,
    },
    /// Another process has joined with the same `group.instance.id`.
    #[error("static member {instance} of group {group} now belongs to another process, not to {member_id}")]
    FencedInstance {
        /// The group addressed.
        group: GroupId,
        /// The static member.
        instance: InstanceId,
        /// The member id that was fenced.
        member_id: MemberId,
    },
    /// The request carries another generation than the group is in.
    #[error("group {group} is in generation {current}, not {requested}")]
    IllegalGeneration {
        /// The group addressed.
        group: GroupId,
        /// The generation in the request.
        requested: i32,
        /// The generation of the group.
        current: i32,
    },
    /// The group is rebalancing: the member has to join again.
    #[error("group {group} is rebalancing, join again")]
    RebalanceInProgress {
        /// The group addressed.
        group: GroupId,
    },
    /// The member shares no protocol with the group, or named none.
    #[error("no protocol of the request is supported by every member of group {group}")]
    InconsistentProtocol {
        /// The group addressed.
        group: GroupId,
    },
    /// The group has as many members as it may have.
    #[error("group {group} already has {members_max} members, raise group.max.size to allow more")]
    GroupFull {
        /// The group addressed.
        group: GroupId,
        /// `group.max.size`.
        members_max: usize,
    },
    /// The broker has as many groups or members as it may have.
    #[error("the broker already holds {limit} {what}, raise {setting} to allow more")]
    TooMany {
        /// Groups, members or offsets.
        what: &'static str,
        /// The configured limit.
        limit: usize,
        /// The setting that holds it.
        setting: &'static str,
    },
    /// The metadata committed with an offset is too long.
    #[error("offset metadata of {bytes} bytes is over offset.metadata.max.bytes={bytes_max}")]
    OffsetMetadataTooLarge {
        /// Its length.
        bytes: usize,
        /// `offset.metadata.max.bytes`.
        bytes_max: usize,
    },
    /// One commit is larger than one record batch may be.
    #[error(
        "commit of {bytes} bytes to group {group} is over the limit of {bytes_max} bytes, commit fewer partitions at once"
    )]
    CommitTooLarge {
        /// The group addressed.
        group: GroupId,
        /// Size as records.
        bytes: usize,
        /// Largest allowed size.
        bytes_max: usize,
    },
    /// The group's membership is larger than one record batch may be.
    #[error("membership of group {group} takes {bytes} bytes, the limit is {bytes_max}")]
    MembershipTooLarge {
        /// The group addressed.
        group: GroupId,
        /// Size as a record.
        bytes: usize,
        /// Largest allowed size.
        bytes_max: usize,
    },
    /// The group does not exist.
    #[error("group {group} not found")]
    NotFound {
        /// The group addressed.
        group: GroupId,
    },
    /// The group still has members.
    #[error("group {group} is not empty, stop its members first")]
    NotEmpty {
        /// The group addressed.
        group: GroupId,
    },
    /// The members of the group still read the topic.
    #[error("group {group} is subscribed to topic {topic}")]
    Subscribed {
        /// The group addressed.
        group: GroupId,
        /// The topic whose offsets were to be deleted.
        topic: String,
    },
    /// The topic does not exist.
    #[error("unknown topic {topic}")]
    UnknownTopic {
        /// The topic named.
        topic: String,
    },
    /// A transaction that is not over yet may change the offset (KIP-447).
    #[error("a transaction may still change the offset of {partition} in group {group}, retry")]
    UnstableOffset {
        /// The group addressed.
        group: GroupId,
        /// Whose offset was asked for.
        partition: TopicPartition,
    },
    /// A write within a transaction that does not, or no longer, allow it.
    #[error("transactional write of producer {producer} refused: {reason}")]
    Transaction {
        /// The producer.
        producer: ProducerId,
        /// The error as the protocol names it.
        error: ResponseError,
        /// What the transaction coordinator or the log said.
        reason: String,
    },
    /// Too many writes are waiting for the disk.
    #[error("{waiting} group writes are waiting for the disk, retry later")]
    Overloaded {
        /// How many writes wait.
        waiting: usize,
    },
    /// The broker is shutting down, or the group was just deleted.
    #[error("the group coordinator is not available, retry")]
    NotAvailable,
    /// The internal topic could not be created, written or read.
    #[error("internal topic __consumer_offsets failed: {reason}")]
    Storage {
        /// What the log said.
        reason: String,
    },
    /// A record of the internal topic cannot be read.
    #[error("record in __consumer_offsets-{partition} is corrupt: {reason}")]
    Corrupt {
        /// The partition of the internal topic.
        partition: i32,
        /// What is wrong with it.
        reason: String,
    },
}

impl GroupError {
    /// The error as the protocol names it.
    #[must_use]
    pub const fn response_error(&self) -> ResponseError {
        match self {
            Self::InvalidGroupId { .. } => ResponseError::InvalidGroupId,
            Self::InvalidRequest { .. } => ResponseError::InvalidRequest,
            Self::InvalidSessionTimeout { .. } => ResponseError::InvalidSessionTimeout,
            Self::MemberIdRequired { .. } => ResponseError::MemberIdRequired,
            Self::UnknownMember { .. } | Self::UnknownInstance { .. } => ResponseError::UnknownMemberId,
            Self::FencedInstance { .. } => ResponseError::FencedInstanceId,
            Self::IllegalGeneration { .. } => ResponseError::IllegalGeneration,
            Self::RebalanceInProgress { .. } => ResponseError::RebalanceInProgress,
            Self::InconsistentProtocol { .. } => ResponseError::InconsistentGroupProtocol,
            Self::GroupFull { .. } => ResponseError::GroupMaxSizeReached,
            Self::TooMany { .. } => ResponseError::PolicyViolation,
            Self::OffsetMetadataTooLarge { .. } => ResponseError::OffsetMetadataTooLarge,
            Self::CommitTooLarge { .. } => ResponseError::InvalidCommitOffsetSize,
            Self::NotFound { .. } => ResponseError::GroupIdNotFound,
            Self::NotEmpty { .. } => ResponseError::NonEmptyGroup,
            Self::Subscribed { .. } => ResponseError::GroupSubscribedToTopic,
            Self::UnknownTopic { .. } => ResponseError::UnknownTopicOrPartition,
            Self::UnstableOffset { .. } => ResponseError::UnstableOffsetCommit,
            Self::Transaction { error, .. } => match error {
                // Producers of older versions know how to retry this one, but none of those.
                ResponseError::ConcurrentTransactions | ResponseError::NetworkException => {
                    ResponseError::CoordinatorLoadInProgress
                }
                ResponseError::NotEnoughReplicas => ResponseError::CoordinatorNotAvailable,
                other => *other,
            },
            Self::Overloaded { .. } | Self::NotAvailable | Self::Storage { .. } => {
                ResponseError::CoordinatorNotAvailable
            }
            Self::MembershipTooLarge { .. } | Self::Corrupt { .. } => ResponseError::UnknownServerError,
        }
    }

    /// The error code on the wire.
    #[must_use]
    pub const fn code(&self) -> i16 {
        self.response_error().code()
    }
}

/// The error code of a result: 0 for success.
pub(crate) fn result_code<T>(result: &Result<T, GroupError>) -> i16 {
    result.as_ref().err().map_or(0, GroupError::code)
}
