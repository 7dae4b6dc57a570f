//! The sans-IO coordinator of one group: `handle_*(now, …)`, `on_time(now)`, `on_appended(…)` → effects.
//!
//! Why: the protocol is all about races between requests, timeouts and writes; as a plain struct they can be
//! played through by tables and from a seed. Follows Apache Kafka's classic group protocol; its states are
//! Empty → PreparingRebalance → CompletingRebalance → Stable, and back.
//! Owns: the group's state, members, timers and offsets. Does not own: sockets, the log, any clock.
//! Invariants: durable state changes only in `on_appended`; each token is answered exactly once; writes are
//! acknowledged in the order in which they were asked for; generations only grow.
//! The steps are in `join`, `rebalance`, `sync`, `leave` and `offsets`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::config::GroupConfig;
use super::durable::DurableGroup;
use super::error::GroupError;
use super::member::Member;
use super::message::{
    GroupDescription, GroupListing, GroupSnapshot, GroupState, HeartbeatRequest, JoinResponse,
    PartitionsResponse, SyncResponse,
};
use super::names::{GroupId, InstanceId, MemberId};
use super::record::{GroupMetadata, Record};
use super::roster::Roster;
use super::store::TransactionalProducer;
use super::time::{MonotonicMs, Now, Timer, Timers};
use crate::ids::{ProducerId, Timestamp};

/// A request whose answer is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub u64);

/// A write whose outcome is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WriteId(u64);

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Answer a request.
    Respond { token: Token, response: Response },
    /// Write the records as one batch, after all earlier writes, and report to `on_appended`.
    Append {
        write: WriteId,
        records: Arc<[Record]>,
        /// Set if the records count only once this producer's transaction is committed.
        transaction: Option<TransactionalProducer>,
    },
}

/// An answer that may have had to wait.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Response {
    Join(JoinResponse),
    Sync(SyncResponse),
    Partitions(PartitionsResponse),
    Done(Result<(), GroupError>),
}

/// A write under way and what follows it.
#[derive(Debug)]
pub(super) struct PendingWrite {
    id: WriteId,
    pub records: Arc<[Record]>,
    transaction: Option<ProducerId>,
    then: Then,
}

/// What follows a write.
#[derive(Debug)]
pub(super) enum Then {
    /// Nobody waits for it.
    Nothing,
    /// The generation is complete: give every member its assignment.
    Assign {
        generation: i32,
        assignments: BTreeMap<MemberId, Bytes>,
    },
    /// A static member is back: answer its join.
    Rejoin {
        member_id: MemberId,
        token: Token,
        response: JoinResponse,
    },
    /// Answer with the results of the partitions.
    Partitions {
        token: Token,
        results: Vec<Result<(), GroupError>>,
    },
    /// Answer the deletion of the group.
    Delete { token: Token },
}

/// The wait of an empty group for more members.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialWait {
    /// By how much it may still be extended.
    pub remaining_ms: i64,
    /// Whether a member has come since it was last extended.
    pub joined_since: bool,
}

/// The coordinator of one group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) id: GroupId,
    pub(super) config: Arc<GroupConfig>,
    pub(super) state: GroupState,
    pub(super) state_since: Timestamp,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) roster: Roster,
    pub(super) initial_wait: Option<InitialWait>,
    pub(super) timers: Timers,
    pub(super) durable: DurableGroup,
    pub(super) writes: VecDeque<PendingWrite>,
    writes_begun: u64,
    effects: VecDeque<Effect>,
}

impl Group {
    /// A group that nobody has heard of yet.
    pub fn new(id: GroupId, config: Arc<GroupConfig>, now: Now) -> Self {
        Self {
            id,
            config,
            state: GroupState::Empty,
            state_since: now.wall,
            generation: 0,
            protocol_type: None,
            protocol: None,
            roster: Roster::default(),
            initial_wait: None,
            timers: Timers::default(),
            durable: DurableGroup::default(),
            writes: VecDeque::new(),
            writes_begun: 0,
            effects: VecDeque::new(),
        }
    }

