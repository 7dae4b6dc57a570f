//! `millstream transactions`: what brokers know of transactions, with the words and columns of `kafka-transactions`.

mod hanging;

use clap::{ArgGroup, Args, Subcommand};

use crate::admin::{Admin, now_ms};
use crate::client::ConnectArgs;
use crate::error::CliError;
use crate::table;

/// List, describe and abort transactions.
#[derive(Debug, Args)]
#[command(
    after_help = "The options may stand before the action, as in kafka-transactions.\n\n\
    Examples:\n  \
    millstream transactions list\n  \
    millstream transactions describe --transactional-id payments-1\n  \
    millstream transactions describe-producers --topic payments --partition 0\n  \
    millstream transactions find-hanging --topic payments\n  \
    millstream transactions abort --topic payments --partition 0 --start-offset 42"
)]
pub struct TransactionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print all transactional ids.
    List(ListArgs),
    /// Print the transaction of one transactional id.
    Describe(DescribeArgs),
    /// Print the producers that a partition remembers.
    DescribeProducers(ProducersArgs),
    /// Print open transactions that no coordinator will end.
    FindHanging(hanging::HangingArgs),
    /// Abort a transaction that hangs in a partition.
    Abort(AbortArgs),
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Print tables as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only transactions that have run longer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = -1, allow_hyphen_values = true)]
    duration_filter: i64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct DescribeArgs {
    /// The transactional id
    #[arg(long, value_name = "ID")]
    transactional_id: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ProducersArgs {
    /// Name of the topic
    #[arg(long)]
    topic: String,
    /// Number of the partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// Ask this broker rather than the leader
    #[arg(long, value_name = "ID")]
    broker_id: Option<i32>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["start_offset", "producer_id"])))]
struct AbortArgs {
    /// Name of the topic
    #[arg(long)]
    topic: String,
    /// Number of the partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// Where the transaction begins, as describe-producers and find-hanging print it
    #[arg(long, value_name = "OFFSET")]
    start_offset: Option<i64>,
    /// Its producer, where a broker before 3.0 cannot tell where transactions begin
    #[arg(long, value_name = "ID", requires_all = ["producer_epoch", "coordinator_epoch"])]
    producer_id: Option<i64>,
    /// The producer's epoch
    #[arg(long, value_name = "EPOCH", requires = "producer_id")]
    producer_epoch: Option<i16>,
    /// The coordinator's epoch
    #[arg(long, value_name = "EPOCH", requires = "producer_id")]
    coordinator_epoch: Option<i32>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the subcommand.
pub fn run(args: &TransactionsArgs) -> Result<(), CliError> {
    match &args.action {
        Action::List(args) => list(args),
        Action::Describe(args) => describe(args),
        Action::DescribeProducers(args) => describe_producers(args),
        Action::FindHanging(args) => hanging::run(args),
        Action::Abort(args) => abort(args),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let found = Admin::connect(&args.output.connect)?.list_transactions(args.duration_filter)?;
    let rows: Vec<_> = found
        .into_iter()
        .map(|one| {
            vec![
                one.id,
                one.coordinator.to_string(),
                one.producer_id.to_string(),
                one.state,
            ]
        })
        .collect();
    let headers = ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"];
    table::print(&headers, &rows, args.output.json)
}

fn describe(args: &DescribeArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.output.connect)?;
    let (coordinator, found) = admin.describe_transaction(&args.transactional_id)?;
    let start = found.transaction_start_time_ms;
    let since = |value: i64| {
        if start >= 0 {
            value.to_string()
        } else {
            "None".into()
        }
    };
    let partitions: Vec<String> = found
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|one| format!("{}-{one}", topic.topic.as_str()))
        })
        .collect();
    let row = vec![
        coordinator.to_string(),
        found.transactional_id.to_string(),
        found.producer_id.0.to_string(),
        found.producer_epoch.to_string(),
        found.transaction_state.to_string(),
        found.transaction_timeout_ms.to_string(),
        since(start),
        since(now_ms() - start),
        partitions.join(","),
    ];
    let headers = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    table::print(&headers, &[row], args.output.json)
}

fn describe_producers(args: &ProducersArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.output.connect)?;
    let partition = (args.topic.clone(), args.partition);
    let found = admin.describe_producers(&partition, args.broker_id)?;
    let or_none = |value: i64| {
        if value >= 0 {
            value.to_string()
        } else {
            "None".into()
        }
    };
    let rows: Vec<_> = found
        .iter()
        .map(|one| {
            vec![
                one.producer_id.0.to_string(),
                one.producer_epoch.to_string(),
                or_none(one.coordinator_epoch.into()),
                one.last_sequence.to_string(),
                one.last_timestamp.to_string(),
                or_none(one.current_txn_start_offset),
            ]
        })
        .collect();
    let headers = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    table::print(&headers, &rows, args.output.json)
}

fn abort(args: &AbortArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.connect)?;
    let partition = (args.topic.clone(), args.partition);
    if let (Some(id), Some(epoch), Some(coordinator)) =
        (args.producer_id, args.producer_epoch, args.coordinator_epoch)
    {
        return Ok(admin.abort_transaction(&partition, id, epoch, coordinator)?);
    }
    let start = args.start_offset.unwrap_or(-1);
    let producers = admin.describe_producers(&partition, None)?;
    let found = producers
        .iter()
        .find(|one| start >= 0 && one.current_txn_start_offset == start);
    let producer = found.ok_or_else(|| {
        CliError::new(format!(
            "Could not find any open transactions starting at offset {start} on partition {}-{}; `millstream transactions \
             describe-producers` shows where they begin",
            args.topic, args.partition
        ))
    })?;
    let epoch = i16::try_from(producer.producer_epoch).map_err(|_| {
        CliError::new(format!(
            "the broker tells an impossible producer epoch {}; check it with `millstream transactions describe-producers`",
            producer.producer_epoch
        ))
    })?;
    // A partition that never saw a marker of this producer knows no coordinator epoch: any will do.
    let coordinator_epoch = producer.coordinator_epoch.max(0);
    Ok(admin.abort_transaction(&partition, producer.producer_id.0, epoch, coordinator_epoch)?)
}
