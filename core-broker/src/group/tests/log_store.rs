//! Group state in a real data directory, over restarts without a clean shutdown.

use std::path::Path;
use std::time::Duration;

use super::memory_log::TestClock;
use super::*;
use crate::config::BrokerConfig;
use crate::group::{GroupId, GroupManager, LogStore};
use crate::log::{LogDir, LogOptions, OpenError};
use crate::topic::TopicRegistry;

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
    let topics = TopicRegistry::open(Arc::new(logs), broker).unwrap();
    let store = LogStore::new(Arc::new(topics), TestClock::new());
    let config = GroupConfig {
        initial_rebalance_delay_ms: 20,
        ..GroupConfig::default()
    };
    GroupManager::start(Arc::new(store), config, TestClock::new()).unwrap()
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
            assert_eq!(offsets[0].partitions[0].1.as_ref().unwrap().offset.0, n as i64);
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