    /// A group as the log left it: Stable if it has members, whose sessions start anew.
    pub fn load(id: GroupId, config: Arc<GroupConfig>, durable: DurableGroup, now: Now) -> Self {
        let mut group = Self::new(id, config, now);
        if let Some(kept) = &durable.metadata {
            group.generation = kept.generation;
            group.protocol_type = Some(kept.protocol_type.clone()).filter(|t| !t.is_empty());
            group.protocol.clone_from(&kept.protocol);
            if kept.state_timestamp.0 >= 0 {
                group.state_since = kept.state_timestamp;
            }
            for member in &kept.members {
                group.roster.add(Member::load(member, kept.protocol.as_ref()));
                group.restart_session(now, &member.member_id);
            }
            group.roster.set_leader(kept.leader.clone());
            if !group.roster.is_empty() {
                group.state = GroupState::Stable;
            }
        }
        group.durable = durable;
        group
    }

    /// The next thing for the shell to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `on_time` wants to be called next.
    pub fn next_deadline(&self) -> Option<MonotonicMs> {
        self.timers.next()
    }

    /// Members and ids given out.
    pub fn member_count(&self) -> usize {
        self.roster.len() + self.roster.pending.len()
    }

    /// Whether the group can be forgotten without losing anything.
    pub fn is_disposable(&self) -> bool {
        matches!(self.state, GroupState::Empty | GroupState::Dead)
            && self.member_count() == 0
            && self.durable.is_empty()
            && self.writes.is_empty()
            && self.effects.is_empty()
    }

    /// What of the group is on disk.
    #[cfg(test)]
    pub fn durable(&self) -> &DurableGroup {
        &self.durable
    }

    /// The group as `DescribeGroups` shows it.
    pub fn describe(&self) -> GroupDescription {
        let protocol = self
            .protocol
            .as_deref()
            .filter(|_| self.state == GroupState::Stable);
        GroupDescription {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: Arc::from(protocol.unwrap_or_default()),
            members: self.roster.iter().map(|m| m.describe(protocol)).collect(),
        }
    }

    /// The group as `ListGroups` shows it.
    pub fn list(&self) -> GroupListing {
        GroupListing {
            group: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state,
        }
    }

    /// Adds the group to a count of all.
    pub fn measure(&self, id: &GroupId, offsets_max: usize, snapshot: &mut GroupSnapshot) {
        *snapshot.states.entry(self.state).or_default() += 1;
        snapshot.members += self.roster.len();
        snapshot.offsets_total += self.durable.offsets.len();
        let room = offsets_max.saturating_sub(snapshot.offsets.len());
        let offsets = self.durable.offsets.iter().take(room);
        snapshot
            .offsets
            .extend(offsets.map(|(partition, stored)| (id.clone(), partition.clone(), stored.offset)));
    }

    /// A member is alive.
    pub fn handle_heartbeat(&mut self, now: Now, request: &HeartbeatRequest) -> Result<(), GroupError> {
        self.check_alive()?;
        self.check_member(&request.member_id, request.instance.as_ref())?;
        self.check_generation(request.generation)?;
        self.restart_session(now, &request.member_id);
        match self.state {
            GroupState::PreparingRebalance => Err(self.rebalancing()),
            _ => Ok(()),
        }
    }

