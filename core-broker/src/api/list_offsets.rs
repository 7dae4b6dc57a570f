//! ListOffsets (2): offsets by time, and the special times for first, last and latest record.

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, blocking, epoch_error};
use crate::broker::BrokerState;
use crate::ids::{Offset, Timestamp};
use crate::log::{Partition, ReadError};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 6,
    fields: &[
        all(Kind::Fixed(4)),
        since(2, Kind::Fixed(1)),
        all(Kind::Array(&[
            all(Kind::Text),
            all(Kind::Array(&[
                all(Kind::Fixed(4)),
                since(4, Kind::Fixed(4)),
                all(Kind::Fixed(8)),
            ])),
        ])),
        since(10, Kind::Fixed(4)),
    ],
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const READ_COMMITTED: i8 = 1;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: ListOffsetsRequest = request.decode()?;
    let searches = body
        .topics
        .iter()
        .flat_map(|t| &t.partitions)
        .any(|p| p.timestamp >= 0 || p.timestamp == MAX_TIMESTAMP);
    if !searches {
        return request
            .answer
            .ready(&list(&request.broker, body, request.answer.version));
    }
    // Looking for a time reads the log.
    Started::later(async move {
        let (broker, answer) = (request.broker, request.answer);
        let response = blocking(move || list(&broker, body, answer.version)).await?;
        answer.reply(&response)
    })
}

fn list(broker: &BrokerState, body: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let committed = body.isolation_level == READ_COMMITTED;
    let mut response = ListOffsetsResponse::default();
    for asked in body.topics {
        let topic = broker.topics.get(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let found = topic
                .as_ref()
                .and_then(|topic| topic.partition(partition.partition_index));
            answer(broker, found.map(AsRef::as_ref), partition, committed, version)
        });
        let partitions = partitions.collect();
        response.topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(asked.name)
                .with_partitions(partitions),
        );
    }
    response
}

fn answer(
    broker: &BrokerState,
    partition: Option<&Partition>,
    asked: &ListOffsetsPartition,
    committed: bool,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let result = ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(-1);
    let Some(partition) = partition else {
        return result.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    if let Some(code) = epoch_error(partition, asked.current_leader_epoch) {
        return result.with_error_code(code.code());
    }
    let epoch = if version >= 4 {
        partition.leader_epoch().0
    } else {
        -1
    };
    match lookup(partition, asked.timestamp, committed) {
        Ok(Some((offset, timestamp))) => result
            .with_offset(offset.0)
            .with_timestamp(timestamp.0)
            .with_leader_epoch(epoch),
        Ok(None) => result,
        Err(Lookup::Unsupported) => result.with_error_code(ErrorCode::InvalidRequest.code()),
        Err(Lookup::Read(error)) => {
            if let Some(held) = broker.warnings.pass() {
                tracing::error!(partition = %partition.topic_partition(), %error, held, "cannot look for a time in the log");
            }
            result.with_error_code(ErrorCode::from(&error).code())
        }
    }
}

enum Lookup {
    Unsupported,
    Read(ReadError),
}

fn lookup(partition: &Partition, asked: i64, committed: bool) -> Result<Option<(Offset, Timestamp)>, Lookup> {
    let none = Timestamp(-1);
    let last = if committed {
        partition.last_stable_offset()
    } else {
        partition.high_watermark()
    };
    match asked {
        LATEST => Ok(Some((last, none))),
        EARLIEST | EARLIEST_LOCAL => Ok(Some((partition.log_start_offset(), none))),
        MAX_TIMESTAMP => {
            let found = partition.max_timestamp().map_err(Lookup::Read)?;
            Ok(found.filter(|(offset, _)| *offset < last))
        }
        // Nothing was ever moved to remote storage.
        LATEST_TIERED => Ok(None),
        time if time >= 0 => {
            let found = partition
                .offset_for_timestamp(Timestamp(time))
                .map_err(Lookup::Read)?;
            Ok(found.filter(|(offset, _)| *offset < last))
        }
        _ => Err(Lookup::Unsupported),
    }
}
