//! A running broker: its addresses, and stopping it.
//!
//! Order of a clean stop: no more connections, no more requests, answers that are under way get a few seconds,
//! transactions that are decided are carried through, groups stop, logs are flushed and marked clean. Dropping the handle instead is like killing the process: what
//! was acknowledged is on disk, and the next start recovers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::broker::BrokerState;
use crate::error::StopError;
use crate::metrics::MetricsEndpoint;

/// How long answers that are under way may take when the broker stops.
const GRACE: Duration = Duration::from_secs(5);

/// A running broker. Keep it: dropping it stops the broker without closing its logs.
#[derive(Debug)]
#[must_use = "dropping the handle stops the broker"]
pub struct BrokerHandle {
    running: Option<Running>,
    addresses: Vec<SocketAddr>,
    own: Option<tokio::runtime::Runtime>,
}

struct Running {
    runtime: tokio::runtime::Handle,
    state: Arc<BrokerState>,
    accepting: Vec<JoinHandle<JoinSet<()>>>,
    stop: watch::Sender<bool>,
    metrics: Option<MetricsEndpoint>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("data_dir", &self.state.logs.path())
            .finish_non_exhaustive()
    }
}

impl BrokerHandle {
    pub(crate) fn new(
        runtime: tokio::runtime::Handle,
        state: Arc<BrokerState>,
        addresses: Vec<SocketAddr>,
        accepting: Vec<JoinHandle<JoinSet<()>>>,
        stop: watch::Sender<bool>,
        metrics: Option<MetricsEndpoint>,
    ) -> Self {
        Self {
            running: Some(Running {
                runtime,
                state,
                accepting,
                stop,
                metrics,
            }),
            addresses,
            own: None,
        }
    }

    /// Lets the broker keep the runtime it runs on.
    pub(crate) fn own(&mut self, runtime: tokio::runtime::Runtime) {
        self.own = Some(runtime);
    }

    /// The address of the first listener, with the port that it really has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self
            .addresses
            .first()
            .expect("a broker does not start without a listener")
    }

    /// The addresses of all listeners, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of `/metrics`, `/healthz` and `/readyz`, if they are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let endpoint = self.running.as_ref().and_then(|running| running.metrics.as_ref());
        endpoint.map(MetricsEndpoint::address)
    }

    /// Identity of the cluster, made at the first start of the data directory.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.state().cluster_id
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.state().logs.path()
    }

    fn state(&self) -> &BrokerState {
        &self
            .running
            .as_ref()
            .expect("only stopping takes it away, and that consumes the handle")
            .state
    }

    /// Stops cleanly.
    ///
    /// # Errors
    /// [`StopError`] if the logs could not be closed; the next start then checks them.
    pub async fn shutdown(mut self) -> Result<(), StopError> {
        match self.running.take() {
            Some(running) => running.spawn_stop().await?,
            None => Ok(()),
        }
    }

    /// Stops cleanly, for callers that are not asynchronous. Do not call it on a thread of the runtime that the
    /// broker runs on.
    ///
    /// # Errors
    /// As [`BrokerHandle::shutdown`].
    pub fn shutdown_blocking(mut self) -> Result<(), StopError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let runtime = running.runtime.clone();
        runtime.spawn(async move {
            let stopped = running.spawn_stop().await;
            // The receiver waits below.
            let _ = sender.send(stopped.map_err(StopError::from).and_then(|stopped| stopped));
        });
        // A runtime that was shut down has dropped the task: nothing is running any more.
        receiver.recv().unwrap_or(Ok(()))
    }
}

impl Running {
    fn spawn_stop(self) -> JoinHandle<Result<(), StopError>> {
        let runtime = self.runtime.clone();
        runtime.spawn(self.stop())
    }

    async fn stop(mut self) -> Result<(), StopError> {
        self.stop.send_replace(true);
        if let Some(metrics) = &self.metrics {
            metrics.stopping();
        }
        let deadline = tokio::time::Instant::now() + GRACE;
        for accepting in std::mem::take(&mut self.accepting) {
            let mut open = accepting.await?;
            let all = async { while open.join_next().await.is_some() {} };
            if tokio::time::timeout_at(deadline, all).await.is_err() {
                tracing::warn!(
                    connections = open.len(),
                    waited_s = GRACE.as_secs(),
                    "requests under way did not finish"
                );
                open.shutdown().await;
            }
        }
        // Before the groups, which take some of its markers.
        if tokio::time::timeout_at(deadline, self.state.transactions.flush())
            .await
            .is_err()
        {
            tracing::warn!(
                waited_s = GRACE.as_secs(),
                "transactions under way are ended at the next start"
            );
        }
        self.state.transactions.shutdown();
        if tokio::time::timeout_at(deadline, self.state.groups.flush())
            .await
            .is_err()
        {
            tracing::warn!(waited_s = GRACE.as_secs(), "group state was not written");
        }
        self.state.groups.shutdown();
        let logs = Arc::clone(&self.state.logs);
        tokio::task::spawn_blocking(move || logs.close()).await??;
        tracing::info!(data_dir = %self.state.logs.path().display(), "broker stopped");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for accepting in &self.accepting {
            accepting.abort();
        }
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.running = None;
        if let Some(runtime) = self.own.take() {
            // Waits until its tasks are gone, so that the data directory is free again. On a thread of its own,
            // because a runtime cannot be dropped on the thread of another.
            let ending = std::thread::spawn(move || runtime.shutdown_timeout(GRACE));
            // A panic of the ending thread leaves nothing to clean up.
            let _ = ending.join();
        }
    }
}
