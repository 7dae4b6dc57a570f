//! `millstream topics`: create, list, describe and delete, with the words and the output of `kafka-topics`.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;

use clap::{Args, Subcommand};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{ConnectArgs, create, split_property};
use crate::error::{CliError, output};

/// Create, list, describe and delete topics.
#[derive(Debug, Args)]
#[command(
    after_help = "The flags of kafka-topics are understood too: `millstream topics --create --topic lines`.\n\n\
    Examples:\n  \
    millstream topics create --topic lines --partitions 4 --config retention.ms=3600000\n  \
    millstream topics list\n  \
    millstream topics describe --topic lines\n  \
    millstream topics delete --topic lines --if-exists"
)]
pub struct TopicsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic.
    Create(CreateArgs),
    /// Print the names of all topics.
    List(SelectArgs),
    /// Print partitions and settings of one topic or of all.
    Describe(SelectArgs),
    /// Delete a topic and its records.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name of the topic
    #[arg(long)]
    topic: String,
    /// Number of partitions [default: the broker's num.partitions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition; a single broker holds 1 [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    replication_factor: Option<i32>,
    /// A setting of the topic, e.g. cleanup.policy=compact (may be repeated)
    #[arg(long = "config", value_name = "KEY=VALUE")]
    configs: Vec<String>,
    /// Do nothing when the topic exists
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct SelectArgs {
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Leave out the broker's own topics, whose names begin with two underscores
    #[arg(long)]
    exclude_internal: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Name of the topic
    #[arg(long)]
    topic: String,
    /// Do nothing when there is no such topic
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Turns `topics --create …`, as kafka-topics has it, into `topics create …`.
pub fn accept_kafka_style(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const ACTIONS: [&str; 4] = ["--create", "--list", "--describe", "--delete"];
    let Some(topics) = arguments
        .iter()
        .skip(1)
        .position(|argument| argument == "topics")
        .map(|at| at + 1)
    else {
        return arguments;
    };
    let action = arguments
        .iter()
        .skip(topics + 1)
        .position(|argument| ACTIONS.iter().any(|action| argument == action))
        .map(|at| at + topics + 1);
    if let Some(at) = action {
        let flag = arguments.remove(at);
        let word = flag.to_string_lossy().trim_start_matches('-').to_owned();
        arguments.insert(topics + 1, word.into());
    }
    arguments
}

/// Runs the subcommand.
pub fn run(args: &TopicsArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Create(args) => create_topic(args),
        Action::List(args) => list(args),
        Action::Describe(args) => describe(args),
        Action::Delete(args) => delete(args),
    }
}

/// An administration client and what it needs to wait for answers.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// Connects with a configuration that was seen to reach the cluster.
    pub fn new(config: &rdkafka::ClientConfig, timeout: std::time::Duration) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| CliError::new(format!("cannot start a runtime: {error}")))?;
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout));
        Ok(Self {
            client: create(config)?,
            options,
            runtime,
        })
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = rdkafka::error::KafkaResult<T>>,
        what: &str,
    ) -> Result<T, CliError> {
        self.runtime
            .block_on(answer)
            .map_err(|error| CliError::new(format!("{what}: the broker did not answer ({error})")))
    }

    /// Creates one topic; `Ok(Err(code))` is the broker's refusal.
    pub fn create_topic(&self, topic: &NewTopic<'_>) -> Result<Result<(), RDKafkaErrorCode>, CliError> {
        let answers = self.wait(self.client.create_topics([topic], &self.options), topic.name)?;
        Ok(first(answers))
    }

    /// Deletes one topic; `Ok(Err(code))` is the broker's refusal.
    pub fn delete_topic(&self, topic: &str) -> Result<Result<(), RDKafkaErrorCode>, CliError> {
        let answers = self.wait(self.client.delete_topics(&[topic], &self.options), topic)?;
        Ok(first(answers))
    }

    /// The settings of a topic that differ from the broker's defaults, sorted, as `key=value`.
    fn overridden_configs(&self, topic: &str) -> Result<Vec<String>, CliError> {
        let specifier = ResourceSpecifier::Topic(topic);
        let answers = self.wait(self.client.describe_configs([&specifier], &self.options), topic)?;
        let mut configs = Vec::new();
        for answer in answers {
            let resource = answer.map_err(|code| {
                CliError::new(format!("cannot read the settings of topic {topic}: {code}"))
            })?;
            for entry in resource.entries {
                if matches!(entry.source, ConfigSource::DynamicTopic) {
                    configs.push(format!("{}={}", entry.name, entry.value.unwrap_or_default()));
                }
            }
        }
        configs.sort();
        Ok(configs)
    }
}

