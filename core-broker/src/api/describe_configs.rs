//! DescribeConfigs (32): settings of topics and of the broker, defaults included.
//!
//! Why defaults too: clients read everything, change one value and write everything back.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, text};
use crate::broker::BrokerState;
use crate::config::{self, BrokerConfig, ConfigType, Key};
use crate::topic::config::{TOPIC_KEYS, TopicKey};
use crate::topic::{Overrides, Topic};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 4,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Fixed(1)),
            all(Kind::Text),
            all(Kind::TextArray),
        ])),
        all(Kind::Fixed(1)),
        since(3, Kind::Fixed(1)),
    ],
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

struct Detail {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: DescribeConfigsRequest = request.decode()?;
    let detail = Detail {
        synonyms: body.include_synonyms,
        documentation: body.include_documentation,
    };
    let results = body
        .resources
        .iter()
        .map(|resource| describe(&request.broker, resource, &detail))
        .collect();
    request
        .answer
        .ready(&DescribeConfigsResponse::default().with_results(results))
}

fn describe(broker: &BrokerState, asked: &DescribeConfigsResource, detail: &Detail) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(asked.resource_type)
        .with_resource_name(asked.resource_name.clone())
        .with_error_message(None);
    let refused = |code: ErrorCode, message: String| {
        result
            .clone()
            .with_error_code(code.code())
            .with_error_message(Some(text(message)))
    };
    let wanted = |name: &str| {
        asked
            .configuration_keys
            .as_ref()
            .is_none_or(|keys| keys.iter().any(|k| **k == *name))
    };
    let name = &*asked.resource_name;
    match asked.resource_type {
        TOPIC => match broker.topics.get(name) {
            Some(topic) => {
                let keys = TOPIC_KEYS.iter().filter(|key| wanted(key.name));
                result.with_configs(
                    keys.map(|key| topic_config(broker, &topic, key, detail))
                        .collect(),
                )
            }
            None => refused(
                ErrorCode::UnknownTopicOrPartition,
                format!("topic {name} does not exist"),
            ),
        },
        BROKER if name.is_empty() => result,
        BROKER if name == broker.config.node_id.to_string() => {
            let keys = config::KEYS.iter().filter(|key| wanted(key.name));
            result.with_configs(
                keys.map(|key| broker_config(&broker.config, key, detail))
                    .collect(),
            )
        }
        BROKER => {
            let id = broker.config.node_id;
            refused(
                ErrorCode::InvalidRequest,
                format!("broker {name:?} is not here, this is broker {id}"),
            )
        }
        BROKER_LOGGER => result,
        other => refused(
            ErrorCode::InvalidRequest,
            format!("resource type {other} has no configs here"),
        ),
    }
}

/// A topic's effective value and where it comes from.
pub(super) fn topic_value(broker: &BrokerState, overrides: &Overrides, key: &TopicKey) -> (String, i8) {
    match overrides.get(key.name) {
        Some(value) => (value.clone(), SOURCE_TOPIC),
        None => ((key.default)(&broker.config), broker_source(&broker.config, key)),
    }
}

/// Whether the broker's configuration or Kafka's default decides where a topic does not.
fn broker_source(config: &BrokerConfig, key: &TopicKey) -> i8 {
    if (key.default)(config) == (key.default)(&BrokerConfig::default()) {
        SOURCE_DEFAULT
    } else {
        SOURCE_STATIC_BROKER
    }
}

fn topic_config(
    broker: &BrokerState,
    topic: &Topic,
    key: &TopicKey,
    detail: &Detail,
) -> DescribeConfigsResourceResult {
    let (value, source) = topic_value(broker, &topic.overrides, key);
    let mut synonyms = Vec::new();
    if detail.synonyms {
        if source == SOURCE_TOPIC {
            synonyms.push(synonym(key.name, Some(value.clone()), SOURCE_TOPIC));
        }
        if let Some(name) = key.broker_key {
            if broker_source(&broker.config, key) == SOURCE_STATIC_BROKER {
                synonyms.push(synonym(
                    name,
                    Some((key.default)(&broker.config)),
                    SOURCE_STATIC_BROKER,
                ));
            }
            synonyms.push(synonym(
                name,
                Some((key.default)(&BrokerConfig::default())),
                SOURCE_DEFAULT,
            ));
        }
    }
    entry(key.name, Some(value), source, key.kind, key.documentation, detail).with_synonyms(synonyms)
}

fn broker_config(config: &BrokerConfig, key: &Key, detail: &Detail) -> DescribeConfigsResourceResult {
    let (value, default) = ((key.get)(config), (key.get)(&BrokerConfig::default()));
    let set = value != default;
    let mut synonyms = Vec::new();
    if detail.synonyms {
        if set {
            synonyms.push(synonym(key.name, value.clone(), SOURCE_STATIC_BROKER));
        }
        if default.is_some() {
            synonyms.push(synonym(key.name, default, SOURCE_DEFAULT));
        }
    }
    let source = if set { SOURCE_STATIC_BROKER } else { SOURCE_DEFAULT };
    // Nothing of the broker can be changed while it runs.
    entry(key.name, value, source, key.kind, key.documentation, detail)
        .with_read_only(true)
        .with_synonyms(synonyms)
}

fn entry(
    name: &'static str,
    value: Option<String>,
    source: i8,
    kind: ConfigType,
    documentation: &'static str,
    detail: &Detail,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(value.map(StrBytes::from_string))
        .with_config_source(source)
        .with_config_type(kind as i8)
        .with_documentation(
            detail
                .documentation
                .then(|| StrBytes::from_static_str(documentation)),
        )
}

fn synonym(name: &'static str, value: Option<String>, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(value.map(StrBytes::from_string))
        .with_source(source)
}
