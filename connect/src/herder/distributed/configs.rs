//! What the topic of configurations says: connectors, their target states, how their work is divided, and who runs what.
//!
//! Keys and values are Kafka Connect's (`KafkaConfigBackingStore`), so that a cluster of Java workers carries over, and back. A plain state
//! that records are applied to; everybody who reads the same records has the same state.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::assignment::{ASSIGNMENT_KEY, Assignment};
use crate::config::ConfigMap;
use crate::herder::{RestartRequest, Unit};
use crate::worker::TargetState;

/// The key of the record by which a leader begins.
pub(super) const LEADER_KEY: &str = "millstream-leader";
/// What a worker that divided a connector's work asks the leader to write.
const DIVISION: &str = "millstream-tasks-";

/// A record of the topic; without a value what stood under the key is deleted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConfigRecord {
    pub(super) key: String,
    pub(super) value: Option<Value>,
}

fn record(key: String, value: Value) -> ConfigRecord {
    ConfigRecord {
        key,
        value: Some(value),
    }
}

fn deletion(key: String) -> ConfigRecord {
    ConfigRecord { key, value: None }
}

/// A connector's configuration.
pub(super) fn connector(name: &str, config: &ConfigMap) -> ConfigRecord {
    record(format!("connector-{name}"), json!({"properties": config}))
}

/// A connector's end.
pub(super) fn deleted(name: &str) -> [ConfigRecord; 2] {
    [
        deletion(format!("connector-{name}")),
        deletion(format!("target-state-{name}")),
    ]
}

/// What a connector is to do.
pub(super) fn target(name: &str, target: TargetState) -> ConfigRecord {
    let (state, state_v2) = match target {
        TargetState::Started => ("STARTED", "STARTED"),
        TargetState::Paused => ("PAUSED", "PAUSED"),
        TargetState::Stopped => ("PAUSED", "STOPPED"),
    };
    let value = json!({"state": state, "state.v2": state_v2});
    record(format!("target-state-{name}"), value)
}

/// How a connector's work is divided.
pub(super) fn tasks(name: &str, tasks: &[ConfigMap]) -> Vec<ConfigRecord> {
    let each = tasks.iter().enumerate();
    let each =
        each.map(|(task, config)| record(format!("task-{name}-{task}"), json!({"properties": config})));
    let commit = record(format!("commit-{name}"), json!({"tasks": tasks.len()}));
    each.chain([commit]).collect()
}

/// The tasks of a connector whose predecessors are fenced.
pub(super) fn fenced(name: &str, tasks: usize) -> ConfigRecord {
    record(format!("tasks-fencing-{name}"), json!({"task-count": tasks}))
}

/// A restart that was asked for.
pub(super) fn restart(name: &str, request: RestartRequest) -> ConfigRecord {
    let value = json!({"include-tasks": request.include_tasks, "only-failed": request.only_failed});
    record(format!("restart-connector-{name}"), value)
}

/// What a connector's owner asks to be written: how its work is divided now, by the configuration at `config_at`.
pub(super) fn division(name: &str, config_at: i64, tasks: &[ConfigMap]) -> ConfigRecord {
    record(
        format!("{DIVISION}{name}"),
        json!({"config": config_at, "tasks": tasks}),
    )
}

/// The request is done.
pub(super) fn division_done(name: &str) -> ConfigRecord {
    deletion(format!("{DIVISION}{name}"))
}

/// A level of logs that holds for all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterLevel {
    pub(super) logger: String,
    pub(super) level: String,
}

/// What a record changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Something of a connector.
    Connector(String),
    /// Somebody asks for a restart.
    Restart(String, RestartRequest),
    /// A level of logs.
    Level(ClusterLevel),
    /// Who runs what.
    Assignment,
    /// Nothing that matters here.
    Nothing,
}

/// The tasks of a connector, as they were committed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Division {
    /// The connector's configuration they were made from.
    pub(super) connector: ConfigMap,
    /// Where it stood.
    pub(super) config_at: i64,
    /// Each task's configuration, with references instead of secrets.
    pub(super) tasks: Vec<ConfigMap>,
}

