//! DescribeLogDirs (35): how much room the partitions take, and how much the volume has.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;

/// Room that could not be found out.
const UNKNOWN_BYTES: i64 = -1;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[all(Kind::Array(&[all(Kind::Text), all(Kind::FixedArray(4))]))],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeLogDirsRequest = request.decode()?;
    Started::later(async move {
        let broker = Arc::clone(&request.broker);
        // The volume may be slow to tell.
        let response = blocking(move || describe(&broker, body)).await?;
        request.answer.reply(&response)
    })
}

fn describe(broker: &BrokerState, body: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let topics = match body.topics {
        None => broker
            .topics
            .all()
            .iter()
            .map(|topic| {
                let count = topic.partitions().len() as i32;
                one_topic(broker, topic.name.as_str(), 0..count)
            })
            .collect(),
        Some(asked) => {
            // A topic that is named twice is one.
            let mut places: HashMap<TopicName, usize> = HashMap::new();
            let mut wanted: Vec<(TopicName, Vec<i32>)> = Vec::new();
            for topic in asked {
                let place = *places.entry(topic.topic.clone()).or_insert(wanted.len());
                if place == wanted.len() {
                    wanted.push((topic.topic, Vec::new()));
                }
                wanted[place].1.extend(topic.partitions);
            }
            let described = wanted.into_iter().map(|(name, mut partitions)| {
                partitions.sort_unstable();
                partitions.dedup();
                one_topic(broker, &name, partitions)
            });
            described.filter(|topic| !topic.partitions.is_empty()).collect()
        }
    };
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let volume = broker.logs.volume();
    if let Err(error) = &volume {
        tracing::warn!(%error, "cannot tell how much room the disk has");
    }
    let (total, usable) = volume.map_or((UNKNOWN_BYTES, UNKNOWN_BYTES), |v| {
        (bytes(v.total), bytes(v.free))
    });
    let code = match broker.logs.check() {
        Ok(()) => NONE,
        Err(error) => ErrorCode::from(&error).code(),
    };
    let dir = std::path::absolute(broker.logs.path()).unwrap_or_else(|_| broker.logs.path().to_owned());
    let result = DescribeLogDirsResult::default()
        .with_error_code(code)
        .with_log_dir(text(dir.display()))
        .with_topics(topics)
        .with_total_bytes(total)
        .with_usable_bytes(usable);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The partitions that exist; Kafka leaves the others out as well.
fn one_topic(
    broker: &BrokerState,
    name: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let topic = broker.topics.get(name);
    let partition = |index: i32| {
        let log = topic.as_ref()?.partition(index)?;
        let size = i64::try_from(log.size_bytes()).unwrap_or(i64::MAX);
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(size)
                .with_offset_lag(0),
        )
    };
    DescribeLogDirsTopic::default()
        .with_name(TopicName(text(name)))
        .with_partitions(partitions.into_iter().filter_map(partition).collect())
}
