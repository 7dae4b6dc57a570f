//! The APIs of groups: every version of every answer can be encoded and says the right thing.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{self, GroupId as WireGroupId, TopicName as WireTopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::api;
use crate::group::tests::bytes;
use crate::group::tests::memory_log::{MemoryLog, TestClock};
use crate::group::{ClientInfo, GroupConfig, GroupManager};

fn start() -> Arc<GroupManager> {
    GroupManager::start(MemoryLog::new(2), GroupConfig::default(), TestClock::new()).unwrap()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> WireGroupId {
    WireGroupId(text(name))
}

fn topic(name: &str) -> WireTopicName {
    WireTopicName(text(name))
}

/// Encodes, which fails if a field is set that the version does not have.
fn encodes(answer: &impl Encodable, version: i16) {
    let mut out = ::bytes::BytesMut::new();
    answer
        .encode(&mut out, version)
        .unwrap_or_else(|error| panic!("version {version}: {error}"));
}

fn client() -> ClientInfo {
    ClientInfo {
        client_id: "app".to_owned(),
        host: "/10.0.0.1".to_owned(),
    }
}

fn join_request(group_name: &str, member: &StrBytes) -> messages::JoinGroupRequest {
    let protocol = messages::join_group_request::JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(bytes("metadata"));
    messages::JoinGroupRequest::default()
        .with_group_id(group(group_name))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_member_id(member.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn commit_request(group_name: &str, member: &StrBytes, generation: i32) -> messages::OffsetCommitRequest {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(i64::from(index) + 10)
            .with_committed_leader_epoch(4)
            .with_committed_metadata((index == 0).then(|| text("note")))
    };
    let topics = ["gone", "t"].map(|name| {
        OffsetCommitRequestTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition(0), partition(2), partition(1)])
    });
    messages::OffsetCommitRequest::default()
        .with_group_id(group(group_name))
        .with_member_id(member.clone())
        .with_generation_id_or_member_epoch(generation)
        .with_topics(topics.into())
}

fn known(topic: &str) -> i32 {
    if topic == "t" { 2 } else { 0 }
}

/// A whole membership in one version of JoinGroup, and matching ones of the others.
async fn membership(manager: &GroupManager, version: i16) {
    let name = format!("group-{version}");
    let mut member = StrBytes::default();
    if version >= 4 {
        let answer = api::join_group::handle(manager, version, &client(), join_request(&name, &member)).await;
        encodes(&answer, version);
        assert_eq!(answer.error_code, ResponseError::MemberIdRequired.code());
        assert!(answer.member_id.starts_with("app-"));
        member = answer.member_id;
    }
    let joined = api::join_group::handle(manager, version, &client(), join_request(&name, &member)).await;
    encodes(&joined, version);
    assert_eq!(
        (joined.error_code, joined.generation_id, joined.members.len()),
        (0, 1, 1)
    );
    assert_eq!(joined.protocol_name, Some(text("range")));
    let member = joined.member_id;

    let assignment = messages::sync_group_request::SyncGroupRequestAssignment::default()
        .with_member_id(member.clone())
        .with_assignment(bytes("mine"));
    let request = messages::SyncGroupRequest::default()
        .with_group_id(group(&name))
        .with_generation_id(1)
        .with_member_id(member.clone())
        .with_assignments(vec![assignment]);
    let synced = api::sync_group::handle(manager, request.clone()).await;
    encodes(&synced, version.min(5));
    assert_eq!((synced.error_code, synced.assignment), (0, bytes("mine")));
    let refused = api::sync_group::handle(manager, request.with_generation_id(9)).await;
    encodes(&refused, version.min(5));
    assert_eq!(refused.error_code, ResponseError::IllegalGeneration.code());

    let request = messages::HeartbeatRequest::default()
        .with_group_id(group(&name))
        .with_generation_id(1)
        .with_member_id(member.clone());
    let beat = api::heartbeat::handle(manager, &request);
    encodes(&beat, version.min(4));
    assert_eq!(beat.error_code, 0);

    let committed = api::offset_commit::handle(manager, known, commit_request(&name, &member, 1)).await;
    encodes(&committed, version.clamp(2, 9));
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let codes: Vec<i16> = committed
        .topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| p.error_code))
        .collect();
    assert_eq!(codes, [unknown, unknown, unknown, 0, unknown, 0]);
    let refused = api::offset_commit::handle(manager, known, commit_request(&name, &member, 7)).await;
    assert_eq!(
        refused.topics[1].partitions[0].error_code,
        ResponseError::IllegalGeneration.code()
    );

    describe(manager, &name, version.min(6));
    leave(manager, &name, &member, version.min(5));
}

