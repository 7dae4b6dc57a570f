//! `millstream log-dirs`: where brokers keep partitions and how large they are, as `kafka-log-dirs` prints it.

use std::io::Write;

use clap::Args;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use serde::Serialize;

use crate::admin::{Admin, error_name};
use crate::client::{ConnectArgs, ConnectCommonArgs, DEFAULT_BOOTSTRAP};
use crate::error::{CliError, output};

/// Print the log directories of brokers and the sizes of partitions in them.
#[derive(Debug, Args)]
#[command(after_help = "Prints two lines for people and one of JSON.\n\n\
    Examples:\n  \
    millstream log-dirs --describe\n  \
    millstream log-dirs --describe --topic-list lines,pairs | tail -n 1")]
pub struct LogDirsArgs {
    /// Print directories and sizes
    #[arg(long, required = true)]
    describe: bool,
    /// Only these topics
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    topic_list: Vec<String>,
    /// Only these brokers
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    broker_list: Vec<i32>,
    // Elsewhere --broker-list means this: here Kafka's script has it for what is described.
    /// Brokers to start from, comma-separated HOST:PORT
    #[arg(long, value_name = "HOST:PORT,…", default_value = DEFAULT_BOOTSTRAP, help_heading = "Connection")]
    bootstrap_server: String,
    #[command(flatten)]
    connect: ConnectCommonArgs,
}

#[derive(Debug, Serialize)]
struct Answer {
    brokers: Vec<Broker>,
    version: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Broker {
    broker: i32,
    log_dirs: Vec<LogDir>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogDir {
    partitions: Vec<Size>,
    error: Option<String>,
    log_dir: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Size {
    partition: String,
    size: i64,
    offset_lag: i64,
    is_future: bool,
}

/// Runs the subcommand.
pub fn run(args: &LogDirsArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&ConnectArgs {
        bootstrap_server: args.bootstrap_server.clone(),
        common: args.connect.clone(),
    })?;
    let there: Vec<i32> = admin.brokers().keys().copied().collect();
    let missing: Vec<i32> = args
        .broker_list
        .iter()
        .copied()
        .filter(|id| !there.contains(id))
        .collect();
    if !missing.is_empty() {
        return Err(CliError::new(format!(
            "The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
            joined(&missing),
            joined(&there)
        )));
    }
    let mut wanted = if args.broker_list.is_empty() {
        there
    } else {
        args.broker_list.clone()
    };
    wanted.sort_unstable();
    wanted.dedup();
    let mut out = std::io::stdout().lock();
    writeln!(out, "Querying brokers for log directories information").map_err(output)?;
    let mut brokers = Vec::new();
    for &broker in &wanted {
        let found = admin.describe_log_dirs(broker)?;
        let log_dirs = found
            .into_iter()
            .map(|one| log_dir(one, &args.topic_list))
            .collect();
        brokers.push(Broker { broker, log_dirs });
    }
    let answer = serde_json::to_string(&Answer { brokers, version: 1 })
        .map_err(|error| CliError::new(format!("cannot write the answer as JSON: {error}")))?;
    writeln!(
        out,
        "Received log directory information from brokers {}\n{answer}",
        joined(&wanted)
    )
    .map_err(output)
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn log_dir(found: DescribeLogDirsResult, topics: &[String]) -> LogDir {
    let mut partitions = Vec::new();
    for topic in found.topics {
        if !topics.is_empty() && !topics.iter().any(|wanted| wanted == topic.name.as_str()) {
            continue;
        }
        partitions.extend(topic.partitions.iter().map(|one| Size {
            partition: format!("{}-{}", topic.name.as_str(), one.partition_index),
            size: one.partition_size,
            offset_lag: one.offset_lag,
            is_future: one.is_future_key,
        }));
    }
    partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
    LogDir {
        partitions,
        error: (found.error_code != 0).then(|| error_name(found.error_code)),
        log_dir: found.log_dir.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_stand_in_kafkas_order() {
        let size = Size {
            partition: "a-0".into(),
            size: 7,
            offset_lag: 0,
            is_future: false,
        };
        let log_dir = LogDir {
            partitions: vec![size],
            error: None,
            log_dir: "/data".into(),
        };
        let brokers = vec![Broker {
            broker: 1,
            log_dirs: vec![log_dir],
        }];
        assert_eq!(
            serde_json::to_string(&Answer { brokers, version: 1 }).unwrap(),
            "{\"brokers\":[{\"broker\":1,\"logDirs\":[{\"partitions\":[{\"partition\":\"a-0\",\"size\":7,\"offsetLag\":0,\
             \"isFuture\":false}],\"error\":null,\"logDir\":\"/data\"}]}],\"version\":1}"
        );
    }
}
