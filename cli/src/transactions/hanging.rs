//! `millstream transactions find-hanging`: open transactions that no coordinator will end.
//!
//! A partition's open transaction hangs when it is older than any transaction may become and its coordinator does not
//! know it: the producer has no transactional id, or the id's transaction does not hold the partition (KIP-664).

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use kafka_protocol::messages::describe_producers_response::ProducerState;

use super::OutputArgs;
use crate::admin::{Admin, AdminError, Partition, now_ms};
use crate::error::CliError;
use crate::table;
use crate::topics::select::name;

const MINUTE_MS: i64 = 60_000;
/// TRANSACTIONAL_ID_NOT_FOUND.
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;

/// Where is searched.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).multiple(true).args(["topic", "broker_id"])))]
pub struct HangingArgs {
    /// Search this topic
    #[arg(long)]
    topic: Option<String>,
    /// Search only this partition of the topic
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Search what this broker holds
    #[arg(long, value_name = "ID")]
    broker_id: Option<i32>,
    /// The longest that a transaction may last, in minutes: younger ones do not hang
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    max_transaction_timeout: i64,
    #[command(flatten)]
    output: OutputArgs,
}

/// An open transaction in a partition.
#[derive(Debug)]
struct Open {
    partition: Partition,
    producer: ProducerState,
}

/// Runs the action.
pub fn run(args: &HangingArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.output.connect)?;
    let now = now_ms();
    let mut open = Vec::new();
    for partition in searched(args, &mut admin)? {
        for producer in admin.describe_producers(&partition, args.broker_id)? {
            if is_overdue(&producer, now, args.max_transaction_timeout * MINUTE_MS) {
                open.push(Open {
                    partition: partition.clone(),
                    producer,
                });
            }
        }
    }
    let hanging = unknown_to_coordinators(&mut admin, open)?;
    let rows: Vec<_> = hanging.iter().map(|one| row(one, now)).collect();
    let headers = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    table::print(&headers, &rows, args.output.json)
}

/// The partitions that the options name.
fn searched(args: &HangingArgs, admin: &mut Admin) -> Result<Vec<Partition>, CliError> {
    if let (Some(topic), Some(partition)) = (&args.topic, args.partition) {
        return Ok(vec![(topic.clone(), partition)]);
    }
    let topics = match &args.topic {
        Some(topic) => vec![admin.topic(topic)?],
        None => admin.topics()?,
    };
    let mut partitions = Vec::new();
    for topic in &topics {
        for partition in &topic.partitions {
            let held = args
                .broker_id
                .is_none_or(|id| partition.replica_nodes.iter().any(|node| node.0 == id));
            if held {
                partitions.push((name(topic).to_owned(), partition.partition_index));
            }
        }
    }
    partitions.sort();
    Ok(partitions)
}

/// Whether a producer's transaction is open for longer than one may last.
const fn is_overdue(producer: &ProducerState, now_ms: i64, longest_ms: i64) -> bool {
    producer.current_txn_start_offset >= 0 && now_ms - producer.last_timestamp > longest_ms
}

/// Those that are not in a transaction of their coordinator.
fn unknown_to_coordinators(admin: &mut Admin, open: Vec<Open>) -> Result<Vec<Open>, CliError> {
    if open.is_empty() {
        return Ok(open);
    }
    let mut held: BTreeMap<i64, Vec<Partition>> = BTreeMap::new();
    for listed in admin.list_transactions(-1)? {
        if open
            .iter()
            .all(|one| one.producer.producer_id.0 != listed.producer_id)
        {
            continue;
        }
        let described = match admin.describe_transaction(&listed.id) {
            Ok((_, described)) => described,
            // It was forgotten since it was listed.
            Err(AdminError::Refused {
                code: TRANSACTIONAL_ID_NOT_FOUND,
                ..
            }) => continue,
            Err(error) => return Err(error.into()),
        };
        let partitions = described.topics.iter().flat_map(|topic| {
            let name = topic.topic.as_str().to_owned();
            topic.partitions.iter().map(move |one| (name.clone(), *one))
        });
        held.entry(listed.producer_id).or_default().extend(partitions);
    }
    Ok(not_held(open, &held))
}

/// The open transactions of partitions that their producers' coordinators do not hold.
fn not_held(open: Vec<Open>, held: &BTreeMap<i64, Vec<Partition>>) -> Vec<Open> {
    let is_held = |one: &Open| {
        let partitions = held.get(&one.producer.producer_id.0);
        partitions.is_some_and(|partitions| partitions.contains(&one.partition))
    };
    open.into_iter().filter(|one| !is_held(one)).collect()
}

fn row(one: &Open, now_ms: i64) -> Vec<String> {
    let producer = &one.producer;
    vec![
        one.partition.0.clone(),
        one.partition.1.to_string(),
        producer.producer_id.0.to_string(),
        producer.producer_epoch.to_string(),
        producer.coordinator_epoch.to_string(),
        producer.current_txn_start_offset.to_string(),
        producer.last_timestamp.to_string(),
        ((now_ms - producer.last_timestamp) / MINUTE_MS).to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_open_transactions_are_overdue() {
        let producer = |start, last| {
            ProducerState::default()
                .with_current_txn_start_offset(start)
                .with_last_timestamp(last)
        };
        assert!(is_overdue(&producer(0, 0), 1_001, 1_000));
        assert!(!is_overdue(&producer(0, 1), 1_001, 1_000));
        assert!(!is_overdue(&producer(-1, 0), 1_001, 1_000));
    }

    #[test]
    fn what_no_coordinator_holds_hangs() {
        let open = |producer: i64, partition| Open {
            partition: ("a".to_owned(), partition),
            producer: ProducerState::default().with_producer_id(producer.into()),
        };
        let held = BTreeMap::from([(7, vec![("a".to_owned(), 0)])]);
        let left = not_held(vec![open(7, 0), open(7, 1), open(8, 0)], &held);
        let left: Vec<_> = left
            .iter()
            .map(|one| (one.producer.producer_id.0, one.partition.1))
            .collect();
        // Another partition of a transaction that is known, and a producer that no id has.
        assert_eq!(left, [(7, 1), (8, 0)]);
    }
}
