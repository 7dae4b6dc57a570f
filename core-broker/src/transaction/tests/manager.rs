//! The manager over a log in memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::time::Instant;

use super::memory::{Disk, Life, TestClock, start};
use super::*;

struct Fixture {
    disk: Arc<Disk>,
    life: Arc<Life>,
    clock: Arc<TestClock>,
    manager: Arc<TransactionManager>,
}

fn fixture_with(config: TransactionConfig) -> Fixture {
    let disk = Arc::new(Disk::default());
    let life = Life::new(&disk, 1);
    let clock = Arc::new(TestClock(Instant::now()));
    let manager = start(&life, &clock, config);
    Fixture {
        disk,
        life,
        clock,
        manager,
    }
}

fn fixture() -> Fixture {
    fixture_with(TransactionConfig::default())
}

impl Fixture {
    /// The process dies, and another one begins.
    fn crash(&mut self) {
        self.life.kill();
        self.life = Life::new(&self.disk, 2);
        self.manager = start(&self.life, &self.clock, TransactionConfig::default());
    }

    async fn settled(&self) {
        self.manager.flush().await;
    }

    async fn begin(&self, id: &str) -> TransactionalProducer {
        let by = named(id, self.manager.initialize(&request(id)).await.unwrap());
        let partitions = [partition(0), partition(1)];
        self.manager.add_partitions(&by, &partitions).await.unwrap();
        by
    }

    fn state(&self, id: &str) -> Option<TransactionState> {
        self.manager.describe(id).map(|known| known.state)
    }
}

fn code<T>(result: Result<T, TransactionError>) -> Option<ResponseError> {
    result.err().map(|error| error.response_error())
}

