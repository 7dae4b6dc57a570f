//! Rebalances: gathering the members, closing the generation, and members that die on the way.

use bytes::Bytes;

use super::coordinator::{Group, InitialWait, Response, Then};
use super::error::GroupError;
use super::message::GroupState;
use super::names::MemberId;
use super::time::{Now, Timer};

impl Group {
    /// Something changed: starts a rebalance, or ends the one under way if nobody is missing any more.
    pub(super) fn rebalance_or_complete(&mut self, now: Now) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_if_all_joined(now),
            GroupState::Dead => {}
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(now);
            }
        }
    }

    /// Asks all members to join again. An empty group first waits for more members to turn up.
    pub(super) fn prepare_rebalance(&mut self, now: Now) {
        if self.state == GroupState::CompletingRebalance {
            self.fail_syncs(now, &self.rebalancing());
        }
        self.timers.cancel(&Timer::Sync);
        self.roster.pending_sync.clear();
        let was_empty = self.state == GroupState::Empty;
        self.transition(now, GroupState::PreparingRebalance);
        if was_empty {
            let delay_ms = i64::from(self.config.initial_rebalance_delay_ms);
            let remaining_ms = (self.roster.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial_wait = Some(InitialWait {
                remaining_ms,
                joined_since: false,
            });
            self.timers.set(Timer::Join, now.at.after(delay_ms));
        } else if self.roster.all_joined() {
            self.complete_join(now);
        } else {
            self.timers
                .set(Timer::Join, now.at.after(self.roster.rebalance_timeout_ms()));
        }
    }

    /// The first generation of an empty group ends with its delay only.
    pub(super) fn complete_if_all_joined(&mut self, now: Now) {
        let preparing = self.state == GroupState::PreparingRebalance;
        if preparing && self.initial_wait.is_none() && self.roster.all_joined() {
            self.complete_join(now);
        }
    }

    pub(super) fn on_join_timeout(&mut self, now: Now) {
        if self.state != GroupState::PreparingRebalance {
            return;
        }
        match self.initial_wait.take() {
            Some(wait) if wait.joined_since && wait.remaining_ms > 0 => {
                let configured_ms = i64::from(self.config.initial_rebalance_delay_ms);
                let delay_ms = configured_ms.min(wait.remaining_ms);
                let remaining_ms = (wait.remaining_ms - delay_ms).max(0);
                self.initial_wait = Some(InitialWait {
                    remaining_ms,
                    joined_since: false,
                });
                self.timers.set(Timer::Join, now.at.after(delay_ms));
            }
            _ => self.complete_join(now),
        }
    }

    /// Closes the generation: whoever has not joined is out, except static members, whose session decides.
    fn complete_join(&mut self, now: Now) {
        self.timers.cancel(&Timer::Join);
        self.initial_wait = None;
        let late: Vec<MemberId> = self
            .roster
            .iter()
            .filter(|m| m.awaiting_join.is_none() && m.instance.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in late {
            tracing::debug!(group = %self.id, member = %id, "did not rejoin in time");
            self.drop_member(&id);
        }
        if self.roster.is_empty() {
            self.become_empty(now);
        } else if self.roster.elect_joined_leader() {
            self.open_generation(now);
        } else {
            // Only static members are left and none is here: wait until they come or their sessions end.
            self.timers.set(
                Timer::Join,
                now.at.after(self.roster.rebalance_timeout_ms().max(1)),
            );
        }
    }

    fn become_empty(&mut self, now: Now) {
        self.generation = next_generation(self.generation);
        self.protocol = None;
        self.roster.pending_sync.clear();
        self.transition(now, GroupState::Empty);
        let record = self.metadata_record(|_| Bytes::new());
        self.append(vec![record], Then::Nothing);
    }

    fn open_generation(&mut self, now: Now) {
        self.generation = next_generation(self.generation);
        self.protocol = self.roster.select_protocol();
        self.transition(now, GroupState::CompletingRebalance);
        let members = self.roster.ids();
        for id in &members {
            let response = self.joined(id);
            if let Some(token) = self.roster.await_join(id, None) {
                self.respond(token, Response::Join(Ok(response)));
            }
            self.roster.set_known(id);
            self.restart_session(now, id);
        }
        self.roster.pending_sync = members.into_iter().collect();
        self.timers
            .set(Timer::Sync, now.at.after(self.roster.rebalance_timeout_ms()));
    }

    /// A member was silent for too long, or an id that was given out was not used.
    pub(super) fn expire_member(&mut self, now: Now, id: &MemberId) {
        if self.roster.pending.remove(id) {
            self.complete_if_all_joined(now);
            return;
        }
        let Some(member) = self.roster.get(id) else {
            return;
        };
        // Who waits for an answer cannot heartbeat; the session starts again with that answer.
        let waits = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
        if member.is_new || !waits {
            tracing::info!(group = %self.id, member = %id, "session expired");
            self.drop_member(id);
            self.rebalance_or_complete(now);
        }
    }

    /// Members that never asked for their assignment are dead.
    pub(super) fn on_sync_timeout(&mut self, now: Now) {
        if !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            return;
        }
        let silent = std::mem::take(&mut self.roster.pending_sync);
        if silent.is_empty() {
            return;
        }
        for id in &silent {
            tracing::info!(group = %self.id, member = %id, "did not sync in time");
            self.drop_member(id);
        }
        self.prepare_rebalance(now);
    }

    /// Removes a member and turns away what it waits for.
    pub(super) fn drop_member(&mut self, id: &MemberId) {
        self.timers.cancel(&Timer::Member(id.clone()));
        if let Some(member) = self.roster.remove(id) {
            let unknown: GroupError = self.unknown(id);
            if let Some(token) = member.awaiting_join {
                self.respond(token, Response::Join(Err(unknown.clone())));
            }
            if let Some(token) = member.awaiting_sync {
                self.respond(token, Response::Sync(Err(unknown)));
            }
        }
    }
}

/// Generations count up from 1 and start over instead of going negative, which would mean "no generation".
fn next_generation(generation: i32) -> i32 {
    generation.checked_add(1).unwrap_or(1)
}
