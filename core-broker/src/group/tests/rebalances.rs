//! What happens between the start of a rebalance and the assignment.

use super::*;

#[test]
fn followers_wait_for_the_leaders_assignment_and_the_disk() {
    let mut d = Driver::new();
    let tokens = [d.join(&join("a")), d.join(&join("b"))];
    d.advance(6_000);
    let (a, b) = (d.joined(tokens[0]), d.joined(tokens[1]));
    let sync_b = d.sync(&b, &[]);
    assert!(d.waits(sync_b));
    d.hold_writes = true;
    let sync_a = d.sync(&a, &[(&b.member_id, "all")]);
    assert!(d.waits(sync_a) && d.waits(sync_b));
    assert_eq!(d.group.state, GroupState::CompletingRebalance);
    assert_eq!(d.heartbeat(&b.member_id, 1), Ok(()));
    d.finish_write(Ok(()));
    assert_eq!(
        d.synced(sync_a),
        Ok(Bytes::new()),
        "who was not mentioned gets nothing"
    );
    assert_eq!(d.synced(sync_b), Ok(bytes("all")));
    let late = d.sync(&b, &[]);
    assert_eq!(d.synced(late), Ok(bytes("all")));
}

#[test]
fn an_assignment_that_cannot_be_written_is_made_anew() {
    let mut d = Driver::new();
    let a = d.join(&join("a"));
    d.advance(3_000);
    let a = d.joined(a);
    d.hold_writes = true;
    let sync = d.sync(&a, &[(&a.member_id, "x")]);
    let error = GroupError::Storage {
        reason: "disk on fire".to_owned(),
    };
    d.finish_write(Err(error.clone()));
    assert_eq!(d.synced(sync), Err(error));
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
    assert_eq!(d.replayed().metadata, None);
}

