//! InitProducerId (22): an id for an idempotent producer, and id and epoch for one with transactions.

use std::sync::Arc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, blocking};
use crate::ids;
use crate::transaction::InitializeRequest;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[
        all(Kind::Text),
        all(Kind::Fixed(4)),
        since(3, Kind::Fixed(8)),
        since(3, Kind::Fixed(2)),
    ],
};

/// First version whose clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 4;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: InitProducerIdRequest = request.decode()?;
    if let Some(id) = &body.transactional_id {
        let wanted = InitializeRequest {
            transactional_id: id.as_str().into(),
            timeout_ms: body.transaction_timeout_ms,
            producer_id: ids::ProducerId(body.producer_id.0),
            producer_epoch: ids::ProducerEpoch(body.producer_epoch),
        };
        return Started::later(async move {
            let answer = match request.broker.transactions.initialize(&wanted).await {
                Ok((id, epoch)) => given(id.0, epoch.0),
                Err(error) => {
                    tracing::debug!(transactional_id = %wanted.transactional_id, %error, "producer not initialized");
                    refused(error.response_error_in(request.answer.version, FENCED_SINCE))
                }
            };
            request.answer.reply(&answer)
        });
    }
    // Without a transactional id a fresh producer id serves as well as a raised epoch (KIP-360).
    if let Some(id) = request.broker.producer_ids.next_at_hand() {
        return request.answer.ready(&given(id.0, 0));
    }
    Started::later(async move {
        let ids = Arc::clone(&request.broker.producer_ids);
        match blocking(move || ids.next()).await? {
            Ok(id) => request.answer.reply(&given(id.0, 0)),
            Err(error) => {
                tracing::error!(%error, "no producer id can be given");
                request.answer.reply(&refused(ErrorCode::from(&error)))
            }
        }
    })
}

fn given(id: i64, epoch: i16) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(NONE)
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
