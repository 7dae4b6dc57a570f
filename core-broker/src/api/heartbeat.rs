//! Heartbeat (12): a member is alive, and hears whether it has to join again.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started};
use crate::group::{self, GroupManager};

/// Restarts the member's session.
#[must_use]
pub fn handle(manager: &GroupManager, request: &HeartbeatRequest) -> HeartbeatResponse {
    let heartbeat = group::HeartbeatRequest {
        group: request.group_id.as_str().into(),
        generation: request.generation_id,
        member_id: request.member_id.as_str().into(),
        instance: request.group_instance_id.as_ref().map(|id| id.as_str().into()),
    };
    HeartbeatResponse::default().with_error_code(group::result_code(&manager.heartbeat(&heartbeat)))
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        all(Kind::Text),
        since(3, Kind::Text),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: HeartbeatRequest = request.decode()?;
    request.answer.ready(&handle(&request.broker.groups, &body))
}
