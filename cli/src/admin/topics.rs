//! Topics: create, list, grow, delete.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Admin, AdminError, refused, topic_name};

/// Newest DeleteTopics that names topics alone; later ones may have their ids.
const DELETE_BY_NAME_VERSION_MAX: i16 = 5;
/// TOPIC_ALREADY_EXISTS.
pub const TOPIC_ALREADY_EXISTS: i16 = 36;
/// Partitions that are described in one answer.
const DESCRIBED_PARTITIONS: i32 = 2_000;
/// UNKNOWN_TOPIC_OR_PARTITION.
const UNKNOWN_TOPIC: i16 = 3;

/// Who may lead a partition although it is not in sync (KIP-966); `None` where the broker does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EligibleLeaders {
    /// Those that hold all that was acknowledged.
    pub eligible: Option<Vec<BrokerId>>,
    /// The last that did.
    pub last_known: Option<Vec<BrokerId>>,
}

impl Admin {
    /// Every topic that can be seen, sorted by name.
    pub fn topics(&mut self) -> Result<Vec<MetadataResponseTopic>, AdminError> {
        let mut topics = self.metadata(None)?.topics;
        topics.retain(|topic| topic.error_code == 0 && topic.name.is_some());
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The eligible leaders of a topic's partitions; none from brokers before 3.7.
    pub fn eligible_leaders(&mut self, topic: &str) -> Result<BTreeMap<i32, EligibleLeaders>, AdminError> {
        let mut found = BTreeMap::new();
        let mut next = 0;
        loop {
            let cursor = Cursor::default()
                .with_topic_name(topic_name(topic))
                .with_partition_index(next);
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(vec![TopicRequest::default().with_name(topic_name(topic))])
                .with_response_partition_limit(DESCRIBED_PARTITIONS)
                .with_cursor((next > 0).then_some(cursor));
            let answer = match self.ask(&request) {
                Ok(answer) => answer,
                Err(AdminError::Unsupported { .. }) => return Ok(found),
                Err(error) => return Err(error),
            };
            for one in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                let leaders = EligibleLeaders {
                    eligible: one.eligible_leader_replicas,
                    last_known: one.last_known_elr,
                };
                found.insert(one.partition_index, leaders);
            }
            match answer.next_cursor {
                // A cursor that does not move would be asked for again and again.
                Some(cursor) if cursor.partition_index > next => next = cursor.partition_index,
                _ => return Ok(found),
            }
        }
    }

    /// Creates a topic; `None` is the broker's default.
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: Option<i32>,
        replication_factor: Option<i16>,
        configs: &[(String, String)],
    ) -> Result<(), AdminError> {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(key.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        });
        let wanted = CreatableTopic::default()
            .with_name(topic_name(topic))
            .with_num_partitions(partitions.unwrap_or(-1))
            .with_replication_factor(replication_factor.unwrap_or(-1))
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(self.timeout_ms());
        let answer = self.ask_controller(&request)?;
        match answer.topics.into_iter().find(|one| one.error_code != 0) {
            None => Ok(()),
            Some(one) => {
                let message = one.error_message.map(|text| text.to_string());
                Err(refused(one.error_code, message, &format!("topic {topic}")))
            }
        }
    }

    /// Gives a topic more partitions.
    pub fn create_partitions(&mut self, topic: &str, partitions: i32) -> Result<(), AdminError> {
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(partitions)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(self.timeout_ms());
        let answer = self.ask_controller(&request)?;
        match answer.results.into_iter().find(|one| one.error_code != 0) {
            None => Ok(()),
            Some(one) if one.error_code == UNKNOWN_TOPIC => {
                Err(AdminError::NoSuchTopic { topic: topic.into() })
            }
            Some(one) => {
                let message = one.error_message.map(|text| text.to_string());
                Err(refused(one.error_code, message, &format!("topic {topic}")))
            }
        }
    }

    /// Deletes a topic and its records.
    pub fn delete_topic(&mut self, topic: &str) -> Result<(), AdminError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name(topic)])
            .with_timeout_ms(self.timeout_ms());
        let answer = self.ask_controller_up_to(&request, DELETE_BY_NAME_VERSION_MAX)?;
        match answer.responses.into_iter().find(|one| one.error_code != 0) {
            None => Ok(()),
            Some(one) if one.error_code == UNKNOWN_TOPIC => {
                Err(AdminError::NoSuchTopic { topic: topic.into() })
            }
            Some(one) => {
                let message = one.error_message.map(|text| text.to_string());
                Err(refused(one.error_code, message, &format!("topic {topic}")))
            }
        }
    }
}
