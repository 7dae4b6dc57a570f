//! LeaveGroup (13): one member goes (v0–v2), or several (v3+, KIP-345).

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::shape::{Kind, Shape, all, since, until};
use super::{Fault, Request, Started};
use crate::group::{self, GroupManager, LeaveRequest, LeavingMember};

/// First version that names several members.
const BATCH_VERSION: i16 = 3;

/// Removes the members.
#[must_use]
pub fn handle(manager: &GroupManager, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let batch = version >= BATCH_VERSION;
    let members = if batch {
        let member = |m: &MemberIdentity| LeavingMember {
            member_id: m.member_id.as_str().into(),
            instance: m.group_instance_id.as_ref().map(|id| id.as_str().into()),
        };
        request.members.iter().map(member).collect()
    } else {
        vec![LeavingMember {
            member_id: request.member_id.as_str().into(),
            instance: None,
        }]
    };
    let leave = LeaveRequest {
        group: request.group_id.as_str().into(),
        members,
    };
    match manager.leave(&leave) {
        Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
        Ok(results) if !batch => {
            LeaveGroupResponse::default().with_error_code(results.first().map_or(0, group::result_code))
        }
        Ok(results) => {
            let member = |(member, result): (MemberIdentity, _)| {
                MemberResponse::default()
                    .with_member_id(member.member_id)
                    .with_group_instance_id(member.group_instance_id)
                    .with_error_code(group::result_code(&result))
            };
            LeaveGroupResponse::default()
                .with_members(request.members.into_iter().zip(results).map(member).collect())
        }
    }
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        all(Kind::Text),
        until(2, Kind::Text),
        since(
            3,
            Kind::Array(&[all(Kind::Text), all(Kind::Text), since(5, Kind::Text)]),
        ),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: LeaveGroupRequest = request.decode()?;
    request
        .answer
        .ready(&handle(&request.broker.groups, request.answer.version, body))
}
