//! States of connectors and tasks, and who hears of them.
use crate::plugin::{ErrorKind, TaskId};

/// What a connector or a task is doing, in the words of Kafka Connect's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No worker runs it.
    Unassigned,
    /// It works.
    Running,
    /// It waits until it is resumed.
    Paused,
    /// It ended with an error.
    Failed,
    /// It is being started again.
    Restarting,
    /// It was stopped, and has no tasks until it is resumed.
    Stopped,
}

impl State {
    /// Its name in answers of the REST API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What a user wants a connector to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetState {
    /// Work.
    Started,
    /// Keep its tasks, without working.
    Paused,
    /// Have no tasks.
    Stopped,
}

impl TargetState {
    /// What `initial_state` says, in any case: `RUNNING`, `PAUSED` or `STOPPED`.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "RUNNING" => Some(Self::Started),
            "PAUSED" => Some(Self::Paused),
            "STOPPED" => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// Hears what becomes of connectors and tasks. Called from any thread; must not block.
pub trait StatusListener: Send + Sync {
    /// A connector's state changed; `trace` says why it failed, `kind` whether another start may help.
    fn on_connector(&self, name: &str, state: State, trace: Option<&str>, kind: Option<ErrorKind>);

    /// A task's state changed; `trace` says why it failed, `kind` whether another start may help.
    fn on_task(&self, id: &TaskId, state: State, trace: Option<&str>, kind: Option<ErrorKind>);

    /// A connector wants its work to be divided anew.
    fn on_reconfiguration_request(&self, name: &str);

    /// A connector's task writes to, or reads from, a topic (KIP-558); said once a topic and start of a task, or a little more often.
    fn on_topic(&self, id: &TaskId, topic: &str);
}
