//! `millstream topics`: create, list, describe, change and delete, with the words and the output of `kafka-topics`.

mod describe;
pub mod select;

use std::io::Write;

use clap::{Args, Subcommand};

use self::describe::DescribeArgs;
use self::select::Filter;
use crate::admin::topics::TOPIC_ALREADY_EXISTS;
use crate::admin::{Admin, AdminError};
use crate::client::{ConnectArgs, split_property};
use crate::error::{CliError, output};

/// Create, list, describe, change and delete topics.
#[derive(Debug, Args)]
#[command(
    after_help = "The flags of kafka-topics are understood too: `millstream topics --create --topic lines`. Where topics are \
    selected, --topic is a regular expression of whole names.\n\n\
    Examples:\n  \
    millstream topics create --topic lines --partitions 4 --config retention.ms=3600000\n  \
    millstream topics list\n  \
    millstream topics describe --topic 'line.*'\n  \
    millstream topics alter --topic lines --partitions 8\n  \
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
    List(ListArgs),
    /// Print partitions and settings of one topic or of all.
    Describe(DescribeArgs),
    /// Give topics more partitions.
    Alter(AlterArgs),
    /// Delete topics and their records.
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
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
struct ListArgs {
    /// Only these topics
    #[arg(long, value_name = "REGEX")]
    topic: Option<String>,
    /// Leave out the broker's own topics, whose names begin with two underscores
    #[arg(long)]
    exclude_internal: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct AlterArgs {
    /// The topics
    #[arg(long, value_name = "REGEX")]
    topic: String,
    /// Number of partitions, more than now; keys written before may lie elsewhere than those written after
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Do nothing when there is no such topic
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// The topics
    #[arg(long, value_name = "REGEX")]
    topic: String,
    /// Do nothing when there is no such topic
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the subcommand.
pub fn run(args: &TopicsArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Create(args) => create_topic(args),
        Action::List(args) => list(args),
        Action::Describe(args) => describe::run(args),
        Action::Alter(args) => alter(args),
        Action::Delete(args) => delete(args),
    }
}

fn create_topic(args: &CreateArgs) -> Result<(), CliError> {
    let mut configs = Vec::new();
    for property in &args.configs {
        let (key, value) = split_property("--config", property)?;
        configs.push((key.to_owned(), value.to_owned()));
    }
    let mut admin = Admin::connect(&args.connect)?;
    match admin.create_topic(&args.topic, args.partitions, args.replication_factor, &configs) {
        Ok(()) => writeln!(std::io::stdout(), "Created topic {}.", args.topic).map_err(output),
        Err(AdminError::Refused {
            code: TOPIC_ALREADY_EXISTS,
            ..
        }) if args.if_not_exists => Ok(()),
        Err(AdminError::Refused {
            code: TOPIC_ALREADY_EXISTS,
            ..
        }) => Err(CliError::new(format!(
            "topic {} exists already; --if-not-exists accepts that",
            args.topic
        ))),
        Err(error) if configs.is_empty() => Err(CliError::new(format!("cannot create {error}"))),
        Err(error) => Err(CliError::new(format!(
            "cannot create {error} (--config {})",
            args.configs.join(" --config ")
        ))),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let filter = Filter::new(args.topic.as_deref(), args.exclude_internal)?;
    let mut admin = Admin::connect(&args.connect)?;
    let mut out = std::io::stdout().lock();
    for topic in filter.of(admin.topics()?) {
        writeln!(out, "{}", select::name(&topic)).map_err(output)?;
    }
    Ok(())
}

/// The topics that a name or expression means; none is an error unless that is accepted.
fn chosen(admin: &mut Admin, topic: &str, if_exists: bool) -> Result<Vec<String>, CliError> {
    let found = Filter::new(Some(topic), false)?.of(admin.topics()?);
    if found.is_empty() && !if_exists {
        return Err(no_such_topic(topic));
    }
    Ok(found.iter().map(|topic| select::name(topic).to_owned()).collect())
}

fn alter(args: &AlterArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.connect)?;
    for topic in chosen(&mut admin, &args.topic, args.if_exists)? {
        admin.create_partitions(&topic, args.partitions)?;
    }
    Ok(())
}

fn delete(args: &DeleteArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.connect)?;
    for topic in chosen(&mut admin, &args.topic, args.if_exists)? {
        match admin.delete_topic(&topic) {
            // Somebody else was quicker.
            Err(AdminError::NoSuchTopic { .. }) if args.if_exists => {}
            other => other?,
        }
    }
    Ok(())
}

/// The error for a topic that is not there.
pub fn no_such_topic(topic: &str) -> CliError {
    AdminError::NoSuchTopic { topic: topic.into() }.into()
}
