//! What AlterConfigs and IncrementalAlterConfigs share: which resource is meant, and how a change reaches it.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::protocol::StrBytes;

use super::error_code::ErrorCode;
use crate::broker::{BrokerConfigError, BrokerState};
use crate::config::AlterError;
use crate::config::live::Level;
use crate::topic::TopicError;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Values by key.
pub(super) type Values = BTreeMap<String, String>;

/// Why a resource was not changed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self {
            code: ErrorCode::from(&error),
            message: error.to_string(),
        }
    }
}

impl From<BrokerConfigError> for Refusal {
    fn from(error: BrokerConfigError) -> Self {
        let code = match &error {
            BrokerConfigError::Alter(AlterError::ReadOnly(_)) => ErrorCode::InvalidRequest,
            BrokerConfigError::Alter(_) => ErrorCode::InvalidConfig,
            BrokerConfigError::Log(error) => error.into(),
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

/// What is to be changed.
pub(super) enum Target<'a> {
    Topic(&'a str),
    Broker(Level),
}

/// Why a change cannot be made of what is there.
pub(super) fn invalid(message: String) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message,
    }
}

/// The resource of a type and a name.
pub(super) fn target<'a>(broker: &BrokerState, kind: i8, name: &'a str) -> Result<Target<'a>, Refusal> {
    let node = broker.config.node_id;
    match (kind, name) {
        (TOPIC, "") => Err(invalid(
            "there are no configs of all topics: alter each, or the broker's defaults".to_owned(),
        )),
        (TOPIC, name) => Ok(Target::Topic(name)),
        (BROKER, "") => Ok(Target::Broker(Level::Default)),
        (BROKER, name) if name == node.to_string() => Ok(Target::Broker(Level::Node)),
        (BROKER, name) => Err(invalid(format!(
            "broker {name:?} is not here, this is broker {node}"
        ))),
        (other, _) => Err(invalid(format!(
            "configs of resource type {other}, {}, cannot be altered here: only those of topics (2) and brokers (4)",
            kind_name(other)
        ))),
    }
}

/// Kafka's name of a resource type that has no configs here.
pub(super) fn kind_name(kind: i8) -> &'static str {
    match kind {
        8 => "BROKER_LOGGER",
        16 => "CLIENT_METRICS",
        32 => "GROUP",
        _ => "which is unknown",
    }
}

/// Resources that stand more than once in a request: Kafka refuses every one of them.
pub(super) fn repeated<'a>(
    resources: impl Iterator<Item = (i8, &'a StrBytes)>,
) -> HashSet<(i8, &'a StrBytes)> {
    let mut seen = HashSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

/// Names that stand twice.
pub(super) fn twice<'a>(names: impl Iterator<Item = &'a StrBytes>) -> Option<&'a StrBytes> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(&***name))
}

/// Changes a resource by a rule that makes new values of the present ones.
pub(super) fn apply(
    broker: &BrokerState,
    target: &Target<'_>,
    validate_only: bool,
    rule: impl FnOnce(&Values) -> Result<Values, Refusal>,
) -> Result<(), Refusal> {
    match target {
        Target::Topic(name) => broker.topics.alter(name, validate_only, rule),
        Target::Broker(level) => broker.alter_config(*level, validate_only, rule),
    }
}
