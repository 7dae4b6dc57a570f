//! DescribeCluster (60).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind::Fixed, Shape, all, since};
use super::{Fault, Request, Started, operations, text};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 0,
    fields: &[all(Fixed(1)), since(1, Fixed(1)), since(2, Fixed(1))],
};

const BROKERS: i8 = 1;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeClusterRequest = request.decode()?;
    let asked = body.include_cluster_authorized_operations;
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(body.endpoint_type)
        .with_cluster_authorized_operations(if asked {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        });
    if body.endpoint_type != BROKERS {
        let message = "there is no controller quorum to describe, ask for brokers (endpoint type 1)";
        return request.answer.ready(
            &response
                .with_error_code(ErrorCode::MismatchedEndpointType.code())
                .with_error_message(Some(text(message))),
        );
    }
    let node = BrokerId(request.broker.config.node_id);
    let (host, port) = request.broker.advertised(&request.peer);
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node)
        .with_host(host)
        .with_port(port);
    request.answer.ready(
        &response
            .with_cluster_id(request.broker.cluster_id.clone())
            .with_controller_id(node)
            .with_brokers(vec![broker]),
    )
}
