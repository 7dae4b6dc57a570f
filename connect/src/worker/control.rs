//! What a task is told while it runs.
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::TargetState;

/// What a task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) target: TargetState,
    pub(super) stop: bool,
}

/// The task's end of it. A task runs on a thread of its own and waits for futures there.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) signal: watch::Receiver<Signal>,
    /// Nobody waits any more for the task: it may not write.
    pub(super) abandoned: Arc<AtomicBool>,
    pub(super) runtime: Handle,
}

impl Control {
    /// That of nobody: it is never told anything. Only within the runtime, or on a thread of it that may block.
    pub(super) fn idle() -> Self {
        let target = TargetState::Started;
        let (sender, signal) = watch::channel(Signal { target, stop: false });
        // Nobody is ever told anything; a channel that is closed would seem to be.
        std::mem::forget(sender);
        Self {
            signal,
            abandoned: Arc::default(),
            runtime: Handle::current(),
        }
    }

    /// Whether the task is to end.
    pub(super) fn stopping(&self) -> bool {
        self.signal.borrow().stop || self.is_abandoned()
    }

    /// Whether the task is to end at once, without another word.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Whether the task is to wait.
    pub(super) fn paused(&self) -> bool {
        self.signal.borrow().target != TargetState::Started
    }

    /// The future's outcome.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The future's outcome, or none if the task is told something first, or the time is over.
    pub(super) fn wait_unless_told<T>(
        &self,
        until: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut signal = self.signal.clone();
        signal.mark_unchanged();
        if self.stopping() {
            return None;
        }
        self.runtime.block_on(async {
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = signal.changed() => None,
                outcome = future => Some(outcome),
                () = over => None,
            }
        })
    }

    /// Waits; not longer than until the task is told something.
    pub(super) fn sleep(&self, time: Duration) {
        let _ = self.wait_unless_told(None, async { tokio::time::sleep(time).await });
    }
}
