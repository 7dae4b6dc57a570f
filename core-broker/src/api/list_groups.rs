//! ListGroups (16): all groups, filtered by state (v4, KIP-518) and type (v5, KIP-848).

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId as WireGroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, since};
use super::{Fault, Request, Started};
use crate::group::{GroupListing, GroupManager};

/// The type of the groups that this broker has.
const GROUP_TYPE: &str = "classic";

/// Lists the groups.
#[must_use]
pub fn handle(manager: &GroupManager, request: &ListGroupsRequest) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    if !wanted(&request.types_filter, GROUP_TYPE) {
        return ListGroupsResponse::default();
    }
    let groups = manager.list().into_iter();
    let groups = groups.filter(|group| wanted(&request.states_filter, group.state.as_str()));
    ListGroupsResponse::default().with_groups(groups.map(encode).collect())
}

fn encode(group: GroupListing) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(WireGroupId(StrBytes::from_string(group.group.to_string())))
        .with_protocol_type(StrBytes::from_string(group.protocol_type.to_string()))
        .with_group_state(StrBytes::from_static_str(group.state.as_str()))
        .with_group_type(StrBytes::from_static_str(GROUP_TYPE))
}

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[since(4, Kind::TextArray), since(5, Kind::TextArray)],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: ListGroupsRequest = request.decode()?;
    request.answer.ready(&handle(&request.broker.groups, &body))
}
