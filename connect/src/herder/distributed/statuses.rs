//! What the topic of statuses says: what connectors and tasks do, and which topics they used.
//!
//! Keys and values are Kafka Connect's (`KafkaStatusBackingStore`); a field more, `released`, says that its worker gave the connector or task up
//! at that epoch.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::herder::{Unit, UnitStatus};
use crate::worker::State;

/// The most topics that are kept of a connector.
const TOPICS_MAX: usize = 100_000;

/// What was reported of a connector or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) status: UnitStatus,
    pub(super) generation: u64,
    /// The epoch at which it was given up.
    pub(super) released: Option<u64>,
}

#[derive(Serialize)]
struct Row<'a> {
    state: &'a str,
    trace: Option<&'a str>,
    worker_id: &'a str,
    generation: u64,
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<u64>,
}

#[derive(Serialize)]
struct TopicRow<'a> {
    topic: UsedTopic<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsedTopic<'a> {
    name: &'a str,
    connector: &'a str,
    task: u32,
    discover_timestamp: i64,
}

impl Reported {
    /// The record's value, with its fields in Java's order.
    pub(super) fn to_text(&self) -> String {
        let status = &self.status;
        let row = Row {
            state: status.state.name(),
            trace: status.trace.as_deref(),
            worker_id: &status.worker_id,
            generation: self.generation,
            version: status.version.as_deref(),
            released: self.released,
        };
        serde_json::to_string(&row).expect("texts and numbers are JSON")
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let all = [
            State::Unassigned,
            State::Running,
            State::Paused,
            State::Failed,
            State::Restarting,
            State::Stopped,
        ];
        let name = value["state"].as_str()?;
        // Java's workers tell of tasks that are no more, too.
        let state = all.into_iter().find(|state| state.name() == name)?;
        Some(Self {
            status: UnitStatus {
                state,
                worker_id: text("worker_id")?,
                version: text("version"),
                trace: text("trace"),
            },
            generation: value["generation"].as_u64().unwrap_or_default(),
            released: value["released"].as_u64(),
        })
    }
}

/// The key of a unit's record.
pub(super) fn unit_key(unit: &Unit) -> String {
    match unit.task {
        None => format!("status-connector-{}", unit.connector),
        Some(task) => format!("status-task-{}-{task}", unit.connector),
    }
}

/// The key of a topic that a connector used.
pub(super) fn topic_key(connector: &str, topic: &str) -> String {
    format!("status-topic-{topic}:connector-{connector}")
}

/// The value of a topic that a connector's task used.
pub(super) fn topic_value(connector: &str, task: u32, topic: &str, now_ms: i64) -> String {
    let topic = UsedTopic {
        name: topic,
        connector,
        task,
        discover_timestamp: now_ms,
    };
    serde_json::to_string(&TopicRow { topic }).expect("texts and numbers are JSON")
}

/// What is known of a connector.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectorStatuses {
    pub(super) connector: Option<Reported>,
    pub(super) tasks: BTreeMap<u32, Reported>,
    pub(super) topics: BTreeSet<String>,
}

/// What the topic says.
#[derive(Debug, Clone, Default)]
pub(super) struct Statuses {
    pub(super) connectors: BTreeMap<String, ConnectorStatuses>,
}

impl Statuses {
    /// What was last reported of a unit.
    pub(super) fn of(&self, unit: &Unit) -> Option<&Reported> {
        let its = self.connectors.get(&unit.connector)?;
        match unit.task {
            None => its.connector.as_ref(),
            Some(task) => its.tasks.get(&task),
        }
    }

    /// The epoch at which the worker said that it gave the unit up.
    pub(super) fn released(&self, unit: &Unit, worker_id: &str) -> Option<u64> {
        let reported = self.of(unit)?;
        (reported.status.worker_id == worker_id).then_some(reported.released)?
    }

