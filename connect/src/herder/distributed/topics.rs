//! The three topics of a group of workers: made where they are missing, and looked at.
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;
use tracing::warn;

use crate::cluster::topics::{TopicSpec, ensure};
use crate::plugin::PluginError;
use crate::worker::{StorageTopic, StorageTopics};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the topics that are missing, and refuses to work with those that would lose what is kept in them.
///
/// # Errors
/// Which topic is wrong, and how it should be.
pub(super) async fn prepare(admin: &ClientConfig, topics: &StorageTopics) -> Result<(), PluginError> {
    let each = [
        ("config.storage.topic", &topics.config),
        ("offset.storage.topic", &topics.offset),
        ("status.storage.topic", &topics.status),
    ];
    for (key, topic) in each {
        let spec = TopicSpec::compacted(&topic.name, topic.partitions, topic.replication_factor);
        if !ensure(admin, &spec).await? {
            compacted(admin, key, topic).await?;
        }
    }
    let (asking, name) = (admin.clone(), topics.config.name.clone());
    let counted = tokio::task::spawn_blocking(move || partitions(&asking, &name)).await;
    let count = counted.map_err(|error| PluginError::fatal(format!("panicked: {error}")))??;
    match count {
        1 => Ok(()),
        count => Err(PluginError::user_config(format!(
            "config.storage.topic={}: the topic has {count} partitions and must have one; name another topic, or delete this one and let \
             the worker make it",
            topics.config.name
        ))),
    }
}

fn partitions(client: &ClientConfig, name: &str) -> Result<usize, PluginError> {
    let failed = |error: rdkafka::error::KafkaError| {
        PluginError::disconnected(format!("asking for the partitions of {name}: {error}"))
    };
    let mut client = client.clone();
    client.set("allow.auto.create.topics", "false");
    let asking: BaseConsumer = client.create().map_err(failed)?;
    // A topic that was just made is not known everywhere at once.
    for _ in 0..50 {
        let metadata = asking
            .fetch_metadata(Some(name), REQUEST_TIMEOUT)
            .map_err(failed)?;
        let count = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len());
        if count > 0 {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(PluginError::disconnected(format!(
        "the topic {name} has no partitions; is the cluster well?"
    )))
}

async fn compacted(admin: &ClientConfig, key: &str, topic: &StorageTopic) -> Result<(), PluginError> {
    let failed = |why: String| PluginError::disconnected(format!("asking for the settings of {key}: {why}"));
    let client: AdminClient<DefaultClientContext> =
        admin.create().map_err(|error| failed(error.to_string()))?;
    let asked = [ResourceSpecifier::Topic(&topic.name)];
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let found = client.describe_configs(&asked, &options).await;
    let found = found
        .map_err(|error| failed(error.to_string()))?
        .into_iter()
        .next();
    let policy = match found {
        Some(Ok(found)) => found.get("cleanup.policy").and_then(|entry| entry.value.clone()),
        Some(Err(code)) => {
            // As Java's workers: who may not look has to know.
            warn!(%code, topic = topic.name, "the topic's cleanup.policy cannot be looked at; it must be compact");
            return Ok(());
        }
        None => None,
    };
    match policy.as_deref().map(str::trim) {
        None | Some("compact") => Ok(()),
        Some(policy) => Err(PluginError::user_config(format!(
            "{key}={}: the topic has cleanup.policy={policy}, which would lose what is kept there; set cleanup.policy=compact, or name \
             another topic",
            topic.name
        ))),
    }
}
