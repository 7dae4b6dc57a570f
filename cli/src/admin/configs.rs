//! Settings of topics and brokers.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Admin, AdminError, refused};

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic's.
    Topic(String),
    /// A broker's.
    Broker(i32),
    /// Those that hold for all brokers.
    BrokerDefault,
}

impl Resource {
    const fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::BrokerDefault => 4,
        }
    }

    fn name(&self) -> StrBytes {
        match self {
            Self::Topic(name) => StrBytes::from_string(name.clone()),
            Self::Broker(id) => StrBytes::from_string(id.to_string()),
            Self::BrokerDefault => StrBytes::new(),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::BrokerDefault => f.write_str("brokers in the cluster"),
        }
    }
}

impl Admin {
    /// The settings of a topic or broker, sorted by name.
    pub fn describe_configs(
        &mut self,
        resource: &Resource,
    ) -> Result<Vec<DescribeConfigsResourceResult>, AdminError> {
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![
                DescribeConfigsResource::default()
                    .with_resource_type(resource.kind())
                    .with_resource_name(resource.name())
                    .with_configuration_keys(None),
            ])
            .with_include_synonyms(true);
        let answer = match resource {
            Resource::Broker(id) => self.ask_node(*id, &request, i16::MAX)?,
            Resource::Topic(_) | Resource::BrokerDefault => self.ask(&request)?,
        };
        let mut configs = Vec::new();
        for result in answer.results {
            match (result.error_code, resource) {
                (0, _) => configs.extend(result.configs),
                (3, Resource::Topic(topic)) => {
                    return Err(AdminError::NoSuchTopic { topic: topic.clone() });
                }
                (code, _) => {
                    let message = result.error_message.map(|text| text.to_string());
                    return Err(refused(code, message, &format!("settings of {resource}")));
                }
            }
        }
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(configs)
    }

    /// Sets and deletes settings, all or none.
    pub fn alter_configs(
        &mut self,
        resource: &Resource,
        set: &[(String, String)],
        delete: &[String],
    ) -> Result<(), AdminError> {
        let mut configs: Vec<AlterableConfig> = set
            .iter()
            .map(|(key, value)| {
                AlterableConfig::default()
                    .with_name(StrBytes::from_string(key.clone()))
                    .with_config_operation(0)
                    .with_value(Some(StrBytes::from_string(value.clone())))
            })
            .collect();
        configs.extend(delete.iter().map(|key| {
            AlterableConfig::default()
                .with_name(StrBytes::from_string(key.clone()))
                .with_config_operation(1)
                .with_value(None)
        }));
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![
            AlterConfigsResource::default()
                .with_resource_type(resource.kind())
                .with_resource_name(resource.name())
                .with_configs(configs),
        ]);
        let answer = match resource {
            Resource::Broker(id) => self.ask_node(*id, &request, i16::MAX)?,
            Resource::Topic(_) | Resource::BrokerDefault => self.ask_controller(&request)?,
        };
        match answer.responses.into_iter().find(|one| one.error_code != 0) {
            None => Ok(()),
            Some(one) => {
                let message = one.error_message.map(|text| text.to_string());
                Err(refused(
                    one.error_code,
                    message,
                    &format!("settings of {resource}"),
                ))
            }
        }
    }
}
