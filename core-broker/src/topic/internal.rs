//! Topics that the broker keeps for itself, created when they are first needed.

use std::sync::Arc;

use super::{Overrides, Topic, TopicError, TopicRegistry};

/// Where groups keep their offsets and members.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Where transactions keep their state.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";

/// Largest batch of state: a large group's membership is one record, and so are the partitions of a transaction.
const BATCH_BYTES_MAX: u32 = 32 << 20;

/// The offsets topic; created now if it is not there.
pub(crate) fn consumer_offsets(topics: &TopicRegistry) -> Result<Arc<Topic>, TopicError> {
    let broker = topics.broker();
    let (partitions, segment_bytes) = (
        broker.offsets_topic_num_partitions,
        broker.offsets_topic_segment_bytes,
    );
    compacted(topics, CONSUMER_OFFSETS, partitions, segment_bytes)
}

/// The topic of transactions; created now if it is not there.
pub(crate) fn transaction_state(topics: &TopicRegistry) -> Result<Arc<Topic>, TopicError> {
    let broker = topics.broker();
    let (partitions, segment_bytes) = (
        broker.transaction_state_log_num_partitions,
        broker.transaction_state_log_segment_bytes,
    );
    compacted(topics, TRANSACTION_STATE, partitions, segment_bytes)
}

fn compacted(
    topics: &TopicRegistry,
    name: &str,
    partitions: i32,
    segment_bytes: u32,
) -> Result<Arc<Topic>, TopicError> {
    if let Some(topic) = topics.get(name) {
        return Ok(topic);
    }
    let overrides = Overrides::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("max.message.bytes".to_owned(), BATCH_BYTES_MAX.to_string()),
        ("segment.bytes".to_owned(), segment_bytes.to_string()),
    ]);
    match topics.create(name, Some(partitions), overrides) {
        // Somebody else was faster.
        Err(TopicError::Exists(name)) => topics
            .get(name.as_str())
            .ok_or_else(|| TopicError::Unknown(name.to_string())),
        created => created,
    }
}
