//! Transactions as their producer sees them, in every version.

use std::time::{Duration, Instant};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, GroupId, InitProducerIdRequest, ListTransactionsRequest, OffsetFetchRequest,
    ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use millstream_broker::config::BrokerConfig;
use millstream_broker::log::batch::{EndMarker, RecordBatches};

use crate::client::*;

const OK: i16 = 0;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;

/// A producer with its transactional id.
struct Producer {
    transactional_id: TransactionalId,
    id: ProducerId,
    epoch: i16,
}

fn init_request(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(60_000)
}

/// Asks again while the last step is not finished, as clients do.
fn patiently(mut ask: impl FnMut() -> i16) -> i16 {
    let begun = Instant::now();
    loop {
        let code = ask();
        if code != CONCURRENT_TRANSACTIONS || begun.elapsed() > Duration::from_secs(10) {
            return code;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Producer {
    fn init(client: &mut Client, version: i16, id: &str) -> Self {
        let mut given = None;
        let code = patiently(|| {
            let answer = client.call(version, &init_request(id));
            given = Some((answer.producer_id, answer.producer_epoch));
            answer.error_code
        });
        assert_eq!(code, OK);
        let (producer_id, epoch) = given.unwrap();
        Self {
            transactional_id: TransactionalId(text(id)),
            id: producer_id,
            epoch,
        }
    }

    /// The codes of partitions 0 and `other` of the topic.
    fn add(&self, client: &mut Client, version: i16, topic: &str, other: i32) -> Vec<i16> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![0, other]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id.clone())
            .with_v3_and_below_producer_id(self.id)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let mut codes = Vec::new();
        patiently(|| {
            let answer = client.call(version, &request);
            let partitions = &answer.results_by_topic_v3_and_below[0].results_by_partition;
            codes = partitions.iter().map(|p| p.partition_error_code).collect();
            codes[0]
        });
        codes
    }

    fn add_offsets(&self, client: &mut Client, version: i16, group: &str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)));
        patiently(|| client.call(version, &request).error_code)
    }

    fn commit_offset(&self, client: &mut Client, version: i16, group: &str, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_topics(vec![topic]);
        client.call(version, &request).topics[0].partitions[0].error_code
    }

    fn end(&self, client: &mut Client, version: i16, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        patiently(|| client.call(version, &request).error_code)
    }
}

fn describe(client: &mut Client, id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(id))]);
    client.call(0, &request).transaction_states.remove(0)
}

