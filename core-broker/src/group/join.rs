//! JoinGroup: who may join, and whether that needs a rebalance.

use super::coordinator::{Group, Response, Then, Token};
use super::error::GroupError;
use super::member::Member;
use super::message::{GroupState, JoinRequest, JoinResponse, Joined, JoinedMember};
use super::names::MemberId;
use super::time::{Now, Timer};

impl Group {
    /// A member wants to join; answered when the generation is complete. `random` makes a new member's id.
    pub fn handle_join(&mut self, now: Now, token: Token, request: &JoinRequest, random: u128) {
        let outcome = self.check_join(request).and_then(|()| {
            if request.member_id.is_empty() {
                self.join_new(now, token, request, random)
            } else {
                self.join_existing(now, token, request)
            }
        });
        if let Err(error) = outcome {
            self.respond(token, Response::Join(Err(error)));
        }
    }

    fn check_join(&self, request: &JoinRequest) -> Result<(), GroupError> {
        self.check_alive()?;
        if !self.accepts(request) {
            let members_max = self.config.members_per_group_max;
            return Err(GroupError::GroupFull {
                group: self.id.clone(),
                members_max,
            });
        }
        let supported = match self.state {
            GroupState::Empty => !request.protocol_type.is_empty() && !request.protocols.is_empty(),
            _ if self.roster.is_empty() => !request.protocol_type.is_empty() && !request.protocols.is_empty(),
            _ => {
                self.protocol_type.as_ref() == Some(&request.protocol_type)
                    && self.roster.supports_any(&request.protocols)
            }
        };
        if supported {
            Ok(())
        } else {
            Err(GroupError::InconsistentProtocol {
                group: self.id.clone(),
            })
        }
    }

