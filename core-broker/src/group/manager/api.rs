//! One method for each request of the protocol.

use std::sync::atomic::Ordering;

use super::{Absent, GroupManager};
use crate::group::coordinator::Response;
use crate::group::error::GroupError;
use crate::group::message::{
    CommitRequest, FetchOffsetsRequest, GroupDescription, GroupListing, GroupSnapshot, HeartbeatRequest,
    JoinRequest, JoinResponse, LeaveRequest, LeaveResponse, PartitionsResponse, SyncRequest, SyncResponse,
    TopicOffsets, TransactionalCommit,
};
use crate::group::names::GroupId;
use crate::group::offsets::no_offsets;
use crate::group::validate;
use crate::ids::TopicPartition;
use crate::topic::internal::CONSUMER_OFFSETS;
use crate::transaction::TransactionMarker;

impl GroupManager {
    /// A member joins; waits until the generation is complete (JoinGroup).
    ///
    /// # Errors
    /// Any refusal of the protocol, `MemberIdRequired` among them.
    pub async fn join(&self, request: JoinRequest) -> JoinResponse {
        let request = validate::join(&self.config, request)?;
        let group = request.group.clone();
        let member_id = request.member_id.clone();
        let mut absent = Absent::Refuse;
        if member_id.is_empty() {
            let limit = self.config.members_max;
            if self.members.load(Ordering::Relaxed) >= limit {
                return Err(GroupError::TooMany {
                    what: "group members",
                    limit,
                    setting: "members_max",
                });
            }
            absent = Absent::Create;
        }
        let random = random_bits()?;
        let response = self
            .ask(&group, absent, |group, now, token| {
                group.handle_join(now, token, &request, random)
            })
            .await?;
        match response {
            Some(Response::Join(response)) => response,
            _ => Err(GroupError::UnknownMember { group, member_id }),
        }
    }

    /// A member asks for its assignment; waits for the leader's (SyncGroup).
    ///
    /// # Errors
    /// Any refusal of the protocol.
    pub async fn sync(&self, request: SyncRequest) -> SyncResponse {
        validate::group_id(&self.config, &request.group, false)?;
        let response = self
            .ask(&request.group, Absent::Refuse, |group, now, token| {
                group.handle_sync(now, token, &request)
            })
            .await?;
        match response {
            Some(Response::Sync(response)) => response,
            _ => Err(GroupError::UnknownMember {
                group: request.group,
                member_id: request.member_id,
            }),
        }
    }

    /// A member is alive (Heartbeat).
    ///
    /// # Errors
    /// Any refusal of the protocol.
    pub fn heartbeat(&self, request: &HeartbeatRequest) -> Result<(), GroupError> {
        validate::group_id(&self.config, &request.group, false)?;
        let heartbeat = self.with_group(&request.group, Absent::Refuse, |group, now| {
            group.handle_heartbeat(now, request)
        })?;
        heartbeat.unwrap_or_else(|| {
            let (group, member_id) = (request.group.clone(), request.member_id.clone());
            Err(GroupError::UnknownMember { group, member_id })
        })
    }

    /// Members leave (LeaveGroup).
    ///
    /// # Errors
    /// If the request as a whole is refused; refusals of single members are in the answer.
    pub fn leave(&self, request: &LeaveRequest) -> LeaveResponse {
        validate::group_id(&self.config, &request.group, false)?;
        let left = self.with_group(&request.group, Absent::Refuse, |group, now| {
            group.handle_leave(now, request)
        })?;
        left.unwrap_or_else(|| {
            let unknown = |id: &_| {
                Err(GroupError::UnknownMember {
                    group: request.group.clone(),
                    member_id: Clone::clone(id),
                })
            };
            Ok(request
                .members
                .iter()
                .map(|member| unknown(&member.member_id))
                .collect())
        })
    }

    /// Stores offsets; waits until they are durable (OffsetCommit).
    ///
    /// # Errors
    /// If the request as a whole is refused; refusals of single partitions are in the answer.
    pub async fn commit(&self, request: CommitRequest) -> PartitionsResponse {
        validate::group_id(&self.config, &request.group, true)?;
        let absent = if request.generation < 0 {
            Absent::Create
        } else {
            Absent::Refuse
        };
        let response = self
            .ask(&request.group, absent, |group, now, token| {
                group.handle_commit(now, token, &request)
            })
            .await?;
        match response {
            Some(Response::Partitions(response)) => response,
            _ => {
                let (group, requested) = (request.group, request.generation);
                Err(GroupError::IllegalGeneration {
                    group,
                    requested,
                    current: -1,
                })
            }
        }
    }

    /// Stores offsets that count once their transaction is committed; waits until they are durable
    /// (TxnOffsetCommit).
    ///
    /// # Errors
    /// If the request as a whole is refused, [`GroupError::Transaction`] if the transaction does not allow it;
    /// refusals of single partitions are in the answer.
    pub async fn commit_transactional(&self, request: TransactionalCommit) -> PartitionsResponse {
        validate::group_id(&self.config, &request.group, false)?;
        let absent = match request.generation {
            ..0 => Absent::Create,
            _ => Absent::Refuse,
        };
        let response = self
            .ask(&request.group, absent, |group, now, token| {
                group.handle_transactional_commit(now, token, &request);
            })
            .await?;
        match response {
            Some(Response::Partitions(response)) => response,
            _ => Err(GroupError::IllegalGeneration {
                group: request.group,
                requested: request.generation,
                current: -1,
            }),
        }
    }

