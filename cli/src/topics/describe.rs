//! `millstream topics describe`: partitions and settings, in the columns of `kafka-topics --describe`.

use std::io::Write;

use clap::Args;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};

use super::no_such_topic;
use super::select::{Filter, name};
use crate::admin::configs::Resource;
use crate::admin::topics::EligibleLeaders;
use crate::admin::{Admin, AdminError};
use crate::client::ConnectArgs;
use crate::error::{CliError, output};

/// Where a setting comes from that nobody set: Kafka's code of DEFAULT_CONFIG.
const DEFAULT_CONFIG: i8 = 5;

/// What is described.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Only these topics
    #[arg(long, value_name = "REGEX")]
    topic: Option<String>,
    /// Leave out the broker's own topics, whose names begin with two underscores
    #[arg(long)]
    exclude_internal: bool,
    /// Only the first lines of topics that have settings of their own
    #[arg(long)]
    topics_with_overrides: bool,
    /// Only partitions that lack in-sync copies
    #[arg(long, conflicts_with = "topics_with_overrides")]
    under_replicated_partitions: bool,
    /// Only partitions without a leader
    #[arg(long, conflicts_with_all = ["topics_with_overrides", "under_replicated_partitions"])]
    unavailable_partitions: bool,
    /// Do nothing when there is no such topic
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the subcommand.
pub fn run(args: &DescribeArgs) -> Result<(), CliError> {
    let filter = Filter::new(args.topic.as_deref(), args.exclude_internal)?;
    let mut admin = Admin::connect(&args.connect)?;
    let topics = filter.of(admin.topics()?);
    if let Some(topic) = &args.topic
        && topics.is_empty()
        && !args.if_exists
    {
        return Err(no_such_topic(topic));
    }
    let only_some = args.under_replicated_partitions || args.unavailable_partitions;
    let mut out = std::io::stdout().lock();
    for topic in &topics {
        if !only_some {
            let configs = match own_configs(&mut admin, name(topic)) {
                // It was deleted since it was listed.
                Err(AdminError::NoSuchTopic { .. }) => continue,
                other => other?,
            };
            if args.topics_with_overrides && configs.is_empty() {
                continue;
            }
            writeln!(out, "{}", first_line(topic, &configs)).map_err(output)?;
        }
        if args.topics_with_overrides {
            continue;
        }
        let leaders = admin.eligible_leaders(name(topic))?;
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        for partition in partitions {
            let lacks = partition.isr_nodes.len() < partition.replica_nodes.len();
            let leaderless = partition.leader_id.0 < 0;
            if (args.under_replicated_partitions && !lacks) || (args.unavailable_partitions && !leaderless) {
                continue;
            }
            let eligible = leaders
                .get(&partition.partition_index)
                .cloned()
                .unwrap_or_default();
            writeln!(out, "{}", partition_line(name(topic), partition, &eligible)).map_err(output)?;
        }
    }
    Ok(())
}

/// The settings that are not defaults, as `key=value`.
fn own_configs(admin: &mut Admin, topic: &str) -> Result<Vec<String>, AdminError> {
    let configs = admin.describe_configs(&Resource::Topic(topic.into()))?;
    let own = configs
        .iter()
        .filter(|config| config.config_source != DEFAULT_CONFIG && !config.is_sensitive);
    Ok(own
        .map(|config| format!("{}={}", config.name, config.value.as_deref().unwrap_or_default()))
        .collect())
}

fn first_line(topic: &MetadataResponseTopic, configs: &[String]) -> String {
    let replicas = topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replica_nodes.len());
    format!(
        "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}",
        name(topic),
        base64_url(topic.topic_id.as_bytes()),
        topic.partitions.len(),
        configs.join(",")
    )
}

fn partition_line(topic: &str, partition: &MetadataResponsePartition, leaders: &EligibleLeaders) -> String {
    let leader = match partition.leader_id.0 {
        id if id < 0 => "none".into(),
        id => id.to_string(),
    };
    let or_unknown =
        |ids: &Option<Vec<BrokerId>>| ids.as_ref().map_or_else(|| "N/A".into(), |ids| joined(ids));
    format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: {}\tLastKnownElr: {}",
        partition.partition_index,
        joined(&partition.replica_nodes),
        joined(&partition.isr_nodes),
        or_unknown(&leaders.eligible),
        or_unknown(&leaders.last_known),
    )
}

fn joined(ids: &[BrokerId]) -> String {
    ids.iter()
        .map(|id| id.0.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// Bytes as Kafka writes ids: base64 for URLs (RFC 4648, section 5) without padding.
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for digit in 0..=three.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        assert_eq!(base64_url(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64_url(&[0xff; 16]), "_____________________w");
        assert_eq!(base64_url(b"Man"), "TWFu");
        assert_eq!(base64_url(b"M"), "TQ");
    }
}
