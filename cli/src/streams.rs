//! `millstream streams`: what a stream job leaves on a cluster.

mod reset;

use clap::{Args, Subcommand};

use crate::error::CliError;

/// Look after stream jobs.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    millstream streams reset --application-id word-count --dry-run\n  \
    millstream streams reset --application-id word-count --input-topics lines --to-datetime 2026-01-01T00:00:00.000"
)]
pub struct StreamsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Have a job begin anew: its offsets are moved, its internal topics deleted.
    Reset(reset::ResetArgs),
}

/// Runs the subcommand.
pub fn run(args: &StreamsArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Reset(args) => reset::run(args),
    }
}
