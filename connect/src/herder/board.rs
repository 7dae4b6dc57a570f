//! What connectors and tasks are doing, as the worker reports it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{ConnectorStatus, Unit, UnitStatus};
use crate::plugin::{ErrorKind, PluginKind, TaskId};
use crate::worker::{State, StatusListener};

/// The longest trace that is kept, in bytes.
const TRACE_BYTES_MAX: usize = 64 << 10;
/// The most topics that are kept of a connector.
const TOPICS_MAX: usize = 100_000;

/// The statuses of everything a herder has, and what its supervisor has to look after. It is the listener that a
/// [`Worker`](crate::worker::Worker) is given.
#[derive(Debug)]
pub struct StatusBoard {
    worker_id: String,
    connectors: Mutex<BTreeMap<String, Entry>>,
    news: Mutex<News>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    kind: PluginKind,
    version: String,
    connector: Option<UnitStatus>,
    tasks: BTreeMap<u32, UnitStatus>,
    topics: BTreeSet<String>,
}

/// What happened since it was last asked: at most one of a kind for each unit, so that it stays small.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What failed, and in which way.
    pub failed: BTreeMap<Unit, Option<ErrorKind>>,
    /// What runs.
    pub running: BTreeSet<Unit>,
    /// Connectors that want their work to be divided anew.
    pub reconfigure: BTreeSet<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StatusBoard {
    /// An empty one of the worker that others know as `worker_id` (`HOST:PORT`).
    pub fn new(worker_id: impl Into<String>) -> Self {
        Self {
            worker_id: worker_id.into(),
            connectors: Mutex::default(),
            news: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// A connector's statuses from now on are kept; its old ones are, too, where it has some.
    pub(super) fn add(&self, name: &str, kind: PluginKind, version: &str) {
        let mut connectors = locked(&self.connectors);
        let entry = connectors.entry(name.to_owned()).or_insert_with(|| Entry {
            kind,
            version: version.to_owned(),
            connector: None,
            tasks: BTreeMap::new(),
            topics: BTreeSet::new(),
        });
        (entry.kind, entry.version) = (kind, version.to_owned());
    }

    /// A connector is gone; what is still reported of it is dropped.
    pub(super) fn remove(&self, name: &str) {
        locked(&self.connectors).remove(name);
    }

    /// A connector has `count` tasks: those beyond have no status any more, those that `restarted` names wait to be started.
    pub(super) fn set_tasks(&self, name: &str, count: u32, restarted: &[u32]) {
        let waiting = |entry: &Entry| self.status(State::Unassigned, &entry.version);
        if let Some(entry) = locked(&self.connectors).get_mut(name) {
            entry.tasks.retain(|task, _| *task < count);
            for task in restarted {
                let status = waiting(entry);
                entry.tasks.insert(*task, status);
            }
        }
    }

    fn status(&self, state: State, version: &str) -> UnitStatus {
        UnitStatus {
            state,
            worker_id: self.worker_id.clone(),
            version: Some(version.to_owned()),
            trace: None,
        }
    }

    /// Sets the state of a connector or task that the herder itself knows. A trace stays while it is restarted.
    pub(super) fn set(&self, unit: &Unit, state: State, trace: Option<&str>) {
        let mut connectors = locked(&self.connectors);
        let Some(entry) = connectors.get_mut(&unit.connector) else {
            return;
        };
        let mut status = self.status(state, &entry.version);
        let slot = match unit.task {
            None => entry.connector.get_or_insert_with(|| status.clone()),
            Some(task) => match entry.tasks.get_mut(&task) {
                Some(slot) => slot,
                None => return,
            },
        };
        status.trace = match (trace, state) {
            (Some(trace), _) => Some(shortened(trace)),
            (None, State::Restarting) => slot.trace.take(),
            (None, _) => None,
        };
        *slot = status;
    }

    /// The state of a connector or task, if it has one.
    pub(super) fn state(&self, unit: &Unit) -> Option<State> {
        let connectors = locked(&self.connectors);
        let entry = connectors.get(&unit.connector)?;
        match unit.task {
            None => entry.connector.as_ref().map(|status| status.state),
            Some(task) => entry.tasks.get(&task).map(|status| status.state),
        }
    }

    /// All statuses of a connector, once it has one itself.
    pub(super) fn connector(&self, name: &str) -> Option<ConnectorStatus> {
        let connectors = locked(&self.connectors);
        let entry = connectors.get(name)?;
        Some(ConnectorStatus {
            name: name.to_owned(),
            connector: entry.connector.clone()?,
            tasks: entry
                .tasks
                .iter()
                .map(|(task, status)| (*task, status.clone()))
                .collect(),
            kind: entry.kind,
        })
    }

    /// How many connectors and how many tasks are in each state.
    pub(super) fn counts(&self) -> (Counts, Counts) {
        let (mut of_connectors, mut of_tasks) = (Counts::new(), Counts::new());
        for entry in locked(&self.connectors).values() {
            if let Some(status) = &entry.connector {
                *of_connectors.entry(status.state.name()).or_default() += 1;
            }
            for status in entry.tasks.values() {
                *of_tasks.entry(status.state.name()).or_default() += 1;
            }
        }
        (of_connectors, of_tasks)
    }

    /// The topics a connector has used.
    pub(super) fn topics(&self, name: &str) -> Vec<String> {
        let connectors = locked(&self.connectors);
        let topics = connectors
            .get(name)
            .map(|entry| entry.topics.iter().cloned().collect());
        topics.unwrap_or_default()
    }

    /// Forgets them.
    pub(super) fn reset_topics(&self, name: &str) {
        if let Some(entry) = locked(&self.connectors).get_mut(name) {
            entry.topics.clear();
        }
    }

    /// Waits for news; they may have been taken already.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What happened since the last call.
    pub(super) fn take_news(&self) -> News {
        std::mem::take(&mut locked(&self.news))
    }

    /// A connector or task failed, or runs: kept for the supervisor.
    pub(super) fn tell(&self, unit: Unit, state: State, kind: Option<ErrorKind>) {
        {
            let mut news = locked(&self.news);
            match state {
                State::Failed => {
                    news.running.remove(&unit);
                    news.failed.insert(unit, kind);
                }
                State::Running => {
                    news.failed.remove(&unit);
                    news.running.insert(unit);
                }
                _ => return,
            }
        }
        self.changed.notify_one();
    }

    fn report(&self, unit: Unit, state: State, trace: Option<&str>, kind: Option<ErrorKind>) {
        self.set(&unit, state, trace);
        if self.state(&unit) == Some(state) {
            self.tell(unit, state, kind);
        }
    }
}

/// States' names and how many are in them.
pub(super) type Counts = BTreeMap<&'static str, usize>;

impl StatusListener for StatusBoard {
    fn on_connector(&self, name: &str, state: State, trace: Option<&str>, kind: Option<ErrorKind>) {
        let unit = Unit {
            connector: name.to_owned(),
            task: None,
        };
        self.report(unit, state, trace, kind);
    }

    fn on_task(&self, id: &TaskId, state: State, trace: Option<&str>, kind: Option<ErrorKind>) {
        let unit = Unit {
            connector: id.connector.clone(),
            task: Some(id.task),
        };
        self.report(unit, state, trace, kind);
    }

    fn on_reconfiguration_request(&self, name: &str) {
        if locked(&self.connectors).contains_key(name) {
            locked(&self.news).reconfigure.insert(name.to_owned());
            self.changed.notify_one();
        }
    }

    fn on_topic(&self, id: &TaskId, topic: &str) {
        if let Some(entry) = locked(&self.connectors).get_mut(&id.connector)
            && entry.topics.len() < TOPICS_MAX
        {
            entry.topics.insert(topic.to_owned());
        }
    }
}

/// A trace of bearable length.
fn shortened(trace: &str) -> String {
    if trace.len() <= TRACE_BYTES_MAX {
        return trace.to_owned();
    }
    let end = (0..=TRACE_BYTES_MAX)
        .rev()
        .find(|end| trace.is_char_boundary(*end));
    format!("{}…", &trace[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(task: u32) -> TaskId {
        TaskId {
            connector: "c".to_owned(),
            task,
        }
    }

    #[test]
    fn what_is_unknown_or_gone_is_not_kept() {
        let board = StatusBoard::new("w:1");
        board.on_connector("c", State::Running, None, None);
        assert_eq!(board.connector("c"), None);
        board.add("c", PluginKind::Sink, "1");
        assert_eq!(board.connector("c"), None);
        board.on_connector("c", State::Running, None, None);
        board.on_task(&task(0), State::Running, None, None);
        assert_eq!(board.connector("c").unwrap().tasks, []);
        board.set_tasks("c", 2, &[0, 1]);
        board.on_task(&task(1), State::Failed, Some("why"), Some(ErrorKind::Fatal));
        let status = board.connector("c").unwrap();
        let states: Vec<_> = status.tasks.iter().map(|(_, status)| status.state).collect();
        assert_eq!(states, [State::Unassigned, State::Failed]);
        assert_eq!(status.tasks[1].1.trace.as_deref(), Some("why"));
        board.set_tasks("c", 1, &[]);
        assert_eq!(board.connector("c").unwrap().tasks.len(), 1);
        board.remove("c");
        board.on_reconfiguration_request("c");
        assert!(board.take_news().reconfigure.is_empty());
    }

    #[test]
    fn news_are_the_last_of_each() {
        let board = StatusBoard::new("w:1");
        board.add("c", PluginKind::Source, "1");
        board.set_tasks("c", 1, &[0]);
        board.on_task(&task(0), State::Running, None, None);
        board.on_task(&task(0), State::Failed, Some("x"), Some(ErrorKind::Disconnected));
        board.on_reconfiguration_request("c");
        let news = board.take_news();
        assert!(news.running.is_empty() && news.reconfigure.contains("c"));
        assert_eq!(
            news.failed.values().collect::<Vec<_>>(),
            [&Some(ErrorKind::Disconnected)]
        );
        assert!(board.take_news().failed.is_empty());
    }

    #[test]
    fn a_trace_stays_while_it_restarts_and_long_ones_are_cut() {
        let board = StatusBoard::new("w:1");
        board.add("c", PluginKind::Source, "1");
        board.on_connector("c", State::Failed, Some(&"é".repeat(TRACE_BYTES_MAX)), None);
        let unit = Unit {
            connector: "c".to_owned(),
            task: None,
        };
        board.set(&unit, State::Restarting, None);
        let trace = |board: &StatusBoard| board.connector("c").unwrap().connector.trace;
        assert!(trace(&board).unwrap().len() <= TRACE_BYTES_MAX + 3);
        board.set(&unit, State::Running, None);
        assert_eq!(trace(&board), None);
    }
}
