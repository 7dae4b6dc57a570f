//! LeaveGroup: members go without waiting for their sessions to end.

use super::coordinator::Group;
use super::error::GroupError;
use super::message::{LeaveRequest, LeaveResponse, LeavingMember};
use super::time::{Now, Timer};

impl Group {
    /// Members leave; one rebalance for all of them.
    pub fn handle_leave(&mut self, now: Now, request: &LeaveRequest) -> LeaveResponse {
        self.check_alive()?;
        let members_before = self.roster.len();
        let results = request.members.iter().map(|member| self.leave(member)).collect();
        if self.roster.len() == members_before {
            // At most ids have been given back that nobody had joined with.
            self.complete_if_all_joined(now);
        } else {
            self.rebalance_or_complete(now);
        }
        Ok(results)
    }

    fn leave(&mut self, member: &LeavingMember) -> Result<(), GroupError> {
        let id = match &member.instance {
            // An administrator removes a static member by name, without knowing its id.
            Some(instance) if member.member_id.is_empty() => {
                let unknown = || GroupError::UnknownInstance {
                    group: self.id.clone(),
                    instance: instance.clone(),
                };
                self.roster.of_instance(instance).cloned().ok_or_else(unknown)?
            }
            _ => member.member_id.clone(),
        };
        if self.roster.pending.remove(&id) {
            self.timers.cancel(&Timer::Member(id));
            return Ok(());
        }
        self.check_member(&id, member.instance.as_ref())?;
        tracing::debug!(group = %self.id, member = %id, "left");
        self.drop_member(&id);
        Ok(())
    }
}
