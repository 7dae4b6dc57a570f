//! Offsets committed within transactions: held back, committed, dropped; who may; what must wait for them.

use super::*;
use crate::ids::TopicName;

fn fetch(d: &Driver, require_stable: bool) -> Result<Option<i64>, GroupError> {
    let request = FetchOffsetsRequest {
        group: "g".into(),
        topics: Some(vec![("t".into(), vec![0])]),
        require_stable,
    };
    let offset = d.group.fetch_offsets(&request).remove(0).partitions.remove(0).1;
    offset.map(|stored| stored.map(|stored| stored.offset.0))
}

fn committed(d: &Driver) -> Option<i64> {
    fetch(d, false).unwrap()
}

fn is_unstable(d: &Driver) -> bool {
    matches!(fetch(d, true), Err(GroupError::UnstableOffset { .. }))
}

#[test]
fn offsets_count_once_their_transaction_is_committed() {
    let mut d = Driver::new();
    let token = d.commit_in(1, -1, "", 5);
    assert_eq!(d.committed(token), Ok(vec![Ok(())]));
    assert_eq!(committed(&d), None);
    assert!(is_unstable(&d));
    d.restart();
    assert!(is_unstable(&d), "what is held back survives a restart");
    d.end(2, true);
    assert!(is_unstable(&d), "another producer's marker");
    d.end(1, true);
    assert_eq!(fetch(&d, true), Ok(Some(5)));
    d.end(1, false);
    assert_eq!(fetch(&d, true), Ok(Some(5)), "a second marker changes nothing");
    d.commit_in(1, -1, "", 9);
    d.end(1, false);
    assert_eq!(fetch(&d, true), Ok(Some(5)));
    assert_eq!(d.replayed(), *d.group.durable());
}

#[test]
fn of_several_commits_the_last_in_the_log_counts() {
    let mut d = Driver::new();
    d.commit_in(1, -1, "", 1);
    d.commit(-1, "", 2);
    assert!(is_unstable(&d), "until its marker is there");
    d.end(1, true);
    assert_eq!(fetch(&d, true), Ok(Some(2)), "the plain commit came later");
    d.commit(-1, "", 3);
    d.commit_in(1, -1, "", 4);
    d.end(1, true);
    assert_eq!(committed(&d), Some(4));
    d.commit_in(1, -1, "", 5);
    d.commit_in(2, -1, "", 6);
    d.end(2, true);
    d.end(1, true);
    assert_eq!(
        committed(&d),
        Some(6),
        "the first one's marker came later, its offset earlier"
    );
    d.commit_in(1, -1, "", 7);
    d.commit_in(1, -1, "", 8);
    d.end(1, true);
    assert_eq!(committed(&d), Some(8));
    assert_eq!(d.replayed(), *d.group.durable());
}

#[test]
fn who_may_commit_in_a_transaction() {
    let mut d = Driver::new();
    let a = d.stable(&["a"]).remove(0);
    let id = a.member_id.as_str();
    let refused = |d: &mut Driver, generation, member: &str| {
        let token = d.commit_in(1, generation, member, 1);
        d.committed(token).unwrap_err()
    };
    assert!(matches!(
        refused(&mut d, 2, id),
        GroupError::IllegalGeneration { .. }
    ));
    assert!(matches!(
        refused(&mut d, 1, "who"),
        GroupError::UnknownMember { .. }
    ));
    assert!(matches!(
        refused(&mut d, -1, id),
        GroupError::IllegalGeneration { .. }
    ));
    let token = d.commit_in(1, 1, id, 1);
    assert_eq!(d.committed(token), Ok(vec![Ok(())]));
    let token = d.commit_in(1, -1, "", 2);
    assert_eq!(
        d.committed(token),
        Ok(vec![Ok(())]),
        "an old producer knows no generation"
    );
    // All joined again, the assignment is awaited: a member's own commit has to wait, the producer's has not.
    let again = d.join(&rejoin("a", &a.member_id));
    d.advance(1);
    let generation = d.joined(again).generation;
    assert_eq!(d.group.state, GroupState::CompletingRebalance);
    let token = d.commit(generation, id, 3);
    assert!(matches!(
        d.committed(token),
        Err(GroupError::RebalanceInProgress { .. })
    ));
    let token = d.commit_in(1, generation, id, 3);
    assert_eq!(d.committed(token), Ok(vec![Ok(())]));
    let mut fenced = commit_in(1, generation, id, &[("t", 0, 1)]);
    fenced.instance = Some("i".into());
    let token = d.commit_in_with(&fenced);
    assert!(matches!(
        d.committed(token),
        Err(GroupError::UnknownInstance { .. })
    ));
}