/// What is known of a connector.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ConnectorConfigs {
    /// Its configuration, if it exists, and where that stands in the topic.
    pub(super) config: Option<(i64, ConfigMap)>,
    target: Option<TargetState>,
    /// How its work is divided.
    pub(super) division: Division,
    /// Whether the division cannot be trusted: some of it is missing in the topic.
    pub(super) incomplete: bool,
    /// Tasks that were written and not committed.
    pending: BTreeMap<u32, ConfigMap>,
    /// How many tasks were fenced last.
    fenced: Option<u32>,
    /// Whether tasks of the division may only start once older ones are fenced.
    pub(super) unfenced: bool,
    /// Tasks that go on unchanged since the last fencing.
    unchanged: BTreeSet<u32>,
    /// What its owner asks for: where the configuration stood, and the tasks.
    pub(super) asked: Option<(i64, Vec<ConfigMap>)>,
}

impl ConnectorConfigs {
    /// What it is to do.
    pub(super) fn target(&self) -> TargetState {
        self.target.unwrap_or(TargetState::Started)
    }

    /// The tasks that are to be fenced before others start.
    pub(super) fn to_fence(&self) -> Vec<u32> {
        let known = self.fenced.unwrap_or_default();
        if !self.unfenced || (known <= 1 && self.division.tasks.len() <= 1) {
            return Vec::new();
        }
        (0..known).filter(|task| !self.unchanged.contains(task)).collect()
    }

    fn commit(&mut self, count: usize) {
        let pending = std::mem::take(&mut self.pending);
        let all: Vec<ConfigMap> = pending.into_values().take(count).collect();
        // Tasks are written before they are committed; some missing means that the topic was compacted in between.
        self.incomplete = all.len() != count;
        let (config_at, connector) = self.config.clone().unwrap_or_default();
        let division = Division {
            connector,
            config_at,
            tasks: if self.incomplete { Vec::new() } else { all },
        };
        let same = |task: &u32| {
            let (before, after) = (
                self.division.tasks.get(*task as usize),
                division.tasks.get(*task as usize),
            );
            division.connector == self.division.connector && before.is_some() && before == after
        };
        let unchanged: BTreeSet<u32> = (0..u32::try_from(division.tasks.len()).unwrap_or(u32::MAX))
            .filter(same)
            .collect();
        self.unchanged = match self.unfenced {
            true => self.unchanged.intersection(&unchanged).copied().collect(),
            false => unchanged,
        };
        self.unfenced = true;
        self.division = division;
    }
}

/// What the topic says.
#[derive(Debug, Clone, Default)]
pub(super) struct Configs {
    connectors: BTreeMap<String, ConnectorConfigs>,
    /// Who runs what.
    pub(super) assignment: Assignment,
    /// Everything that is committed up to here is in.
    pub(super) read_to: i64,
}

impl Configs {
    /// A connector that exists.
    pub(super) fn connector(&self, name: &str) -> Option<&ConnectorConfigs> {
        self.connectors.get(name).filter(|its| its.config.is_some())
    }

    /// The connectors that exist.
    pub(super) fn connectors(&self) -> impl Iterator<Item = (&String, &ConnectorConfigs)> {
        self.connectors.iter().filter(|(_, its)| its.config.is_some())
    }

    /// Everything that somebody has to run.
    pub(super) fn wanted(&self) -> BTreeSet<Unit> {
        let each = self.connectors().flat_map(|(name, its)| {
            let tasks = u32::try_from(its.division.tasks.len()).unwrap_or(u32::MAX);
            let tasks = (0..tasks).map(Some);
            [None].into_iter().chain(tasks).map(|task| Unit {
                connector: name.clone(),
                task,
            })
        });
        each.collect()
    }

    /// Applies the record at `offset`.
    pub(super) fn apply(&mut self, offset: i64, key: &str, value: Option<&[u8]>) -> Change {
        self.read_to = offset + 1;
        let parsed = match value {
            None => None,
            Some(value) => match serde_json::from_slice::<Value>(value) {
                Ok(value) => Some(value),
                Err(_) => return Change::Nothing,
            },
        };
        self.applied(offset, key, parsed.as_ref())
            .unwrap_or(Change::Nothing)
    }

