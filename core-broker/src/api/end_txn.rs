//! EndTxn (26): a producer commits or aborts its transaction.
//!
//! Answered once the decision is durable; markers are written after that. Version 5 belongs to a newer transaction
//! protocol (KIP-890, part two) and is not advertised.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::add_partitions_to_txn::FENCED_SINCE;
use super::error_code::NONE;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::group::TransactionalProducer;
use crate::ids::{ProducerEpoch, ProducerId};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(8)),
        all(Kind::Fixed(2)),
        all(Kind::Fixed(1)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: EndTxnRequest = request.decode()?;
    Started::later(async move {
        let producer = TransactionalProducer {
            transactional_id: body.transactional_id.as_str().into(),
            id: ProducerId(body.producer_id.0),
            epoch: ProducerEpoch(body.producer_epoch),
        };
        let code = match request.broker.transactions.end(&producer, body.committed).await {
            Ok(()) => NONE,
            Err(error) => {
                tracing::debug!(transactional_id = %producer.transactional_id, %error, "transaction not ended");
                error
                    .response_error_in(request.answer.version, FENCED_SINCE)
                    .code()
            }
        };
        request
            .answer
            .reply(&EndTxnResponse::default().with_error_code(code))
    })
}
