//! OffsetForLeaderEpoch (23): where an epoch ended; consumers ask to notice a truncated log (KIP-320).

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, epoch_error};
use crate::log::Partition;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        since(3, Kind::Fixed(4)),
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Array(&[
                all(Kind::Fixed(4)),
                all(Kind::Fixed(4)),
                all(Kind::Fixed(4)),
            ])),
        ])),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: OffsetForLeaderEpochRequest = request.decode()?;
    let mut response = OffsetForLeaderEpochResponse::default();
    for asked in body.topics {
        let topic = request.broker.topics.get(&asked.topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let found = topic
                .as_ref()
                .and_then(|topic| topic.partition(partition.partition));
            answer(found.map(AsRef::as_ref), partition)
        });
        let partitions = partitions.collect();
        response.topics.push(
            OffsetForLeaderTopicResult::default()
                .with_topic(asked.topic)
                .with_partitions(partitions),
        );
    }
    request.answer.ready(&response)
}

fn answer(partition: Option<&Partition>, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let result = EpochEndOffset::default()
        .with_partition(asked.partition)
        .with_leader_epoch(-1)
        .with_end_offset(-1);
    let Some(partition) = partition else {
        return result.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    if let Some(code) = epoch_error(partition, asked.current_leader_epoch) {
        return result.with_error_code(code.code());
    }
    let epoch = partition.leader_epoch().0;
    match asked.leader_epoch {
        asked if asked == epoch => result
            .with_leader_epoch(epoch)
            .with_end_offset(partition.high_watermark().0),
        // Below the first epoch: it ended where the log begins. Above the last: undefined.
        asked if asked < epoch && asked >= 0 => result
            .with_leader_epoch(asked)
            .with_end_offset(partition.log_start_offset().0),
        _ => result,
    }
}
