//! `millstream consume`: the console consumer.

mod format;

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use self::format::RecordFormat;
use crate::client::{ConnectArgs, add_properties, create};
use crate::error::{CliError, output};
use crate::stop::StopSignal;
use crate::topics::no_such_topic;

/// How long one wait for a record lasts, so that Ctrl-C is seen.
const POLL: Duration = Duration::from_millis(100);

/// Print the records of a topic.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --group every partition is read and nothing is committed.\n\n\
    Examples:\n  \
    millstream consume --topic lines --from-beginning --timeout-ms 1000\n  \
    millstream consume --topic pairs --partition 0 --offset 42 --max-messages 1 --property print.key=true\n  \
    millstream consume --topic pairs --group readers --isolation-level read_committed\n\n\
    Properties (default false): print.timestamp, print.partition, print.offset, print.headers, print.key, print.value (true);\n\
    key.separator (tab), line.separator (line feed), headers.separator (,), null.literal (null)"
)]
pub struct ConsumeArgs {
    /// Topic to read
    #[arg(long)]
    topic: String,
    /// Start with the first record where no offset is committed [default: only new records]
    #[arg(long)]
    from_beginning: bool,
    /// Read this partition alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Start here: a number, earliest or latest; needs --partition
    #[arg(long, value_name = "OFFSET", requires = "partition", conflicts_with = "from_beginning", value_parser = parse_offset)]
    offset: Option<Offset>,
    /// Join this consumer group and commit what was printed
    #[arg(long, value_name = "NAME", conflicts_with = "partition")]
    group: Option<String>,
    /// Which transactional records are seen
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted")]
    isolation_level: IsolationLevel,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,
    /// Stop when no record came for so long, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// What is printed and how, KEY=VALUE (may be repeated)
    #[arg(long, visible_alias = "formatter-property", value_name = "KEY=VALUE")]
    property: Vec<String>,
    /// A property of the consumer client, KEY=VALUE (may be repeated)
    #[arg(long, visible_alias = "command-property", value_name = "KEY=VALUE")]
    consumer_property: Vec<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

impl IsolationLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }
}

fn parse_offset(text: &str) -> Result<Offset, String> {
    match text {
        "earliest" => Ok(Offset::Beginning),
        "latest" => Ok(Offset::End),
        _ => match text.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Offset::Offset(number)),
            _ => Err("give a number from 0, `earliest` or `latest`".into()),
        },
    }
}

/// Runs the subcommand.
pub fn run(args: &ConsumeArgs) -> Result<(), CliError> {
    let format = RecordFormat::from_properties(&args.property)?;
    let config = client_config(args)?;
    let partitions = partitions_of(args, &config)?;
    let stop = StopSignal::listen()?;
    let consumer: BaseConsumer = create(&config)?;
    start(args, &consumer, &partitions)?;
    let printed = print_records(args, &consumer, &format, &stop);
    if args.group.is_some() {
        commit(&consumer)?;
    }
    eprintln!("Processed a total of {} messages", printed?);
    Ok(())
}

fn client_config(args: &ConsumeArgs) -> Result<ClientConfig, CliError> {
    let mut config = args.connect.client_config()?;
    config.set("isolation.level", args.isolation_level.as_str());
    config.set(
        "auto.offset.reset",
        if args.from_beginning { "earliest" } else { "latest" },
    );
    // librdkafka insists on a name; without --group it is never used to join or commit.
    config.set("group.id", args.group.as_deref().unwrap_or("millstream-consume"));
    config.set(
        "enable.auto.commit",
        if args.group.is_some() { "true" } else { "false" },
    );
    // Closing the client drops what it has fetched; only what was printed may count as read.
    config.set("enable.auto.offset.store", "false");
    config
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.queue.backoff.ms", "20");
    config.set("allow.auto.create.topics", "false");
    add_properties(&mut config, "--consumer-property", &args.consumer_property)?;
    Ok(config)
}

/// The topic's partitions, or the one asked for.
fn partitions_of(args: &ConsumeArgs, config: &ClientConfig) -> Result<Vec<i32>, CliError> {
    let metadata = args.connect.reach(config, Some(&args.topic))?;
    let topic = metadata
        .topics()
        .iter()
        .find(|topic| topic.name() == args.topic && topic.error().is_none());
    let topic = topic.ok_or_else(|| no_such_topic(&args.topic))?;
    let mut all: Vec<i32> = topic
        .partitions()
        .iter()
        .map(|partition| partition.id())
        .collect();
    all.sort_unstable();
    match args.partition {
        None => Ok(all),
        Some(one) if all.contains(&one) => Ok(vec![one]),
        Some(one) => Err(CliError::new(format!(
            "topic {} has no partition {one}; it has {} counted from 0",
            args.topic,
            all.len()
        ))),
    }
}

fn start(args: &ConsumeArgs, consumer: &BaseConsumer, partitions: &[i32]) -> Result<(), CliError> {
    let cannot = |error: KafkaError| CliError::new(format!("cannot read topic {}: {error}", args.topic));
    if args.group.is_some() {
        return consumer.subscribe(&[&args.topic]).map_err(cannot);
    }
    let from = args.offset.unwrap_or(if args.from_beginning {
        Offset::Beginning
    } else {
        Offset::End
    });
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        list.add_partition_offset(&args.topic, partition, from)
            .map_err(cannot)?;
    }
    consumer.assign(&list).map_err(cannot)
}

/// Prints until a limit, the timeout or the user ends it; says how many records were printed.
fn print_records(
    args: &ConsumeArgs,
    consumer: &BaseConsumer,
    format: &RecordFormat,
    stop: &StopSignal,
) -> Result<u64, CliError> {
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let idle_limit = args.timeout_ms.map(Duration::from_millis);
    let mut last_record = Instant::now();
    let mut printed = 0;
    while args.max_messages.is_none_or(|most| printed < most) && !stop.requested() {
        // Nothing waits in the client: show what there is before waiting.
        let polled = match consumer.poll(Duration::ZERO) {
            None => {
                out.flush().map_err(output)?;
                consumer.poll(idle_limit.map_or(POLL, |limit| limit.min(POLL)))
            }
            some => some,
        };
        match polled {
            Some(Ok(message)) => {
                format.write(&mut out, &message).map_err(output)?;
                if args.group.is_some() {
                    consumer.store_offset_from_message(&message).map_err(|error| {
                        CliError::new(format!("the offset of a printed record cannot be kept: {error}"))
                    })?;
                }
                printed += 1;
                last_record = Instant::now();
            }
            Some(Err(error)) if is_passing(&error) => {
                tracing::warn!(%error, "the broker is out of reach; trying on")
            }
            Some(Err(error)) => {
                out.flush().map_err(output)?;
                return Err(CliError::new(format!(
                    "reading topic {} failed: {error}",
                    args.topic
                )));
            }
            None if idle_limit.is_some_and(|limit| last_record.elapsed() >= limit) => break,
            None => {}
        }
    }
    out.flush().map_err(output)?;
    Ok(printed)
}

/// Errors that the client heals by itself.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
        )
    )
}

fn commit(consumer: &BaseConsumer) -> Result<(), CliError> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        Err(error) => Err(CliError::new(format!(
            "the group's offsets could not be committed ({error}); the records printed last will be printed again"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_numbers_or_the_two_words() {
        assert_eq!(parse_offset("earliest"), Ok(Offset::Beginning));
        assert_eq!(parse_offset("latest"), Ok(Offset::End));
        assert_eq!(parse_offset("7"), Ok(Offset::Offset(7)));
        assert!(parse_offset("-1").is_err());
        assert!(parse_offset("first").is_err());
    }
}
