//! Static membership (KIP-345).

use super::*;

fn stable_static(d: &mut Driver) -> Vec<Joined> {
    let tokens = [d.join(&join_static("a", "i1")), d.join(&join_static("b", "i2"))];
    d.advance(9_000);
    let members: Vec<Joined> = tokens.iter().map(|t| d.joined(*t)).collect();
    assert!(members[0].member_id.as_str().starts_with("i1-"));
    d.sync_all(&members);
    members
}

#[test]
fn a_static_follower_comes_back_without_a_rebalance() {
    let mut d = Driver::new();
    let old = stable_static(&mut d);
    d.hold_writes = true;
    let token = d.join(&join_static("b", "i2"));
    assert!(d.waits(token), "the new id is not on disk yet");
    d.finish_write(Ok(()));
    let new = d.joined(token);
    assert_eq!((new.generation, &new.leader), (1, &old[0].member_id));
    assert_ne!(new.member_id, old[1].member_id);
    assert!(new.members.is_empty());
    assert_eq!(d.group.state, GroupState::Stable);

    // The earlier process is fenced wherever it turns up.
    let b = &old[1];
    let fenced = d.heartbeat_as(&b.member_id, 1, Some("i2"));
    assert!(matches!(fenced, Err(GroupError::FencedInstance { .. })));
    let join = d.join(&JoinRequest {
        member_id: b.member_id.clone(),
        ..join_static("b", "i2")
    });
    assert!(matches!(d.join_error(join), GroupError::FencedInstance { .. }));
    let left = d.leave(&[(b.member_id.as_str(), Some("i2"))]).unwrap();
    assert!(matches!(left[0], Err(GroupError::FencedInstance { .. })));
    let request = CommitRequest {
        instance: Some("i2".into()),
        ..commit(1, b.member_id.as_str(), &[])
    };
    let token = d.commit_with(&request);
    assert!(matches!(
        d.committed(token),
        Err(GroupError::FencedInstance { .. })
    ));
    let unknown = d.heartbeat_as(&b.member_id, 1, Some("i3"));
    assert!(matches!(unknown, Err(GroupError::UnknownInstance { .. })));

    // The new one has the old one's assignment, also after a restart.
    d.restart();
    d.hold_writes = false;
    let token = d.sync(&new, &[]);
    assert_eq!(d.synced(token), Ok(bytes(&format!("for {}", b.member_id))));
}

#[test]
fn a_static_leader_comes_back_without_assigning_again() {
    for supports_skip_assignment in [true, false] {
        let mut d = Driver::new();
        let old = stable_static(&mut d);
        let token = d.join(&JoinRequest {
            supports_skip_assignment,
            ..join_static("a", "i1")
        });
        let new = d.joined(token);
        assert_eq!(d.group.roster.leader(), Some(&new.member_id));
        assert_eq!(new.skip_assignment, supports_skip_assignment);
        if supports_skip_assignment {
            assert_eq!((new.members.len(), &new.leader), (2, &new.member_id));
        } else {
            // An older client is made to believe that it follows.
            assert_eq!((new.members.len(), &new.leader), (0, &old[0].member_id));
        }
        assert_eq!(d.heartbeat_as(&new.member_id, 1, Some("i1")), Ok(()));
    }
}

