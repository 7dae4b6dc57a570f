//! The shell with tokio's time standing still unless somebody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::group::message::*;
use crate::group::names::MemberId;
use crate::group::tests::memory_log::{MemoryLog, TestClock};
use crate::group::tests::{commit, commit_in, join, join_static, rejoin};
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};

fn start(log: &Arc<MemoryLog>, config: GroupConfig) -> Arc<GroupManager> {
    GroupManager::start(log.clone(), config, TestClock::new()).unwrap()
}

fn committed(manager: &GroupManager, group: &str, topic: &str) -> Option<i64> {
    let request = FetchOffsetsRequest {
        group: group.into(),
        topics: Some(vec![(topic.into(), vec![0])]),
        require_stable: false,
    };
    let topics = manager.fetch_offsets(&request).unwrap();
    topics[0].partitions[0]
        .1
        .as_ref()
        .unwrap()
        .as_ref()
        .map(|stored| stored.offset.0)
}

fn heartbeat(member: &Joined) -> HeartbeatRequest {
    HeartbeatRequest {
        group: "g".into(),
        generation: member.generation,
        member_id: member.member_id.clone(),
        instance: None,
    }
}

fn sync(member: &Joined, assignments: &[(&MemberId, &'static str)]) -> SyncRequest {
    SyncRequest {
        group: "g".into(),
        generation: member.generation,
        member_id: member.member_id.clone(),
        instance: None,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, a)| ((*id).clone(), a.as_bytes().into()))
            .collect(),
    }
}