    /// Ends a transaction in one partition of the internal topic: once the marker is durable, the offsets that the
    /// transaction held back are committed, or vanish. Then this returns. A second marker changes nothing.
    ///
    /// # Errors
    /// If the partition does not exist, the marker is out of date, or it could not be written; it may be tried again.
    pub async fn complete_transaction(
        &self,
        partition: i32,
        marker: TransactionMarker,
    ) -> Result<(), GroupError> {
        let index = usize::try_from(partition)
            .ok()
            .filter(|at| *at < self.shards.len());
        let index = index.ok_or_else(|| GroupError::UnknownTopic {
            topic: format!("{CONSUMER_OFFSETS}-{partition}"),
        })?;
        let receiver = {
            let mut shard = self.shard(index);
            if self.closed.load(Ordering::SeqCst) {
                return Err(GroupError::NotAvailable);
            }
            let (waiting, waiting_max) = (shard.writes_waiting(), self.config.writes_waiting_max);
            if waiting >= waiting_max {
                return Err(GroupError::Overloaded { waiting });
            }
            let (token, receiver) = shard.open();
            shard.push_marker(marker, token);
            self.start_writing(index, &mut shard);
            receiver
        };
        match receiver.await {
            Ok(Response::Done(result)) => result,
            _ => Err(GroupError::NotAvailable),
        }
    }

    /// Reads durable offsets; a group that does not exist has none (OffsetFetch).
    ///
    /// # Errors
    /// If the group id is too long or the coordinator is shutting down.
    pub fn fetch_offsets(&self, request: &FetchOffsetsRequest) -> Result<Vec<TopicOffsets>, GroupError> {
        validate::group_id(&self.config, &request.group, true)?;
        let offsets = self.with_group(&request.group, Absent::Refuse, |group, _| {
            group.fetch_offsets(request)
        })?;
        Ok(offsets.unwrap_or_else(|| no_offsets(request)))
    }

    /// Shows a group (DescribeGroups); `None` if it does not exist.
    ///
    /// # Errors
    /// If the group id is too long or the coordinator is shutting down.
    pub fn describe(&self, group: &GroupId) -> Result<Option<GroupDescription>, GroupError> {
        validate::group_id(&self.config, group, true)?;
        self.with_group(group, Absent::Refuse, |group, _| group.describe())
    }

    /// Shows all groups (ListGroups), sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<GroupListing> {
        let mut all = Vec::new();
        for index in 0..self.shards.len() {
            all.extend(self.shard(index).groups.values().map(|entry| entry.group.list()));
        }
        all.sort_by(|a: &GroupListing, b| a.group.cmp(&b.group));
        all
    }

    /// What there is to measure: groups by state, members, and up to `offsets_max` committed offsets.
    #[must_use]
    pub fn snapshot(&self, offsets_max: usize) -> GroupSnapshot {
        let mut snapshot = GroupSnapshot::default();
        for index in 0..self.shards.len() {
            let shard = self.shard(index);
            for (id, entry) in &shard.groups {
                entry.group.measure(id, offsets_max, &mut snapshot);
            }
        }
        snapshot
    }

    /// Deletes an empty group with its offsets (DeleteGroups).
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`, or a failure of the log.
    pub async fn delete(&self, group: &GroupId) -> Result<(), GroupError> {
        validate::group_id(&self.config, group, true)?;
        match self
            .ask(group, Absent::Refuse, |group, _, token| {
                group.handle_delete(token)
            })
            .await?
        {
            Some(Response::Done(response)) => response,
            _ => Err(GroupError::NotFound { group: group.clone() }),
        }
    }

    /// Deletes single offsets (OffsetDelete).
    ///
    /// # Errors
    /// If the request as a whole is refused; refusals of single partitions are in the answer.
    pub async fn delete_offsets(&self, group: &GroupId, partitions: &[TopicPartition]) -> PartitionsResponse {
        validate::group_id(&self.config, group, false)?;
        let response = self
            .ask(group, Absent::Refuse, |group, _, token| {
                group.handle_delete_offsets(token, partitions)
            })
            .await?;
        match response {
            Some(Response::Partitions(response)) => response,
            _ => Err(GroupError::NotFound { group: group.clone() }),
        }
    }
}

/// Bits that nobody can guess, for a member id.
fn random_bits() -> Result<u128, GroupError> {
    let mut bits = [0; 16];
    let mut filled = 0;
    while filled < bits.len() {
        let got = rustix::rand::getrandom(&mut bits[filled..], rustix::rand::GetRandomFlags::empty());
        match got {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(GroupError::Storage {
                    reason: format!("no random numbers: {error}"),
                });
            }
        }
    }
    Ok(u128::from_be_bytes(bits))
}
