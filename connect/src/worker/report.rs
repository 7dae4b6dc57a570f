//! What a task says of itself.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::TaskMetrics;
use super::{State, StatusListener};
use crate::plugin::{PluginError, TaskId};

/// Reports a task's states to the listener.
pub(super) struct Reporter {
    pub(super) id: TaskId,
    pub(super) listener: Arc<dyn StatusListener>,
    pub(super) metrics: Arc<TaskMetrics>,
    /// Another may have the task's place already: nothing is said any more.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl Reporter {
    fn say(&self, state: State) {
        if !self.abandoned.load(Ordering::Acquire) {
            self.listener.on_task(&self.id, state, None, None);
        }
    }

    pub(super) fn running(&self) {
        self.say(State::Running);
    }

    pub(super) fn paused(&self) {
        self.say(State::Paused);
    }

    pub(super) fn stopped(&self) {
        self.say(State::Unassigned);
    }

    pub(super) fn failed(&self, error: &PluginError) {
        tracing::error!(
            connector = self.id.connector,
            task = self.id.task,
            "task failed: {error}"
        );
        self.listener.on_task(
            &self.id,
            State::Failed,
            Some(&error.to_string()),
            Some(error.kind()),
        );
    }

    pub(super) fn topic(&self, topic: &str) {
        self.listener.on_topic(&self.id, topic);
    }
}