/// The one answer of a call about one topic.
fn first(answers: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), RDKafkaErrorCode> {
    match answers.into_iter().next() {
        Some(Err((_, code))) => Err(code),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn create_topic(args: &CreateArgs) -> Result<(), CliError> {
    let config = args.connect.client_config()?;
    args.connect.reach(&config, None)?;
    let admin = Admin::new(&config, args.connect.timeout())?;
    let mut topic = NewTopic::new(
        &args.topic,
        args.partitions.unwrap_or(-1),
        TopicReplication::Fixed(args.replication_factor.unwrap_or(-1)),
    );
    for property in &args.configs {
        let (key, value) = split_property("--config", property)?;
        topic = topic.set(key, value);
    }
    match admin.create_topic(&topic)? {
        Ok(()) => writeln!(std::io::stdout(), "Created topic {}.", args.topic).map_err(output),
        Err(RDKafkaErrorCode::TopicAlreadyExists) if args.if_not_exists => Ok(()),
        Err(RDKafkaErrorCode::TopicAlreadyExists) => Err(CliError::new(format!(
            "topic {} exists already; --if-not-exists accepts that",
            args.topic
        ))),
        Err(RDKafkaErrorCode::InvalidConfig) => Err(CliError::new(format!(
            "cannot create topic {}: the broker knows no such setting, or not this value: --config {}; \
             `millstream topics describe` shows a topic's settings",
            args.topic,
            args.configs.join(" --config ")
        ))),
        Err(code) => Err(CliError::new(format!(
            "cannot create topic {}: {code}{}",
            args.topic,
            hint(code)
        ))),
    }
}

/// The remedy for what a broker refuses, where its error code alone says too little.
const fn hint(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "; a single broker holds one copy: leave --replication-factor out or give 1"
        }
        RDKafkaErrorCode::InvalidTopic => {
            "; a name has up to 249 of the characters a-z A-Z 0-9 . _ - and must not clash with another where . and _ are alike"
        }
        RDKafkaErrorCode::InvalidPartitions => "; give a number from 1 up to the broker's limit",
        _ => "",
    }
}

fn list(args: &SelectArgs) -> Result<(), CliError> {
    let config = args.connect.client_config()?;
    let metadata = args.connect.reach(&config, args.topic.as_deref())?;
    let mut out = std::io::stdout().lock();
    for topic in sorted(metadata.topics(), args.exclude_internal) {
        if topic.error().is_none() {
            writeln!(out, "{}", topic.name()).map_err(output)?;
        }
    }
    Ok(())
}

fn describe(args: &SelectArgs) -> Result<(), CliError> {
    let config = args.connect.client_config()?;
    let metadata = args.connect.reach(&config, args.topic.as_deref())?;
    let admin = Admin::new(&config, args.connect.timeout())?;
    let mut out = std::io::stdout().lock();
    for topic in sorted(metadata.topics(), args.exclude_internal) {
        if topic.error().is_some() {
            return Err(no_such_topic(topic.name()));
        }
        let configs = admin.overridden_configs(topic.name())?.join(",");
        describe_topic(&mut out, topic, &configs).map_err(output)?;
    }
    Ok(())
}

fn describe_topic(out: &mut impl Write, topic: &MetadataTopic, configs: &str) -> std::io::Result<()> {
    let joined = |ids: &[i32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let replicas = topic
        .partitions()
        .first()
        .map_or(0, |partition| partition.replicas().len());
    writeln!(
        out,
        "Topic: {}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {configs}",
        topic.name(),
        topic.partitions().len(),
    )?;
    let mut partitions: Vec<_> = topic.partitions().iter().collect();
    partitions.sort_by_key(|partition| partition.id());
    for partition in partitions {
        writeln!(
            out,
            "\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}",
            topic.name(),
            partition.id(),
            partition.leader(),
            joined(partition.replicas()),
            joined(partition.isr()),
        )?;
    }
    Ok(())
}

fn delete(args: &DeleteArgs) -> Result<(), CliError> {
    let config = args.connect.client_config()?;
    args.connect.reach(&config, None)?;
    let admin = Admin::new(&config, args.connect.timeout())?;
    match admin.delete_topic(&args.topic)? {
        Ok(()) => Ok(()),
        Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) if args.if_exists => {
            Ok(())
        }
        Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(no_such_topic(&args.topic))
        }
        Err(code) => Err(CliError::new(format!(
            "cannot delete topic {}: {code}",
            args.topic
        ))),
    }
}

/// The error for a topic that is not there.
pub fn no_such_topic(topic: &str) -> CliError {
    CliError::new(format!(
        "topic {topic} does not exist; `millstream topics list` shows those that do, `millstream topics create --topic {topic}` \
         makes it"
    ))
}

fn sorted(topics: &[MetadataTopic], exclude_internal: bool) -> Vec<&MetadataTopic> {
    let mut topics: Vec<_> = topics
        .iter()
        .filter(|topic| !(exclude_internal && topic.name().starts_with("__")))
        .collect();
    topics.sort_by(|a, b| a.name().cmp(b.name()));
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(words: &[&str]) -> Vec<String> {
        accept_kafka_style(words.iter().map(Into::into).collect())
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_flags_of_kafka_topics_become_subcommands() {
        assert_eq!(
            translated(&[
                "millstream",
                "topics",
                "--topic",
                "a",
                "--create",
                "--partitions",
                "3"
            ]),
            [
                "millstream",
                "topics",
                "create",
                "--topic",
                "a",
                "--partitions",
                "3"
            ]
        );
        assert_eq!(
            translated(&["millstream", "topics", "--list"]),
            ["millstream", "topics", "list"]
        );
    }

    #[test]
    fn other_commands_keep_their_arguments() {
        let words = ["millstream", "consume", "--topic", "topic", "--list"];
        assert_eq!(translated(&words), words);
    }
}
