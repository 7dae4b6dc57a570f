//! What a task says of itself.
use std::sync::Arc;

use super::metrics::TaskMetrics;
use super::{State, StatusListener};
use crate::plugin::{PluginError, TaskId};

/// Reports a task's states to the listener.
pub(super) struct Reporter {
    pub(super) id: TaskId,
    pub(super) listener: Arc<dyn StatusListener>,
    pub(super) metrics: Arc<TaskMetrics>,
}

impl Reporter {
    pub(super) fn running(&self) {
        self.listener.on_task(&self.id, State::Running, None, None);
    }

    pub(super) fn paused(&self) {
        self.listener.on_task(&self.id, State::Paused, None, None);
    }

    pub(super) fn stopped(&self) {
        self.listener.on_task(&self.id, State::Unassigned, None, None);
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
