//! Tests of the sans-IO coordinator: tables, replay, a seeded simulation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::config::GroupConfig;
use super::coordinator::{Effect, Group, Response, Token, WriteId};
use super::durable::DurableGroup;
use super::error::GroupError;
use super::message::*;
use super::names::MemberId;
use super::record::Record;
use super::store::TransactionalProducer;
use super::time::{MonotonicMs, Now};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

mod commits;
mod log_store;
mod membership;
pub(crate) mod memory_log;
mod rebalances;
mod simulation;
mod statics;
mod transactions;

pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;
pub(super) const WALL_MS: i64 = 1_700_000_000_000;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Logged {
    /// A record, perhaps in a producer's transaction.
    Record(Option<ProducerId>, Record),
    /// The end of a transaction.
    Marker(ProducerId, bool),
}

/// Plays the shell: collects answers, keeps the log, holds writes back if told to.
pub(super) struct Driver {
    pub group: Group,
    pub now_ms: u64,
    pub answers: BTreeMap<Token, Response>,
    pub log: Vec<Logged>,
    pub hold_writes: bool,
    writes: VecDeque<(WriteId, Arc<[Record]>, Option<ProducerId>)>,
    pub tokens: u64,
}

impl Driver {
    pub fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub fn with(config: GroupConfig) -> Self {
        let now = Now {
            at: MonotonicMs(0),
            wall: Timestamp(WALL_MS),
        };
        Self {
            group: Group::new("g".into(), Arc::new(config), now),
            now_ms: 0,
            answers: BTreeMap::new(),
            log: Vec::new(),
            hold_writes: false,
            writes: VecDeque::new(),
            tokens: 0,
        }
    }

    pub fn now(&self) -> Now {
        Now {
            at: MonotonicMs(self.now_ms),
            wall: Timestamp(WALL_MS + self.now_ms as i64),
        }
    }

    pub fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// Carries out effects; a second answer to a request is a failure.
    pub fn settle(&mut self) {
        loop {
            while let Some(effect) = self.group.poll_effect() {
                match effect {
                    Effect::Respond { token, response } => {
                        let old = self.answers.insert(token, response);
                        assert_eq!(old, None, "{token:?} was answered twice");
                    }
                    Effect::Append {
                        write,
                        records,
                        transaction,
                    } => self.writes.push_back((write, records, transaction.map(|p| p.id))),
                }
            }
            if self.hold_writes || self.writes.is_empty() {
                return;
            }
            self.finish_write(Ok(()));
        }
    }

    /// Ends the oldest write.
    pub fn finish_write(&mut self, result: Result<(), GroupError>) {
        let (write, records, transaction) = self.writes.pop_front().expect("a write is under way");
        if result.is_ok() {
            let logged = |record: &Record| Logged::Record(transaction, record.clone());
            self.log.extend(records.iter().map(logged));
        }
        let now = self.now();
        self.group.on_appended(now, write, result);
        if self.hold_writes {
            self.settle();
        }
    }

    pub fn writes_under_way(&self) -> usize {
        self.writes.len()
    }

