//! The offsets of a sink's consumer group, for a user who looks at them or sets them.
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::setup::TaskSetup;
use crate::config::connector::sink_def;
use crate::plugin::{PartitionOffset, PluginError, SinkPlugin, TopicPartition};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

fn failed(error: &KafkaError) -> PluginError {
    let remedy = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::NonEmptyGroup) => {
            "; the group still has members: stop all consumers of it first"
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => {
            "; the topic has no such partition"
        }
        _ => "",
    };
    PluginError::user_config(format!("the offsets of the sink's group: {error}{remedy}"))
}

/// The committed offsets of the topics that the sink reads.
pub(super) fn read(setup: &TaskSetup) -> Result<Vec<(TopicPartition, Option<i64>)>, PluginError> {
    let mut offsets = read_all(setup)?;
    offsets.retain(|(_, next)| next.is_some());
    Ok(offsets)
}

/// All partitions of the topics that the sink reads, with their committed offsets where they have one.
pub(super) fn read_all(setup: &TaskSetup) -> Result<Vec<(TopicPartition, Option<i64>)>, PluginError> {
    let config = sink_def().parse(&setup.connector_config)?;
    let consumer: BaseConsumer = setup.group_client()?.create().map_err(|error| failed(&error))?;
    let metadata = consumer
        .fetch_metadata(None, REQUEST_TIMEOUT)
        .map_err(|error| failed(&error))?;
    let subscription = setup.subscription(&config)?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics() {
        if subscription.means(topic.name()) {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
    }
    let committed = consumer
        .committed_offsets(list, REQUEST_TIMEOUT)
        .map_err(|error| failed(&error))?;
    let elements = committed.elements();
    let mut offsets: Vec<_> = elements
        .iter()
        .map(|element| {
            let partition = TopicPartition {
                topic: Arc::from(element.topic()),
                partition: element.partition(),
            };
            match element.offset() {
                Offset::Offset(next) => (partition, Some(next)),
                _ => (partition, None),
            }
        })
        .collect();
    offsets.sort_unstable();
    Ok(offsets)
}

/// The same with the offsets that the sink keeps itself: they are what its tasks go by.
pub(super) fn with_owned(
    mut committed: Vec<(TopicPartition, Option<i64>)>,
    owned: Vec<PartitionOffset>,
) -> Vec<(TopicPartition, Option<i64>)> {
    committed.retain(|(partition, _)| !owned.iter().any(|own| own.partition == *partition));
    committed.extend(owned.into_iter().map(|own| (own.partition, Some(own.next))));
    committed.sort_unstable();
    committed
}

/// Sets offsets where the sink keeps them and in the group, or forgets all that either knows: a sink may know partitions that the group does
/// not, because it failed before anything was committed or the group is gone.
pub(super) fn alter(
    setup: &TaskSetup,
    plugin: &dyn SinkPlugin,
    given: Option<Vec<(TopicPartition, Option<i64>)>>,
) -> Result<(), PluginError> {
    let config = &setup.connector_config;
    if let Some(changes) = given {
        // What the group cannot have, the sink is not to keep either.
        check(setup, &changes)?;
        plugin.alter_offsets(config, &changes)?;
        return write(setup, &changes);
    }
    let forgotten = |known: Vec<(TopicPartition, Option<i64>)>| {
        let of = known.into_iter().map(|(partition, _)| (partition, None));
        of.collect::<Vec<_>>()
    };
    let committed = read(setup)?;
    let all = with_owned(committed.clone(), plugin.owned_offsets(config)?);
    plugin.alter_offsets(config, &forgotten(all))?;
    write(setup, &forgotten(committed))
}

/// Whether all partitions that are given an offset are there.
fn check(setup: &TaskSetup, changes: &[(TopicPartition, Option<i64>)]) -> Result<(), PluginError> {
    let consumer: BaseConsumer = setup.group_client()?.create().map_err(|error| failed(&error))?;
    for (partition, _) in changes.iter().filter(|(_, next)| next.is_some()) {
        let bounds = consumer.fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT);
        bounds.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Commits these offsets for the group, which has no members; those without one are forgotten.
pub(super) fn write(setup: &TaskSetup, changes: &[(TopicPartition, Option<i64>)]) -> Result<(), PluginError> {
    let consumer: BaseConsumer = setup.group_client()?.create().map_err(|error| failed(&error))?;
    let mut list = TopicPartitionList::new();
    for (partition, next) in changes {
        let Some(next) = next else { continue };
        let (topic, number) = (&partition.topic, partition.partition);
        let listed = list.add_partition_offset(topic, number, Offset::Offset(*next));
        listed.map_err(|error| failed(&error))?;
    }
    if list.count() > 0 {
        consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| failed(&error))?;
    }
    let forgotten: Vec<(&str, i32)> = changes
        .iter()
        .filter(|(_, next)| next.is_none())
        .map(|(partition, _)| (&*partition.topic, partition.partition))
        .collect();
    if forgotten.is_empty() {
        return Ok(());
    }
    let group = setup.group_id()?;
    let deleted =
        millstream_client::delete_group_offsets(consumer.client(), &group, &forgotten, REQUEST_TIMEOUT);
    match deleted {
        Err(error) if error.rdkafka_error_code() != Some(RDKafkaErrorCode::GroupIdNotFound) => {
            Err(failed(&error))
        }
        _ => Ok(()),
    }
}
