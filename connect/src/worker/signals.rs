//! What users ask running tasks for: from who asks to the task's own thread, and its answer back.
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::plugin::{PluginError, TaskSignal};

/// Signals that wait for a task.
const WAITING_MAX: usize = 16;

/// How long a task may take until it comes to a signal.
const PATIENCE: Duration = Duration::from_secs(60);

/// A signal, and whoever waits for what the task says.
pub(super) struct Asked {
    pub(super) signal: TaskSignal,
    answer: oneshot::Sender<Result<(), PluginError>>,
}

impl Asked {
    pub(super) fn answer(self, answer: Result<(), PluginError>) {
        // Whoever lost patience needs none.
        let _ = self.answer.send(answer);
    }
}

/// The end of who asks.
#[derive(Clone)]
pub(super) struct Sender(mpsc::Sender<Asked>);

/// The task's end.
pub(super) struct Receiver(mpsc::Receiver<Asked>);

pub(super) fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Sender(sender), Receiver(receiver))
}

impl Sender {
    /// Has the task take a signal; `wake` has it look.
    pub(super) async fn ask(&self, signal: &TaskSignal, wake: impl FnOnce()) -> Result<(), PluginError> {
        let (answer, answered) = oneshot::channel();
        let signal = signal.clone();
        let sent = self.0.try_send(Asked { signal, answer });
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PluginError::retriable(format!(
                "{WAITING_MAX} signals wait for the task already; send it again later"
            )),
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        wake();
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(PluginError::retriable(format!(
                "the task did not come to the signal within {PATIENCE:?}; it may yet take it"
            ))),
        }
    }
}

fn ended() -> PluginError {
    PluginError::retriable("the task has ended; send the signal again when it runs")
}

impl Receiver {
    /// The next signal that waits.
    pub(super) fn next(&mut self) -> Option<Asked> {
        self.0.try_recv().ok()
    }
}
