//! DescribeGroups (15): state and members of groups.

use std::collections::HashSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId as WireGroupId};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, operations};
use crate::group::{GroupDescription, GroupId, GroupManager, GroupState, MemberDescription};

/// First version that says that a group does not exist, instead of calling it dead (KIP-1043).
const NOT_FOUND_VERSION: i16 = 6;

/// Describes the groups.
#[must_use]
pub fn handle(
    manager: &GroupManager,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let allowed = match request.include_authorized_operations {
        true => operations::GROUP,
        false => operations::NOT_ASKED,
    };
    // Each once: a group's answer may be far larger than its name.
    let mut seen = HashSet::new();
    let groups = request
        .groups
        .into_iter()
        .filter(|id| seen.insert(id.clone()))
        .map(|id| describe(manager, version, id))
        .map(|group| match group.error_code {
            0 => group.with_authorized_operations(allowed),
            _ => group,
        })
        .collect();
    DescribeGroupsResponse::default().with_groups(groups)
}

fn describe(manager: &GroupManager, version: i16, id: WireGroupId) -> DescribedGroup {
    let group = GroupId::from(id.as_str());
    let answer = DescribedGroup::default().with_group_id(id);
    match manager.describe(&group) {
        Ok(Some(description)) => encode(answer, description),
        Ok(None) => {
            let answer = answer.with_group_state(StrBytes::from_static_str(GroupState::Dead.as_str()));
            if version < NOT_FOUND_VERSION {
                return answer;
            }
            let message = StrBytes::from_string(format!("Group {group} not found."));
            answer
                .with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(message))
        }
        Err(error) => answer.with_error_code(error.code()),
    }
}

fn encode(answer: DescribedGroup, group: GroupDescription) -> DescribedGroup {
    answer
        .with_group_state(StrBytes::from_static_str(group.state.as_str()))
        .with_protocol_type(StrBytes::from_string(group.protocol_type.to_string()))
        .with_protocol_data(StrBytes::from_string(group.protocol.to_string()))
        .with_members(group.members.into_iter().map(encode_member).collect())
}

fn encode_member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(StrBytes::from_string(member.member_id.to_string()))
        .with_group_instance_id(member.instance.map(|id| StrBytes::from_string(id.to_string())))
        .with_client_id(StrBytes::from_string(member.client.client_id))
        .with_client_host(StrBytes::from_string(member.client.host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 5,
    fields: &[all(Kind::TextArray), since(3, Kind::Fixed(1))],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeGroupsRequest = request.decode()?;
    request
        .answer
        .ready(&handle(&request.broker.groups, request.answer.version, body))
}
