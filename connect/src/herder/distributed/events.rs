//! What tasks report, until the herder looks.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::plugin::{ErrorKind, TaskId};
use crate::worker::{State, StatusListener};

/// The most topics that wait to be looked at.
const TOPICS_MAX: usize = 10_000;

/// The listener that a distributed herder's [`Worker`](crate::worker::Worker) is given. It keeps the last of each kind, so that it stays small.
#[derive(Debug, Default)]
pub struct TaskEvents {
    news: Mutex<News>,
    changed: Notify,
}

/// What happened since it was last asked.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) tasks: BTreeMap<TaskId, TaskNews>,
    /// Connectors that want their work to be divided anew.
    pub(super) divide: BTreeSet<String>,
    pub(super) topics: BTreeSet<(TaskId, String)>,
}

/// A task's last state.
#[derive(Debug)]
pub(super) struct TaskNews {
    pub(super) state: State,
    pub(super) trace: Option<String>,
    pub(super) kind: Option<ErrorKind>,
}

impl TaskEvents {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened since the last call.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.news())
    }

    /// Forgets what was reported of tasks that have been stopped.
    pub(super) fn forget(&self, ids: &[TaskId]) {
        let mut news = self.news();
        for id in ids {
            news.tasks.remove(id);
        }
    }

    /// Waits until something happened; it may have been taken already.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl StatusListener for TaskEvents {
    // The herder starts and stops connectors, and knows what became of it.
    fn on_connector(&self, _name: &str, _state: State, _trace: Option<&str>, _kind: Option<ErrorKind>) {}

    fn on_task(&self, id: &TaskId, state: State, trace: Option<&str>, kind: Option<ErrorKind>) {
        let trace = trace.map(str::to_owned);
        self.news()
            .tasks
            .insert(id.clone(), TaskNews { state, trace, kind });
        self.changed.notify_one();
    }

    fn on_reconfiguration_request(&self, name: &str) {
        self.news().divide.insert(name.to_owned());
        self.changed.notify_one();
    }

    fn on_topic(&self, id: &TaskId, topic: &str) {
        let mut news = self.news();
        if news.topics.len() < TOPICS_MAX {
            news.topics.insert((id.clone(), topic.to_owned()));
        }
        drop(news);
        self.changed.notify_one();
    }
}
