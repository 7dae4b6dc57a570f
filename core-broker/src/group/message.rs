//! Requests and answers of the coordinator in plain types, free of any wire version.
//!
//! Why: the state machine and its tests should not know the wire structs; the `api` files map between both.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::GroupError;
use super::names::{GroupId, InstanceId, MemberId};
use super::store::TransactionalProducer;
use crate::ids::{LeaderEpoch, Offset, Timestamp, TopicName, TopicPartition};

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// `client.id` of the request header; empty if null.
    pub client_id: String,
    /// Host of the peer, as Kafka prints it (`/127.0.0.1`).
    pub host: String,
}

/// A protocol a member supports, with opaque metadata (a subscription, for consumers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Name, such as `range`.
    pub name: Arc<str>,
    /// What the leader gets to see of the member.
    pub metadata: Bytes,
}

/// A member wants to be part of the next generation.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group: GroupId,
    /// Empty at first.
    pub member_id: MemberId,
    /// Set by static members.
    pub instance: Option<InstanceId>,
    /// Who asks.
    pub client: ClientInfo,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// How long the others wait for the member in a rebalance.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, …: opaque, but the same for all members.
    pub protocol_type: Arc<str>,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// Whether a member without an id is sent back with one first (v4, KIP-394).
    pub require_member_id: bool,
    /// Whether the client understands "you lead, but do not assign" (v9).
    pub supports_skip_assignment: bool,
}

/// Answer to a successful join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation joined.
    pub generation: i32,
    /// Kind of group.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen by vote.
    pub protocol: Option<Arc<str>>,
    /// The member that makes the assignment.
    pub leader: MemberId,
    /// The member answered.
    pub member_id: MemberId,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
    /// The leader must not make a new assignment (a static leader came back).
    pub skip_assignment: bool,
}

/// One member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its instance id, if static.
    pub instance: Option<InstanceId>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// A member asks for its assignment; the leader brings them all.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group: GroupId,
    /// The generation joined.
    pub generation: i32,
    /// The member.
    pub member_id: MemberId,
    /// Set by static members.
    pub instance: Option<InstanceId>,
    /// v5: what the member believes to be the group's type.
    pub protocol_type: Option<Arc<str>>,
    /// v5: what the member believes to be the chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// From the leader: an assignment for each member.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// Answer to a successful sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Kind of group.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen by vote.
    pub protocol: Option<Arc<str>>,
    /// The member's assignment, as its leader wrote it.
    pub assignment: Bytes,
}

/// A member is alive.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The generation joined.
    pub generation: i32,
    /// The member.
    pub member_id: MemberId,
    /// Set by static members.
    pub instance: Option<InstanceId>,
}

/// Members leave.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// The group.
    pub group: GroupId,
    /// Who leaves; an administrator names static members by instance id alone.
    pub members: Vec<LeavingMember>,
}

/// One member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; may be empty if `instance` is set.
    pub member_id: MemberId,
    /// Its instance id, if static.
    pub instance: Option<InstanceId>,
}

/// Offsets to store.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The group.
    pub group: GroupId,
    /// −1 from those who do not use group membership.
    pub generation: i32,
    /// Empty from those who do not use group membership.
    pub member_id: MemberId,
    /// Set by static members.
    pub instance: Option<InstanceId>,
    /// v2–v4: how long to keep the offsets, instead of the broker's retention.
    pub retention_ms: Option<i64>,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// Offsets to store once a transaction is committed (KIP-98).
#[derive(Clone, Debug)]
pub struct TransactionalCommit {
    /// The group.
    pub group: GroupId,
    /// The producer whose transaction it is.
    pub producer: TransactionalProducer,
    /// −1 from producers that know nothing of the group (before v3, KIP-447).
    pub generation: i32,
    /// Empty from producers that know nothing of the group.
    pub member_id: MemberId,
    /// Set by static members.
    pub instance: Option<InstanceId>,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// One offset to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Where it belongs.
    pub partition: TopicPartition,
    /// The next record to read.
    pub offset: Offset,
    /// Epoch of the last record read, if the client knows it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Text kept with the offset.
    pub metadata: Arc<str>,
}

/// A stored offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Epoch of the last record read, if the client knew it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Text kept with the offset.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// Set if the client asked for a retention of its own.
    pub expire_timestamp: Option<Timestamp>,
}

/// Which offsets to read.
#[derive(Clone, Debug)]
pub struct FetchOffsetsRequest {
    /// The group.
    pub group: GroupId,
    /// Topics and partitions; none means all that are stored.
    pub topics: Option<Vec<(TopicName, Vec<i32>)>>,
    /// Whether offsets of an open transaction must be waited for (KIP-447).
    pub require_stable: bool,
}

/// Offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOffsets {
    /// The topic.
    pub topic: TopicName,
    /// The partitions asked for, with what is stored; [`GroupError::UnstableOffset`] where it must be waited for.
    pub partitions: Vec<(i32, Result<Option<CommittedOffset>, GroupError>)>,
}

/// A group as `DescribeGroups` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// State of the state machine.
    pub state: GroupState,
    /// Kind of group; empty if it only holds offsets.
    pub protocol_type: Arc<str>,
    /// The chosen protocol; empty unless stable.
    pub protocol: Arc<str>,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// A member as `DescribeGroups` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// Its instance id, if static.
    pub instance: Option<InstanceId>,
    /// Who it is.
    pub client: ClientInfo,
    /// Its metadata for the chosen protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its assignment; empty unless the group is stable.
    pub assignment: Bytes,
}

/// A group as `ListGroups` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: GroupId,
    /// Kind of group; empty if it only holds offsets.
    pub protocol_type: Arc<str>,
    /// State of the state machine.
    pub state: GroupState,
}

/// The groups in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Groups by state.
    pub states: BTreeMap<GroupState, usize>,
    /// Members of all groups.
    pub members: usize,
    /// Committed offsets, as many as were wanted.
    pub offsets: Vec<(GroupId, TopicPartition, Offset)>,
    /// How many there are.
    pub offsets_total: usize,
}

/// State of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Members are asked to join the next generation.
    PreparingRebalance,
    /// All joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has, or may fetch, its assignment.
    Stable,
    /// Deleted.
    Dead,
}

impl GroupState {
    /// Kafka's name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// Answer to JoinGroup.
pub type JoinResponse = Result<Joined, GroupError>;
/// Answer to SyncGroup.
pub type SyncResponse = Result<Synced, GroupError>;
/// Answer to LeaveGroup: one result for each member, in the order of the request.
pub type LeaveResponse = Result<Vec<Result<(), GroupError>>, GroupError>;
/// Answer to requests on several partitions: one result for each, in the order of the request.
pub type PartitionsResponse = Result<Vec<Result<(), GroupError>>, GroupError>;
