//! Joining, dying, leaving, and who is turned away.

use super::*;

#[test]
fn three_members_make_one_generation_after_the_initial_delay() {
    let mut d = Driver::new();
    let a = d.join(&join("a"));
    let b = d.join(&join("b"));
    d.advance(2_999);
    let c = d.join(&join("c"));
    assert!(d.waits(a) && d.waits(b) && d.waits(c));
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
    // The delay was extended because members joined; then nobody came any more.
    d.advance(3_001);
    d.advance(3_000);
    let (a, b, c) = (d.joined(a), d.joined(b), d.joined(c));
    assert_eq!([a.generation, b.generation, c.generation], [1, 1, 1]);
    assert_eq!(a.leader, a.member_id, "the first one leads");
    assert_eq!(a.members.len(), 3);
    assert_eq!(a.members[1].metadata, bytes("b"));
    assert!(b.members.is_empty() && c.members.is_empty());
    assert_eq!(a.protocol.as_deref(), Some("range"));
    assert!(a.member_id.as_str().starts_with("a-") && a.member_id.as_str().len() == "a-".len() + 36);
    d.sync_all(&[a, b, c]);
}

#[test]
fn initial_delay_is_extended_up_to_the_rebalance_timeout() {
    let mut d = Driver::new();
    let short = |name: &str| JoinRequest {
        rebalance_timeout_ms: 8_000,
        ..join(name)
    };
    let first = d.join(&short("m0"));
    let mut others = Vec::new();
    for n in 1..=7 {
        d.advance(1_000);
        others.push(d.join(&short(&format!("m{n}"))));
        assert!(d.waits(first), "still gathering after {n} s");
    }
    d.advance(1_000);
    assert_eq!(d.joined(first).members.len(), 8);
}

#[test]
fn without_initial_delay_the_first_member_starts_at_once() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay_ms: 0,
        ..GroupConfig::default()
    });
    let a = d.join(&join("a"));
    d.advance(0);
    assert_eq!(d.joined(a).generation, 1);
}

#[test]
fn a_dead_member_causes_a_rebalance_without_it() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b", "c"]);
    let [a, b, c] = [&members[0], &members[1], &members[2]].map(|m| m.member_id.clone());
    d.advance(6_000);
    assert_eq!(d.heartbeat(&a, 1), Ok(()));
    assert_eq!(d.heartbeat(&b, 1), Ok(()));
    d.advance(4_001);
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
    assert!(matches!(
        d.heartbeat(&a, 1),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    assert!(matches!(
        d.heartbeat(&c, 1),
        Err(GroupError::UnknownMember { .. })
    ));
    let joins = [d.join(&rejoin("a", &a)), d.join(&rejoin("b", &b))];
    let joined: Vec<Joined> = joins.iter().map(|t| d.joined(*t)).collect();
    assert_eq!(joined[0].generation, 2);
    assert_eq!(joined[0].members.len(), 2);
    d.sync_all(&joined);
}

#[test]
fn a_leader_that_leaves_is_followed_by_another() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b"]);
    assert_eq!(
        d.leave(&[(members[0].member_id.as_str(), None)]),
        Ok(vec![Ok(())])
    );
    assert_eq!(d.group.state, GroupState::PreparingRebalance);
    let b = d.join(&rejoin("b", &members[1].member_id));
    let b = d.joined(b);
    assert_eq!((b.generation, &b.leader), (2, &members[1].member_id));
    d.sync_all(&[b]);
}

#[test]
fn the_last_member_that_leaves_empties_the_group_durably() {
    let mut d = Driver::new();
    let members = d.stable(&["a"]);
    assert_eq!(
        d.leave(&[(members[0].member_id.as_str(), None)]),
        Ok(vec![Ok(())])
    );
    assert_eq!(d.group.state, GroupState::Empty);
    let kept = d.replayed().metadata.unwrap();
    assert_eq!((kept.generation, kept.members.len(), kept.protocol), (2, 0, None));
    assert_eq!(&*kept.protocol_type, "consumer");
}