#[test]
fn bad_offsets_are_refused_one_by_one() {
    let mut d = Driver::with(GroupConfig {
        offset_metadata_bytes_max: 3,
        offsets_per_group_max: 2,
        ..GroupConfig::default()
    });
    let mut request = commit_in(1, -1, "", &[("t", 0, 1), ("t", 1, 1)]);
    request.offsets[1].metadata = "long".into();
    let token = d.commit_in_with(&request);
    let results = d.committed(token).unwrap();
    assert_eq!(results[0], Ok(()));
    assert!(matches!(
        results[1],
        Err(GroupError::OffsetMetadataTooLarge { bytes: 4, .. })
    ));
    // Each producer's offset takes room of its own.
    d.commit_in(2, -1, "", 1);
    let token = d.commit_in(3, -1, "", 1);
    assert!(matches!(
        d.committed(token),
        Err(GroupError::TooMany { limit: 2, .. })
    ));
}

#[test]
fn a_group_lives_as_long_as_a_transaction_may_give_it_offsets() {
    const WEEK_MS: u64 = 7 * 86_400_000;
    let mut d = Driver::new();
    d.commit(-1, "", 1);
    d.commit_in(1, -1, "", 2);
    d.advance(2 * WEEK_MS);
    let now = d.now();
    d.group.expire_offsets(now);
    d.settle();
    assert_eq!(committed(&d), Some(1), "it is about to change");
    assert!(!d.group.is_disposable());
    d.end(1, false);
    let now = d.now();
    d.group.expire_offsets(now);
    d.settle();
    assert_eq!(committed(&d), None);
    assert!(d.group.is_disposable());
    // Nothing but an aborted transaction leaves nothing.
    let mut d = Driver::new();
    d.commit_in(1, -1, "", 2);
    assert!(!d.group.is_disposable());
    d.end(1, false);
    assert!(d.group.is_disposable());
}

#[test]
fn deletions_take_pending_offsets_along() {
    let delete_group: fn(&mut Driver, Token) = |d, token| d.group.handle_delete(token);
    let delete_offset: fn(&mut Driver, Token) = |d, token| {
        d.group
            .handle_delete_offsets(token, &[TopicPartition::new("t", 0)]);
    };
    let delete_topic: fn(&mut Driver, Token) = |d, token| {
        let gone = |name: &TopicName| name.as_str() == "t";
        assert!(d.group.knows(&gone));
        d.group.forget_topics(token, &gone);
    };
    for (deletes, what) in [
        (delete_group, "group"),
        (delete_offset, "offset"),
        (delete_topic, "topic"),
    ] {
        let mut d = Driver::new();
        d.commit_in(1, -1, "", 2);
        let token = d.token();
        deletes(&mut d, token);
        d.settle();
        assert!(!d.waits(token), "{what}");
        assert_eq!(fetch(&d, true), Ok(None), "{what}");
        d.end(1, true);
        assert_eq!(
            fetch(&d, true),
            Ok(None),
            "the marker does not bring back the {what}"
        );
        assert_eq!(d.replayed(), *d.group.durable());
    }
}

#[test]
fn a_refused_write_holds_nothing_back() {
    let mut d = Driver::new();
    d.hold_writes = true;
    let token = d.commit_in(1, -1, "", 1);
    let error = GroupError::Transaction {
        producer: ProducerId(1),
        error: kafka_protocol::ResponseError::InvalidTxnState,
        reason: "not part of it".to_owned(),
    };
    d.finish_write(Err(error.clone()));
    assert_eq!(d.committed(token), Err(error));
    assert_eq!(fetch(&d, true), Ok(None));
    assert!(d.group.is_disposable());
}

/// Three producers and plain commits at random, with restarts, against a list of what was written: the offset is that
/// of the last write in the log that counts.
#[test]
fn random_transactions_from_seeds() {
    for seed in 0..200_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % limit
        };
        let mut d = Driver::new();
        // What was written: offset, and the producer whose transaction is still open.
        let mut written: Vec<(i64, Option<i64>)> = Vec::new();
        for step in 1..200 {
            let producer = below(3) as i64;
            match below(10) {
                0..4 => {
                    d.commit_in(producer, -1, "", step);
                    written.push((step, Some(producer)));
                }
                4..6 => {
                    d.commit(-1, "", step);
                    written.push((step, None));
                }
                6 => {
                    d.end(producer, false);
                    written.retain(|(_, by)| *by != Some(producer));
                }
                7 | 8 => {
                    d.end(producer, true);
                    for (_, by) in written.iter_mut().filter(|(_, by)| *by == Some(producer)) {
                        *by = None;
                    }
                }
                _ => d.restart(),
            }
            if d.group.is_disposable() {
                // The shell forgets it and makes a new one.
                d.restart();
            }
            let last = written.iter().rev().find(|(_, by)| by.is_none());
            assert_eq!(
                committed(&d),
                last.map(|(offset, _)| *offset),
                "seed {seed}, step {step}"
            );
            let open = written.iter().any(|(_, by)| by.is_some());
            assert_eq!(is_unstable(&d), open, "seed {seed}, step {step}");
            assert_eq!(d.replayed(), *d.group.durable(), "seed {seed}, step {step}");
        }
    }
}