    /// Lets all timers fire that are due.
    pub fn on_time(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.at) {
            match timer {
                Timer::Member(id) => self.expire_member(now, &id),
                Timer::Join => self.on_join_timeout(now),
                Timer::Sync => self.on_sync_timeout(now),
            }
        }
    }

    /// A write is durable, or failed.
    pub fn on_appended(&mut self, now: Now, write: WriteId, result: Result<(), GroupError>) {
        let Some(at) = self.writes.iter().position(|w| w.id == write) else {
            return;
        };
        debug_assert_eq!(at, 0, "writes are acknowledged in order");
        let Some(write) = self.writes.remove(at) else {
            return;
        };
        if result.is_ok() {
            for record in write.records.iter() {
                match write.transaction {
                    Some(producer) => self.durable.apply_pending(producer, record),
                    None => self.durable.apply(record),
                }
            }
        }
        match write.then {
            Then::Nothing => {
                if let Err(error) = result {
                    tracing::warn!(group = %self.id, %error, "group state was not written");
                }
            }
            Then::Assign {
                generation,
                assignments,
            } => self.on_assigned(now, generation, assignments, result),
            Then::Rejoin {
                member_id,
                token,
                response,
            } => {
                self.on_rejoined(now, &member_id, token, result.and(response));
            }
            Then::Partitions { token, results } => {
                self.respond(token, Response::Partitions(result.map(|()| results)));
            }
            Then::Delete { token } => self.respond(token, Response::Done(result)),
        }
        self.die_if_nothing_left(now);
    }

    /// Whether a transaction of the producer holds offsets of this group back.
    pub fn awaits(&self, producer: ProducerId) -> bool {
        self.durable.awaits(producer)
    }

    /// The marker that ends the producer's transaction is durable.
    pub fn on_transaction_end(&mut self, now: Now, producer: ProducerId, commit: bool) {
        self.durable.complete(producer, commit);
        self.die_if_nothing_left(now);
    }

    pub(super) fn respond(&mut self, token: Token, response: Response) {
        self.effects.push_back(Effect::Respond { token, response });
    }

    /// Asks for a write; its records count once it is durable.
    pub(super) fn append(&mut self, records: Vec<Record>, then: Then) {
        self.append_within(None, records, then);
    }

    /// The same; its records count once it is durable, and the transaction committed.
    pub(super) fn append_within(
        &mut self,
        transaction: Option<TransactionalProducer>,
        records: Vec<Record>,
        then: Then,
    ) {
        self.writes_begun += 1;
        let id = WriteId(self.writes_begun);
        let records: Arc<[Record]> = records.into();
        self.writes.push_back(PendingWrite {
            id,
            records: records.clone(),
            transaction: transaction.as_ref().map(|producer| producer.id),
            then,
        });
        self.effects.push_back(Effect::Append {
            write: id,
            records,
            transaction,
        });
    }

    /// Whether an assignment for this generation is being written.
    pub(super) fn is_assigning(&self) -> bool {
        self.writes
            .iter()
            .any(|w| matches!(&w.then, Then::Assign { generation, .. } if *generation == self.generation))
    }

    pub(super) fn transition(&mut self, now: Now, state: GroupState) {
        tracing::debug!(group = %self.id, generation = self.generation, from = self.state.as_str(), to = state.as_str());
        self.state = state;
        self.state_since = now.wall;
    }

    /// The record that keeps this generation with the given assignments.
    pub(super) fn metadata_record(&self, assignment_of: impl Fn(&Member) -> Bytes) -> Record {
        let protocol = self.protocol.as_deref();
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.roster.leader().cloned(),
            state_timestamp: self.state_since,
            members: self
                .roster
                .iter()
                .map(|m| m.keep(protocol, assignment_of(m)))
                .collect(),
        };
        Record::Metadata {
            group: self.id.clone(),
            value: Some(value),
        }
    }

    /// (Re)starts the clock after which a silent member counts as dead.
    pub(super) fn restart_session(&mut self, now: Now, id: &MemberId) {
        if let Some(member) = self.roster.get(id) {
            let deadline = now.at.after(i64::from(member.session_timeout_ms));
            self.timers.set(Timer::Member(id.clone()), deadline);
        }
    }

    pub(super) fn check_alive(&self) -> Result<(), GroupError> {
        match self.state {
            GroupState::Dead => Err(GroupError::NotAvailable),
            _ => Ok(()),
        }
    }

    /// The member is in the group, and still the owner of its static name.
    pub(super) fn check_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.roster.of_instance(instance) {
                None => {
                    let (group, instance) = (self.id.clone(), instance.clone());
                    return Err(GroupError::UnknownInstance { group, instance });
                }
                Some(owner) if owner != id => return Err(self.fenced(instance, id)),
                Some(_) => {}
            }
        }
        if self.roster.contains(id) {
            Ok(())
        } else {
            Err(self.unknown(id))
        }
    }

    pub(super) fn check_generation(&self, requested: i32) -> Result<(), GroupError> {
        if requested == self.generation {
            return Ok(());
        }
        Err(GroupError::IllegalGeneration {
            group: self.id.clone(),
            requested,
            current: self.generation,
        })
    }

    pub(super) fn unknown(&self, id: &MemberId) -> GroupError {
        GroupError::UnknownMember {
            group: self.id.clone(),
            member_id: id.clone(),
        }
    }

    pub(super) fn fenced(&self, instance: &InstanceId, id: &MemberId) -> GroupError {
        GroupError::FencedInstance {
            group: self.id.clone(),
            instance: instance.clone(),
            member_id: id.clone(),
        }
    }

    pub(super) fn rebalancing(&self) -> GroupError {
        GroupError::RebalanceInProgress {
            group: self.id.clone(),
        }
    }
}
