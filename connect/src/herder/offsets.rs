//! Offsets as requests give them.
use std::sync::Arc;

use serde_json::{Map, Value};

use super::HerderError;
use crate::plugin::{PluginKind, SourceOffset, SourcePartition, TopicPartition};
use crate::worker::ConnectorOffsets;

/// One offset of a request: null in its place is to forget it.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenOffset {
    /// Which partition.
    pub partition: Option<Map<String, Value>>,
    /// Its offset.
    pub offset: Option<Map<String, Value>>,
}

/// The offsets of a request for a connector of this kind.
///
/// # Errors
/// When they make no sense for it, in Kafka's words.
pub(super) fn parse(kind: PluginKind, given: Vec<GivenOffset>) -> Result<ConnectorOffsets, HerderError> {
    if given.is_empty() {
        let nothing = "Partitions / offsets need to be provided for an alter offsets request";
        return Err(HerderError::BadRequest(nothing.to_owned()));
    }
    match kind {
        PluginKind::Sink => {
            let offsets = given.iter().map(sink_offset).collect::<Result<_, _>>();
            Ok(ConnectorOffsets::Sink(offsets.map_err(HerderError::BadRequest)?))
        }
        _ => {
            let offsets = given.into_iter().map(|one| {
                let partition = one.partition.map(SourcePartition);
                let partition = partition
                    .ok_or_else(|| HerderError::BadRequest("Partition objects cannot be null".to_owned()))?;
                Ok((partition, one.offset.map(SourceOffset)))
            });
            Ok(ConnectorOffsets::Source(
                offsets.collect::<Result<_, HerderError>>()?,
            ))
        }
    }
}

/// `{kafka_topic, kafka_partition}` and `{kafka_offset}`; numbers may be texts.
fn sink_offset(given: &GivenOffset) -> Result<(TopicPartition, Option<i64>), String> {
    let keys =
        "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'";
    let part = given.partition.as_ref().ok_or(keys)?;
    let (topic, number) = part
        .get("kafka_topic")
        .zip(part.get("kafka_partition"))
        .filter(|(topic, number)| !topic.is_null() && !number.is_null())
        .ok_or(keys)?;
    let partition = integer(number)
        .and_then(|number| i32::try_from(number).ok())
        .ok_or_else(|| {
            format!(
                "Failed to parse the following Kafka partition value in the provided offsets: '{}'. Partition values for sink \
                 connectors need to be integers.",
                text(number)
            )
        })?;
    if partition < 0 {
        return Err(format!(
            "kafka_partition {partition} is negative; partitions count from 0"
        ));
    }
    let offset = match &given.offset {
        None => None,
        Some(offset) => {
            let value = offset.get("kafka_offset").filter(|value| !value.is_null());
            let value = value.ok_or(
                "The offset for a sink connector should either be null or contain the key 'kafka_offset'",
            )?;
            let offset = integer(value).ok_or_else(|| {
                format!(
                    "Failed to parse the following Kafka offset value in the provided offsets: '{}'. Offset values for sink \
                     connectors need to be integers.",
                    text(value)
                )
            })?;
            if offset < 0 {
                return Err(format!("kafka_offset {offset} is negative; offsets count from 0"));
            }
            Some(offset)
        }
    };
    let partition = TopicPartition {
        topic: Arc::from(text(topic)),
        partition,
    };
    Ok((partition, offset))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}