fn describe(manager: &GroupManager, name: &str, version: i16) {
    let request = messages::DescribeGroupsRequest::default()
        .with_groups(vec![group(name), group("no")])
        .with_include_authorized_operations(version >= 3);
    let answer = api::describe_groups::handle(manager, version, request);
    encodes(&answer, version);
    let found = &answer.groups[0];
    assert_eq!((&*found.group_state, &*found.protocol_data), ("Stable", "range"));
    assert_eq!(found.members[0].member_assignment, bytes("mine"));
    assert_eq!(
        (&*found.members[0].client_id, &*found.members[0].client_host),
        ("app", "/10.0.0.1")
    );
    // Read, delete, describe, describe and alter configs; the smallest number if nobody asked.
    let allowed = if version >= 3 { 0b1101_0100_1000 } else { i32::MIN };
    assert_eq!(found.authorized_operations, allowed);
    let not_found = if version >= 6 {
        ResponseError::GroupIdNotFound.code()
    } else {
        0
    };
    assert_eq!(
        (&*answer.groups[1].group_state, answer.groups[1].error_code),
        ("Dead", not_found)
    );
}

fn leave(manager: &GroupManager, name: &str, member: &StrBytes, version: i16) {
    let unknown = ResponseError::UnknownMemberId.code();
    let identity = |id: &StrBytes| MemberIdentity::default().with_member_id(id.clone());
    let request = messages::LeaveGroupRequest::default().with_group_id(group(name));
    if version < 3 {
        let answer = api::leave_group::handle(manager, version, request.clone().with_member_id(text("who")));
        encodes(&answer, version);
        assert_eq!(answer.error_code, unknown);
        let answer = api::leave_group::handle(manager, version, request.with_member_id(member.clone()));
        encodes(&answer, version);
        assert_eq!(answer.error_code, 0);
    } else {
        let request = request.with_members(vec![identity(&text("who")), identity(member)]);
        let answer = api::leave_group::handle(manager, version, request);
        encodes(&answer, version);
        assert_eq!(answer.error_code, 0);
        assert_eq!(
            (answer.members[0].error_code, answer.members[1].error_code),
            (unknown, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_every_version() {
    let manager = start();
    for version in 0..=9 {
        membership(&manager, version).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_joins_of_every_version() {
    let manager = start();
    for version in 0..=9 {
        let request = join_request("g", &text("stranger")).with_session_timeout_ms(1);
        let answer = api::join_group::handle(&manager, version, &client(), request).await;
        encodes(&answer, version);
        assert_eq!(answer.error_code, ResponseError::InvalidSessionTimeout.code());
        assert_eq!((answer.generation_id, &*answer.member_id), (-1, "stranger"));
        assert_eq!(answer.protocol_name.is_none(), version >= 7);
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_of_every_version() {
    let manager = start();
    for version in 2..=9 {
        let mut request = commit_request("g", &StrBytes::default(), -1);
        if version < 6 {
            request
                .topics
                .iter_mut()
                .flat_map(|t| &mut t.partitions)
                .for_each(|p| p.committed_leader_epoch = -1);
        }
        encodes(
            &api::offset_commit::handle(&manager, known, request).await,
            version,
        );
    }
    for version in 1..=7 {
        let wanted = OffsetFetchRequestTopic::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0, 1, 2]);
        let request = messages::OffsetFetchRequest::default().with_group_id(group("g"));
        let answer =
            api::offset_fetch::handle(&manager, version, request.clone().with_topics(Some(vec![wanted])));
        encodes(&answer, version);
        let rows: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|p| {
                (
                    p.committed_offset,
                    p.committed_leader_epoch,
                    p.metadata.as_deref().unwrap().to_owned(),
                )
            })
            .collect();
        let row = |offset, epoch, metadata: &str| (offset, epoch, metadata.to_owned());
        assert_eq!(rows, [row(10, 4, "note"), row(11, 4, ""), row(-1, -1, "")]);
        let all = api::offset_fetch::handle(&manager, version, request.clone().with_topics(None));
        assert_eq!(all.topics[0].partitions.len(), 2);
        let long = request
            .with_group_id(group(&"x".repeat(5_000)))
            .with_topics(Some(Vec::new()));
        let refused = api::offset_fetch::handle(&manager, version, long);
        encodes(&refused, version);
        assert_eq!(refused.error_code != 0, version >= 2);
    }
    for version in 8..=9 {
        let wanted = OffsetFetchRequestTopics::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![1, 9]);
        let groups = vec![
            OffsetFetchRequestGroup::default()
                .with_group_id(group("g"))
                .with_topics(Some(vec![wanted.clone()])),
            OffsetFetchRequestGroup::default()
                .with_group_id(group("g"))
                .with_topics(None),
            OffsetFetchRequestGroup::default()
                .with_group_id(group("no"))
                .with_topics(Some(vec![wanted])),
        ];
        let request = messages::OffsetFetchRequest::default()
            .with_groups(groups)
            .with_require_stable(true);
        let answer = api::offset_fetch::handle(&manager, version, request);
        encodes(&answer, version);
        let offsets = |n: usize| -> Vec<i64> {
            answer.groups[n].topics[0]
                .partitions
                .iter()
                .map(|p| p.committed_offset)
                .collect()
        };
        assert_eq!(
            (offsets(0), offsets(1), offsets(2)),
            (vec![11, -1], vec![10, 11], vec![-1, -1])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn listing_and_deleting_in_every_version() {
    let manager = start();
    api::offset_commit::handle(&manager, known, commit_request("g", &StrBytes::default(), -1)).await;
    for version in 0..=5 {
        let listed = api::list_groups::handle(&manager, &messages::ListGroupsRequest::default());
        encodes(&listed, version);
        assert_eq!(
            (&*listed.groups[0].group_id.0, &*listed.groups[0].group_state),
            ("g", "Empty")
        );
    }
    for (states, types, count) in [
        (vec!["empty"], vec![], 1),
        (vec!["Stable"], vec![], 0),
        (vec!["Stable", "Empty"], vec!["Classic"], 1),
        (vec![], vec!["consumer"], 0),
    ] {
        let request = messages::ListGroupsRequest::default()
            .with_states_filter(states.into_iter().map(text).collect())
            .with_types_filter(types.into_iter().map(text).collect());
        assert_eq!(api::list_groups::handle(&manager, &request).groups.len(), count);
    }

    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topics = ["gone", "t"].map(|name| {
        OffsetDeleteRequestTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition.clone().with_partition_index(7), partition.clone()])
    });
    let request = messages::OffsetDeleteRequest::default()
        .with_group_id(group("g"))
        .with_topics(topics.into());
    let deleted = api::offset_delete::handle(&manager, known, request.clone()).await;
    encodes(&deleted, 0);
    let codes: Vec<i16> = deleted
        .topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| p.error_code))
        .collect();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(codes, [unknown, unknown, unknown, 0]);
    let refused = api::offset_delete::handle(&manager, known, request.with_group_id(group("no"))).await;
    assert_eq!(refused.error_code, ResponseError::GroupIdNotFound.code());

    let request = messages::DeleteGroupsRequest::default().with_groups_names(vec![group("g"), group("g")]);
    let deleted = api::delete_groups::handle(&manager, request).await;
    (0..=2).for_each(|version| encodes(&deleted, version));
    let codes: Vec<i16> = deleted.results.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, ResponseError::GroupIdNotFound.code()]);
}

#[tokio::test]
async fn offsets_within_a_transaction() {
    for version in 0..=4 {
        let manager = start();
        let partition = |index| {
            messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(7)
        };
        let request = messages::TxnOffsetCommitRequest::default()
            .with_transactional_id(messages::TransactionalId(text("tx")))
            .with_group_id(group("g"))
            .with_producer_id(messages::ProducerId(3))
            .with_topics(vec![
                messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                    .with_name(topic("t"))
                    .with_partitions(vec![partition(0), partition(9)]),
            ]);
        let answer = api::txn_offset_commit::handle(&manager, |_| 2, request).await;
        encodes(&answer, version);
        let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|p| p.error_code).collect();
        assert_eq!(codes, [0, ResponseError::UnknownTopicOrPartition.code()]);
        let wanted = OffsetFetchRequestTopic::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0]);
        let fetch = messages::OffsetFetchRequest::default()
            .with_group_id(group("g"))
            .with_topics(Some(vec![wanted]))
            .with_require_stable(true);
        let answer = api::offset_fetch::handle(&manager, 7, fetch);
        encodes(&answer, 7);
        let held = &answer.topics[0].partitions[0];
        assert_eq!(
            (held.error_code, held.committed_offset),
            (ResponseError::UnstableOffsetCommit.code(), -1)
        );
        let wanted = OffsetFetchRequestTopics::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0]);
        let of_group = OffsetFetchRequestGroup::default()
            .with_group_id(group("g"))
            .with_topics(Some(vec![wanted]));
        let fetch = messages::OffsetFetchRequest::default()
            .with_groups(vec![of_group])
            .with_require_stable(true);
        let answer = api::offset_fetch::handle(&manager, 8, fetch);
        encodes(&answer, 8);
        let held = &answer.groups[0].topics[0].partitions[0];
        assert_eq!(held.error_code, ResponseError::UnstableOffsetCommit.code());
    }
}
