//! DescribeConfigs (32): settings of topics and of the broker, defaults included.
//!
//! Why defaults too: clients read everything, change one value and write everything back.

use std::collections::HashSet;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_change::kind_name;
use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, text};
use crate::broker::BrokerState;
use crate::config::live::{Altered, Level, Origin, is_dynamic};
use crate::config::{self, ConfigType, Key, LiveConfig};
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
const SOURCE_DYNAMIC_BROKER: i8 = 2;
const SOURCE_DYNAMIC_DEFAULT_BROKER: i8 = 3;
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
    // Each once: a resource's answer may be far larger than its name.
    let mut seen = HashSet::new();
    let results = body
        .resources
        .iter()
        .filter(|asked| seen.insert((asked.resource_type, &asked.resource_name)))
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
        // What was altered for all brokers, and nothing else.
        BROKER if name.is_empty() => {
            let altered = broker.live.altered(Level::Default);
            let keys = config::KEYS
                .iter()
                .filter(|key| wanted(key.name) && altered.contains_key(key.name));
            result.with_configs(keys.map(|key| default_config(&altered, key, detail)).collect())
        }
        BROKER if name == broker.config.node_id.to_string() => {
            let keys = config::KEYS.iter().filter(|key| wanted(key.name));
            result.with_configs(keys.map(|key| broker_config(&broker.live, key, detail)).collect())
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
            format!(
                "resource type {other}, {}, has no configs here: only topics (2) and brokers (4) do",
                kind_name(other)
            ),
        ),
    }
}

/// A topic's effective value and where it comes from.
pub(super) fn topic_value(broker: &BrokerState, overrides: &Overrides, key: &TopicKey) -> (String, i8) {
    match overrides.get(key.name) {
        Some(value) => (value.clone(), SOURCE_TOPIC),
        None => {
            let origin = inherited(&broker.live, key).first().map(|(origin, _)| *origin);
            (
                (key.default)(&broker.live.load()),
                origin.map_or(SOURCE_DEFAULT, source_of),
            )
        }
    }
}

/// What the broker's settings say where a topic says nothing, the one in force first.
fn inherited(live: &LiveConfig, key: &TopicKey) -> Vec<(Origin, String)> {
    // Without a key of the broker nothing can be altered, and only Kafka's default is left.
    live.values(key.broker_key.unwrap_or_default(), |config| {
        Some((key.default)(config))
    })
}

fn source_of(origin: Origin) -> i8 {
    match origin {
        Origin::Node => SOURCE_DYNAMIC_BROKER,
        Origin::Default => SOURCE_DYNAMIC_DEFAULT_BROKER,
        Origin::Started => SOURCE_STATIC_BROKER,
        Origin::BuiltIn => SOURCE_DEFAULT,
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
            let levels = inherited(&broker.live, key);
            synonyms.extend(
                levels
                    .into_iter()
                    .map(|(origin, value)| synonym(name, Some(value), source_of(origin))),
            );
        }
    }
    entry(key.name, Some(value), source, key.kind, key.documentation, detail).with_synonyms(synonyms)
}

fn broker_config(live: &LiveConfig, key: &Key, detail: &Detail) -> DescribeConfigsResourceResult {
    let levels = live.values(key.name, key.get);
    let source = levels
        .first()
        .map_or(SOURCE_DEFAULT, |(origin, _)| source_of(*origin));
    let synonyms = match detail.synonyms {
        true => levels
            .into_iter()
            .map(|(origin, value)| synonym(key.name, Some(value), source_of(origin)))
            .collect(),
        false => Vec::new(),
    };
    let value = (key.get)(&live.load());
    entry(key.name, value, source, key.kind, key.documentation, detail)
        .with_read_only(!is_dynamic(key.name))
        .with_synonyms(synonyms)
}

fn default_config(altered: &Altered, key: &Key, detail: &Detail) -> DescribeConfigsResourceResult {
    let value = altered.get(key.name).cloned();
    let source = SOURCE_DYNAMIC_DEFAULT_BROKER;
    let synonyms = match detail.synonyms {
        true => vec![synonym(key.name, value.clone(), source)],
        false => Vec::new(),
    };
    entry(key.name, value, source, key.kind, key.documentation, detail).with_synonyms(synonyms)
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
