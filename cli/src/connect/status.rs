//! What connectors are doing, and telling them what to do.

use clap::Args;
use serde_json::{Map, Value};

use super::api::{connector, print, say, text};
use super::{ApiArgs, NamesArgs};
use crate::error::CliError;
use crate::table;

/// Start connectors or their tasks again.
#[derive(Debug, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// The tasks, too
    #[arg(long)]
    include_tasks: bool,
    /// Only what failed
    #[arg(long)]
    only_failed: bool,
    /// Only this task
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["include_tasks", "only_failed"])]
    task: Option<u32>,
}

/// Stop connectors and forget them.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// Forget their offsets, too, so that connectors of these names begin anew (not with Kafka Connect's workers)
    #[arg(long)]
    delete_offsets: bool,
}

/// Print the plugins of a worker.
#[derive(Debug, Args)]
pub struct PluginsArgs {
    /// Converters, transforms and predicates, too
    #[arg(long)]
    all: bool,
    /// Print the keys of this plugin
    #[arg(long, value_name = "PLUGIN")]
    keys: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Prints all connectors.
pub fn list(args: &ApiArgs) -> Result<(), CliError> {
    let all = args.api().get("/connectors?expand=status")?;
    if args.json() {
        return print(&all);
    }
    let empty = Map::new();
    let all = all.as_object().unwrap_or(&empty);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(name, both)| list_row(name, &both["status"]))
        .collect();
    table::print(&["NAME", "TYPE", "STATE", "TASKS", "WORKER-ID"], &rows, false)
}

fn list_row(name: &str, status: &Value) -> Vec<String> {
    let tasks: &[Value] = status["tasks"].as_array().map_or(&[], Vec::as_slice);
    let running = tasks.iter().filter(|task| task["state"] == "RUNNING").count();
    vec![
        name.to_owned(),
        text(status, "type"),
        text(&status["connector"], "state"),
        format!("{running}/{}", tasks.len()),
        text(&status["connector"], "worker_id"),
    ]
}

/// Prints what connectors and their tasks are doing.
pub fn status(args: &NamesArgs) -> Result<(), CliError> {
    let api = args.api.api();
    let mut rows = Vec::new();
    for name in &args.names {
        let status = api.get(&connector(name, "/status"))?;
        if args.api.json() {
            print(&status)?;
            continue;
        }
        rows.push(status_row(name, "-", &status["connector"]));
        for task in status["tasks"].as_array().into_iter().flatten() {
            rows.push(status_row(name, &text(task, "id"), task));
        }
    }
    match args.api.json() {
        true => Ok(()),
        false => table::print(
            &["CONNECTOR", "TASK", "STATE", "WORKER-ID", "ERROR"],
            &rows,
            false,
        ),
    }
}

fn status_row(name: &str, task: &str, status: &Value) -> Vec<String> {
    let trace = text(status, "trace");
    vec![
        name.to_owned(),
        task.to_owned(),
        text(status, "state"),
        text(status, "worker_id"),
        trace.lines().next().unwrap_or("-").to_owned(),
    ]
}

/// Prints configurations.
pub fn config(args: &NamesArgs) -> Result<(), CliError> {
    let api = args.api.api();
    for name in &args.names {
        let config = api.get(&connector(name, "/config"))?;
        if args.api.json() {
            print(&config)?;
            continue;
        }
        let empty = Map::new();
        let pairs = config.as_object().unwrap_or(&empty);
        let rows: Vec<Vec<String>> = pairs
            .keys()
            .map(|key| vec![key.clone(), text(&config, key)])
            .collect();
        table::print(&["KEY", "VALUE"], &rows, false)?;
    }
    Ok(())
}

/// Tells connectors to do something.
pub fn act(args: &NamesArgs, action: &str, done: &str) -> Result<(), CliError> {
    let api = args.api.api();
    for name in &args.names {
        api.call("PUT", &connector(name, &format!("/{action}")), None)?;
        if !args.api.json() {
            say(&format!("{done} {name}"))?;
        }
    }
    Ok(())
}

/// Starts connectors or tasks again.
pub fn restart(args: &RestartArgs) -> Result<(), CliError> {
    let api = args.names.api.api();
    for name in &args.names.names {
        let rest = match args.task {
            Some(task) => format!("/tasks/{task}/restart"),
            None => format!(
                "/restart?includeTasks={}&onlyFailed={}",
                args.include_tasks, args.only_failed
            ),
        };
        let answer = api.call("POST", &connector(name, &rest), None)?;
        match (args.names.api.json(), answer.is_null()) {
            (true, false) => print(&answer)?,
            (true, true) => {}
            (false, _) => say(&format!("restarted {name}"))?,
        }
    }
    Ok(())
}

/// Forgets connectors.
pub fn delete(args: &DeleteArgs) -> Result<(), CliError> {
    let api = args.names.api.api();
    for name in &args.names.names {
        let rest = if args.delete_offsets {
            "?deleteOffsets=true"
        } else {
            ""
        };
        api.call("DELETE", &connector(name, rest), None)?;
        if !args.names.api.json() {
            say(&format!("deleted {name}"))?;
        }
    }
    Ok(())
}

/// Prints plugins, or the keys of one.
pub fn plugins(args: &PluginsArgs) -> Result<(), CliError> {
    let api = args.api.api();
    let (path, headers, fields): (String, &[&str], &[&str]) = match &args.keys {
        Some(plugin) => (
            format!("/connector-plugins/{plugin}/config"),
            &["KEY", "TYPE", "DEFAULT", "IMPORTANCE", "DOCUMENTATION"],
            &["name", "type", "default_value", "importance", "documentation"],
        ),
        None => (
            format!("/connector-plugins?connectorsOnly={}", !args.all),
            &["CLASS", "TYPE", "VERSION"],
            &["class", "type", "version"],
        ),
    };
    let answer = api
        .get(&path)
        .map_err(|error| match error.to_string().starts_with("Unknown plugin") {
            true => CliError::new(format!("{error} `millstream connect plugins --all` lists them")),
            false => error,
        })?;
    if args.api.json() {
        return print(&answer);
    }
    let entries = answer.as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = entries
        .map(|entry| fields.iter().map(|field| text(entry, field)).collect())
        .collect();
    table::print(headers, &rows, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_tell_how_many_tasks_run_and_why_one_does_not() {
        let failed = json!({"id": 1, "state": "FAILED", "worker_id": "w:1", "trace": "why\n\tat x"});
        let status = json!({
            "connector": {"state": "RUNNING", "worker_id": "w:1"}, "type": "sink",
            "tasks": [{"id": 0, "state": "RUNNING", "worker_id": "w:1"}, failed],
        });
        assert_eq!(list_row("a", &status), ["a", "sink", "RUNNING", "1/2", "w:1"]);
        assert_eq!(status_row("a", "1", &failed), ["a", "1", "FAILED", "w:1", "why"]);
        assert_eq!(list_row("a", &Value::Null), ["a", "-", "-", "0/0", "-"]);
    }
}
