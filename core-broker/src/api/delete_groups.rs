//! DeleteGroups (42): empty groups are removed with their offsets.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

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
