//! What users ask running tasks for: from who asks to the task's own thread, and its answer back.
//!
//! A task answers when it has taken a signal, which it stores with its next offsets. Until these are committed the signal is kept: a task that has
//! to go back to what is stored, since it was paused within a transaction, is given it again. One that fails before loses it.
use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::plugin::{PluginError, TaskSignal};

/// Signals that wait for a task.
const WAITING_MAX: usize = 16;

/// Signals that are taken and not stored.
const KEPT_MAX: usize = 64;

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
pub(super) struct Receiver {
    asked: mpsc::Receiver<Asked>,
    /// Those that were taken, and may not be stored yet.
    kept: VecDeque<TaskSignal>,
    /// So many of them, from the first on, are in what the task handed over since.
    handed_over: usize,
}

pub(super) fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let receiver = Receiver {
        asked: receiver,
        kept: VecDeque::new(),
        handed_over: 0,
    };
    (Sender(sender), receiver)
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
        self.asked.try_recv().ok()
    }

    /// Whether one more can be kept.
    pub(super) fn has_room(&self) -> Result<(), PluginError> {
        match self.kept.len() < KEPT_MAX {
            true => Ok(()),
            false => Err(PluginError::retriable(format!(
                "{KEPT_MAX} signals are taken and not stored yet; send it again later, once the task has gone on"
            ))),
        }
    }

    /// The task has taken a signal.
    pub(super) fn keep(&mut self, signal: TaskSignal) {
        self.kept.push_back(signal);
    }

    /// The task handed over its offsets; whether there is a signal in them that was in none before.
    pub(super) fn handed_over(&mut self) -> bool {
        let before = std::mem::replace(&mut self.handed_over, self.kept.len());
        before < self.handed_over
    }

    /// All that was handed over is stored.
    pub(super) fn stored(&mut self) {
        self.kept.drain(..self.handed_over);
        self.handed_over = 0;
    }

    /// Those that a task which begins behind what is stored does not know of; they are kept anew as it takes them.
    pub(super) fn again(&mut self) -> VecDeque<TaskSignal> {
        self.handed_over = 0;
        std::mem::take(&mut self.kept)
    }
}