/// Two members, stable, with the assignments "one" and "two".
async fn stable(manager: &GroupManager) -> (Joined, Joined) {
    let (a, b) = tokio::join!(manager.join(join("a")), manager.join(join("b")));
    let (a, b) = (a.unwrap(), b.unwrap());
    let (leader, follower) = if a.leader == a.member_id { (a, b) } else { (b, a) };
    let assignments = [(&leader.member_id, "one"), (&follower.member_id, "two")];
    let (one, two) = tokio::join!(
        manager.sync(sync(&leader, &assignments)),
        manager.sync(sync(&follower, &[]))
    );
    assert_eq!(one.unwrap().assignment, "one");
    assert_eq!(two.unwrap().assignment, "two");
    (leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_group_lives_and_survives_a_kill() {
    let log = MemoryLog::new(50);
    let manager = start(&log, GroupConfig::default());
    let (leader, follower) = stable(&manager).await;
    let request = commit(1, leader.member_id.as_str(), &[("t", 0, 42)]);
    assert_eq!(manager.commit(request).await, Ok(vec![Ok(())]));
    drop(manager);

    let manager = start(&log, GroupConfig::default());
    assert_eq!(committed(&manager, "g", "t"), Some(42));
    assert_eq!(manager.heartbeat(&heartbeat(&follower)), Ok(()));
    assert_eq!(
        manager.sync(sync(&follower, &[])).await.unwrap().assignment,
        "two"
    );
    let description = manager.describe(&"g".into()).unwrap().unwrap();
    assert_eq!(
        (description.state, description.members.len()),
        (GroupState::Stable, 2)
    );
    // The timers run: nobody is heard of, so the group empties.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let description = manager.describe(&"g".into()).unwrap().unwrap();
    assert_eq!(
        (description.state, description.members.len()),
        (GroupState::Empty, 0)
    );
    assert!(matches!(
        manager.heartbeat(&heartbeat(&leader)),
        Err(GroupError::UnknownMember { .. })
    ));
    assert_eq!(manager.members.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_members_in_past_the_deadline_the_timer_knows() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    let (leader, follower) = stable(&manager).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(manager.heartbeat(&heartbeat(&leader)), Ok(()));
        assert_eq!(manager.heartbeat(&heartbeat(&follower)), Ok(()));
    }
    assert_eq!(manager.deadlines().len(), 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(manager.heartbeat(&heartbeat(&leader)), Ok(()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(
        manager.heartbeat(&heartbeat(&leader)),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    let again = manager.join(rejoin("a", &leader.member_id)).await.unwrap();
    assert_eq!((again.generation, again.members.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_or_seen_before_it_is_durable() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    log.gate.forget_permits(usize::MAX);
    let mut commits = Vec::new();
    for offset in 1..=100 {
        let manager = manager.clone();
        commits.push(tokio::spawn(async move {
            manager.commit(commit(-1, "", &[("t", 0, offset)])).await
        }));
        if offset == 1 {
            // The first one is on its way to the disk alone.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(commits.iter().all(|commit| !commit.is_finished()));
    assert_eq!(committed(&manager, "g", "t"), None);
    log.gate.add_permits(2);
    for commit in commits {
        assert_eq!(commit.await.unwrap(), Ok(vec![Ok(())]));
    }
    assert_eq!(
        committed(&manager, "g", "t"),
        Some(100),
        "in the order of the requests"
    );
    assert_eq!(
        log.appends.load(Ordering::Relaxed),
        2,
        "what waits is written together"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_refuses_the_commit_and_leaves_no_group() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    log.failures.store(1, Ordering::Relaxed);
    let result = manager.commit(commit(-1, "", &[("t", 0, 1)])).await;
    assert!(matches!(result, Err(GroupError::Storage { .. })));
    assert_eq!(manager.describe(&"g".into()), Ok(None));
    assert_eq!(manager.groups.load(Ordering::Relaxed), 0);
    assert_eq!(
        manager.commit(commit(-1, "", &[("t", 0, 1)])).await,
        Ok(vec![Ok(())])
    );
}

#[tokio::test(start_paused = true)]
async fn groups_members_and_writes_are_bounded() {
    let config = GroupConfig {
        groups_max: 1,
        members_max: 2,
        writes_waiting_max: 2,
        ..GroupConfig::default()
    };
    let log = MemoryLog::new(1);
    let manager = start(&log, config);
    stable(&manager).await;
    let other = manager
        .commit(CommitRequest {
            group: "h".into(),
            ..commit(-1, "", &[("t", 0, 1)])
        })
        .await;
    assert!(matches!(
        other,
        Err(GroupError::TooMany {
            what: "groups",
            limit: 1,
            ..
        })
    ));
    assert_eq!(
        manager.shard(0).requests_waiting(),
        0,
        "nobody waits for an answer"
    );
    let member = manager.join(join("c")).await;
    assert!(matches!(
        member,
        Err(GroupError::TooMany {
            what: "group members",
            limit: 2,
            ..
        })
    ));

    manager.leave(&leave_all(&manager)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.gate.forget_permits(usize::MAX);
    let commits: Vec<_> = (0..3)
        .map(|offset| {
            let manager = manager.clone();
            tokio::spawn(async move { manager.commit(commit(-1, "", &[("t", 0, offset)])).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.gate.add_permits(5_000);
    let mut refused = 0;
    for commit in commits {
        refused += usize::from(matches!(
            commit.await.unwrap(),
            Err(GroupError::Overloaded { .. })
        ));
    }
    assert!(refused > 0);
}

fn leave_all(manager: &GroupManager) -> LeaveRequest {
    let members = manager
        .describe(&"g".into())
        .unwrap()
        .unwrap()
        .members
        .into_iter();
    let members = members
        .map(|m| LeavingMember {
            member_id: m.member_id,
            instance: None,
        })
        .collect();
    LeaveRequest {
        group: "g".into(),
        members,
    }
}

#[tokio::test(start_paused = true)]
async fn requests_out_of_bounds_are_refused() {
    let manager = start(&MemoryLog::new(1), GroupConfig::default());
    for (request, expected) in [
        (
            JoinRequest {
                group: "".into(),
                ..join("a")
            },
            "group id of 0 bytes",
        ),
        (
            JoinRequest {
                group: "x".repeat(4_097).into(),
                ..join("a")
            },
            "group id of 4097 bytes",
        ),
        (
            JoinRequest {
                session_timeout_ms: 5_999,
                ..join("a")
            },
            "session timeout 5999 ms",
        ),
        (
            JoinRequest {
                session_timeout_ms: 1_800_001,
                ..join("a")
            },
            "session timeout 1800001 ms",
        ),
        (
            JoinRequest {
                protocol_type: "x".repeat(1_025).into(),
                ..join("a")
            },
            "protocol type length is 1025",
        ),
        (join_static("a", &"x".repeat(1_025)), "instance id length is 1025"),
        (
            JoinRequest {
                protocols: vec![protocol("p", (1 << 20) + 1)],
                ..join("a")
            },
            "member metadata size is 1048577",
        ),
        (
            JoinRequest {
                protocols: vec![protocol("p", 0); 101],
                ..join("a")
            },
            "protocol count is 101",
        ),
    ] {
        let error = manager.join(request).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(manager.list().is_empty());
    let long = JoinRequest {
        require_member_id: true,
        ..join(&"ä".repeat(1_000))
    };
    let GroupError::MemberIdRequired { member_id } = manager.join(long).await.unwrap_err() else {
        panic!("an id is required");
    };
    assert_eq!(member_id.as_str().len(), 1_024 + 37);
}

fn protocol(name: &str, bytes: usize) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: vec![0; bytes].into(),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_to_groups_that_do_not_exist() {
    let manager = start(&MemoryLog::new(1), GroupConfig::default());
    let unknown = manager.join(rejoin("a", &"who".into())).await;
    assert!(matches!(unknown, Err(GroupError::UnknownMember { .. })));
    let committed = manager.commit(commit(1, "who", &[])).await;
    assert!(matches!(committed, Err(GroupError::IllegalGeneration { .. })));
    assert!(matches!(
        manager.delete(&"g".into()).await,
        Err(GroupError::NotFound { .. })
    ));
    let deleted = manager
        .delete_offsets(&"g".into(), &[TopicPartition::new("t", 0)])
        .await;
    assert!(matches!(deleted, Err(GroupError::NotFound { .. })));
    let left = manager.leave(&LeaveRequest {
        group: "g".into(),
        members: vec![LeavingMember {
            member_id: "who".into(),
            instance: None,
        }],
    });
    assert!(matches!(left.unwrap()[0], Err(GroupError::UnknownMember { .. })));
    assert_eq!(self::committed(&manager, "g", "t"), None);
    assert!(manager.list().is_empty());
    // An id that is given out but never used leaves nothing behind.
    let first = JoinRequest {
        require_member_id: true,
        ..join("a")
    };
    assert!(matches!(
        manager.join(first).await,
        Err(GroupError::MemberIdRequired { .. })
    ));
    assert_eq!(manager.list().len(), 1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(manager.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn deleted_groups_stay_deleted() {
    let log = MemoryLog::new(3);
    let manager = start(&log, GroupConfig::default());
    for group in ["g", "h", "i"] {
        manager
            .commit(CommitRequest {
                group: group.into(),
                ..commit(-1, "", &[("t", 0, 1)])
            })
            .await
            .unwrap();
    }
    assert_eq!(manager.delete(&"h".into()).await, Ok(()));
    manager.forget_topic(&"t".into()).await.unwrap();
    assert!(manager.list().is_empty());
    assert!(start(&log, GroupConfig::default()).list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_unknown_topics_are_dropped() {
    let log = MemoryLog::new(3);
    let manager = start(&log, GroupConfig::default());
    let offsets = [("t", 0, 1), ("gone", 0, 1), ("gone", 1, 1)];
    manager.commit(commit(-1, "", &offsets)).await.unwrap();
    let again = start(&log, GroupConfig::default());
    again.forget_unknown_topics(|name| name.as_str() == "t");
    again.flush().await;
    for manager in [again, start(&log, GroupConfig::default())] {
        assert_eq!(committed(&manager, "g", "t"), Some(1));
        assert_eq!(committed(&manager, "g", "gone"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn old_offsets_are_looked_for_from_time_to_time() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    manager.commit(commit(-1, "", &[("t", 0, 1)])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7 * 86_400 - 3_600)).await;
    assert_eq!(manager.list().len(), 1);
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert!(manager.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn shutdown_turns_everybody_away() {
    let manager = start(&MemoryLog::new(1), GroupConfig::default());
    let waiting = tokio::spawn({
        let manager = manager.clone();
        async move { manager.join(join("a")).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    manager.shutdown();
    assert_eq!(waiting.await.unwrap(), Err(GroupError::NotAvailable));
    assert_eq!(manager.join(join("b")).await, Err(GroupError::NotAvailable));
    let weak = Arc::downgrade(&manager);
    drop(manager);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(weak.upgrade().is_none(), "no task keeps the manager");
}

#[tokio::test]
async fn a_corrupt_record_stops_the_start() {
    let log = MemoryLog::new(2);
    log.push(1, &[0, 3, 1], Some(b"of a kind that is not kept"));
    assert!(GroupManager::start(log.clone(), GroupConfig::default(), TestClock::new()).is_ok());
    log.push(1, &[0, 2, 0, 9], None);
    let error = GroupManager::start(log, GroupConfig::default(), TestClock::new()).unwrap_err();
    assert!(
        matches!(error, GroupError::Corrupt { partition: 1, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_groups_at_once() {
    let log = MemoryLog::new(7);
    let config = GroupConfig {
        initial_rebalance_delay_ms: 5,
        ..GroupConfig::default()
    };
    let manager = start(&log, config);
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let manager = manager.clone();
            tokio::spawn(async move {
                let group: GroupId = format!("group-{n}").into();
                let joined = manager
                    .join(JoinRequest {
                        group: group.clone(),
                        ..join("a")
                    })
                    .await
                    .unwrap();
                let request = SyncRequest {
                    group: group.clone(),
                    ..sync(&joined, &[(&joined.member_id, "x")])
                };
                assert_eq!(manager.sync(request).await.unwrap().assignment, "x");
                for offset in 0..50 {
                    let request = commit(1, joined.member_id.as_str(), &[("t", 0, offset)]);
                    manager
                        .commit(CommitRequest {
                            group: group.clone(),
                            ..request
                        })
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let restarted = start(&log, GroupConfig::default());
    for n in 0..64 {
        assert_eq!(committed(&restarted, &format!("group-{n}"), "t"), Some(49));
    }
    assert_eq!(restarted.members.load(Ordering::Relaxed), 64);
}

#[tokio::test(start_paused = true)]
async fn a_marker_comes_behind_what_was_written_before_it() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    log.gate.forget_permits(usize::MAX);
    let commits: Vec<_> = [(1, 5), (1, 6), (2, 7), (1, 8)]
        .into_iter()
        .map(|(producer, offset)| {
            let manager = manager.clone();
            let request = commit_in(producer, -1, "", &[("t", 0, offset)]);
            tokio::spawn(async move { manager.commit_transactional(request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = tokio::spawn({
        let manager = manager.clone();
        async move { manager.complete_transaction(0, marker(1, true)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!ended.is_finished());
    log.gate.add_permits(5_000);
    assert_eq!(ended.await.unwrap(), Ok(()));
    for commit in commits {
        assert_eq!(commit.await.unwrap(), Ok(vec![Ok(())]));
    }
    assert_eq!(committed(&manager, "g", "t"), Some(8));
    assert!(
        (4..=5).contains(&log.appends.load(Ordering::Relaxed)),
        "each batch is of one transaction"
    );
    assert_eq!(manager.complete_transaction(0, marker(2, true)).await, Ok(()));
    for manager in [manager, start(&log, GroupConfig::default())] {
        assert_eq!(committed(&manager, "g", "t"), Some(8));
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_was_not_written_changes_nothing() {
    let log = MemoryLog::new(1);
    let manager = start(&log, GroupConfig::default());
    let request = commit_in(1, -1, "", &[("t", 0, 5)]);
    assert_eq!(manager.commit_transactional(request).await, Ok(vec![Ok(())]));
    assert_eq!(manager.list().len(), 1);
    log.failures.store(1, Ordering::Relaxed);
    let failed = manager.complete_transaction(0, marker(1, false)).await;
    assert!(matches!(failed, Err(GroupError::Storage { .. })));
    assert_eq!(manager.list().len(), 1);
    assert_eq!(manager.complete_transaction(0, marker(1, false)).await, Ok(()));
    assert!(manager.list().is_empty(), "nothing is left of the group");
    assert_eq!(manager.groups.load(Ordering::Relaxed), 0);
    let refused = manager.commit_transactional(commit_in(1, 3, "who", &[])).await;
    assert!(matches!(refused, Err(GroupError::IllegalGeneration { .. })));
    manager.shutdown();
    let late = manager.complete_transaction(0, marker(1, true)).await;
    assert_eq!(late, Err(GroupError::NotAvailable));
}

fn marker(producer: i64, commit: bool) -> TransactionMarker {
    TransactionMarker {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        commit,
        coordinator_epoch: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_bounded() {
    let manager = start(&MemoryLog::new(3), GroupConfig::default());
    for group in ["g", "h"] {
        let request = commit(-1, "", &[("t", 0, 7), ("t", 1, 8)]);
        let group = group.into();
        manager.commit(CommitRequest { group, ..request }).await.unwrap();
    }
    let all = manager.snapshot(10);
    assert_eq!((all.offsets.len(), all.offsets_total, all.members), (4, 4, 0));
    assert_eq!(
        all.states.into_iter().collect::<Vec<_>>(),
        [(GroupState::Empty, 2)]
    );
    let some = manager.snapshot(3);
    assert_eq!((some.offsets.len(), some.offsets_total), (3, 4));
}
