//! What a task says of itself.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metrics::TaskMetrics;
use super::stall::Call;
use super::{State, StatusListener};
use crate::config::secrets::Secrets;
use crate::plugin::{PluginError, TaskId};

/// Reports a task's states to the listener.
pub(super) struct Reporter {
    pub(super) id: TaskId,
    pub(super) metrics: Arc<TaskMetrics>,
    /// Another may have the task's place already: nothing is said any more.
    pub(super) abandoned: Arc<AtomicBool>,
    listener: Arc<dyn StatusListener>,
    /// What errors must not tell.
    secrets: Secrets,
    /// What was said last. Held while something is said: whoever watches the task from outside must not talk over it.
    said: Mutex<Option<State>>,
}

impl Reporter {
    pub(super) fn new(id: &TaskId, listener: &Arc<dyn StatusListener>, secrets: Secrets) -> Self {
        Self {
            id: id.clone(),
            metrics: Arc::default(),
            abandoned: Arc::default(),
            listener: Arc::clone(listener),
            secrets,
            said: Mutex::default(),
        }
    }

    /// Makes a call of the connector's code. What its error says holds no secret.
    pub(super) fn within<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        let outcome = self.metrics.within(call, work);
        outcome.map_err(|error| error.without(&self.secrets))
    }

    /// What errors must not tell.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Gives what was said last, unless nothing may be said any more.
    fn may_say(&self) -> Option<MutexGuard<'_, Option<State>>> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.abandoned.load(Ordering::Acquire)).then_some(said)
    }

    fn say(&self, state: State) {
        if let Some(mut said) = self.may_say() {
            *said = Some(state);
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

    /// The task was told to stop while something was to be tried again. What was not done comes again.
    pub(super) fn interrupted(&self, error: &PluginError) {
        let error = self.secrets.hidden(&error.to_string());
        tracing::warn!(error, "the task ends before this was tried again");
        self.stopped();
    }

    pub(super) fn failed(&self, error: &PluginError) {
        if let Some(said) = self.may_say() {
            self.fail(said, error);
        }
    }

    fn fail(&self, mut said: MutexGuard<'_, Option<State>>, error: &PluginError) {
        *said = Some(State::Failed);
        let trace = self.secrets.hidden(&error.to_string());
        tracing::error!(
            connector = self.id.connector,
            task = self.id.task,
            "task failed: {trace}"
        );
        self.listener
            .on_task(&self.id, State::Failed, Some(&trace), Some(error.kind()));
    }

    /// The task has not come back from a call for a long time (`trace` says so), or has at last. Its state is as before.
    pub(super) fn stalled(&self, trace: Option<&str>) {
        if let Some(said) = self.may_say()
            && let Some(state @ (State::Running | State::Paused)) = *said
        {
            self.listener.on_task(&self.id, state, trace, None);
        }
    }

    /// Nobody waits any more for the task: it may neither write nor say anything from now on.
    pub(super) fn abandon(&self) {
        let _said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        self.abandoned.store(true, Ordering::Release);
    }

    /// The same, and `error` is what became of it; unless something became of it already.
    pub(super) fn give_up(&self, error: &PluginError) -> bool {
        let Some(said) = self.may_say() else {
            return false;
        };
        if matches!(*said, Some(State::Failed | State::Unassigned)) {
            return false;
        }
        self.abandoned.store(true, Ordering::Release);
        self.fail(said, error);
        true
    }

    pub(super) fn topic(&self, topic: &str) {
        self.listener.on_topic(&self.id, topic);
    }
}
