//! Offsets: who may commit, limits, deletion, expiry.

use super::*;
use crate::ids::{LeaderEpoch, TopicName};

const DAY_MS: u64 = 86_400_000;

fn offset(d: &Driver, topic: &str, partition: i32) -> Option<i64> {
    d.group
        .durable()
        .offsets
        .get(&TopicPartition::new(topic, partition))
        .map(|o| o.offset.0)
}

fn subscription(topics: &[&str]) -> Bytes {
    let mut out = vec![0, 1];
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend([0, 0, 0, 0, 0, 0, 0, 0]);
    out.into()
}

fn subscribed(client: &str, topics: &[&str]) -> JoinRequest {
    let protocol = Protocol {
        name: "range".into(),
        metadata: subscription(topics),
    };
    JoinRequest {
        protocols: vec![protocol],
        ..join(client)
    }
}

fn stable_subscribed(d: &mut Driver, topics: &[&str]) -> Joined {
    let token = d.join(&subscribed("a", topics));
    d.advance(6_000);
    let member = d.joined(token);
    d.sync_all(std::slice::from_ref(&member));
    member
}

#[test]
fn who_may_commit() {
    type Setup = fn(&mut Driver) -> Option<Joined>;
    let empty: Setup = |_| None;
    let stable: Setup = |d| d.stable(&["a"]).pop();
    let completing: Setup = |d| {
        let token = d.join(&join("a"));
        d.advance(3_000);
        Some(d.joined(token))
    };
    let preparing: Setup = |d| {
        let members = d.stable(&["a", "b"]);
        d.join(&join("c"));
        members.into_iter().next()
    };
    // State, generation (0 stands for the member's own), member ("own" for its own id), expected.
    let table: &[(&str, Setup, i32, &str, &str)] = &[
        ("empty", empty, -1, "", "ok"),
        ("empty", empty, -1, "any", "ok"),
        ("empty", empty, 1, "any", "unknown"),
        ("stable", stable, 0, "own", "ok"),
        ("stable", stable, 9, "own", "generation"),
        ("stable", stable, 0, "any", "unknown"),
        ("stable", stable, -1, "", "unknown"),
        ("stable", stable, -1, "own", "generation"),
        ("completing", completing, 0, "own", "rebalance"),
        ("completing", completing, -1, "", "unknown"),
        ("preparing", preparing, 0, "own", "ok"),
        ("preparing", preparing, 9, "own", "generation"),
    ];
    for (name, setup, generation, member, expected) in table {
        let mut d = Driver::new();
        let own = setup(&mut d);
        let generation = match (*generation, &own) {
            (0, Some(own)) => own.generation,
            (other, _) => other,
        };
        let member = match (*member, &own) {
            ("own", Some(own)) => own.member_id.as_str(),
            (other, _) => other,
        };
        let token = d.commit(generation, member, 5);
        let got = match d.committed(token) {
            Ok(_) => "ok",
            Err(GroupError::UnknownMember { .. }) => "unknown",
            Err(GroupError::IllegalGeneration { .. }) => "generation",
            Err(GroupError::RebalanceInProgress { .. }) => "rebalance",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(got, *expected, "{name} {generation} {member}");
        assert_eq!(offset(&d, "t", 0), (got == "ok").then_some(5));
    }
}

#[test]
fn a_commit_is_answered_and_seen_when_it_is_durable() {
    let mut d = Driver::new();
    d.hold_writes = true;
    let first = d.commit(-1, "", 1);
    let second = d.commit(-1, "", 2);
    assert!(d.waits(first) && d.waits(second));
    assert_eq!(offset(&d, "t", 0), None);
    d.finish_write(Ok(()));
    assert_eq!(
        (d.committed(first), offset(&d, "t", 0)),
        (Ok(vec![Ok(())]), Some(1))
    );
    let error = GroupError::Storage {
        reason: "disk on fire".to_owned(),
    };
    d.finish_write(Err(error.clone()));
    assert_eq!((d.committed(second), offset(&d, "t", 0)), (Err(error), Some(1)));
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut d = Driver::new();
    let a = d.stable(&["a"]).remove(0);
    for n in 0..5 {
        d.advance(9_000);
        let token = d.commit(1, a.member_id.as_str(), n);
        assert_eq!(d.committed(token), Ok(vec![Ok(())]));
    }
}

#[test]
fn metadata_and_leader_epoch_are_kept_and_bounded() {
    let mut d = Driver::new();
    let mut request = commit(
        -1,
        "",
        &[("t", 0, 1), ("t", 1, 2), ("", 0, 3), (&"x".repeat(250), 0, 4)],
    );
    request.offsets[0].metadata = "m".repeat(4_096).into();
    request.offsets[0].leader_epoch = Some(LeaderEpoch(7));
    request.offsets[1].metadata = "m".repeat(4_097).into();
    let token = d.commit_with(&request);
    let results = d.committed(token).unwrap();
    assert_eq!(results[0], Ok(()));
    assert_eq!(
        results[1],
        Err(GroupError::OffsetMetadataTooLarge {
            bytes: 4_097,
            bytes_max: 4_096
        })
    );
    assert!(matches!(results[2], Err(GroupError::UnknownTopic { .. })));
    assert!(matches!(results[3], Err(GroupError::UnknownTopic { .. })));
    let stored = &d.group.durable().offsets[&TopicPartition::new("t", 0)];
    assert_eq!(
        (stored.metadata.len(), stored.leader_epoch),
        (4_096, Some(LeaderEpoch(7)))
    );
    assert_eq!(d.group.durable().offsets.len(), 1);
}

#[test]
fn the_number_and_size_of_offsets_are_bounded() {
    let config = GroupConfig {
        offsets_per_group_max: 2,
        write_bytes_max: 1_000,
        ..GroupConfig::default()
    };
    let mut d = Driver::with(config);
    let many: Vec<(&str, i32, i64)> = (0..20).map(|n| ("t", n, 0)).collect();
    let token = d.commit_with(&commit(-1, "", &many));
    assert!(matches!(
        d.committed(token),
        Err(GroupError::CommitTooLarge { .. })
    ));
    let token = d.commit_with(&commit(-1, "", &[("t", 0, 1), ("t", 1, 1)]));
    assert!(d.committed(token).is_ok());
    let token = d.commit_with(&commit(-1, "", &[("t", 0, 2), ("t", 1, 2)]));
    assert!(d.committed(token).is_ok(), "overwriting needs no room");
    let token = d.commit_with(&commit(-1, "", &[("t", 2, 2)]));
    assert!(matches!(
        d.committed(token),
        Err(GroupError::TooMany { limit: 2, .. })
    ));
}

#[test]
fn fetching_all_or_some() {
    let mut d = Driver::new();
    d.commit_with(&commit(-1, "", &[("t", 0, 1), ("u", 3, 2), ("t", 2, 3)]));
    let fetch = |d: &Driver, topics: Option<Vec<(TopicName, Vec<i32>)>>| {
        let request = FetchOffsetsRequest {
            group: "g".into(),
            topics,
            require_stable: true,
        };
        let offsets = d.group.fetch_offsets(&request).into_iter();
        let flat = |t: TopicOffsets| {
            t.partitions
                .into_iter()
                .map(move |(p, o)| (t.topic.to_string(), p, o.unwrap().map(|o| o.offset.0)))
        };
        offsets.flat_map(flat).collect::<Vec<_>>()
    };
    let row = |topic: &str, partition, offset| (topic.to_owned(), partition, offset);
    assert_eq!(
        fetch(&d, None),
        [row("t", 0, Some(1)), row("t", 2, Some(3)), row("u", 3, Some(2))]
    );
    let some = vec![("u".into(), vec![0, 3]), ("t".into(), vec![2])];
    assert_eq!(
        fetch(&d, Some(some)),
        [row("u", 0, None), row("u", 3, Some(2)), row("t", 2, Some(3))]
    );
}

#[test]
fn only_an_empty_group_can_be_deleted() {
    let mut d = Driver::new();
    let a = d.stable(&["a"]).remove(0);
    d.commit(1, a.member_id.as_str(), 1);
    let token = d.token();
    d.group.handle_delete(token);
    d.settle();
    assert!(matches!(
        d.answers[&token],
        Response::Done(Err(GroupError::NotEmpty { .. }))
    ));
    d.leave(&[(a.member_id.as_str(), None)]).unwrap();
    d.hold_writes = true;
    // A commit on its way to the disk is deleted with the rest.
    d.commit_with(&commit(-1, "", &[("u", 0, 1)]));
    let token = d.token();
    d.group.handle_delete(token);
    d.settle();
    d.finish_write(Ok(()));
    assert!(d.waits(token));
    d.finish_write(Ok(()));
    assert_eq!(d.answers[&token], Response::Done(Ok(())));
    assert_eq!(d.group.state, GroupState::Dead);
    assert!(d.group.is_disposable());
    assert!(d.replayed().is_empty());
    let late = d.join(&join("a"));
    assert_eq!(d.join_error(late), GroupError::NotAvailable);
}

#[test]
fn a_commit_after_a_delete_survives_it() {
    let mut d = Driver::new();
    d.commit(-1, "", 1);
    d.hold_writes = true;
    let token = d.token();
    d.group.handle_delete(token);
    d.settle();
    let after = d.commit(-1, "", 2);
    d.finish_write(Ok(()));
    d.finish_write(Ok(()));
    assert_eq!(d.committed(after), Ok(vec![Ok(())]));
    assert_eq!((d.group.state, offset(&d, "t", 0)), (GroupState::Empty, Some(2)));
    assert_eq!(d.replayed(), *d.group.durable());
}

#[test]
fn single_offsets_can_be_deleted_unless_their_topic_is_read() {
    let mut d = Driver::new();
    let a = stable_subscribed(&mut d, &["t"]);
    d.commit_with(&commit(1, a.member_id.as_str(), &[("t", 0, 1), ("old", 0, 1)]));
    let partitions = [
        TopicPartition::new("t", 0),
        TopicPartition::new("old", 0),
        TopicPartition::new("no", 0),
    ];
    let token = d.token();
    d.group.handle_delete_offsets(token, &partitions);
    d.settle();
    let results = d.committed(token).unwrap();
    assert!(matches!(results[0], Err(GroupError::Subscribed { .. })));
    assert_eq!(results[1..], [Ok(()), Ok(())]);
    assert_eq!((offset(&d, "t", 0), offset(&d, "old", 0)), (Some(1), None));
    d.leave(&[(a.member_id.as_str(), None)]).unwrap();
    let token = d.token();
    d.group.handle_delete_offsets(token, &partitions);
    d.settle();
    assert_eq!(offset(&d, "t", 0), None);
}

#[test]
fn offsets_of_groups_that_are_no_consumers_stay_while_there_are_members() {
    let mut d = Driver::new();
    let token = d.join(&JoinRequest {
        protocol_type: "connect".into(),
        ..join("w")
    });
    d.advance(3_000);
    assert_eq!(d.joined(token).protocol_type.as_deref(), Some("connect"));
    let token = d.token();
    d.group
        .handle_delete_offsets(token, &[TopicPartition::new("t", 0)]);
    d.settle();
    assert!(matches!(d.committed(token), Err(GroupError::NotEmpty { .. })));
}

#[test]
fn offsets_of_an_empty_group_expire_and_take_the_group_with_them() {
    let mut d = Driver::new();
    let a = d.stable(&["a"]).remove(0);
    d.commit(1, a.member_id.as_str(), 1);
    for _ in 0..10 * DAY_MS / 9_000 {
        d.advance(9_000);
        d.heartbeat(&a.member_id, 1).unwrap();
    }
    expire(&mut d);
    assert_eq!(offset(&d, "t", 0), Some(1), "the group has members");
    d.leave(&[(a.member_id.as_str(), None)]).unwrap();
    d.advance(7 * DAY_MS - 1);
    expire(&mut d);
    assert_eq!(
        offset(&d, "t", 0),
        Some(1),
        "retention counts from when the group became empty"
    );
    d.restart();
    d.advance(1);
    expire(&mut d);
    assert!(d.replayed().is_empty());
    assert_eq!(d.group.state, GroupState::Dead);
}

#[test]
fn offsets_without_a_group_expire_after_their_commit() {
    let mut d = Driver::new();
    d.commit_with(&CommitRequest {
        retention_ms: Some(1_000),
        ..commit(-1, "", &[("short", 0, 1)])
    });
    d.commit(-1, "", 1);
    d.advance(1_000);
    expire(&mut d);
    assert_eq!((offset(&d, "short", 0), offset(&d, "t", 0)), (None, Some(1)));
    d.advance(6 * DAY_MS);
    d.commit_with(&commit(-1, "", &[("u", 0, 1)]));
    d.advance(DAY_MS);
    expire(&mut d);
    assert_eq!((offset(&d, "t", 0), offset(&d, "u", 0)), (None, Some(1)));
    d.advance(6 * DAY_MS);
    d.hold_writes = true;
    d.commit_with(&commit(-1, "", &[("u", 0, 2)]));
    expire(&mut d);
    d.finish_write(Ok(()));
    assert_eq!(d.writes_under_way(), 0);
    assert_eq!(offset(&d, "u", 0), Some(2), "a commit under way keeps the offset");
}

#[test]
fn topics_that_a_live_group_has_given_up_expire() {
    let mut d = Driver::new();
    let a = stable_subscribed(&mut d, &["t"]);
    d.commit_with(&commit(1, a.member_id.as_str(), &[("t", 0, 1), ("old", 0, 1)]));
    for _ in 0..=7 * DAY_MS / 9_000 {
        d.advance(9_000);
        d.heartbeat(&a.member_id, 1).unwrap();
    }
    expire(&mut d);
    assert_eq!((offset(&d, "t", 0), offset(&d, "old", 0)), (Some(1), None));
}

/// Old clients say how long an offset is to be kept; that must not take it from a member that reads the topic.
#[test]
fn an_expiry_that_was_asked_for_spares_what_is_read() {
    let mut d = Driver::new();
    let a = stable_subscribed(&mut d, &["t"]);
    d.commit_with(&CommitRequest {
        retention_ms: Some(1_000),
        ..commit(1, a.member_id.as_str(), &[("t", 0, 1), ("old", 0, 1)])
    });
    d.advance(2_000);
    expire(&mut d);
    assert_eq!((offset(&d, "t", 0), offset(&d, "old", 0)), (Some(1), None));
}

#[test]
fn offsets_of_a_deleted_topic_go() {
    let mut d = Driver::new();
    d.hold_writes = true;
    d.commit_with(&commit(-1, "", &[("t", 0, 1), ("u", 0, 1)]));
    let token = d.token();
    d.group.forget_topics(token, &|name| name.as_str() == "t");
    d.hold_writes = false;
    d.settle();
    assert_eq!((offset(&d, "t", 0), offset(&d, "u", 0)), (None, Some(1)));
}

fn expire(d: &mut Driver) {
    let now = d.now();
    d.group.expire_offsets(now);
    d.settle();
}
