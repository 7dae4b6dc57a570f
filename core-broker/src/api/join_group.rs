//! JoinGroup (11): a member asks to be part of the next generation of its group.

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started};
use crate::group::{
    ClientInfo, GroupError, GroupManager, JoinRequest, Joined, JoinedMember, MemberId, Protocol,
};

/// First version whose members are given an id before they may join (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;
/// First version with null protocol names.
const NULLABLE_PROTOCOL_VERSION: i16 = 7;
/// First version that can tell a leader not to assign.
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

/// Joins, and waits for the generation.
pub async fn handle(
    manager: &GroupManager,
    version: i16,
    client: &ClientInfo,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = MemberId::from(request.member_id.as_str());
    match manager.join(decode(version, client, request)).await {
        Ok(joined) => encode(version, joined),
        Err(error) => refuse(version, member_id, &error),
    }
}

fn decode(version: i16, client: &ClientInfo, request: JoinGroupRequest) -> JoinRequest {
    let protocols = request.protocols.into_iter();
    JoinRequest {
        group: request.group_id.as_str().into(),
        member_id: request.member_id.as_str().into(),
        instance: request.group_instance_id.map(|id| id.as_str().into()),
        client: client.clone(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type.as_str().into(),
        protocols: protocols
            .map(|p| Protocol {
                name: p.name.as_str().into(),
                // Kept as long as the member: not a slice of the whole request.
                metadata: Bytes::copy_from_slice(&p.metadata),
            })
            .collect(),
        require_member_id: version >= MEMBER_ID_REQUIRED_VERSION,
        supports_skip_assignment: version >= SKIP_ASSIGNMENT_VERSION,
    }
}

fn encode(version: i16, joined: Joined) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(|text| string(&text)))
        .with_protocol_name(protocol_name(version, joined.protocol.as_deref()))
        .with_leader(string(joined.leader.as_str()))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(string(joined.member_id.as_str()))
        .with_members(joined.members.into_iter().map(encode_member).collect())
}

fn encode_member(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(string(member.member_id.as_str()))
        .with_group_instance_id(member.instance.map(|id| string(id.as_str())))
        .with_metadata(member.metadata)
}

fn refuse(version: i16, asked: MemberId, error: &GroupError) -> JoinGroupResponse {
    let member_id = match error {
        GroupError::MemberIdRequired { member_id } => string(member_id.as_str()),
        GroupError::GroupFull { .. } => StrBytes::default(),
        _ => string(asked.as_str()),
    };
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name(version, None))
        .with_member_id(member_id)
}

fn protocol_name(version: i16, name: Option<&str>) -> Option<StrBytes> {
    match name {
        None if version >= NULLABLE_PROTOCOL_VERSION => None,
        name => Some(string(name.unwrap_or_default())),
    }
}

fn string(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 6,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        since(1, Kind::Fixed(4)),
        all(Kind::Text),
        since(5, Kind::Text),
        all(Kind::Text),
        all(Kind::Array(&[all(Kind::Text), all(Kind::Bytes)])),
        since(8, Kind::Text),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: JoinGroupRequest = request.decode()?;
    let client = ClientInfo {
        client_id: request.client_id.as_deref().unwrap_or_default().to_owned(),
        host: format!("/{}", request.peer.address.ip().to_canonical()),
    };
    let answer = request.answer;
    Started::later(async move {
        answer.reply(&handle(&request.broker.groups, answer.version, &client, body).await)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_leaves_behind_is_no_part_of_its_request() {
        let protocol = kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol::default()
            .with_metadata(Bytes::from(vec![7; 100]).slice(10..20));
        let asked = protocol.metadata.clone();
        let client = ClientInfo {
            client_id: String::new(),
            host: String::new(),
        };
        let request = decode(
            9,
            &client,
            JoinGroupRequest::default().with_protocols(vec![protocol]),
        );
        let kept = &request.protocols[0].metadata;
        assert_eq!(*kept, asked);
        assert_ne!(kept.as_ptr(), asked.as_ptr());
    }
}
