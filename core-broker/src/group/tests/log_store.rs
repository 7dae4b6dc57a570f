//! Group state in a real data directory, over restarts without a clean shutdown.

use std::path::Path;
use std::time::Duration;

use super::memory_log::TestClock;
use super::*;
use crate::config::{BrokerConfig, LiveConfig};
use crate::group::{GroupId, GroupManager, LogStore, TransactionVerifier};
use crate::log::{LogDir, LogOptions, OpenError};
use crate::topic::TopicRegistry;
use crate::transaction::TransactionMarker;

/// Opens the directory as soon as the last task of an earlier manager has let go of it.
async fn open(dir: &Path, broker: &BrokerConfig) -> LogDir {
    for _ in 0..500 {
        match LogDir::open(dir, LogOptions::default(), |_| broker.log_config()) {
            Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("a dropped manager keeps its directory");
}

async fn start(dir: &Path) -> Arc<GroupManager> {
    let broker = Arc::new(BrokerConfig {
        offsets_topic_num_partitions: 3,
        ..BrokerConfig::default()
    });
    let logs = open(dir, &broker).await;
    let topics =
        TopicRegistry::open(Arc::new(logs), Arc::new(LiveConfig::open(broker, None).unwrap())).unwrap();
    let store = LogStore::new(Arc::new(topics), TestClock::new());
    store.verify_with(Arc::new(OnlyTx1));
    let config = GroupConfig {
        initial_rebalance_delay_ms: 20,
        ..GroupConfig::default()
    };
    GroupManager::start(Arc::new(store), config, TestClock::new()).unwrap()
}

/// Knows of one transaction.
struct OnlyTx1;

impl TransactionVerifier for OnlyTx1 {
    fn verify(
        &self,
        producer: &TransactionalProducer,
        partition: &TopicPartition,
    ) -> Result<(), (kafka_protocol::ResponseError, String)> {
        assert_eq!(partition.topic.as_str(), "__consumer_offsets");
        match &*producer.transactional_id {
            "tx-1" => Ok(()),
            _ => Err((
                kafka_protocol::ResponseError::ConcurrentTransactions,
                "busy".to_owned(),
            )),
        }
    }
}

fn in_group(group: &str) -> JoinRequest {
    JoinRequest {
        group: group.into(),
        ..join("a")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let groups: Vec<String> = (0..5).map(|n| format!("group-{n}")).collect();
    let mut members = Vec::new();
    {
        let manager = start(dir.path()).await;
        assert!(manager.list().is_empty());
        for (n, name) in groups.iter().enumerate() {
            let joined = manager.join(in_group(name)).await.unwrap();
            let sync = SyncRequest {
                group: name.as_str().into(),
                generation: joined.generation,
                member_id: joined.member_id.clone(),
                instance: None,
                protocol_type: None,
                protocol: None,
                assignments: vec![(joined.member_id.clone(), bytes(name))],
            };
            assert_eq!(manager.sync(sync.clone()).await.unwrap().assignment, bytes(name));
            let offsets = [("t", 0, n as i64), ("t", 1, 7)];
            let request = CommitRequest {
                group: name.as_str().into(),
                ..commit(1, joined.member_id.as_str(), &offsets)
            };
            assert_eq!(manager.commit(request).await, Ok(vec![Ok(()), Ok(())]));
            members.push(sync);
        }
    }
    // Dropped without a shutdown, so the directory is not marked clean.
    for round in 0..2 {
        let manager = start(dir.path()).await;
        assert_eq!(manager.list().len(), 5 - round);
        for (n, sync) in members.iter().enumerate().skip(round) {
            let heartbeat = HeartbeatRequest {
                group: sync.group.clone(),
                generation: 1,
                member_id: sync.member_id.clone(),
                instance: None,
            };
            assert_eq!(manager.heartbeat(&heartbeat), Ok(()));
            let again = SyncRequest {
                assignments: Vec::new(),
                ..sync.clone()
            };
            assert_eq!(manager.sync(again).await.unwrap().assignment, bytes(&groups[n]));
            let request = FetchOffsetsRequest {
                group: sync.group.clone(),
                topics: None,
                require_stable: false,
            };
            let offsets = manager.fetch_offsets(&request).unwrap();
            assert_eq!(
                offsets[0].partitions[0]
                    .1
                    .as_ref()
                    .unwrap()
                    .as_ref()
                    .unwrap()
                    .offset
                    .0,
                n as i64
            );
        }
        if round == 0 {
            let group = GroupId::from(groups[0].as_str());
            let leave = LeaveRequest {
                group: group.clone(),
                members: vec![LeavingMember {
                    member_id: members[0].member_id.clone(),
                    instance: None,
                }],
            };
            assert_eq!(manager.leave(&leave), Ok(vec![Ok(())]));
            assert_eq!(manager.delete(&group).await, Ok(()));
        }
    }
}

fn stable_offset(manager: &GroupManager) -> Result<Option<i64>, GroupError> {
    let request = FetchOffsetsRequest {
        group: "g".into(),
        topics: Some(vec![("t".into(), vec![0])]),
        require_stable: true,
    };
    let offset = manager.fetch_offsets(&request)?.remove(0).partitions.remove(0).1;
    offset.map(|stored| stored.map(|stored| stored.offset.0))
}

fn marker(producer: i64, epoch: i16, commit: bool) -> TransactionMarker {
    TransactionMarker {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        commit,
        coordinator_epoch: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_survive_a_crash_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let manager = start(dir.path()).await;
    let partition = manager.partition_for("g");
    let refused = manager
        .commit_transactional(commit_in(2, -1, "", &[("t", 0, 1)]))
        .await;
    assert_eq!(
        refused.unwrap_err().response_error(),
        kafka_protocol::ResponseError::CoordinatorLoadInProgress
    );
    for offset in [6, 7] {
        let committed = manager
            .commit_transactional(commit_in(1, -1, "", &[("t", 0, offset)]))
            .await;
        assert_eq!(committed, Ok(vec![Ok(())]));
    }
    drop(manager);

    let manager = start(dir.path()).await;
    assert!(matches!(
        stable_offset(&manager),
        Err(GroupError::UnstableOffset { .. })
    ));
    assert_eq!(
        manager.complete_transaction(partition, marker(1, 0, true)).await,
        Ok(())
    );
    assert_eq!(stable_offset(&manager), Ok(Some(7)));
    drop(manager);

    let manager = start(dir.path()).await;
    assert_eq!(stable_offset(&manager), Ok(Some(7)));
    let mut next = commit_in(1, -1, "", &[("t", 0, 9)]);
    next.producer.epoch = ProducerEpoch(1);
    assert_eq!(manager.commit_transactional(next.clone()).await, Ok(vec![Ok(())]));
    assert_eq!(
        manager.complete_transaction(partition, marker(1, 1, false)).await,
        Ok(())
    );
    next.producer.epoch = ProducerEpoch(0);
    assert_eq!(
        manager
            .commit_transactional(next)
            .await
            .unwrap_err()
            .response_error(),
        kafka_protocol::ResponseError::InvalidProducerEpoch
    );
    drop(manager);

    let manager = start(dir.path()).await;
    assert_eq!(stable_offset(&manager), Ok(Some(7)), "aborted offsets vanish");
    let nowhere = manager.complete_transaction(3, marker(1, 1, true)).await;
    assert!(matches!(nowhere, Err(GroupError::UnknownTopic { .. })));
}
