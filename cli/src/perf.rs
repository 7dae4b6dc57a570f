//! `millstream perf`: how fast a cluster takes records, gives them back, and passes them through.
//!
//! The words and the lines are those of Kafka's kafka-producer-perf-test, kafka-consumer-perf-test and
//! kafka-e2e-latency, so that numbers stand side by side.

mod consume;
mod fixed_rate;
mod histogram;
mod latency;
mod pace;
mod payload;
mod produce;
mod properties;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::histogram::Histogram;
use crate::error::{CliError, output};

/// Bytes of what Kafka's tools call MB.
const MB: f64 = 1024.0 * 1024.0;
/// Largest record that is sent; brokers take 1 MiB unless told otherwise.
const RECORD_BYTES_MAX: i64 = 100 << 20;

/// Measure how fast a cluster is.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    millstream perf produce --topic load --num-records 1000000 --record-size 100 --throughput -1\n  \
    millstream perf consume --topic load --num-records 1000000\n  \
    millstream perf latency --topic load --num-records 10000 --record-size 100\n  \
    millstream perf latency --topic load --num-records 100000 --record-size 100 --throughput 10000"
)]
pub struct PerfArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write records as fast as possible or at a rate.
    Produce(produce::ProducePerfArgs),
    /// Read records as fast as possible.
    Consume(consume::ConsumePerfArgs),
    /// Time records from produce to consume, one after another or at a rate.
    Latency(latency::LatencyArgs),
}

/// Runs the subcommand.
pub fn run(args: &PerfArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Produce(args) => produce::run(args),
        Action::Consume(args) => consume::run(args),
        Action::Latency(args) => latency::run(args),
    }
}

/// Prints a line of the result.
fn say(line: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{line}").map_err(output)
}

/// Prints a line about the way: beside the result where that is JSON.
fn note(json: bool, line: &str) -> Result<(), CliError> {
    if json {
        eprintln!("{line}");
        Ok(())
    } else {
        say(line)
    }
}

fn milliseconds(latency: std::time::Duration) -> f64 {
    latency.as_secs_f64() * 1_000.0
}

/// A number with three decimals, for JSON.
fn rounded(number: f64) -> Value {
    Value::from((number * 1_000.0).round() / 1_000.0)
}

/// The latencies as JSON, in milliseconds.
fn latency_json(latencies: &Histogram) -> Value {
    let at = |fraction| rounded(milliseconds(latencies.percentile(fraction)));
    serde_json::json!({
        "avg": rounded(latencies.mean_ms()),
        "max": rounded(milliseconds(latencies.max())),
        "p50": at(0.5),
        "p95": at(0.95),
        "p99": at(0.99),
        "p99.9": at(0.999),
    })
}
