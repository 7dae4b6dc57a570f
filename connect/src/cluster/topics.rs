//! Topics: whether they are there, and making them.
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::plugin::PluginError;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a topic may be called so.
///
/// # Errors
/// What is wrong with the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of a topic: it has 1 to 249 letters, digits, dots, underscores and hyphens"
        )),
    }
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSpec {
    pub(crate) name: String,
    /// -1 for the cluster's default.
    pub(crate) partitions: i32,
    /// -1 for the cluster's default.
    pub(crate) replication: i32,
    pub(crate) settings: Vec<(String, String)>,
}

impl TopicSpec {
    /// A topic that keeps the last value of each key.
    pub(crate) fn compacted(name: &str, partitions: i32, replication: i32) -> Self {
        Self {
            name: name.to_owned(),
            partitions,
            replication,
            settings: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        }
    }
}

/// Makes a topic unless it is there; says whether it was made.
///
/// # Errors
/// When the cluster denies it or does not answer.
pub(crate) async fn ensure(client: &ClientConfig, spec: &TopicSpec) -> Result<bool, PluginError> {
    let failed = |why: String| {
        PluginError::disconnected(format!(
            "making the topic {}: {why}; create it by hand or grant this client Create",
            spec.name
        ))
    };
    let admin: AdminClient<DefaultClientContext> =
        client.create().map_err(|error| failed(error.to_string()))?;
    // Blocks while it asks, so it does not on a thread that serves others.
    let (name, asking) = (spec.name.clone(), client.clone());
    let there = tokio::task::spawn_blocking(move || is_there(&asking, &name));
    if there.await.map_err(|error| failed(error.to_string()))?? {
        return Ok(false);
    }
    let mut topic = NewTopic::new(
        &spec.name,
        spec.partitions,
        TopicReplication::Fixed(spec.replication),
    );
    for (key, value) in &spec.settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    let made = admin.create_topics([&topic], &options).await;
    match made
        .map_err(|error| failed(error.to_string()))?
        .into_iter()
        .next()
    {
        None | Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(failed(code.to_string())),
    }
}

/// Whether the cluster has the topic. Asking for one by name could make it; asking for all does not.
pub(crate) fn is_there(client: &ClientConfig, name: &str) -> Result<bool, PluginError> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let failed = |error: rdkafka::error::KafkaError| {
        PluginError::disconnected(format!(
            "asking for topics: {error}; is bootstrap.servers reachable?"
        ))
    };
    let mut asking = client.clone();
    asking.set("allow.auto.create.topics", "false");
    let asking: BaseConsumer = asking.create().map_err(failed)?;
    let metadata = asking.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
    let named = metadata.topics().iter().find(|topic| topic.name() == name);
    Ok(named.is_some_and(|topic| topic.error().is_none()))
}
