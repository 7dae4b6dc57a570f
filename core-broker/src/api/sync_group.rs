//! SyncGroup (14): a member asks for its assignment; the leader brings those of all.

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started};
use crate::group::{GroupManager, SyncRequest};

/// Waits for the leader's assignment.
pub async fn handle(manager: &GroupManager, request: SyncGroupRequest) -> SyncGroupResponse {
    match manager.sync(decode(request)).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(
                synced
                    .protocol_type
                    .map(|text| StrBytes::from_string(text.to_string())),
            )
            .with_protocol_name(
                synced
                    .protocol
                    .map(|text| StrBytes::from_string(text.to_string())),
            )
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

fn decode(request: SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.into_iter();
    SyncRequest {
        group: request.group_id.as_str().into(),
        generation: request.generation_id,
        member_id: request.member_id.as_str().into(),
        instance: request.group_instance_id.map(|id| id.as_str().into()),
        protocol_type: request.protocol_type.map(|text| text.as_str().into()),
        protocol: request.protocol_name.map(|text| text.as_str().into()),
        assignments: assignments
            // Kept as long as the generation: not slices of the whole request.
            .map(|a| {
                let assignment = Bytes::copy_from_slice(&a.assignment);
                (a.member_id.as_str().into(), assignment)
            })
            .collect(),
    }
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        all(Kind::Text),
        since(3, Kind::Text),
        since(5, Kind::Text),
        since(5, Kind::Text),
        all(Kind::Array(&[all(Kind::Text), all(Kind::Bytes)])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: SyncGroupRequest = request.decode()?;
    Started::later(async move { request.answer.reply(&handle(&request.broker.groups, body).await) })
}
