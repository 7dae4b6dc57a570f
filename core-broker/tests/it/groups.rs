//! A consumer group over the wire: the way of one member from coordinator to committed offset.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::client::*;

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

fn join(id: &str, member: StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    JoinGroupRequest::default()
        .with_group_id(group(id))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(member)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn commit(id: &str, member: StrBytes, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(id))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member)
        .with_topics(vec![topic])
}

fn committed(client: &mut Client, id: &str) -> i64 {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(name("t"))
        .with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group(id))
        .with_topics(Some(vec![topic]));
    let response = client.call(8, &OffsetFetchRequest::default().with_groups(vec![asked]));
    assert_eq!(response.groups[0].error_code, 0);
    response.groups[0].topics[0].partitions[0].committed_offset
}

#[test]
fn the_coordinator_is_this_broker_for_groups_and_for_transactions() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    let port = i32::from(broker.address().port());
    for version in 0..=6 {
        let request = FindCoordinatorRequest::default();
        let ask = |key_type: i8| match version {
            0 => request.clone().with_key(text("g")),
            1..=3 => request.clone().with_key(text("g")).with_key_type(key_type),
            _ => request
                .clone()
                .with_key_type(key_type)
                .with_coordinator_keys(vec![text("g"), text("h")]),
        };
        for key_type in if version == 0 { 0..=0 } else { 0..=1 } {
            let found = client.call(version, &ask(key_type));
            if version >= 4 {
                let found: Vec<_> = found
                    .coordinators
                    .iter()
                    .map(|c| (&*c.key, c.error_code, c.port))
                    .collect();
                assert_eq!(found, [("g", 0, port), ("h", 0, port)]);
            } else {
                assert_eq!((found.error_code, found.port, found.node_id.0), (0, port, 1));
            }
        }
        match version {
            0 => {}
            1..=3 => assert_eq!(client.call(version, &ask(9)).error_code, 42),
            _ => assert_eq!(client.call(version, &ask(9)).coordinators[0].error_code, 42),
        }
    }
}

#[test]
fn a_member_joins_commits_and_its_offsets_outlive_the_broker() {
    let (dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.call(3, &FindCoordinatorRequest::default().with_key(text("g")));
    let invited = client.call(9, &join("g", StrBytes::default()));
    assert_eq!(invited.error_code, 79);
    let member = invited.member_id;
    let joined = client.call(9, &join("g", member.clone()));
    assert_eq!(
        (joined.error_code, joined.generation_id, &joined.leader),
        (0, 1, &member)
    );
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(member.clone())
        .with_assignment(Bytes::from_static(b"all of it"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group("g"))
        .with_generation_id(1)
        .with_member_id(member.clone())
        .with_assignments(vec![assignment]);
    assert_eq!(&client.call(4, &sync).assignment[..], b"all of it");
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_generation_id(1)
        .with_member_id(member.clone());
    assert_eq!(client.call(4, &heartbeat).error_code, 0);
    for version in 2..=9 {
        let response = client.call(version, &commit("g", member.clone(), 1, 40 + i64::from(version)));
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    let stranger = client.call(8, &commit("g", text("stranger"), 1, 1));
    assert_eq!(stranger.topics[0].partitions[0].error_code, 25);
    assert_eq!(committed(&mut client, "g"), 49);

    let described = client.call(5, &DescribeGroupsRequest::default().with_groups(vec![group("g")]));
    assert_eq!(&*described.groups[0].group_state, "Stable");
    assert_eq!(&*described.groups[0].members[0].client_host, "/127.0.0.1");
    assert_eq!(
        &*client.call(4, &ListGroupsRequest::default()).groups[0].group_id.0,
        "g"
    );
    // Killed, not stopped.
    drop((client, broker));
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    assert_eq!(committed(&mut client, "g"), 49);
    let leave = LeaveGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(member);
    assert_eq!(client.call(1, &leave).error_code, 0);
    broker.shutdown_blocking().unwrap();

    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    assert_eq!(committed(&mut client, "g"), 49);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g"), group("none")]);
    let deleted = client.call(2, &delete);
    assert_eq!(
        deleted.results.iter().map(|r| r.error_code).collect::<Vec<_>>(),
        [0, 69]
    );
    assert_eq!(committed(&mut client, "g"), -1);
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    assert_eq!(
        client.call(8, &commit("g", StrBytes::default(), -1, 5)).topics[0].partitions[0].error_code,
        0
    );
    assert_eq!(committed(&mut client, "g"), 5);
    client.call(
        5,
        &DeleteTopicsRequest::default().with_topic_names(vec![name("t")]),
    );
    let unknown = client.call(8, &commit("g", StrBytes::default(), -1, 5));
    assert_eq!(unknown.topics[0].partitions[0].error_code, 3);
    client.touch("t");
    assert_eq!(committed(&mut client, "g"), -1);
    broker.shutdown_blocking().unwrap();
}
