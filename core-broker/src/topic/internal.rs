//! Topics that the broker keeps for itself, created when they are first needed.

use std::sync::Arc;

use super::{Overrides, Topic, TopicError, TopicRegistry};

/// Where groups keep their offsets and members.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Largest batch of group state: a large group's membership is one record.
const BATCH_BYTES_MAX: u32 = 32 << 20;

/// The offsets topic; created now if it is not there.
pub(crate) fn consumer_offsets(topics: &TopicRegistry) -> Result<Arc<Topic>, TopicError> {
    if let Some(topic) = topics.get(CONSUMER_OFFSETS) {
        return Ok(topic);
    }
    let broker = topics.broker();
    let overrides = Overrides::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("max.message.bytes".to_owned(), BATCH_BYTES_MAX.to_string()),
        (
            "segment.bytes".to_owned(),
            broker.offsets_topic_segment_bytes.to_string(),
        ),
    ]);
    match topics.create(
        CONSUMER_OFFSETS,
        Some(broker.offsets_topic_num_partitions),
        overrides,
    ) {
        // Somebody else was faster.
        Err(TopicError::Exists(name)) => topics
            .get(name.as_str())
            .ok_or_else(|| TopicError::Unknown(name.to_string())),
        created => created,
    }
}
