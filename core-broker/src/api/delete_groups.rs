//! DeleteGroups (42): empty groups are removed with their offsets.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::group::{self, GroupManager};

/// Deletes the groups one after the other.
pub async fn handle(manager: &GroupManager, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::new();
    for id in request.groups_names {
        let result = manager.delete(&id.as_str().into()).await;
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(group::result_code(&result)),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[all(Kind::TextArray)],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DeleteGroupsRequest = request.decode()?;
    Started::later(async move { request.answer.reply(&handle(&request.broker.groups, body).await) })
}
