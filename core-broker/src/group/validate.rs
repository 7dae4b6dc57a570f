//! Limits on requests, checked before any group is touched or made.
//!
//! Why: whatever a request may grow is bounded here, with the sender's mistake named; the state machine can
//! then take its inputs as sane.

use std::collections::HashSet;

use super::config::GroupConfig;
use super::error::GroupError;
use super::message::JoinRequest;
use super::names::{GroupId, InstanceId, truncate};

/// A group id for membership must not be empty; one for offsets alone may be, as in Kafka.
pub(super) fn group_id(config: &GroupConfig, id: &GroupId, may_be_empty: bool) -> Result<(), GroupError> {
    let (bytes, bytes_max) = (id.as_str().len(), config.group_id_bytes_max);
    if bytes > bytes_max || (bytes == 0 && !may_be_empty) {
        return Err(GroupError::InvalidGroupId { bytes, bytes_max });
    }
    Ok(())
}

/// Bounds a join, and tidies it: cuts the client's id, settles the rebalance timeout, drops protocols that are
/// named twice.
pub(super) fn join(config: &GroupConfig, mut request: JoinRequest) -> Result<JoinRequest, GroupError> {
    group_id(config, &request.group, false)?;
    let (min_ms, max_ms) = (config.session_timeout_ms_min, config.session_timeout_ms_max);
    let session_timeout_ms = request.session_timeout_ms;
    if !(min_ms..=max_ms).contains(&session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout {
            session_timeout_ms,
            min_ms,
            max_ms,
        });
    }
    let limit = |field, size, limit| {
        if size > limit {
            return Err(GroupError::InvalidRequest {
                group: request.group.clone(),
                field,
                size,
                limit,
            });
        }
        Ok(())
    };
    let name_max = config.name_bytes_max;
    limit("protocol type length", request.protocol_type.len(), name_max)?;
    limit(
        "instance id length",
        request.instance.as_ref().map_or(0, |i| i.as_str().len()),
        name_max,
    )?;
    limit(
        "protocol count",
        request.protocols.len(),
        config.protocols_per_member_max,
    )?;
    for protocol in &request.protocols {
        limit("protocol name length", protocol.name.len(), name_max)?;
    }
    let metadata: usize = request.protocols.iter().map(|p| p.metadata.len()).sum();
    limit("member metadata size", metadata, config.member_metadata_bytes_max)?;

    request.instance = request.instance.filter(|i: &InstanceId| !i.as_str().is_empty());
    if request.rebalance_timeout_ms < 0 {
        request.rebalance_timeout_ms = session_timeout_ms;
    }
    request.client.client_id = truncate(&request.client.client_id, name_max).to_owned();
    request.client.host = truncate(&request.client.host, name_max).to_owned();
    let mut seen = HashSet::new();
    request.protocols.retain(|p| seen.insert(p.name.clone()));
    Ok(request)
}
