//! DescribeTransactions (65): state, producer and partitions of transactional ids (KIP-664).

use std::collections::HashSet;

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, text};
use crate::transaction::TransactionManager;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 0,
    fields: &[all(Kind::TextArray)],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeTransactionsRequest = request.decode()?;
    let manager = &request.broker.transactions;
    // Each once: a transaction's answer may be far larger than its id.
    let mut seen = HashSet::new();
    let ids = body.transactional_ids.into_iter();
    let described = ids
        .filter(|id| seen.insert(id.clone()))
        .map(|id| describe(manager, id));
    let response = DescribeTransactionsResponse::default().with_transaction_states(described.collect());
    request.answer.ready(&response)
}

fn describe(manager: &TransactionManager, id: TransactionalId) -> TransactionState {
    let known = manager.describe(&id);
    let answer = TransactionState::default().with_transactional_id(id);
    let Some(known) = known else {
        return answer.with_error_code(ErrorCode::TransactionalIdNotFound.code());
    };
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in known.partitions {
        // They come in order.
        match topics.last_mut() {
            Some(last) if *last.topic.0 == *partition.topic.as_str() => {
                last.partitions.push(partition.partition.0);
            }
            _ => topics.push(
                TopicData::default()
                    .with_topic(TopicName(text(&partition.topic)))
                    .with_partitions(vec![partition.partition.0]),
            ),
        }
    }
    answer
        .with_transaction_state(StrBytes::from_static_str(known.state.as_str()))
        .with_transaction_timeout_ms(known.timeout_ms)
        .with_transaction_start_time_ms(known.started.0)
        .with_producer_id(ProducerId(known.producer_id.0))
        .with_producer_epoch(known.producer_epoch.0)
        .with_topics(topics)
}
