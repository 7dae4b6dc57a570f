//! FindCoordinator (10): which broker coordinates a group: always this one.
//!
//! Transactions do not exist here yet. Of the codes that say so, TRANSACTIONAL_ID_AUTHORIZATION_FAILED is the one
//! that every client takes as final at once; COORDINATOR_NOT_AVAILABLE would be retried until a timeout.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, since, until};
use super::{Fault, Request, Started, text};
use crate::group::GroupError;
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
pub(crate) const NO_TRANSACTIONS: &str =
    "this broker does not offer transactions; use an idempotent producer without transactional.id";

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: FindCoordinatorRequest = request.decode()?;
    if body.key_type != GROUP || request.broker.topics.get(internal::CONSUMER_OFFSETS).is_some() {
        return answer(&request, body, None).map(Started::Ready);
    }
    Started::later(async move {
        // The offsets topic is there before a group is told where to go.
        let prepared = request.broker.groups.prepare().await;
        if let Err(error) = &prepared {
            tracing::error!(%error, "the offsets topic cannot be created");
        }
        answer(&request, body, prepared.err())
    })
}

fn answer(
    request: &Request,
    body: FindCoordinatorRequest,
    failed: Option<GroupError>,
) -> Result<Reply, Fault> {
    let keys = if request.answer.version >= 4 {
        body.coordinator_keys
    } else {
        vec![body.key]
    };
    let mut coordinators: Vec<Coordinator> = keys
        .into_iter()
        .map(|key| coordinator(request, body.key_type, key, failed.as_ref()))
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

fn coordinator(request: &Request, key_type: i8, key: StrBytes, failed: Option<&GroupError>) -> Coordinator {
    let refused = |code: ErrorCode, message: StrBytes| {
        Coordinator::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(code.code())
            .with_error_message(Some(message))
    };
    let constant = StrBytes::from_static_str;
    let found = match key_type {
        GROUP => {
            if let Some(error) = failed {
                return refused(error.response_error(), text(error)).with_key(key);
            }
            let (host, port) = request.broker.advertised(&request.peer);
            Coordinator::default()
                .with_node_id(BrokerId(request.broker.config.node_id))
                .with_host(host)
                .with_port(port)
                .with_error_message(None)
        }
        TRANSACTION => refused(
            ErrorCode::TransactionalIdAuthorizationFailed,
            constant(NO_TRANSACTIONS),
        ),
        _ => refused(
            ErrorCode::InvalidRequest,
            constant("this kind of coordinator is not offered, only groups (0) are"),
        ),
    };
    found.with_key(key)
}