    /// Lets time pass, with timers firing at their own times.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.group.next_deadline().filter(|at| at.0 <= end) {
            self.now_ms = self.now_ms.max(at.0);
            let now = self.now();
            self.group.on_time(now);
            self.settle();
        }
        self.now_ms = end;
    }

    pub fn join(&mut self, request: &JoinRequest) -> Token {
        let token = self.token();
        let now = self.now();
        self.group.handle_join(now, token, request, u128::from(token.0));
        self.settle();
        token
    }

    pub fn sync(&mut self, member: &Joined, assignments: &[(&MemberId, &str)]) -> Token {
        self.sync_with(&SyncRequest {
            group: "g".into(),
            generation: member.generation,
            member_id: member.member_id.clone(),
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .iter()
                .map(|(id, a)| ((*id).clone(), bytes(a)))
                .collect(),
        })
    }

    pub fn sync_with(&mut self, request: &SyncRequest) -> Token {
        let token = self.token();
        let now = self.now();
        self.group.handle_sync(now, token, request);
        self.settle();
        token
    }

    pub fn heartbeat(&mut self, member: &MemberId, generation: i32) -> Result<(), GroupError> {
        self.heartbeat_as(member, generation, None)
    }

    pub fn heartbeat_as(
        &mut self,
        member: &MemberId,
        generation: i32,
        instance: Option<&str>,
    ) -> Result<(), GroupError> {
        let now = self.now();
        let request = HeartbeatRequest {
            group: "g".into(),
            generation,
            member_id: member.clone(),
            instance: instance.map(Into::into),
        };
        let result = self.group.handle_heartbeat(now, &request);
        self.settle();
        result
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveResponse {
        let now = self.now();
        let leaving = |(id, instance): &(&str, Option<&str>)| LeavingMember {
            member_id: (*id).into(),
            instance: instance.map(Into::into),
        };
        let request = LeaveRequest {
            group: "g".into(),
            members: members.iter().map(leaving).collect(),
        };
        let response = self.group.handle_leave(now, &request);
        self.settle();
        response
    }

    pub fn commit(&mut self, generation: i32, member: &str, offset: i64) -> Token {
        self.commit_with(&commit(generation, member, &[("t", 0, offset)]))
    }

    pub fn commit_with(&mut self, request: &CommitRequest) -> Token {
        let token = self.token();
        let now = self.now();
        self.group.handle_commit(now, token, request);
        self.settle();
        token
    }

    pub fn commit_in(&mut self, producer: i64, generation: i32, member: &str, offset: i64) -> Token {
        self.commit_in_with(&commit_in(producer, generation, member, &[("t", 0, offset)]))
    }

    pub fn commit_in_with(&mut self, request: &TransactionalCommit) -> Token {
        let token = self.token();
        let now = self.now();
        self.group.handle_transactional_commit(now, token, request);
        self.settle();
        token
    }

    /// The marker is durable; all writes before it must be.
    pub fn end(&mut self, producer: i64, commit: bool) {
        assert!(self.writes.is_empty(), "a marker comes behind what was written");
        self.log.push(Logged::Marker(ProducerId(producer), commit));
        let now = self.now();
        self.group.on_transaction_end(now, ProducerId(producer), commit);
        self.settle();
    }

    /// The answer to a request; it must be there.
    pub fn joined(&self, token: Token) -> Joined {
        match &self.answers[&token] {
            Response::Join(Ok(joined)) => joined.clone(),
            other => panic!("{token:?} got {other:?}"),
        }
    }

    pub fn join_error(&self, token: Token) -> GroupError {
        match &self.answers[&token] {
            Response::Join(Err(error)) => error.clone(),
            other => panic!("{token:?} got {other:?}"),
        }
    }

    pub fn synced(&self, token: Token) -> Result<Bytes, GroupError> {
        match &self.answers[&token] {
            Response::Sync(response) => response.clone().map(|synced| synced.assignment),
            other => panic!("{token:?} got {other:?}"),
        }
    }

    pub fn committed(&self, token: Token) -> PartitionsResponse {
        match &self.answers[&token] {
            Response::Partitions(response) => response.clone(),
            other => panic!("{token:?} got {other:?}"),
        }
    }

    pub fn waits(&self, token: Token) -> bool {
        !self.answers.contains_key(&token)
    }

    /// The state that a restart would find.
    pub fn replayed(&self) -> DurableGroup {
        let mut durable = DurableGroup::default();
        for logged in &self.log {
            match logged {
                Logged::Record(None, record) => durable.apply(record),
                Logged::Record(Some(producer), record) => durable.apply_pending(*producer, record),
                Logged::Marker(producer, commit) => durable.complete(*producer, *commit),
            }
        }
        durable
    }

    /// As after a `kill -9`: a new group from the log; whoever waits is never answered.
    pub fn restart(&mut self) {
        let now = self.now();
        let config = self.group.config.clone();
        self.group = Group::load("g".into(), config, self.replayed(), now);
        self.writes.clear();
    }

    /// Brings `clients` into a stable group; the members in the order of the names.
    pub fn stable(&mut self, clients: &[&str]) -> Vec<Joined> {
        let tokens: Vec<Token> = clients.iter().map(|client| self.join(&join(client))).collect();
        self.advance(u64::from(self.group.config.initial_rebalance_delay_ms) * 3);
        let members: Vec<Joined> = tokens.iter().map(|token| self.joined(*token)).collect();
        self.sync_all(&members);
        members
    }

    /// Every member syncs; each is assigned its own client's name.
    pub fn sync_all(&mut self, members: &[Joined]) {
        let leader = members
            .iter()
            .find(|m| m.leader == m.member_id)
            .expect("the leader is one of them");
        let names: Vec<(MemberId, String)> = members
            .iter()
            .map(|m| (m.member_id.clone(), format!("for {}", m.member_id)))
            .collect();
        let assignments: Vec<(&MemberId, &str)> = names.iter().map(|(id, a)| (id, a.as_str())).collect();
        let mut tokens = Vec::new();
        for member in members.iter().filter(|m| m.member_id != leader.member_id) {
            tokens.push((member.member_id.clone(), self.sync(member, &[])));
        }
        tokens.push((leader.member_id.clone(), self.sync(leader, &assignments)));
        for (id, token) in tokens {
            assert_eq!(self.synced(token), Ok(bytes(&format!("for {id}"))));
        }
        assert_eq!(self.group.state, GroupState::Stable);
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A first join of an old client that needs no id.
pub(super) fn join(client: &str) -> JoinRequest {
    JoinRequest {
        group: "g".into(),
        member_id: "".into(),
        instance: None,
        client: ClientInfo {
            client_id: client.to_owned(),
            host: "/127.0.0.1".to_owned(),
        },
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".into(),
        protocols: protocols(&[("range", client)]),
        require_member_id: false,
        supports_skip_assignment: false,
    }
}

/// The join of a member that knows its id.
pub(super) fn rejoin(client: &str, id: &MemberId) -> JoinRequest {
    JoinRequest {
        member_id: id.clone(),
        ..join(client)
    }
}

pub(super) fn join_static(client: &str, instance: &str) -> JoinRequest {
    JoinRequest {
        instance: Some(instance.into()),
        require_member_id: true,
        ..join(client)
    }
}

pub(super) fn protocols(list: &[(&str, &str)]) -> Vec<Protocol> {
    list.iter()
        .map(|(name, metadata)| Protocol {
            name: (*name).into(),
            metadata: bytes(metadata),
        })
        .collect()
}

pub(super) fn commit(generation: i32, member: &str, offsets: &[(&str, i32, i64)]) -> CommitRequest {
    let offset = |(topic, partition, offset): &(&str, i32, i64)| OffsetToCommit {
        partition: TopicPartition::new(*topic, *partition),
        offset: Offset(*offset),
        leader_epoch: None,
        metadata: "".into(),
    };
    CommitRequest {
        group: "g".into(),
        generation,
        member_id: member.into(),
        instance: None,
        retention_ms: None,
        offsets: offsets.iter().map(offset).collect(),
    }
}

pub(super) fn commit_in(
    producer: i64,
    generation: i32,
    member: &str,
    offsets: &[(&str, i32, i64)],
) -> TransactionalCommit {
    let plain = commit(generation, member, offsets);
    TransactionalCommit {
        group: plain.group,
        producer: TransactionalProducer {
            transactional_id: format!("tx-{producer}").into(),
            id: ProducerId(producer),
            epoch: ProducerEpoch(0),
        },
        generation,
        member_id: plain.member_id,
        instance: None,
        offsets: plain.offsets,
    }
}
