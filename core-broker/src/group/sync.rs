//! SyncGroup: the leader's assignment is written, then handed out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::coordinator::{Group, Response, Then, Token};
use super::error::GroupError;
use super::message::{GroupState, SyncRequest, Synced};
use super::names::MemberId;
use super::time::{Now, Timer};

impl Group {
    /// A member asks for its assignment; answered when the leader's is on disk.
    pub fn handle_sync(&mut self, now: Now, token: Token, request: &SyncRequest) {
        if let Err(error) = self
            .check_sync(request)
            .and_then(|()| self.sync(now, token, request))
        {
            self.respond(token, Response::Sync(Err(error)));
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_alive()?;
        self.check_member(&request.member_id, request.instance.as_ref())?;
        self.check_generation(request.generation)?;
        let differs = |asked: &Option<_>, own: &Option<_>| asked.is_some() && asked != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol {
                group: self.id.clone(),
            });
        }
        Ok(())
    }

    fn sync(&mut self, now: Now, token: Token, request: &SyncRequest) -> Result<(), GroupError> {
        let id = &request.member_id;
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(self.unknown(id)),
            GroupState::PreparingRebalance => Err(self.rebalancing()),
            GroupState::CompletingRebalance => {
                // A second request of the leader finds the assignment under way and just waits for it.
                let assigns = self.roster.is_leader(id) && !self.is_assigning();
                let write = if assigns {
                    Some(self.assignment_write(request)?)
                } else {
                    None
                };
                if let Some(superseded) = self.roster.await_sync(id, Some(token)) {
                    self.respond(superseded, Response::Sync(Err(self.rebalancing())));
                }
                self.note_sync(id);
                if let Some((record, then)) = write {
                    self.append(vec![record], then);
                }
                Ok(())
            }
            GroupState::Stable => {
                self.note_sync(id);
                self.restart_session(now, id);
                let response = self.synced(id);
                self.respond(token, Response::Sync(Ok(response)));
                Ok(())
            }
        }
    }

    fn assignment_write(&self, request: &SyncRequest) -> Result<(super::record::Record, Then), GroupError> {
        let given: BTreeMap<&MemberId, &Bytes> = request.assignments.iter().map(|(id, a)| (id, a)).collect();
        let of = |id: &MemberId| given.get(id).map(|a| Bytes::clone(a)).unwrap_or_default();
        let record = self.metadata_record(|m| of(&m.id));
        let (bytes, bytes_max) = (record.size(), self.config.write_bytes_max);
        if bytes > bytes_max {
            return Err(GroupError::MembershipTooLarge {
                group: self.id.clone(),
                bytes,
                bytes_max,
            });
        }
        let assignments = self.roster.iter().map(|m| (m.id.clone(), of(&m.id))).collect();
        Ok((
            record,
            Then::Assign {
                generation: self.generation,
                assignments,
            },
        ))
    }

    fn note_sync(&mut self, id: &MemberId) {
        self.roster.pending_sync.remove(id);
        if self.roster.pending_sync.is_empty() {
            self.timers.cancel(&Timer::Sync);
        }
    }

    /// The assignment is on disk, unless a rebalance has overtaken it.
    pub(super) fn on_assigned(
        &mut self,
        now: Now,
        generation: i32,
        assignments: BTreeMap<MemberId, Bytes>,
        result: Result<(), GroupError>,
    ) {
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(error) = result {
            self.fail_syncs(now, &error);
            self.prepare_rebalance(now);
            return;
        }
        self.transition(now, GroupState::Stable);
        for (id, assignment) in assignments {
            self.roster.set_assignment(&id, assignment);
            if let Some(token) = self.roster.await_sync(&id, None) {
                let response = self.synced(&id);
                self.respond(token, Response::Sync(Ok(response)));
                self.restart_session(now, &id);
            }
        }
    }

    /// Turns away all members that wait for an assignment; their sessions run again.
    pub(super) fn fail_syncs(&mut self, now: Now, error: &GroupError) {
        for id in self.roster.ids() {
            self.roster.set_assignment(&id, Bytes::new());
            if let Some(token) = self.roster.await_sync(&id, None) {
                self.respond(token, Response::Sync(Err(error.clone())));
                self.restart_session(now, &id);
            }
        }
    }

    fn synced(&self, id: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .roster
                .get(id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
