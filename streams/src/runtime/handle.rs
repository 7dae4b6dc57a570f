//! The user's hold on a running job.
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::cluster::Cluster;
use super::endpoint;
use super::metrics::MetricsSnapshot;
use super::queries::{Listener, QueryError, STATEMENT_MAX, StoreView, Voice, answer_sql};
use super::shared::{JobState, Shared};
use super::stalls::Stalls;
use crate::config::Guarantee;
use crate::error::StreamsError;
use crate::plan::Topology;
use crate::source::LagBoard;

/// How long dropping a handle waits for the workers.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running job. Dropping it stops the job, waiting a few seconds for its last epoch.
///
/// ```no_run
/// use std::time::Duration;
/// use millstream_streams::{StreamsConfig, prelude::*};
///
/// let app = Streams::new("copy");
/// app.stream("in", text("line")).to("out", text("line"));
/// let mut job = app.start(StreamsConfig::new("localhost:9092"))?;
/// while !job.drained_within(Duration::from_secs(1))? {
///     println!("{} records so far", job.metrics().records_in);
/// }
/// let stop = job.stopper(); // for another thread, a signal handler's say
/// # stop();
/// job.wait()?; // until it fails or is stopped
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub struct StreamsHandle {
    pub(super) topology: Arc<Topology>,
    pub(super) shared: Arc<Shared>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) guarantee: Guarantee,
    pub(super) stalls: Mutex<Stalls>,
    threads: Vec<JoinHandle<()>>,
    lag: Vec<Arc<LagBoard>>,
    metrics_address: Option<SocketAddr>,
    pub(super) queries_address: Option<SocketAddr>,
}

impl StreamsHandle {
    pub(super) fn new(
        topology: Arc<Topology>,
        shared: Arc<Shared>,
        cluster: Arc<Cluster>,
        guarantee: Guarantee,
    ) -> Self {
        Self {
            topology,
            shared,
            cluster,
            guarantee,
            stalls: Mutex::default(),
            threads: Vec::new(),
            lag: Vec::new(),
            metrics_address: None,
            queries_address: None,
        }
    }

    pub(super) fn add_worker(&mut self, thread: JoinHandle<()>, lag: Arc<LagBoard>) {
        self.threads.push(thread);
        self.lag.push(lag);
    }

    pub(super) fn add_thread(&mut self, thread: JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// Where the job stands.
    pub fn state(&self) -> JobState {
        self.shared.state()
    }

    /// Whether the job is well.
    ///
    /// # Errors
    /// The failure of a worker, which has stopped the job.
    pub fn check(&self) -> Result<(), StreamsError> {
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// The store of a step, to be asked: by the name that the step has in the topology.
    ///
    /// # Errors
    /// [`QueryError::UnknownStore`] with the names of those there are, or [`QueryError::NotReadable`].
    pub fn store(&self, name: &str) -> Result<StoreView, QueryError> {
        StoreView::new(&self.shared, name)
    }

    /// The rows of an SQL statement over the job's stores: a store is a table, whose name is that of the step, and whose columns are its key,
    /// `window_start` and `window_end` of windows, and its values. Names with other letters than small ones, digits and `_` stand in double
    /// quotes.
    ///
    /// Only what is committed is read, of each partition as one commit left it, and nothing can be changed. Partitions of other instances are
    /// read there, if all have `queries.listener`. A condition that gives values of all columns of a key is looked up; one on its first columns, or
    /// on `window_start`, narrows what is looked through. What a statement may read, keep and give has limits: 256 MB of rows, 256 MB to
    /// work with, 100,000 rows, a minute. There is at least one batch, without rows if there are none.
    ///
    /// # Errors
    /// [`QueryError::Sql`] for what is no `SELECT` or cannot be planned, [`QueryError::UnknownStore`], or what [`StoreView`] fails with.
    ///
    /// ```
    /// use millstream_streams::{QueryError, StreamsHandle};
    ///
    /// fn frequent(job: &StreamsHandle) -> Result<usize, QueryError> {
    ///     let rows = job.sql("SELECT word, n FROM counts WHERE n > 100 ORDER BY n DESC LIMIT 10")?;
    ///     Ok(rows.iter().map(|batch| batch.num_rows()).sum())
    /// }
    /// ```
    pub fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, QueryError> {
        answer_sql(&self.shared, text, STATEMENT_MAX)
    }

    /// What runs.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The counters of this process, now.
    pub fn metrics(&self) -> MetricsSnapshot {
        snapshot(&self.shared, &self.topology, &self.lag)
    }

    /// Serves the counters for Prometheus at `address`, if there is one.
    pub(super) fn serve_metrics(&mut self, address: Option<&str>) -> Result<(), StreamsError> {
        let Some(address) = address else {
            return Ok(());
        };
        let (shared, topology, lag) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.topology),
            self.lag.clone(),
        );
        let id = self.shared.application_id().to_owned();
        let page = move || snapshot(&shared, &topology, &lag).prometheus(&id);
        self.metrics_address = Some(endpoint::serve(address, Arc::clone(&self.shared), page)?);
        Ok(())
    }