    /// Applies a record.
    pub(super) fn apply(&mut self, key: &str, value: Option<&[u8]>) {
        let value = value.map(|value| serde_json::from_slice::<Value>(value).unwrap_or_default());
        if let Some(name) = key.strip_prefix("status-connector-") {
            self.change(name, |its| {
                its.connector = value.as_ref().and_then(Reported::from_json);
            });
        } else if let Some((name, task)) = key
            .strip_prefix("status-task-")
            .and_then(|rest| rest.rsplit_once('-'))
        {
            let Ok(task) = task.parse() else { return };
            let reported = value.as_ref().and_then(Reported::from_json);
            self.change(name, |its| match reported {
                Some(reported) => drop(its.tasks.insert(task, reported)),
                None => drop(its.tasks.remove(&task)),
            });
        } else if let Some((topic, name)) = key
            .strip_prefix("status-topic-")
            .and_then(|rest| rest.split_once(":connector-"))
        {
            self.change(name, |its| match value {
                Some(_) if its.topics.len() < TOPICS_MAX => drop(its.topics.insert(topic.to_owned())),
                Some(_) => {}
                None => drop(its.topics.remove(topic)),
            });
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut ConnectorStatuses)) {
        let its = self.connectors.entry(name.to_owned()).or_default();
        change(its);
        if its.connector.is_none() && its.tasks.is_empty() && its.topics.is_empty() {
            self.connectors.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(task: Option<u32>) -> Unit {
        Unit {
            connector: "s-rc".to_owned(),
            task,
        }
    }

    /// Records as Java's workers wrote them.
    #[test]
    fn statuses_of_java_workers_are_read_and_written_alike() {
        let mut statuses = Statuses::default();
        let running = r#"{"state":"RUNNING","trace":null,"worker_id":"127.0.0.1:21410","generation":3,"version":"4.2.0"}"#;
        statuses.apply("status-task-s-rc-0", Some(running.as_bytes()));
        statuses.apply(
            "status-connector-s-rc",
            Some(br#"{"state":"UNASSIGNED","trace":null,"worker_id":"w:1","generation":7,"version":null}"#),
        );
        statuses.apply(
            "status-topic-lines:connector-s-rc",
            Some(topic_value("s-rc", 0, "lines", 1_795_300_850_313).as_bytes()),
        );
        let task = statuses.of(&unit(Some(0))).unwrap();
        assert_eq!(task.to_text(), running);
        assert_eq!(statuses.of(&unit(None)).unwrap().status.state, State::Unassigned);
        assert_eq!(statuses.connectors["s-rc"].topics, ["lines".to_owned()].into());
        assert_eq!(
            topic_value("s-rc", 0, "lines", 1_795_300_850_313),
            r#"{"topic":{"name":"lines","connector":"s-rc","task":0,"discoverTimestamp":1795300850313}}"#
        );
        assert_eq!(unit_key(&unit(Some(0))), "status-task-s-rc-0");
        assert_eq!(topic_key("s-rc", "lines"), "status-topic-lines:connector-s-rc");
        statuses.apply("status-task-s-rc-0", None);
        statuses.apply("status-connector-s-rc", None);
        statuses.apply("status-topic-lines:connector-s-rc", None);
        assert!(statuses.connectors.is_empty());
    }

    #[test]
    fn only_the_worker_itself_gives_up() {
        let mut statuses = Statuses::default();
        let mut reported = Reported {
            status: UnitStatus {
                state: State::Unassigned,
                worker_id: "w:1".to_owned(),
                version: None,
                trace: None,
            },
            generation: 4,
            released: None,
        };
        statuses.apply("status-task-s-rc-1", Some(reported.to_text().as_bytes()));
        assert_eq!(statuses.released(&unit(Some(1)), "w:1"), None);
        reported.released = Some(4);
        statuses.apply("status-task-s-rc-1", Some(reported.to_text().as_bytes()));
        assert_eq!(statuses.released(&unit(Some(1)), "w:1"), Some(4));
        assert_eq!(statuses.released(&unit(Some(1)), "w:2"), None);
    }
}
