//! InitProducerId (22): an id for an idempotent producer.

use std::sync::Arc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, blocking};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        since(3, Kind::Fixed(8)),
        since(3, Kind::Fixed(2)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: InitProducerIdRequest = request.decode()?;
    if let Some(id) = &body.transactional_id {
        let id = id.0.as_str();
        tracing::warn!(transactional_id = id, peer = %request.peer.address, "{}", super::find_coordinator::NO_TRANSACTIONS);
        let code = match id {
            "" => ErrorCode::InvalidRequest,
            _ => ErrorCode::TransactionalIdAuthorizationFailed,
        };
        return request.answer.ready(&refused(code));
    }
    // Without a transactional id a fresh producer id serves as well as a raised epoch (KIP-360).
    if let Some(id) = request.broker.producer_ids.next_at_hand() {
        return request.answer.ready(&given(id.0));
    }
    Started::later(async move {
        let ids = Arc::clone(&request.broker.producer_ids);
        match blocking(move || ids.next()).await? {
            Ok(id) => request.answer.reply(&given(id.0)),
            Err(error) => {
                tracing::error!(%error, "no producer id can be given");
                request.answer.reply(&refused(ErrorCode::from(&error)))
            }
        }
    })
}

fn given(id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(NONE)
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(0)
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