#[test]
fn a_static_member_with_other_protocols_causes_a_rebalance() {
    let mut d = Driver::new();
    let offers = |client: &str, instance: &str, list: &[(&str, &str)]| JoinRequest {
        protocols: protocols(list),
        ..join_static(client, instance)
    };
    let tokens = [
        d.join(&offers("a", "i1", &[("x", ""), ("y", "")])),
        d.join(&offers("b", "i2", &[("x", ""), ("y", "")])),
    ];
    d.advance(9_000);
    let members: Vec<Joined> = tokens.iter().map(|t| d.joined(*t)).collect();
    assert_eq!(members[0].protocol.as_deref(), Some("x"));
    d.sync_all(&members);
    let token = d.join(&offers("b", "i2", &[("y", "")]));
    assert!(d.waits(token));
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_that_returns_during_a_rebalance_fences_the_waiting_one() {
    let mut d = Driver::new();
    let old = stable_static(&mut d);
    d.join(&join("c"));
    let b = JoinRequest {
        member_id: old[1].member_id.clone(),
        ..join_static("b", "i2")
    };
    let waiting = d.join(&b);
    assert!(d.waits(waiting));
    let new = d.join(&join_static("b", "i2"));
    assert!(matches!(d.join_error(waiting), GroupError::FencedInstance { .. }));
    assert!(d.waits(new));
    d.join(&JoinRequest {
        member_id: old[0].member_id.clone(),
        ..join_static("a", "i1")
    });
    assert_eq!(d.joined(new).generation, 2);
}

#[test]
fn a_static_member_that_returns_while_completing_restarts_the_rebalance() {
    let mut d = Driver::new();
    let tokens = [d.join(&join_static("a", "i1")), d.join(&join_static("b", "i2"))];
    d.advance(9_000);
    let (a, b) = (d.joined(tokens[0]), d.joined(tokens[1]));
    let sync = d.sync(&b, &[]);
    let new = d.join(&join_static("b", "i2"));
    assert!(matches!(d.synced(sync), Err(GroupError::FencedInstance { .. })));
    assert!(d.waits(new));
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
    d.join(&JoinRequest {
        member_id: a.member_id,
        ..join_static("a", "i1")
    });
    assert_eq!(d.joined(new).generation, 2);
}

#[test]
fn static_members_survive_a_rebalance_they_miss_until_their_session_ends() {
    let mut d = Driver::new();
    let long = JoinRequest {
        session_timeout_ms: 300_000,
        ..join_static("b", "i2")
    };
    let tokens = [d.join(&join("a")), d.join(&long)];
    d.advance(9_000);
    let members: Vec<Joined> = tokens.iter().map(|t| d.joined(*t)).collect();
    d.sync_all(&members);
    let a = d.join(&rejoin("a", &members[0].member_id));
    d.advance(REBALANCE_MS as u64);
    let a = d.joined(a);
    assert_eq!(
        a.members.len(),
        2,
        "the absent static member stays in the generation"
    );
    assert_eq!(a.members[1].instance, Some("i2".into()));
}

#[test]
fn static_members_leave_by_name() {
    let mut d = Driver::new();
    stable_static(&mut d);
    assert_eq!(d.leave(&[("", Some("i2"))]), Ok(vec![Ok(())]));
    assert_eq!(
        (d.group.state, d.group.member_count()),
        (GroupState::PreparingRebalance, 1)
    );
}

#[test]
fn a_lost_rejoin_can_be_repeated() {
    let mut d = Driver::new();
    stable_static(&mut d);
    d.hold_writes = true;
    let first = d.join(&join_static("b", "i2"));
    let second = d.join(&join_static("b", "i2"));
    assert!(matches!(d.join_error(first), GroupError::FencedInstance { .. }));
    d.finish_write(Ok(()));
    assert!(d.waits(second));
    d.finish_write(Ok(()));
    let kept = d.replayed().metadata.unwrap();
    let id = d.joined(second).member_id;
    assert!(kept.members.iter().any(|m| m.member_id == id));
}

#[test]
fn a_rebalance_answers_a_rejoin_whose_write_it_overtakes() {
    let mut d = Driver::new();
    let old = stable_static(&mut d);
    d.hold_writes = true;
    let b = d.join(&join_static("b", "i2"));
    let a = JoinRequest {
        member_id: old[0].member_id.clone(),
        ..join_static("a", "i1")
    };
    let a = d.join(&a);
    assert_eq!((d.joined(a).generation, d.joined(b).generation), (2, 2));
    d.finish_write(Ok(()));
    assert_eq!(d.group.state, GroupState::CompletingRebalance);
}