#[test]
fn a_rebalance_overtakes_an_assignment_under_way() {
    let mut d = Driver::new();
    let a = d.join(&join("a"));
    d.advance(3_000);
    let a = d.joined(a);
    d.hold_writes = true;
    let sync = d.sync(&a, &[(&a.member_id, "old")]);
    let b = d.join(&join("b"));
    assert!(matches!(
        d.synced(sync),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    d.finish_write(Ok(()));
    assert_eq!(
        d.group.state,
        GroupState::PreparingRebalance,
        "the old assignment is void"
    );
    let a = d.join(&rejoin("a", &a.member_id));
    d.hold_writes = false;
    let members = [d.joined(a), d.joined(b)];
    assert_eq!(members[1].generation, 2);
    d.sync_all(&members);
    assert_eq!(d.replayed().metadata.unwrap().generation, 2);
}

#[test]
fn a_second_sync_of_the_leader_does_not_assign_twice() {
    let mut d = Driver::new();
    let a = d.join(&join("a"));
    d.advance(3_000);
    let a = d.joined(a);
    d.hold_writes = true;
    let first = d.sync(&a, &[(&a.member_id, "one")]);
    let second = d.sync(&a, &[(&a.member_id, "two")]);
    assert_eq!(d.writes_under_way(), 1);
    d.finish_write(Ok(()));
    assert!(matches!(
        d.synced(first),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    assert_eq!(d.synced(second), Ok(bytes("one")));
}

#[test]
fn members_that_do_not_sync_in_time_are_out() {
    let mut d = Driver::new();
    let tokens = [d.join(&join("a")), d.join(&join("b"))];
    d.advance(6_000);
    let (a, b) = (d.joined(tokens[0]), d.joined(tokens[1]));
    let sync = d.sync(&b, &[]);
    // The leader stays alive but never brings an assignment.
    for _ in 0..12 {
        d.advance(4_900);
        assert_eq!(d.heartbeat(&a.member_id, 1), Ok(()));
    }
    d.advance(1_200);
    assert!(matches!(
        d.synced(sync),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    assert!(matches!(
        d.heartbeat(&a.member_id, 1),
        Err(GroupError::UnknownMember { .. })
    ));
    let b = d.join(&rejoin("b", &b.member_id));
    let b = d.joined(b);
    assert_eq!((b.generation, &b.leader), (2, &b.member_id));
}

#[test]
fn members_that_do_not_rejoin_in_time_are_out() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    let c = d.join(&join("c"));
    let b = d.join(&rejoin("b", &members[1].member_id));
    // The leader heartbeats but does not rejoin.
    for _ in 0..12 {
        d.advance(4_900);
        assert!(matches!(
            d.heartbeat(&members[0].member_id, 1),
            Err(GroupError::RebalanceInProgress { .. })
        ));
    }
    assert!(d.waits(b) && d.waits(c));
    d.advance(1_200);
    let (b, c) = (d.joined(b), d.joined(c));
    assert_eq!(b.leader, c.leader);
    assert_eq!(b.members.len() + c.members.len(), 2);
    assert!(matches!(
        d.heartbeat(&members[0].member_id, 1),
        Err(GroupError::UnknownMember { .. })
    ));
}

#[test]
fn joins_that_change_nothing_get_the_same_answer() {
    let mut d = Driver::new();
    let tokens = [d.join(&join("a")), d.join(&join("b"))];
    d.advance(6_000);
    let (a, b) = (d.joined(tokens[0]), d.joined(tokens[1]));
    // While completing, for leader and follower: the first answer may have been lost.
    for (client, member) in [("a", &a), ("b", &b)] {
        let again = d.join(&rejoin(client, &member.member_id));
        assert_eq!(d.joined(again), *member);
    }
    d.sync_all(&[a.clone(), b.clone()]);
    let again = d.join(&rejoin("b", &b.member_id));
    assert_eq!(d.joined(again), b);
    assert_eq!(d.group.state, GroupState::Stable);
    // A stable leader that joins wants a new assignment.
    let again = d.join(&rejoin("a", &a.member_id));
    assert!(d.waits(again));
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
}

#[test]
fn a_changed_subscription_causes_a_rebalance() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    let changed = JoinRequest {
        protocols: protocols(&[("range", "new")]),
        ..rejoin("b", &members[1].member_id)
    };
    let b = d.join(&changed);
    let a = d.join(&rejoin("a", &members[0].member_id));
    assert_eq!(d.joined(a).members[1].metadata, bytes("new"));
    assert_eq!(d.joined(b).generation, 2);
}

#[test]
fn a_repeated_join_takes_the_place_of_the_first() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    let changed = JoinRequest {
        protocols: protocols(&[("range", "new")]),
        ..rejoin("b", &members[1].member_id)
    };
    let first = d.join(&changed);
    let second = d.join(&changed);
    assert!(matches!(
        d.join_error(first),
        GroupError::RebalanceInProgress { .. }
    ));
    assert!(d.waits(second));
    d.join(&rejoin("a", &members[0].member_id));
    assert_eq!(d.joined(second).generation, 2);
}

#[test]
fn a_sync_during_a_rebalance_sends_the_member_back() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    d.join(&join("c"));
    let token = d.sync(&members[0], &[]);
    assert!(matches!(
        d.synced(token),
        Err(GroupError::RebalanceInProgress { .. })
    ));
}

#[test]
fn a_restart_keeps_members_generation_and_assignments() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    d.advance(9_000);
    d.restart();
    assert_eq!(d.group.state, GroupState::Stable);
    // Sessions start anew, so a member has its whole session again.
    d.advance(9_000);
    for member in &members {
        assert_eq!(d.heartbeat(&member.member_id, 1), Ok(()));
        let token = d.sync(member, &[]);
        assert_eq!(d.synced(token), Ok(bytes(&format!("for {}", member.member_id))));
    }
    assert_eq!(d.group.roster.leader(), Some(&members[0].leader));
    d.advance(10_000);
    assert_eq!(
        d.group.state,
        GroupState::Empty,
        "silent members die after a restart too"
    );
}
