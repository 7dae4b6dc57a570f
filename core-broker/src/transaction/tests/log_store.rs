//! The state of transactions in a real data directory, over restarts without a clean shutdown.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::StartError;
use crate::broker::BrokerState;
use crate::builder;
use crate::config::BrokerConfig;
use crate::log::{LogOptions, OpenError, SystemClock};
use crate::topic::{Overrides, internal};

/// Opens the directory as soon as the last task of an earlier broker has let go of it.
async fn open(dir: &Path) -> Arc<BrokerState> {
    let config = BrokerConfig {
        offsets_topic_num_partitions: 1,
        transaction_state_log_num_partitions: 1,
        ..BrokerConfig::default()
    };
    for _ in 0..500 {
        let opened = builder::open(
            dir.to_owned(),
            Arc::new(config.clone()),
            LogOptions::default(),
            Arc::new(SystemClock),
            config.listeners.clone(),
            &tokio::runtime::Handle::current(),
        );
        match opened {
            Err(StartError::Open(OpenError::Locked { .. })) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return opened.unwrap_or_else(|error| panic!("{error}")),
        }
    }
    panic!("a dropped broker keeps its directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (open_one, done, kept) = {
        let broker = open(dir.path()).await;
        let transactions = &broker.transactions;
        transactions.prepare().await.unwrap();
        broker.groups.prepare().await.unwrap();
        let topic = broker.topics.create("t", Some(2), Overrides::new()).unwrap();
        let begin = async |id: &str| {
            let request = InitializeRequest {
                timeout_ms: 600_000,
                ..request(id)
            };
            let by = named(id, transactions.initialize(&request).await.unwrap());
            let offsets = TopicPartition::new(internal::CONSUMER_OFFSETS, 0);
            // The last one does not exist, as if it had been deleted.
            let partitions = [partition(0), partition(1), offsets, partition(9)];
            transactions.add_partitions(&by, &partitions).await.unwrap();
            by
        };
        let (open_one, done) = (begin("open").await, begin("done").await);
        let kept = named("kept", transactions.initialize(&request("kept")).await.unwrap());
        transactions.end(&done, true).await.unwrap();
        transactions.flush().await;
        let ends: Vec<i64> = topic.partitions().iter().map(|p| p.high_watermark().0).collect();
        assert_eq!(ends, [1, 1]);
        let offsets = broker.topics.get(internal::CONSUMER_OFFSETS).unwrap();
        assert_eq!(offsets.partition(0).unwrap().high_watermark().0, 1);
        (open_one, done, kept)
    };
    // Dropped without a shutdown, so the directory is not marked clean.
    let broker = open(dir.path()).await;
    let transactions = &broker.transactions;
    assert_eq!(transactions.open_count(), 1);
    let described = |id: &str| transactions.describe(id).unwrap();
    assert_eq!(described("open").partitions.len(), 4);
    assert_eq!(described("done").state, TransactionState::CompleteCommit);
    assert_eq!(described("kept").producer_id, kept.id);
    assert_eq!(transactions.end(&done, true).await, Ok(()));
    let verified = transactions.verify_now("open", open_one.id, open_one.epoch, &partition(1));
    assert_eq!(verified, Ok(()));
    transactions.end(&open_one, false).await.unwrap();
    transactions.flush().await;
    let topic = broker.topics.get("t").unwrap();
    assert_eq!(topic.partition(1).unwrap().high_watermark().0, 2);
    assert_eq!(transactions.open_count(), 0);
    // Ids given before the crash are not given again.
    let fresh = transactions.initialize(&request("fresh")).await.unwrap();
    assert!(fresh.0 > kept.id.max(done.id));
    let config = broker.topics.get(internal::TRANSACTION_STATE).unwrap();
    assert!(config.internal && config.partitions().len() == 1);
}
