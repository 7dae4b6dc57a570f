//! WriteTxnMarkers (27): ends transactions in single partitions, as `kafka-transactions.sh abort` does with those that
//! their coordinator has forgotten (KIP-664).

use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started};
use crate::broker::BrokerState;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::topic::internal;
use crate::transaction::TransactionMarker;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 1,
    fields: &[all(Kind::Array(&[
        all(Kind::Fixed(8)),
        all(Kind::Fixed(2)),
        all(Kind::Fixed(1)),
        all(Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))])),
        all(Kind::Fixed(4)),
    ]))],
};

/// The one coordinator there is writes markers of epoch 0; a marker of a later epoch would fence it.
const COORDINATOR_EPOCH_MAX: i32 = 0;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: WriteTxnMarkersRequest = request.decode()?;
    Started::later(async move {
        let mut results = Vec::with_capacity(body.markers.len());
        for marker in &body.markers {
            results.push(write_everywhere(&request.broker, marker).await);
        }
        let response = WriteTxnMarkersResponse::default().with_markers(results);
        request.answer.reply(&response)
    })
}

async fn write_everywhere(broker: &BrokerState, asked: &WritableTxnMarker) -> WritableTxnMarkerResult {
    let marker = TransactionMarker {
        producer_id: ProducerId(asked.producer_id.0),
        producer_epoch: ProducerEpoch(asked.producer_epoch),
        commit: asked.transaction_result,
        coordinator_epoch: asked.coordinator_epoch,
    };
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for &index in &topic.partition_indexes {
            let code = match write(broker, &topic.name, index, marker).await {
                Ok(()) => NONE,
                Err(code) => code.code(),
            };
            partitions.push(
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(code),
            );
        }
        topics.push(
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    WritableTxnMarkerResult::default()
        .with_producer_id(asked.producer_id)
        .with_topics(topics)
}

/// Ends the transaction in one partition; done when that is durable.
async fn write(
    broker: &BrokerState,
    topic: &str,
    index: i32,
    marker: TransactionMarker,
) -> Result<(), ErrorCode> {
    let found = broker.topics.get(topic);
    let log = found.as_ref().and_then(|topic| topic.partition(index));
    let log = log.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if marker.coordinator_epoch > COORDINATOR_EPOCH_MAX {
        return Err(ErrorCode::TransactionCoordinatorFenced);
    }
    if topic == internal::CONSUMER_OFFSETS {
        // The groups' pending offsets follow the marker.
        let ended = broker.groups.complete_transaction(index, marker).await;
        return ended.map_err(|error| error.response_error());
    }
    let appended = log
        .append_marker(marker)
        .map_err(|error| ErrorCode::from(&error))?;
    let durable = log.wait_durable(appended.last_offset.plus(1)).await;
    durable.map_err(|error| ErrorCode::from(&error))
}
