//! Offsets of connectors.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::ApiArgs;
use super::api::{connector, print, say, text};
use crate::error::CliError;
use crate::table;

/// Print, set or forget the offsets of a connector.
#[derive(Debug, Args)]
#[command(
    after_help = "Only a stopped connector's offsets can be changed: `millstream connect stop NAME`.\n\n\
    Examples:\n  \
    millstream connect offsets lines --output json > offsets.json\n  \
    millstream connect offsets lines --set offsets.json\n  \
    millstream connect offsets lines --reset"
)]
pub struct OffsetsArgs {
    /// Name of the connector
    #[arg(value_name = "NAME")]
    name: String,
    /// Set those of a JSON file, as this command prints it
    #[arg(long, value_name = "FILE")]
    set: Option<PathBuf>,
    /// Forget all
    #[arg(long, conflicts_with = "set")]
    reset: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Runs the subcommand.
pub fn run(args: &OffsetsArgs) -> Result<(), CliError> {
    let api = args.api.api();
    let path = connector(&args.name, "/offsets");
    if args.set.is_none() && !args.reset {
        let answer = api.get(&path)?;
        return match args.api.json() {
            true => print(&answer),
            false => show(&answer),
        };
    }
    let answer = match &args.set {
        Some(file) => {
            let shown = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|error| CliError::new(format!("cannot read {shown}: {error}")))?;
            let body: Value = serde_json::from_str(&text).map_err(|error| {
                CliError::new(format!(
                    "{shown}: {error}; give what `millstream connect offsets --output json` prints"
                ))
            })?;
            api.call("PATCH", &path, Some(&body))
        }
        None => api.call("DELETE", &path, None),
    };
    let answer = answer.map_err(|error| match error.to_string().contains("must be in the STOPPED state") {
        true => CliError::new(format!(
            "{name} is not stopped, and only offsets of stopped connectors can be changed; `millstream connect stop {name}` stops it",
            name = args.name
        )),
        false => error,
    })?;
    match args.api.json() {
        true => print(&answer),
        false => say(&text(&answer, "message")),
    }
}

fn show(answer: &Value) -> Result<(), CliError> {
    let entries = answer["offsets"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = entries
        .map(|entry| vec![entry["partition"].to_string(), entry["offset"].to_string()])
        .collect();
    table::print(&["PARTITION", "OFFSET"], &rows, false)
}