#[test]
fn leaving_in_a_batch_answers_each_member_and_rebalances_once() {
    let mut d = Driver::new();
    let members = d.stable(&["a", "b", "c"]);
    let (a, b) = (members[0].member_id.as_str(), members[1].member_id.as_str());
    let left = d
        .leave(&[(a, None), ("nobody", None), (b, None), ("", Some("no-instance"))])
        .unwrap();
    assert_eq!(left[0], Ok(()));
    assert!(matches!(left[1], Err(GroupError::UnknownMember { .. })));
    assert_eq!(left[2], Ok(()));
    assert!(matches!(left[3], Err(GroupError::UnknownInstance { .. })));
    assert_eq!(
        (d.group.state, d.group.member_count()),
        (GroupState::PreparingRebalance, 1)
    );
}

#[test]
fn new_clients_get_an_id_first_and_it_expires_if_unused() {
    let mut d = Driver::new();
    let first = JoinRequest {
        require_member_id: true,
        ..join("a")
    };
    let token = d.join(&first);
    let GroupError::MemberIdRequired { member_id } = d.join_error(token) else {
        panic!("an id is required");
    };
    assert_eq!((d.group.state, d.group.member_count()), (GroupState::Empty, 1));
    let joined = d.join(&JoinRequest {
        member_id: member_id.clone(),
        ..first.clone()
    });
    d.advance(3_000);
    assert_eq!(d.joined(joined).member_id, member_id);

    let token = d.join(&first);
    let GroupError::MemberIdRequired { member_id } = d.join_error(token) else {
        panic!("an id is required");
    };
    assert_eq!(d.group.member_count(), 2);
    d.advance(SESSION_MS as u64);
    assert!(!d.group.roster.pending.contains(&member_id));
    let late = d.join(&JoinRequest { member_id, ..first });
    assert!(matches!(d.join_error(late), GroupError::UnknownMember { .. }));
}

#[test]
fn a_rebalance_waits_for_a_pending_member_until_it_expires() {
    let mut d = Driver::new();
    let members = d.stable(&["a"]);
    let a = members[0].member_id.clone();
    d.join(&JoinRequest {
        require_member_id: true,
        ..join("b")
    });
    let again = d.join(&rejoin("a", &a));
    assert!(d.waits(again), "the pending member may still come");
    d.advance(SESSION_MS as u64);
    assert_eq!(d.joined(again).generation, 2);
}

#[test]
fn a_pending_member_that_leaves_does_not_disturb_the_group() {
    let mut d = Driver::new();
    d.stable(&["a"]);
    let token = d.join(&JoinRequest {
        require_member_id: true,
        ..join("b")
    });
    let GroupError::MemberIdRequired { member_id } = d.join_error(token) else {
        panic!("an id is required");
    };
    assert_eq!(d.leave(&[(member_id.as_str(), None)]), Ok(vec![Ok(())]));
    assert_eq!(d.group.state, GroupState::Stable);
}

#[test]
fn a_new_member_that_waits_too_long_is_turned_away() {
    let mut d = Driver::new();
    let members = d.stable(&["a"]);
    // Keep a rebalance open by a member with a very long rebalance timeout that never comes back.
    let a = members[0].member_id.clone();
    let long = JoinRequest {
        rebalance_timeout_ms: i32::MAX,
        ..rejoin("a", &a)
    };
    let token = d.join(&long);
    let a = d.joined(token);
    d.sync_all(std::slice::from_ref(&a));
    let b = d.join(&join("b"));
    for _ in 0..40 {
        d.advance(9_000);
        let _ = d.heartbeat(&a.member_id, a.generation);
    }
    assert!(matches!(d.join_error(b), GroupError::UnknownMember { .. }));
}

