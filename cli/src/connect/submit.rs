//! Making and checking connectors from files.

use std::path::{Path, PathBuf};

use clap::Args;
use millstream_connect::config::connector_file::ConnectorFile;
use serde_json::{Value, json};

use super::ApiArgs;
use super::api::{connector, print, say, text};
use crate::error::CliError;
use crate::table;

/// Make connectors from property or JSON files.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Property files, or JSON as POST /connectors takes it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change the configuration of a connector that exists
    #[arg(long)]
    replace: bool,
    /// Make it without starting it: paused or stopped
    #[arg(long, value_name = "STATE", value_parser = ["running", "paused", "stopped"])]
    initial_state: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Check the files of connectors without making any.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Property files, or JSON as POST /connectors takes it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Reads a connector's file.
pub fn read(path: &Path) -> Result<ConnectorFile, CliError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::new(format!("cannot read {shown}: {error}")))?;
    ConnectorFile::parse(&text).map_err(|error| CliError::new(format!("{shown}: {error}")))
}

/// Makes connectors.
pub fn create(args: &CreateArgs) -> Result<(), CliError> {
    let files = args
        .files
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let api = args.api.api();
    for file in files {
        let answer = if args.replace {
            api.call(
                "PUT",
                &connector(&file.name, "/config"),
                Some(&json!(file.config)),
            )?
        } else {
            let mut body = json!({"name": file.name, "config": file.config});
            if let Some(state) = args.initial_state.clone().or(file.initial_state) {
                body["initial_state"] = state.to_uppercase().into();
            }
            api.call("POST", "/connectors", Some(&body))?
        };
        match args.api.json() {
            true => print(&answer)?,
            false => say(&format!("created {} ({})", file.name, text(&answer, "type")))?,
        }
    }
    Ok(())
}

/// Checks connectors; fails if anything is wrong.
pub fn validate(args: &ValidateArgs) -> Result<(), CliError> {
    let api = args.api.api();
    let mut wrong = 0;
    for path in &args.files {
        let file = read(path)?;
        let class = file.config.get("connector.class").ok_or_else(|| {
            let shown = path.display();
            CliError::new(format!(
                "{shown}: there is no connector.class; `millstream connect plugins` lists them"
            ))
        })?;
        let simple = class.rsplit('.').next().unwrap_or(class);
        let answer = api.call(
            "PUT",
            &format!("/connector-plugins/{simple}/config/validate"),
            Some(&json!(file.config)),
        )?;
        wrong += answer["error_count"].as_u64().unwrap_or_default();
        if args.api.json() {
            print(&answer)?;
            continue;
        }
        let rows = errors(&answer);
        match rows.is_empty() {
            true => say(&format!("{} is good", file.name))?,
            false => table::print(&["KEY", "VALUE", "ERROR"], &rows, false)?,
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(CliError::new("there is 1 error")),
        many => Err(CliError::new(format!("there are {many} errors"))),
    }
}

/// Each error with its key.
fn errors(answer: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for entry in answer["configs"].as_array().into_iter().flatten() {
        let value = &entry["value"];
        for error in value["errors"].as_array().into_iter().flatten() {
            let error = error.as_str().unwrap_or_default();
            let line: Vec<&str> = error.split_whitespace().collect();
            rows.push(vec![text(value, "name"), text(value, "value"), line.join(" ")]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_row() {
        let entry =
            |name: &str, errors: Value| json!({"value": {"name": name, "value": null, "errors": errors}});
        let answer = json!({"configs": [entry("a", json!(["x\ny", "z"])), entry("b", json!([]))]});
        assert_eq!(errors(&answer), [["a", "-", "x y"], ["a", "-", "z"]]);
    }
}