    /// Whether the group has room. While members are being gathered those who answer first get in.
    fn accepts(&self, request: &JoinRequest) -> bool {
        let members_max = self.config.members_per_group_max;
        let owner = request
            .instance
            .as_ref()
            .and_then(|instance| self.roster.of_instance(instance));
        let member = self.roster.get(owner.unwrap_or(&request.member_id));
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|m| m.awaiting_join.is_some()) || self.roster.awaiting_join() < members_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.roster.len() < members_max
            }
        }
    }

    fn join_new(
        &mut self,
        now: Now,
        token: Token,
        request: &JoinRequest,
        random: u128,
    ) -> Result<(), GroupError> {
        let instance = request.instance.as_ref();
        let id = MemberId::generate(&request.client.client_id, instance, random);
        if let Some(old) = instance.and_then(|i| self.roster.of_instance(i)).cloned() {
            self.replace_static(now, token, request, &old, &id);
            return Ok(());
        }
        if instance.is_some() || !request.require_member_id {
            self.add_member(now, token, request, id);
            return Ok(());
        }
        let members_max = self.config.members_per_group_max;
        if self.roster.pending.len() >= members_max {
            return Err(GroupError::GroupFull {
                group: self.id.clone(),
                members_max,
            });
        }
        self.roster.pending.insert(id.clone());
        let deadline = now.at.after(i64::from(request.session_timeout_ms));
        self.timers.set(Timer::Member(id.clone()), deadline);
        Err(GroupError::MemberIdRequired { member_id: id })
    }

    fn join_existing(&mut self, now: Now, token: Token, request: &JoinRequest) -> Result<(), GroupError> {
        let id = &request.member_id;
        if request.instance.is_none() && self.roster.pending.contains(id) {
            self.add_member(now, token, request, id.clone());
            return Ok(());
        }
        self.check_member(id, request.instance.as_ref())?;
        let unchanged = self
            .roster
            .get(id)
            .is_some_and(|m| m.protocols == request.protocols);
        match self.state {
            GroupState::Empty | GroupState::Dead => return Err(self.unknown(id)),
            // The answer was lost: it is the same once more.
            GroupState::CompletingRebalance if unchanged => self.answer_again(now, token, id),
            GroupState::Stable if unchanged && !self.roster.is_leader(id) => {
                self.answer_again(now, token, id);
            }
            // A leader joins again to have the assignment made anew.
            GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
                self.update_member(now, token, request, id);
                self.rebalance_or_complete(now);
            }
        }
        Ok(())
    }

    fn answer_again(&mut self, now: Now, token: Token, id: &MemberId) {
        let response = self.joined(id);
        if let Some(superseded) = self.roster.await_join(id, None) {
            self.respond(superseded, Response::Join(Err(self.rebalancing())));
        }
        self.restart_session(now, id);
        self.respond(token, Response::Join(Ok(response)));
    }

    fn add_member(&mut self, now: Now, token: Token, request: &JoinRequest, id: MemberId) {
        if self.roster.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let Some(wait) = &mut self.initial_wait {
            wait.joined_since = true;
        }
        self.roster.add(Member {
            id: id.clone(),
            instance: request.instance.clone(),
            client_id: request.client.client_id.as_str().into(),
            client_host: request.client.host.as_str().into(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(token),
            awaiting_sync: None,
            is_new: true,
        });
        let deadline = now.at.after(i64::from(self.config.new_member_join_timeout_ms));
        self.timers.set(Timer::Member(id), deadline);
        self.rebalance_or_complete(now);
    }

    fn update_member(&mut self, now: Now, token: Token, request: &JoinRequest, id: &MemberId) {
        self.roster.update(
            id,
            &request.protocols,
            request.session_timeout_ms,
            request.rebalance_timeout_ms,
        );
        if let Some(superseded) = self.roster.await_join(id, Some(token)) {
            self.respond(superseded, Response::Join(Err(self.rebalancing())));
        }
        if self.roster.get(id).is_some_and(|m| !m.is_new) {
            self.restart_session(now, id);
        }
    }

    /// A static member came back without its id: it gets a new one, and the old one is fenced. In a stable
    /// group whose protocol stays the same that needs no rebalance (KIP-345); like Kafka, this looks at the
    /// chosen protocol only, since metadata often differs after a restart (owned partitions).
    fn replace_static(
        &mut self,
        now: Now,
        token: Token,
        request: &JoinRequest,
        old: &MemberId,
        id: &MemberId,
    ) {
        let old_leader = self.roster.leader().cloned();
        self.fence(old);
        self.roster.rename(old, id);
        self.timers.cancel(&Timer::Member(old.clone()));
        self.update_member(now, token, request, id);
        self.roster.set_known(id);
        self.restart_session(now, id);
        match self.state {
            GroupState::Stable if self.roster.select_protocol() == self.protocol => {
                let mut response = self.joined(id);
                if request.supports_skip_assignment {
                    response.skip_assignment = self.roster.is_leader(id);
                } else {
                    // Without that flag the only way to keep a leader from assigning is to let it follow.
                    response.members.clear();
                    response.leader = old_leader.unwrap_or_else(|| id.clone());
                }
                let record = self.metadata_record(|m| m.assignment.clone());
                let then = Then::Rejoin {
                    member_id: id.clone(),
                    token,
                    response: Ok(response),
                };
                self.append(vec![record], then);
            }
            _ => self.rebalance_or_complete(now),
        }
    }

    /// Turns away whatever the earlier process of a static member still waits for.
    fn fence(&mut self, id: &MemberId) {
        let Some(instance) = self.roster.get(id).and_then(|m| m.instance.clone()) else {
            return;
        };
        let fenced = self.fenced(&instance, id);
        if let Some(token) = self.roster.await_join(id, None) {
            self.respond(token, Response::Join(Err(fenced.clone())));
        }
        if let Some(token) = self.roster.await_sync(id, None) {
            self.respond(token, Response::Sync(Err(fenced)));
        }
    }

    /// A static member's new id is on disk. If a rebalance has begun meanwhile, that will answer it.
    pub(super) fn on_rejoined(&mut self, now: Now, id: &MemberId, token: Token, response: JoinResponse) {
        let waits = self
            .roster
            .get(id)
            .is_some_and(|m| m.awaiting_join == Some(token));
        if waits && (self.state == GroupState::Stable || response.is_err()) {
            self.roster.await_join(id, None);
            self.restart_session(now, id);
            self.respond(token, Response::Join(response));
        }
    }

    /// The answer to a member of the present generation.
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let protocol = self.protocol.as_deref();
        let members = if self.roster.is_leader(id) {
            let member = |m: &Member| JoinedMember {
                member_id: m.id.clone(),
                instance: m.instance.clone(),
                metadata: m.metadata(protocol),
            };
            self.roster.iter().map(member).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.roster.leader().unwrap_or(id).clone(),
            member_id: id.clone(),
            members,
            skip_assignment: false,
        }
    }
}
