//! One member of a group.

use std::sync::Arc;

use bytes::Bytes;

use super::coordinator::Token;
use super::message::{ClientInfo, MemberDescription, Protocol};
use super::names::{InstanceId, MemberId};
use super::record::MemberMetadata;

/// A member with what it offers, what it was assigned, and which of its requests wait for an answer.
#[derive(Debug)]
pub(super) struct Member {
    pub id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// In order of preference; names are unique.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// A JoinGroup waits.
    pub awaiting_join: Option<Token>,
    /// A SyncGroup waits.
    pub awaiting_sync: Option<Token>,
    /// It does not know its id yet, so it cannot heartbeat.
    pub is_new: bool,
}

impl Member {
    /// Restores a member; it supports only the protocol that was chosen, until it joins again.
    pub fn load(kept: &MemberMetadata, protocol: Option<&Arc<str>>) -> Self {
        Self {
            id: kept.member_id.clone(),
            instance: kept.instance.clone(),
            client_id: kept.client_id.clone(),
            client_host: kept.client_host.clone(),
            session_timeout_ms: kept.session_timeout_ms,
            rebalance_timeout_ms: kept.rebalance_timeout_ms,
            protocols: protocol
                .map(|name| Protocol {
                    name: name.clone(),
                    metadata: kept.subscription.clone(),
                })
                .into_iter()
                .collect(),
            assignment: kept.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// What is kept of the member, with the assignment of the generation to come.
    pub fn keep(&self, protocol: Option<&str>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// Its metadata for a protocol; empty if it does not support it.
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        protocol
            .and_then(|name| self.protocols.iter().find(|p| &*p.name == name))
            .map(|p| p.metadata.clone())
            .unwrap_or_default()
    }

    /// How `DescribeGroups` shows it; without a protocol, its metadata and assignment stay hidden.
    pub fn describe(&self, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member_id: self.id.clone(),
            instance: self.instance.clone(),
            client: ClientInfo {
                client_id: self.client_id.to_string(),
                host: self.client_host.to_string(),
            },
            metadata: self.metadata(protocol),
            assignment: protocol.map(|_| self.assignment.clone()).unwrap_or_default(),
        }
    }
}
