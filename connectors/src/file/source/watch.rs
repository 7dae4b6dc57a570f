//! What the operating system says of changes: a hint that a scan may find something.
//!
//! Network file systems say nothing, renames race, queues overflow: so hints only make a scan come earlier.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::debug;

#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    waiting: Notify,
}

/// A watch on a folder.
pub(super) struct Watch {
    bell: Arc<Bell>,
    /// It watches while it is kept.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches a folder, and those below it if `deep`. Where that is not possible it never says anything.
    pub fn new(folder: &Path, deep: bool) -> Self {
        let bell = Arc::new(Bell::default());
        let ring = Arc::clone(&bell);
        let on_event = move |event: notify::Result<notify::Event>| {
            let read = |kind: &EventKind| match kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
                EventKind::Access(_) => true,
                _ => false,
            };
            // Our own reading is no change.
            if !event.is_ok_and(|event| read(&event.kind)) {
                ring.rang.store(true, Ordering::Release);
                ring.waiting.notify_one();
            }
        };
        let mode = match deep {
            true => RecursiveMode::Recursive,
            false => RecursiveMode::NonRecursive,
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            watcher.watch(folder, mode)?;
            Ok(watcher)
        });
        let watcher =
            watcher.inspect_err(|error| debug!("no hints of changes below {}: {error}", folder.display()));
        Self {
            bell,
            _watcher: watcher.ok(),
        }
    }

    /// Whether something may have changed; what has is not known.
    pub fn has_rung(&self) -> bool {
        self.bell.rang.load(Ordering::Acquire)
    }

    /// A scan begins now.
    pub fn reset(&self) {
        self.bell.rang.store(false, Ordering::Release);
    }

    /// Waits for a hint, at most until `deadline`.
    pub async fn wait(&self, deadline: Instant) {
        let _ = tokio::time::timeout_at(deadline.into(), self.bell.waiting.notified()).await;
    }
}
