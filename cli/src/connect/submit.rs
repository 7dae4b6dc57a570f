//! Making and checking connectors from files.

use std::path::{Path, PathBuf};

use clap::Args;
use millstream_connect::config::connector_file::{ConnectorFile, ConnectorFileError};
use serde_json::{Value, json};

use super::ApiArgs;
use super::api::{Api, connector, print, say, text};
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
        .map_err(|error| CliError::new(format!("cannot read {shown}: {error}; name a connector's file")))?;
    ConnectorFile::parse(&text).map_err(|error| match error {
        ConnectorFileError::NoName if text.contains("bootstrap.servers") => CliError::new(format!(
            "{shown} is the file of a worker, not of a connector: it has no name; a worker's file comes first"
        )),
        error => CliError::new(format!("{shown}: {error}")),
    })
}

/// What is wrong with a connector, without the words for programs that Kafka's API puts around it.
pub fn reasons(refusal: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in refusal.lines() {
        let for_programs = line.starts_with("Connector configuration is invalid and contains")
            || line.starts_with("You can also find the above list of errors");
        if !for_programs && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("; ")
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
            )
        } else {
            let mut body = json!({"name": file.name, "config": file.config});
            if let Some(state) = args.initial_state.clone().or(file.initial_state) {
                body["initial_state"] = state.to_uppercase().into();
            }
            api.call("POST", "/connectors", Some(&body))
        };
        let answer = answer
            .map_err(|error| CliError::new(format!("{}: {}", file.name, reasons(&error.to_string()))))?;
        match args.api.json() {
            true => print(&answer)?,
            false => say(&format!("created {} ({})", file.name, text(&answer, "type")))?,
        }
    }
    Ok(())
}

/// Checks connectors; fails if anything is wrong. What is only unlikely to be meant so is told beside it, and fails nothing.
pub fn validate(args: &ValidateArgs) -> Result<(), CliError> {
    let api = args.api.api();
    // Who answers this is a worker: what it refuses from now on is the file's fault.
    api.get("/")?;
    let mut rows = Vec::new();
    for path in &args.files {
        let file = read(path)?;
        let found = match checked(&api, &file) {
            Ok((answer, warnings)) => {
                for warning in warnings {
                    eprintln!("millstream: {}: warning: {warning}", file.name);
                }
                if args.api.json() {
                    print(&answer)?;
                }
                errors(&answer)
            }
            Err(error) => {
                let class = file.config.get("connector.class").map_or("-", String::as_str);
                let row = ["connector.class", class, &reasons(&error.to_string())];
                vec![row.map(str::to_owned).to_vec()]
            }
        };
        if found.is_empty() && !args.api.json() {
            say(&format!("{} is good", file.name))?;
        }
        rows.extend(found.into_iter().map(|mut row| {
            row.insert(0, file.name.clone());
            row
        }));
    }
    if !rows.is_empty() && !args.api.json() {
        table::print(&["CONNECTOR", "KEY", "VALUE", "ERROR"], &rows, false)?;
    }
    match rows.len() {
        0 => Ok(()),
        1 => Err(CliError::new("there is 1 error")),
        many => Err(CliError::new(format!("there are {many} errors"))),
    }
}

/// What a worker says of a connector, and what it warns about.
fn checked(api: &Api, file: &ConnectorFile) -> Result<(Value, Vec<String>), CliError> {
    let class = file.config.get("connector.class");
    let class =
        class.ok_or_else(|| CliError::new("is missing; `millstream connect plugins` lists the plugins"))?;
    let simple = class.rsplit('.').next().unwrap_or(class);
    api.call_warned(
        "PUT",
        &format!("/connector-plugins/{simple}/config/validate"),
        Some(&json!(file.config)),
    )
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
    fn reasons_stand_alone_and_once() {
        let refusal = "Connector configuration is invalid and contains the following 2 error(s):\nMust a\nMust a\nNo b\n\
            You can also find the above list of errors at the endpoint `/x`";
        assert_eq!(reasons(refusal), "Must a; No b");
        assert_eq!(
            reasons("Connector a already exists"),
            "Connector a already exists"
        );
    }

    #[test]
    fn each_error_has_a_row() {
        let entry =
            |name: &str, errors: Value| json!({"value": {"name": name, "value": null, "errors": errors}});
        let answer = json!({"configs": [entry("a", json!(["x\ny", "z"])), entry("b", json!([]))]});
        assert_eq!(errors(&answer), [["a", "-", "x y"], ["a", "-", "z"]]);
    }
}
