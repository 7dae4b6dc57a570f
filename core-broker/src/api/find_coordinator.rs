//! FindCoordinator (10): which broker coordinates a group or the transactions of a producer: always this one.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, since, until};
use super::{Fault, Request, Started, text};
use crate::server::reply::Reply;
use crate::topic::internal;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[
        until(3, Kind::Text),
        since(1, Kind::Fixed(1)),
        since(4, Kind::TextArray),
    ],
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Why a coordinator cannot be named.
struct Failed {
    code: ErrorCode,
    message: StrBytes,
}

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: FindCoordinatorRequest = request.decode()?;
    let topic = match body.key_type {
        GROUP => internal::CONSUMER_OFFSETS,
        TRANSACTION => internal::TRANSACTION_STATE,
        _ => {
            let failed = Failed {
                code: ErrorCode::InvalidRequest,
                message: StrBytes::from_static_str(
                    "this kind of coordinator is not offered, only those of groups (0) and transactions (1) are",
                ),
            };
            return answer(&request, body, Some(failed)).map(Started::Ready);
        }
    };
    if request.broker.topics.get(topic).is_some() {
        return answer(&request, body, None).map(Started::Ready);
    }
    Started::later(async move {
        // The internal topic is there before a client is told where to go.
        let failed = prepare(&request, body.key_type).await.err();
        if let Some(failed) = &failed {
            tracing::error!(topic, error = %failed.message, "the internal topic cannot be created");
        }
        answer(&request, body, failed)
    })
}

async fn prepare(request: &Request, key_type: i8) -> Result<(), Failed> {
    if key_type == GROUP {
        let prepared = request.broker.groups.prepare().await;
        return prepared.map_err(|error| Failed {
            code: error.response_error(),
            message: text(error),
        });
    }
    let prepared = request.broker.transactions.prepare().await;
    prepared.map_err(|error| Failed {
        code: error.response_error(),
        message: text(error),
    })
}

fn answer(request: &Request, body: FindCoordinatorRequest, failed: Option<Failed>) -> Result<Reply, Fault> {
    let keys = if request.answer.version >= 4 {
        body.coordinator_keys
    } else {
        vec![body.key]
    };
    let mut coordinators: Vec<Coordinator> = keys
        .into_iter()
        .map(|key| coordinator(request, key, failed.as_ref()))
        .collect();
    let response = FindCoordinatorResponse::default();
    if request.answer.version >= 4 {
        return request.answer.reply(&response.with_coordinators(coordinators));
    }
    let only = coordinators.pop().unwrap_or_default();
    let message = if request.answer.version >= 1 {
        only.error_message
    } else {
        None
    };
    request.answer.reply(
        &response
            .with_error_code(only.error_code)
            .with_error_message(message)
            .with_node_id(only.node_id)
            .with_host(only.host)
            .with_port(only.port),
    )
}

fn coordinator(request: &Request, key: StrBytes, failed: Option<&Failed>) -> Coordinator {
    if let Some(failed) = failed {
        return Coordinator::default()
            .with_key(key)
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(failed.code.code())
            .with_error_message(Some(failed.message.clone()));
    }
    let (host, port) = request.broker.advertised(&request.peer);
    Coordinator::default()
        .with_key(key)
        .with_node_id(BrokerId(request.broker.config.node_id))
        .with_host(host)
        .with_port(port)
        .with_error_message(None)
}