fn wait_for(client: &mut Client, id: &str, state: &str) {
    let begun = Instant::now();
    while &*describe(client, id).transaction_state != state {
        assert!(begun.elapsed() < Duration::from_secs(10), "{state} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The offset that a group has committed, or the error.
fn committed(client: &mut Client, group: &str) -> Result<i64, i16> {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name("t"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let partition = client.call(7, &request).topics.remove(0).partitions.remove(0);
    match partition.error_code {
        OK => Ok(partition.committed_offset),
        code => Err(code),
    }
}

/// The markers of a partition.
fn markers(client: &mut Client, partition: i32) -> Vec<EndMarker> {
    let answer = client.call(12, &fetch("t", partition, 0));
    let records = answer.responses[0].partitions[0]
        .records
        .clone()
        .unwrap_or_default();
    let batches = RecordBatches::new(&records);
    batches
        .filter_map(|batch| batch.unwrap().end_marker().unwrap())
        .collect()
}

fn start_with_topic() -> (tempfile::TempDir, millstream_broker::BrokerHandle, Client) {
    let (dir, broker) = start_with(BrokerConfig {
        num_partitions: 2,
        ..config()
    });
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let coordinator = FindCoordinatorRequest::default()
        .with_key(text("tx"))
        .with_key_type(1);
    assert_eq!(client.call(2, &coordinator).error_code, OK);
    (dir, broker, client)
}

#[test]
fn a_transaction_commits_and_aborts_in_every_version() {
    let (_dir, broker, mut client) = start_with_topic();
    let mut expected = Vec::new();
    let mut offset = -1;
    for version in 0..=5 {
        let client = &mut client;
        let commit = version % 2 == 0;
        let by = Producer::init(client, version, "tx");
        assert_eq!(by.epoch, version);
        assert_eq!(by.end(client, version.min(4), commit), INVALID_TXN_STATE);
        assert_eq!(by.add(client, version.min(3), "t", 7), [55, 3]);
        assert_eq!(by.add(client, version.min(3), "t", 1), [OK, OK]);
        let refused = by.commit_offset(client, version.min(4), "g", 5);
        assert_eq!(refused, INVALID_TXN_STATE);
        assert_eq!(by.add_offsets(client, version.min(4), "g"), OK);
        let next = 10 + i64::from(version);
        assert_eq!(by.commit_offset(client, version.min(4), "g", next), OK);
        assert_eq!(committed(client, "g"), Err(UNSTABLE_OFFSET_COMMIT));
        let known = describe(client, "tx");
        assert_eq!((&*known.transaction_state, known.topics.len()), ("Ongoing", 2));
        assert_eq!(known.producer_id, by.id);
        assert_eq!(by.end(client, version.min(4), commit), OK);
        // Asked again, until it is complete.
        assert_eq!(by.end(client, version.min(4), commit), OK);
        assert_eq!(by.end(client, version.min(4), !commit), INVALID_TXN_STATE);
        offset = if commit { next } else { offset };
        assert_eq!(committed(client, "g"), Ok(offset));
        expected.push(EndMarker {
            commit,
            coordinator_epoch: 0,
        });
        for partition in 0..2 {
            assert_eq!(markers(client, partition), expected);
        }
    }
    assert_eq!(
        describe(&mut client, "nobody").error_code,
        TRANSACTIONAL_ID_NOT_FOUND
    );
    broker.shutdown_blocking().unwrap();
}

#[test]
fn the_fenced_are_told_in_words_that_they_know() {
    let (_dir, _broker, mut client) = start_with_topic();
    let client = &mut client;
    let old = Producer::init(client, 4, "tx");
    assert_eq!(old.add(client, 3, "t", 1), [OK, OK]);
    let new = Producer::init(client, 4, "tx");
    // The epoch between them fenced the old one's transaction.
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 2));
    assert!(!markers(client, 0)[0].commit);
    for version in 0..=4 {
        let fenced = if version < 2 {
            INVALID_PRODUCER_EPOCH
        } else {
            PRODUCER_FENCED
        };
        assert_eq!(old.end(client, version, true), fenced);
        assert_eq!(old.add_offsets(client, version, "g"), fenced);
        if version < 4 {
            assert_eq!(old.add(client, version, "t", 1), [fenced, fenced]);
        }
        assert_eq!(old.commit_offset(client, version, "g", 1), INVALID_PRODUCER_EPOCH);
    }
    let raise = |by: &Producer| {
        init_request("tx")
            .with_producer_id(by.id)
            .with_producer_epoch(by.epoch)
    };
    assert_eq!(client.call(3, &raise(&old)).error_code, INVALID_PRODUCER_EPOCH);
    assert_eq!(client.call(4, &raise(&old)).error_code, PRODUCER_FENCED);
    for _ in 0..2 {
        let raised = client.call(4, &raise(&new));
        assert_eq!((raised.error_code, raised.producer_epoch), (OK, new.epoch + 1));
    }
    let stranger = Producer {
        transactional_id: TransactionalId(text("nobody")),
        ..new
    };
    assert_eq!(stranger.end(client, 4, true), INVALID_PRODUCER_ID_MAPPING);
    for (request, code) in [
        (init_request(""), INVALID_REQUEST),
        (init_request("a").with_producer_epoch(3), INVALID_REQUEST),
        (
            init_request("a").with_transaction_timeout_ms(900_001),
            INVALID_TRANSACTION_TIMEOUT,
        ),
    ] {
        let refused = client.call(5, &request);
        assert_eq!((refused.error_code, refused.producer_id.0), (code, -1));
    }
}

#[test]
fn what_was_decided_outlives_the_broker_and_the_rest_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        num_partitions: 2,
        transaction_abort_timed_out_transaction_cleanup_interval_ms: 50,
        ..config()
    };
    let late = {
        let broker = start_in(dir.path(), config.clone());
        let mut client = Client::connect(broker.address());
        client.touch("t");
        let decided = Producer::init(&mut client, 4, "decided");
        assert_eq!(decided.add(&mut client, 3, "t", 1), [OK, OK]);
        let request = init_request("late").with_transaction_timeout_ms(1_000);
        let given = client.call(4, &request);
        let late = Producer {
            transactional_id: TransactionalId(text("late")),
            id: given.producer_id,
            epoch: given.producer_epoch,
        };
        assert_eq!(late.add(&mut client, 3, "t", 1), [OK, OK]);
        assert_eq!(decided.end(&mut client, 4, true), OK);
        // Killed, perhaps before the markers were written.
        late
    };
    let broker = start_in(dir.path(), config);
    let mut client = Client::connect(broker.address());
    wait_for(&mut client, "decided", "CompleteCommit");
    wait_for(&mut client, "late", "CompleteAbort");
    assert_eq!(late.end(&mut client, 4, true), PRODUCER_FENCED);
    for partition in 0..2 {
        let found = markers(&mut client, partition);
        assert_eq!(found.last().map(|m| m.commit), Some(false));
        assert!(found[0].commit);
    }
    let list = |client: &mut Client, version: i16, state: &str| -> Vec<String> {
        let request = ListTransactionsRequest::default().with_state_filters(vec![text(state)]);
        let answer = client.call(version, &request);
        let unknown: Vec<_> = answer
            .unknown_state_filters
            .iter()
            .map(|s| s.to_string())
            .collect();
        let ids = answer
            .transaction_states
            .iter()
            .map(|t| t.transactional_id.to_string());
        ids.chain(unknown).collect()
    };
    for version in 0..=1 {
        assert_eq!(list(&mut client, version, "CompleteCommit"), ["decided"]);
        assert_eq!(list(&mut client, version, "Nonsense"), ["Nonsense"]);
    }
    broker.shutdown_blocking().unwrap();
}