#[test]
fn protocols_must_fit_the_group() {
    let mut d = Driver::new();
    let none = d.join(&JoinRequest {
        protocols: Vec::new(),
        ..join("a")
    });
    let untyped = d.join(&JoinRequest {
        protocol_type: "".into(),
        ..join("a")
    });
    let a = d.join(&JoinRequest {
        protocols: protocols(&[("x", "1"), ("y", "2")]),
        ..join("a")
    });
    let other_type = d.join(&JoinRequest {
        protocol_type: "connect".into(),
        ..join("b")
    });
    let disjoint = d.join(&JoinRequest {
        protocols: protocols(&[("z", "")]),
        ..join("b")
    });
    for token in [none, untyped, other_type, disjoint] {
        assert!(matches!(
            d.join_error(token),
            GroupError::InconsistentProtocol { .. }
        ));
    }
    let b = d.join(&JoinRequest {
        protocols: protocols(&[("y", "3"), ("z", "")]),
        ..join("b")
    });
    d.advance(6_000);
    let (a, b) = (d.joined(a), d.joined(b));
    assert_eq!(a.protocol.as_deref(), Some("y"), "the only one that both support");
    assert_eq!(a.members[1].metadata, bytes("3"));
    assert_eq!(b.protocol.as_deref(), Some("y"));
}

#[test]
fn the_protocol_is_chosen_by_votes() {
    for (offers, chosen) in [
        (vec!["x y", "y x", "y x"], "y"),
        (vec!["x y", "y x", "x y"], "x"),
        (vec!["y x", "x y"], "x"),
        (vec!["z y x", "z x y", "x y"], "x"),
    ] {
        let mut d = Driver::new();
        let mut tokens = Vec::new();
        for (n, offer) in offers.iter().enumerate() {
            let list: Vec<(&str, &str)> = offer.split(' ').map(|name| (name, "")).collect();
            tokens.push(d.join(&JoinRequest {
                protocols: protocols(&list),
                ..join(&format!("m{n}"))
            }));
        }
        d.advance(9_000);
        assert_eq!(
            d.joined(tokens[0]).protocol.as_deref(),
            Some(chosen),
            "{offers:?}"
        );
    }
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut d = Driver::with(GroupConfig {
        members_per_group_max: 2,
        ..GroupConfig::default()
    });
    let members = d.stable(&["a", "b"]);
    let c = d.join(&join("c"));
    assert!(matches!(
        d.join_error(c),
        GroupError::GroupFull { members_max: 2, .. }
    ));
    let a = d.join(&rejoin("a", &members[0].member_id));
    assert!(d.waits(a), "its own members may come back");
}

#[test]
fn members_and_generations_are_checked() {
    let mut d = Driver::new();
    let members = d.stable(&["a"]);
    let a = members[0].clone();
    assert!(matches!(
        d.heartbeat(&"who".into(), 1),
        Err(GroupError::UnknownMember { .. })
    ));
    for generation in [0, 2, -1] {
        let expected = GroupError::IllegalGeneration {
            group: "g".into(),
            requested: generation,
            current: 1,
        };
        assert_eq!(d.heartbeat(&a.member_id, generation), Err(expected.clone()));
        let token = d.sync(
            &Joined {
                generation,
                ..a.clone()
            },
            &[],
        );
        assert_eq!(d.synced(token), Err(expected));
    }
    let request = |protocol_type: Option<&str>, protocol: Option<&str>| SyncRequest {
        group: "g".into(),
        generation: 1,
        member_id: a.member_id.clone(),
        instance: None,
        protocol_type: protocol_type.map(Into::into),
        protocol: protocol.map(Into::into),
        assignments: Vec::new(),
    };
    for (protocol_type, protocol, ok) in [
        (Some("consumer"), Some("range"), true),
        (None, None, true),
        (Some("connect"), Some("range"), false),
        (Some("consumer"), Some("sticky"), false),
    ] {
        let token = d.sync_with(&request(protocol_type, protocol));
        assert_eq!(d.synced(token).is_ok(), ok, "{protocol_type:?} {protocol:?}");
    }
}
