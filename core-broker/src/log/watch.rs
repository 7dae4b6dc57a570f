//! Who is to be told that logs changed.
//!
//! Why: a consumer may wait for thousands of partitions. It is told which of them changed, once for each until it has
//! looked, so that neither a busy log nor an idle one costs it anything. Owns: the watchers of a partition, and the list
//! of changes that each of them keeps. Does not own: what a change means.
//!
//! Invariant: who arms a watch and then looks at the log sees a change or is told of it. A log publishes a change under
//! the lock of its high watermark before it tells; who looks takes the same lock after arming.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::lock::lock;
use super::partition::Partition;

/// What changed, for one that watches any number of partitions.
#[derive(Debug, Default)]
pub(crate) struct Signal(Mutex<Changes>);

#[derive(Debug, Default)]
struct Changes {
    slots: Vec<u32>,
    waker: Option<Waker>,
}

impl Signal {
    /// Moves the numbers of what changed to the end of `slots`.
    pub fn take(&self, slots: &mut Vec<u32>) {
        slots.append(&mut lock(&self.0).slots);
    }

    /// Resolves once anything changed that was not taken. The last to wait is the one that is woken.
    pub async fn changed(&self) {
        poll_fn(|context| {
            let mut changes = lock(&self.0);
            if !changes.slots.is_empty() {
                return Poll::Ready(());
            }
            match &mut changes.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    fn tell(&self, slot: u32) {
        let waker = {
            let mut changes = lock(&self.0);
            changes.slots.push(slot);
            changes.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Watcher {
    /// Cleared when it was told.
    armed: AtomicBool,
    slot: u32,
    signal: Arc<Signal>,
}

/// Who watches a partition.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Arc<Watcher>>>);

impl Watchers {
    /// Tells all that have looked since the last time.
    pub fn tell(&self) {
        for watcher in lock(&self.0).iter() {
            if watcher.armed.load(Ordering::Acquire) && watcher.armed.swap(false, Ordering::AcqRel) {
                watcher.signal.tell(watcher.slot);
            }
        }
    }
}

/// A partition that is watched as long as this lives.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Arc<Watcher>,
    partition: Arc<Partition>,
}

impl Watch {
    /// Watches a partition; its changes are told as `slot`. Armed.
    pub fn new(partition: &Arc<Partition>, signal: &Arc<Signal>, slot: u32) -> Self {
        let watcher = Arc::new(Watcher {
            armed: AtomicBool::new(true),
            slot,
            signal: Arc::clone(signal),
        });
        lock(&partition.watchers().0).push(Arc::clone(&watcher));
        Self {
            watcher,
            partition: Arc::clone(partition),
        }
    }

    /// To be told of the next change again; before looking.
    pub fn arm(&self) {
        self.watcher.armed.store(true, Ordering::Release);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = lock(&self.partition.watchers().0);
        if let Some(at) = watchers.iter().position(|w| Arc::ptr_eq(w, &self.watcher)) {
            watchers.swap_remove(at);
        }
        if watchers.is_empty() {
            // Most partitions are watched by nobody most of the time.
            *watchers = Vec::new();
        }
    }
}
