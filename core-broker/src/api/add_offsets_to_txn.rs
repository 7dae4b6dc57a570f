//! AddOffsetsToTxn (25): the offsets of a group become part of a producer's transaction.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::add_partitions_to_txn::FENCED_SINCE;
use super::error_code::NONE;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::group::TransactionalProducer;
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};
use crate::topic::internal;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(8)),
        all(Kind::Fixed(2)),
        all(Kind::Text),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: AddOffsetsToTxnRequest = request.decode()?;
    Started::later(async move {
        let code = handle(&request, &body).await;
        request
            .answer
            .reply(&AddOffsetsToTxnResponse::default().with_error_code(code))
    })
}

async fn handle(request: &Request, body: &AddOffsetsToTxnRequest) -> i16 {
    let broker = &request.broker;
    let producer = TransactionalProducer {
        transactional_id: body.transactional_id.as_str().into(),
        id: ProducerId(body.producer_id.0),
        epoch: ProducerEpoch(body.producer_epoch),
    };
    // The partition is there before a transaction includes it.
    if let Err(error) = broker.groups.prepare().await {
        tracing::error!(%error, "the offsets topic cannot be created");
        return error.code();
    }
    let index = broker.groups.partition_for(&body.group_id);
    let partition = TopicPartition::new(internal::CONSUMER_OFFSETS, index);
    match broker.transactions.add_partitions(&producer, &[partition]).await {
        Ok(()) => NONE,
        Err(error) => {
            tracing::debug!(transactional_id = %producer.transactional_id, %error, "offsets not added");
            error
                .response_error_in(request.answer.version, FENCED_SINCE)
                .code()
        }
    }
}