    /// Answers questions to the stores, if that was asked for.
    pub(super) fn serve_queries(&mut self, asked: Option<(Listener, Voice)>) -> Result<(), StreamsError> {
        let Some((listener, voice)) = asked else {
            return Ok(());
        };
        self.queries_address = Some(listener.local);
        voice.start(&self.shared)?;
        listener.serve(&self.shared)
    }

    /// Where questions to the stores are answered over HTTP, if they are: `queries.listener` in the configuration.
    pub fn queries_address(&self) -> Option<SocketAddr> {
        self.queries_address
    }

    /// Where the counters are served over HTTP, if they are: `metrics.listener` in the configuration.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Stops the job cleanly: ends the epoch, commits, leaves the group.
    ///
    /// # Errors
    /// The failure of a worker, or [`StreamsError::Timeout`] if the brokers did not take the last epoch in time; it will then
    /// be repeated by the next start.
    pub fn stop(mut self, timeout: Duration) -> Result<(), StreamsError> {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> Result<(), StreamsError> {
        self.shared.stop();
        if !self.shared.await_end(Some(timeout)) {
            self.shared.abandon();
            let application_id = self.shared.application_id().to_owned();
            let detail = "; its last epoch will be repeated".to_owned();
            return Err(StreamsError::Timeout {
                application_id,
                what: "stopped",
                timeout,
                detail,
            });
        }
        self.join();
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// Waits until the job ends, because it failed or another thread's [`stopper`](Self::stopper) stopped it.
    ///
    /// # Errors
    /// The failure of a worker.
    pub fn wait(&mut self) -> Result<(), StreamsError> {
        self.shared.await_end(None);
        self.join();
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// A function that asks the job to stop and returns at once, for a signal handler's thread.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + Clone + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.stop()
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic was caught inside and is in `shared`.
            if thread.join().is_err() {
                tracing::error!("a stream thread ended abnormally");
            }
        }
    }
}

fn snapshot(shared: &Shared, topology: &Topology, lag: &[Arc<LagBoard>]) -> MetricsSnapshot {
    shared.metrics.snapshot(|sub| {
        let inputs = &topology.sub_topologies[sub].inputs;
        let boards = inputs
            .iter()
            .flat_map(|input| lag.iter().map(|board| board.of(&input.topic)));
        boards.map(|lag| u64::try_from(lag).unwrap_or(0)).sum()
    })
}

impl Drop for StreamsHandle {
    fn drop(&mut self) {
        if !self.threads.is_empty()
            && let Err(error) = self.end(DROP_TIMEOUT)
        {
            tracing::warn!(%error, "a job was dropped");
        }
    }
}

impl fmt::Debug for StreamsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("StreamsHandle");
        text.field("application_id", &self.shared.application_id())
            .field("state", &self.state());
        text.finish_non_exhaustive()
    }
}
