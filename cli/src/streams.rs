//! `millstream streams`: asking running stream jobs, and what they leave on a cluster.

mod instance;
mod queries;
mod reset;

use clap::{Args, Subcommand};

use crate::error::CliError;

/// Look after stream jobs.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    millstream streams state --application-id word-count\n  \
    millstream streams query --application-id word-count --store counts --key '[\"to\"]'\n  \
    millstream streams reset --application-id word-count --dry-run\n  \
    millstream streams reset --application-id word-count --input-topics lines --to-datetime 2026-01-01T00:00:00.000"
)]
pub struct StreamsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the topology of a running job, and its stores.
    Describe(queries::DescribeArgs),
    /// Print the stores of a running job, and who works on which of their partitions.
    State(queries::StateArgs),
    /// Ask a store of a running job.
    Query(queries::QueryArgs),
    /// Have a job begin anew: its offsets are moved, its internal topics deleted.
    Reset(reset::ResetArgs),
}

/// Runs the subcommand.
pub fn run(args: &StreamsArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Describe(args) => queries::describe(args),
        Action::State(args) => queries::state(args),
        Action::Query(args) => queries::query(args),
        Action::Reset(args) => reset::run(args),
    }
}
