//! Topics: create, list, grow, delete.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Admin, AdminError, refused, topic_name};

/// Newest DeleteTopics that names topics alone; later ones may have their ids.
const DELETE_BY_NAME_VERSION_MAX: i16 = 5;
/// TOPIC_ALREADY_EXISTS.
pub const TOPIC_ALREADY_EXISTS: i16 = 36;
/// UNKNOWN_TOPIC_OR_PARTITION.
const UNKNOWN_TOPIC: i16 = 3;

impl Admin {
    /// Every topic that can be seen, sorted by name.
    pub fn topics(&mut self) -> Result<Vec<MetadataResponseTopic>, AdminError> {
        let mut topics = self.metadata(None)?.topics;
        topics.retain(|topic| topic.error_code == 0 && topic.name.is_some());
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
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
