//! The members of a group with the counts that every join needs.
//!
//! Why: a rebalance of n members must not cost n² work, so supported protocols and waiting joins are counted as
//! they change. Owns: members, the leader, static names, pending ids. Does not own: timers, states, answers.
//! Invariants: `awaiting_join` is the number of members with a waiting join; `supported` counts each protocol
//! once per member; every static name points at a member; the leader is a member or there are none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::coordinator::Token;
use super::member::Member;
use super::message::Protocol;
use super::names::{InstanceId, MemberId};

/// The members of a group.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<MemberId, Member>,
    leader: Option<MemberId>,
    instances: HashMap<InstanceId, MemberId>,
    supported: HashMap<Arc<str>, usize>,
    awaiting_join: usize,
    /// Ids given out whose owners have not come back with them yet.
    pub pending: BTreeSet<MemberId>,
    /// Members that have not asked for their assignment of this generation yet.
    pub pending_sync: BTreeSet<MemberId>,
}

impl Roster {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn get(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn contains(&self, id: &MemberId) -> bool {
        self.members.contains_key(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub fn is_leader(&self, id: &MemberId) -> bool {
        self.leader.as_ref() == Some(id)
    }

    /// Restores the leader of a kept generation.
    pub fn set_leader(&mut self, id: Option<MemberId>) {
        self.leader = id
            .filter(|id| self.contains(id))
            .or_else(|| self.members.keys().next().cloned());
    }

    pub fn of_instance(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.instances.get(instance)
    }

    pub fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// Whether nobody has to be waited for.
    pub fn all_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending.is_empty()
    }

    /// The longest rebalance timeout of a member.
    pub fn rebalance_timeout_ms(&self) -> i64 {
        self.members
            .values()
            .map(|m| i64::from(m.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }

    /// Adds a member; the first one leads.
    pub fn add(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count(&member.protocols);
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member; if it led, another one does.
    pub fn remove(&mut self, id: &MemberId) -> Option<Member> {
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        self.uncount(&member.protocols);
        self.awaiting_join -= usize::from(member.awaiting_join.is_some());
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member a new id; it keeps its assignment and, if it has it, the lead.
    pub fn rename(&mut self, old: &MemberId, new: &MemberId) {
        let led = self.is_leader(old);
        let had_to_sync = self.pending_sync.contains(old);
        if let Some(mut member) = self.remove(old) {
            member.id = new.clone();
            self.add(member);
            if led {
                self.leader = Some(new.clone());
            }
            if had_to_sync {
                self.pending_sync.insert(new.clone());
            }
        }
    }

    /// Takes over what a member offers in a new join.
    pub fn update(&mut self, id: &MemberId, protocols: &[Protocol], session_ms: i32, rebalance_ms: i32) {
        if let Some(member) = self.members.get_mut(id) {
            let old = std::mem::replace(&mut member.protocols, protocols.to_vec());
            member.session_timeout_ms = session_ms;
            member.rebalance_timeout_ms = rebalance_ms;
            self.uncount(&old);
            self.count(protocols);
        }
    }

    /// Sets the join that waits; returns the one that waited before.
    pub fn await_join(&mut self, id: &MemberId, token: Option<Token>) -> Option<Token> {
        let member = self.members.get_mut(id)?;
        let old = std::mem::replace(&mut member.awaiting_join, token);
        self.awaiting_join -= usize::from(old.is_some());
        self.awaiting_join += usize::from(token.is_some());
        old
    }

    /// Sets the sync that waits; returns the one that waited before.
    pub fn await_sync(&mut self, id: &MemberId, token: Option<Token>) -> Option<Token> {
        let member = self.members.get_mut(id)?;
        std::mem::replace(&mut member.awaiting_sync, token)
    }

    /// The member has got its id.
    pub fn set_known(&mut self, id: &MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            member.is_new = false;
        }
    }

    pub fn set_assignment(&mut self, id: &MemberId, assignment: bytes::Bytes) {
        if let Some(member) = self.members.get_mut(id) {
            member.assignment = assignment;
        }
    }

    /// Makes sure that the leader has joined; false if nobody has.
    pub fn elect_joined_leader(&mut self) -> bool {
        let joined = |m: &Member| m.awaiting_join.is_some();
        if self
            .leader
            .as_ref()
            .and_then(|id| self.members.get(id))
            .is_some_and(joined)
        {
            return true;
        }
        match self.members.values().find(|m| joined(m)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Whether every member supports one of these protocols.
    pub fn supports_any(&self, protocols: &[Protocol]) -> bool {
        protocols
            .iter()
            .any(|p| self.supported.get(&p.name) == Some(&self.members.len()))
    }

    /// The protocol with most first votes among those that all support; ties go to the name that sorts first.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .find(|p| self.supported.get(&p.name) == Some(&self.members.len()));
            if let Some(choice) = choice {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        votes
            .iter()
            .rev()
            .max_by_key(|(_, count)| **count)
            .map(|(name, _)| Arc::clone(name))
    }

    fn count(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.supported.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn uncount(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(&protocol.name);
                }
            }
        }
    }
}