    fn applied(&mut self, offset: i64, key: &str, value: Option<&Value>) -> Option<Change> {
        if key == ASSIGNMENT_KEY {
            let assignment = value.and_then(Assignment::from_json)?;
            // Leaders fence each other, so that epochs only grow; an old one here would be damage.
            if assignment.epoch > self.assignment.epoch {
                self.assignment = assignment;
            }
            return Some(Change::Assignment);
        }
        if let Some(rest) = key.strip_prefix("restart-connector-") {
            let value = value?;
            let flag = |name: &str| value[name].as_bool();
            let request = RestartRequest {
                include_tasks: flag("include-tasks").unwrap_or_default(),
                only_failed: flag("only-failed").unwrap_or_default(),
            };
            return Some(Change::Restart(rest.to_owned(), request));
        }
        if let Some(logger) = key.strip_prefix("logger-cluster-") {
            return Some(Change::Level(ClusterLevel {
                logger: logger.to_owned(),
                level: value?["level"].as_str()?.to_owned(),
            }));
        }
        let name = self.applied_to_connector(offset, key, value)?;
        let its = self.connectors.get(&name)?;
        if *its == ConnectorConfigs::default() {
            self.connectors.remove(&name);
        }
        Some(Change::Connector(name))
    }

    fn entry(&mut self, name: &str) -> &mut ConnectorConfigs {
        self.connectors.entry(name.to_owned()).or_default()
    }

    fn applied_to_connector(&mut self, offset: i64, key: &str, value: Option<&Value>) -> Option<String> {
        if let Some(name) = key.strip_prefix("connector-") {
            let its = self.entry(name);
            match value.and_then(properties) {
                Some(config) => its.config = Some((offset, config)),
                None => {
                    // The number of fenced tasks outlives it: whoever makes it anew has to fence them.
                    *its = ConnectorConfigs {
                        target: its.target,
                        fenced: its.fenced,
                        ..ConnectorConfigs::default()
                    };
                }
            }
            return Some(name.to_owned());
        }
        if let Some(name) = key.strip_prefix("target-state-") {
            let state = value.and_then(|value| value["state.v2"].as_str().or(value["state"].as_str()));
            let target = match state {
                None => None,
                Some("STARTED") => Some(TargetState::Started),
                Some("PAUSED") => Some(TargetState::Paused),
                Some("STOPPED") => Some(TargetState::Stopped),
                Some(_) => return None,
            };
            self.entry(name).target = target;
            return Some(name.to_owned());
        }
        if let Some(name) = key.strip_prefix("commit-") {
            let count = usize::try_from(value?["tasks"].as_u64()?).ok()?;
            self.entry(name).commit(count);
            return Some(name.to_owned());
        }
        if let Some(name) = key.strip_prefix("tasks-fencing-") {
            let count = u32::try_from(value?["task-count"].as_u64()?).ok()?;
            let its = self.entry(name);
            (its.fenced, its.unfenced) = (Some(count), false);
            its.unchanged.clear();
            return Some(name.to_owned());
        }
        if let Some(name) = key.strip_prefix(DIVISION) {
            let asked = value.and_then(|value| {
                let tasks = serde_json::from_value(value["tasks"].clone()).ok()?;
                Some((value["config"].as_i64()?, tasks))
            });
            self.entry(name).asked = asked;
            return Some(name.to_owned());
        }
        let (name, task) = key.strip_prefix("task-")?.rsplit_once('-')?;
        let (task, config) = (task.parse().ok()?, value.and_then(properties)?);
        self.entry(name).pending.insert(task, config);
        Some(name.to_owned())
    }
}

/// The map of a connector's or a task's record.
fn properties(value: &Value) -> Option<ConfigMap> {
    let map = value["properties"].as_object()?;
    let texts = map
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Some(texts.collect())
}

#[cfg(test)]
mod tests;