#[tokio::test(start_paused = true)]
async fn every_partition_gets_its_marker_and_the_next_transaction_may_begin() {
    let f = fixture();
    for round in 0..2 {
        let by = f.begin("a").await;
        assert_eq!(f.manager.open_count(), 1);
        let verified = f.manager.verify("a", by.id, by.epoch, &partition(1)).await;
        assert_eq!(verified, Ok(()));
        f.manager.end(&by, true).await.unwrap();
        f.settled().await;
        for index in 0..2 {
            let markers = f.disk.markers(&partition(index));
            assert_eq!((markers.len(), markers[round].commit), (round + 1, true));
            assert_eq!(markers[round].producer_epoch, ProducerEpoch(round as i16));
        }
        assert_eq!(f.state("a"), Some(TransactionState::CompleteCommit));
        assert_eq!(f.manager.open_count(), 0);
        // A retry of the producer whose answer got lost.
        assert_eq!(f.manager.end(&by, true).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_answered_before_the_markers_and_outlives_a_crash() {
    for commit in [true, false] {
        let mut f = fixture();
        f.life.gate.forget_permits(usize::MAX);
        let by = f.begin("a").await;
        // One marker gets through before the crash.
        f.life.gate.add_permits(1);
        f.manager.end(&by, commit).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(f.state("a").unwrap().is_prepared());
        assert_eq!(f.manager.open_count(), 1);
        let refused = f.manager.add_partitions(&by, &[partition(2)]).await;
        assert_eq!(code(refused), Some(ResponseError::ConcurrentTransactions));
        let refused = f.manager.initialize(&request("a")).await;
        assert_eq!(code(refused), Some(ResponseError::ConcurrentTransactions));
        f.crash();
        f.settled().await;
        let counts = [0, 1].map(|index| f.disk.markers(&partition(index)).len());
        assert_eq!(counts.iter().sum::<usize>(), 3);
        for index in 0..2 {
            assert!(
                f.disk
                    .markers(&partition(index))
                    .iter()
                    .all(|m| m.commit == commit)
            );
        }
        assert_eq!(f.manager.open_count(), 0);
        assert_eq!(f.manager.end(&by, commit).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_tried_again_or_refused() {
    let f = fixture();
    let by = f.begin("a").await;
    f.life.failing.store(1_000, Ordering::SeqCst);
    let refused = Some(ResponseError::CoordinatorNotAvailable);
    assert_eq!(code(f.manager.end(&by, true).await), refused);
    assert_eq!(code(f.manager.initialize(&request("b")).await), refused);
    assert_eq!(f.manager.describe("b"), None);
    assert_eq!(f.state("a"), Some(TransactionState::Ongoing));
    f.life.failing.store(0, Ordering::SeqCst);
    f.life.gate.forget_permits(usize::MAX);
    f.manager.end(&by, true).await.unwrap();
    // Now nothing can be written for a while.
    f.life.failing.store(1_000, Ordering::SeqCst);
    f.life.gate.add_permits(1 << 20);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(f.state("a"), Some(TransactionState::PrepareCommit));
    f.life.failing.store(0, Ordering::SeqCst);
    f.settled().await;
    assert_eq!(f.state("a"), Some(TransactionState::CompleteCommit));
    assert_eq!(f.disk.markers(&partition(1)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_leaves_nothing_half_done() {
    let f = fixture();
    let by = f.begin("a").await;
    f.life.slowness_ms.store(100, Ordering::SeqCst);
    drop(tokio::time::timeout(Duration::ZERO, f.manager.end(&by, true)).await);
    f.settled().await;
    assert_eq!(f.state("a"), Some(TransactionState::CompleteCommit));
    assert!(f.manager.add_partitions(&by, &[partition(0)]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn long_transactions_are_aborted_and_unused_ids_forgotten() {
    let f = fixture_with(TransactionConfig {
        id_expiration_ms: 60_000,
        expire_interval_ms: 30_000,
        ..TransactionConfig::default()
    });
    let by = f.begin("a").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(f.state("a"), Some(TransactionState::CompleteAbort));
    let marker = f.disk.markers(&partition(0))[0];
    assert_eq!((marker.commit, marker.producer_epoch), (false, ProducerEpoch(1)));
    assert_eq!(
        code(f.manager.end(&by, true).await),
        Some(ResponseError::ProducerFenced)
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(f.manager.describe("a"), None);
    assert_eq!(
        code(f.manager.end(&by, true).await),
        Some(ResponseError::InvalidProducerIdMapping)
    );
    let (id, epoch) = f.manager.initialize(&request("a")).await.unwrap();
    assert_eq!((id != by.id, epoch), (true, ProducerEpoch(0)));
}

#[tokio::test(start_paused = true)]
async fn limits_and_malformed_requests() {
    let f = fixture_with(TransactionConfig {
        ids_max: 2,
        id_bytes_max: 5,
        writes_waiting_max: 1,
        ..TransactionConfig::default()
    });
    let with = |id: &str, timeout_ms, producer_id, epoch| InitializeRequest {
        timeout_ms,
        producer_id: ProducerId(producer_id),
        producer_epoch: ProducerEpoch(epoch),
        ..request(id)
    };
    for (request, error) in [
        (with("", 1, -1, -1), ResponseError::InvalidRequest),
        (with("abcdef", 1, -1, -1), ResponseError::InvalidRequest),
        (with("a", 0, -1, -1), ResponseError::InvalidTransactionTimeout),
        (
            with("a", 900_001, -1, -1),
            ResponseError::InvalidTransactionTimeout,
        ),
        (with("a", 1, 3, -1), ResponseError::InvalidRequest),
        (with("a", 1, -1, 3), ResponseError::InvalidRequest),
    ] {
        assert_eq!(
            code(f.manager.initialize(&request).await),
            Some(error),
            "{request:?}"
        );
    }
    assert_eq!(f.disk.records(), 0);
    // A producer that is known from elsewhere begins anew.
    assert!(f.manager.initialize(&with("a", 900_000, 3, 3)).await.is_ok());
    assert!(f.manager.initialize(&request("b")).await.is_ok());
    assert_eq!(
        code(f.manager.initialize(&request("c")).await),
        Some(ResponseError::PolicyViolation)
    );
    f.life.slowness_ms.store(100, Ordering::SeqCst);
    let (first, second) = (request("a"), request("b"));
    let (first, second) = tokio::join!(f.manager.initialize(&first), f.manager.initialize(&second));
    assert!(first.is_ok());
    assert_eq!(code(second), Some(ResponseError::CoordinatorNotAvailable));
    f.manager.shutdown();
    let refused = f.manager.initialize(&request("a")).await;
    assert_eq!(refused, Err(TransactionError::NotAvailable));
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered() {
    let f = fixture();
    let a = f.begin("a").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let b = f.begin("b").await;
    let c = f.manager.initialize(&request("c")).await.unwrap();
    let listed = |filter: TransactionFilter| -> Vec<String> {
        let listed = f.manager.list(&filter).into_iter();
        listed.map(|l| l.transactional_id.to_string()).collect()
    };
    let all = TransactionFilter::default;
    assert_eq!(listed(all()), ["a", "b", "c"]);
    let states = vec![TransactionState::Empty, TransactionState::Dead];
    assert_eq!(listed(TransactionFilter { states, ..all() }), ["c"]);
    let producer_ids = vec![a.id, c.0];
    assert_eq!(
        listed(TransactionFilter {
            producer_ids,
            ..all()
        }),
        ["a", "c"]
    );
    let older = |ms| TransactionFilter {
        older_than_ms: Some(ms),
        ..all()
    };
    assert_eq!(
        (listed(older(400)), listed(older(500))),
        (vec!["a".to_owned()], vec![])
    );
    let known = f.manager.describe("b").unwrap();
    assert_eq!(
        (known.producer_id, known.partitions.len(), known.timeout_ms),
        (b.id, 2, 1_000)
    );
    // A dropped manager ends its tasks.
    let weak = Arc::downgrade(&f.manager);
    drop(f);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(weak.strong_count(), 0);
}
