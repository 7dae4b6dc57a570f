//! Transactions: what coordinators and partitions know of them, and ending one by force.

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, ProducerId,
    TransactionalId, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Admin, AdminError, CoordinatorType, Partition, refused, topic_name};

/// A transactional id as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// Its name.
    pub id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its producer.
    pub producer_id: i64,
    /// The state of its transaction.
    pub state: String,
}

impl Admin {
    /// The transactional ids of all brokers, sorted; `duration_ms` keeps those that run longer (−1: all).
    pub fn list_transactions(&mut self, duration_ms: i64) -> Result<Vec<ListedTransaction>, AdminError> {
        let nodes: Vec<i32> = self.brokers().keys().copied().collect();
        let request = ListTransactionsRequest::default().with_duration_filter(duration_ms);
        let mut all = Vec::new();
        for node in nodes {
            let found = self.patiently("the list of transactions", |admin| {
                let answer = admin.ask_node(node, &request, i16::MAX)?;
                Ok(match answer.error_code {
                    0 => Ok(answer.transaction_states),
                    code => Err((code, None)),
                })
            })?;
            all.extend(found.into_iter().map(|one| ListedTransaction {
                id: one.transactional_id.to_string(),
                coordinator: node,
                producer_id: one.producer_id.0,
                state: one.transaction_state.to_string(),
            }));
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// One transactional id, and its coordinator.
    pub fn describe_transaction(&mut self, id: &str) -> Result<(i32, TransactionState), AdminError> {
        let request = DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![TransactionalId(StrBytes::from_string(id.to_owned()))]);
        let what = format!("transactional id {id}");
        self.at_coordinator(CoordinatorType::Transaction, id, &what, |admin, node| {
            let answer = admin.ask_node(node, &request, i16::MAX)?;
            Ok(match answer.transaction_states.into_iter().next() {
                Some(one) if one.error_code == 0 => Ok((node, one)),
                Some(one) => Err((one.error_code, None)),
                None => Err((-1, Some("the answer leaves it out".into()))),
            })
        })
    }

    /// The producers that a partition's leader (or another broker that holds it) remembers.
    pub fn describe_producers(
        &mut self,
        partition: &Partition,
        broker: Option<i32>,
    ) -> Result<Vec<ProducerState>, AdminError> {
        let node = self.broker_of(partition, broker)?;
        let request = DescribeProducersRequest::default().with_topics(vec![
            TopicRequest::default()
                .with_name(topic_name(&partition.0))
                .with_partition_indexes(vec![partition.1]),
        ]);
        let answer = self.ask_node(node, &request, i16::MAX)?;
        let mut producers = Vec::new();
        for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            if found.error_code != 0 {
                let message = found.error_message.map(|text| text.to_string());
                let what = format!("producers of {}-{}", partition.0, partition.1);
                return Err(refused(found.error_code, message, &what));
            }
            producers.extend(found.active_producers);
        }
        producers.sort_by_key(|producer| producer.producer_id.0);
        Ok(producers)
    }

    /// Writes an abort marker into one partition.
    pub fn abort_transaction(
        &mut self,
        partition: &Partition,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), AdminError> {
        let node = self.broker_of(partition, None)?;
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(producer_epoch)
            .with_coordinator_epoch(coordinator_epoch)
            .with_transaction_result(false)
            .with_topics(vec![
                WritableTxnMarkerTopic::default()
                    .with_name(topic_name(&partition.0))
                    .with_partition_indexes(vec![partition.1]),
            ]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = self.ask_node(node, &request, i16::MAX)?;
        let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
        let mut partitions = topics.flat_map(|topic| &topic.partitions);
        match partitions.find(|one| one.error_code != 0) {
            None => Ok(()),
            Some(one) => {
                let what = format!("aborting a transaction in {}-{}", partition.0, partition.1);
                Err(refused(one.error_code, None, &what))
            }
        }
    }

    fn broker_of(&mut self, partition: &Partition, broker: Option<i32>) -> Result<i32, AdminError> {
        if let Some(node) = broker {
            return Ok(node);
        }
        let leaders = self.leaders(std::slice::from_ref(partition))?;
        Ok(*leaders.keys().next().expect("one partition has one leader"))
    }
}
