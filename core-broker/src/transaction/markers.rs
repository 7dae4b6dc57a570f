//! Markers on their way into the partitions of a transaction.
//!
//! Owns: which part of the broker takes a marker, and which refusals mean that none is needed. Does not own: what
//! the marker does there (`log`, `group`), trying again (`manager`).

use std::sync::Arc;

use async_trait::async_trait;
use kafka_protocol::ResponseError;

use super::marker::TransactionMarker;
use super::store::{MarkerError, MarkerWriter};
use crate::group::{GroupError, GroupManager};
use crate::ids::TopicPartition;
use crate::log::{AppendError, LogError, Partition};
use crate::topic::{TopicRegistry, internal};

/// Writes markers to the partitions of one broker.
pub(crate) struct Markers {
    topics: Arc<TopicRegistry>,
    groups: Arc<GroupManager>,
}

impl Markers {
    /// Writes to these topics, and through the group coordinator to the offsets topic.
    pub fn new(topics: Arc<TopicRegistry>, groups: Arc<GroupManager>) -> Self {
        Self { topics, groups }
    }

    async fn end_in_log(&self, log: &Partition, marker: TransactionMarker) -> Result<(), MarkerError> {
        let written = match log.append_marker(marker) {
            Ok(appended) => log.wait_durable(appended.last_offset.plus(1)).await,
            Err(AppendError::Log(error)) => Err(error),
            Err(error @ AppendError::InvalidProducerEpoch { .. }) => {
                moved_on(log.topic_partition(), &error);
                Ok(())
            }
            Err(error) => return Err(MarkerError(error.to_string())),
        };
        match written {
            // Deleted in the meantime, together with what the transaction wrote to it.
            Err(LogError::Deleted { .. }) => Ok(()),
            written => written.map_err(|error| MarkerError(error.to_string())),
        }
    }
}

/// A newer incarnation of the producer has written there: the transaction is over in that partition, and trying again
/// would never change that.
fn moved_on(partition: &TopicPartition, error: &dyn std::fmt::Display) {
    tracing::warn!(%partition, %error, "the end of a transaction came after its producer had moved on");
}

#[async_trait]
impl MarkerWriter for Markers {
    async fn write(&self, partition: &TopicPartition, marker: TransactionMarker) -> Result<(), MarkerError> {
        if partition.topic.as_str() == internal::CONSUMER_OFFSETS {
            let ended = self
                .groups
                .complete_transaction(partition.partition.0, marker)
                .await;
            return match ended {
                Ok(()) | Err(GroupError::UnknownTopic { .. }) => Ok(()),
                Err(
                    error @ GroupError::Transaction {
                        error: ResponseError::InvalidProducerEpoch,
                        ..
                    },
                ) => {
                    moved_on(partition, &error);
                    Ok(())
                }
                Err(error) => Err(MarkerError(error.to_string())),
            };
        }
        let topic = self.topics.get(partition.topic.as_str());
        match topic
            .as_ref()
            .and_then(|topic| topic.partition(partition.partition.0))
        {
            Some(log) => self.end_in_log(log, marker).await,
            // Deleted in the meantime.
            None => Ok(()),
        }
    }
}
