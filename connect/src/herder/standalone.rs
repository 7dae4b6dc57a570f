//! A herder of one process, which keeps connectors in memory as Kafka's `connect-standalone` does.
pub(super) mod lifecycle;
mod load;
pub(super) mod requests;
pub(super) mod supervisor;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::locks::NameLocks;
use super::{HerderError, Loggers, Restarts, StatusBoard, Tasks, Unit, Validator};
use crate::config::ConfigMap;
use crate::plugin::PluginKind;
use crate::worker::{TargetState, WorkerConfig};

pub use load::SourcesProgress;

/// What a [`StandaloneHerder`] is made of.
pub struct StandaloneParts {
    /// What runs connectors and tasks: a [`Worker`](crate::worker::Worker) with `board` as its listener.
    pub tasks: Arc<dyn Tasks>,
    /// What they report to.
    pub board: Arc<StatusBoard>,
    /// Checks configurations.
    pub validator: Validator,
    /// The worker's configuration.
    pub config: Arc<WorkerConfig>,
    /// Levels of logs.
    pub loggers: Loggers,
}

/// Connectors in memory. Dropping it ends its supervisor; [`StandaloneHerder::stop`] stops the connectors, too.
pub struct StandaloneHerder {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
}

struct Shared {
    parts: StandaloneParts,
    connectors: Mutex<BTreeMap<String, Connector>>,
    locks: NameLocks,
    restarts: Mutex<Restarts>,
    restarts_made: AtomicU64,
    /// What failed and stays so.
    given_up: Mutex<BTreeSet<Unit>>,
    ready: AtomicBool,
}

/// A connector as it was asked for, and how its work is divided.
#[derive(Debug, Clone)]
struct Connector {
    config: ConfigMap,
    target: TargetState,
    /// With references instead of secrets.
    tasks: Vec<ConfigMap>,
    kind: PluginKind,
    version: &'static str,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn connector(&self, name: &str) -> Result<Connector, HerderError> {
        let connectors = locked(&self.connectors);
        let found = connectors.get(name).cloned();
        found.ok_or_else(|| HerderError::unknown_connector(name))
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Connector)) {
        if let Some(connector) = locked(&self.connectors).get_mut(name) {
            change(connector);
        }
    }
}

impl StandaloneHerder {
    /// A herder without connectors. It has to be called within a tokio runtime.
    pub fn start(parts: StandaloneParts) -> Self {
        let shared = Arc::new(Shared {
            parts,
            connectors: Mutex::default(),
            locks: NameLocks::default(),
            restarts: Mutex::default(),
            restarts_made: AtomicU64::new(0),
            given_up: Mutex::default(),
            ready: AtomicBool::new(false),
        });
        let supervisor = tokio::spawn(supervisor::run(Arc::downgrade(&shared)));
        Self { shared, supervisor }
    }

    /// Everything that is to be there from the beginning is: the worker is healthy from now on.
    pub fn ready(&self) {
        self.shared.ready.store(true, Ordering::Release);
    }

    /// Stops all connectors and tasks.
    pub async fn stop(&self) {
        self.supervisor.abort();
        self.shared.parts.tasks.stop().await;
    }
}

impl Drop for StandaloneHerder {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

#[cfg(test)]
mod tests;
