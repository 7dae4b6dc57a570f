//! What the broker counts, and the endpoint that shows it: `/metrics`, `/healthz`, `/readyz`.
//!
//! Why: who runs the broker must see rates, latencies, lag and disk before clients complain, with the tools there
//! are: Prometheus text, and probes of an orchestrator. Counters on the way of a request are atomics, without locks or
//! allocation; everything else (sizes, lag, groups) is looked up when somebody asks.
//!
//! Owns: counters per API and connection, the names of all metrics (`scrape`), the text format (`text`), the HTTP
//! endpoint (`http`). Does not own: the counters of the logs, which live there ([`crate::log::Traffic`]).
//! Invariant: series are bounded in number, whatever clients create.

mod histogram;
mod http;
mod scrape;
mod text;

pub use histogram::Histogram;
pub(crate) use http::MetricsEndpoint;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::api::REGISTRY;

/// A number that another part of the broker gives when asked.
pub(crate) struct Gauge {
    /// Name of the metric.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Reads it; must not block.
    pub read: Box<dyn Fn() -> f64 + Send + Sync>,
}

/// Counters of one API.
#[derive(Debug, Default)]
struct ApiMetrics {
    errors: AtomicU64,
    partition_errors: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    seconds: Histogram,
}

/// The counters of one broker.
pub(crate) struct Metrics {
    started: Instant,
    /// In the order of the registry.
    apis: Box<[ApiMetrics]>,
    connections_open: AtomicI64,
    connections_accepted: AtomicU64,
    connections_refused: AtomicU64,
    /// Touched when a part of the broker starts and when somebody looks.
    gauges: Mutex<Vec<Gauge>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            apis: REGISTRY.iter().map(|_| ApiMetrics::default()).collect(),
            connections_open: AtomicI64::new(0),
            connections_accepted: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            gauges: Mutex::default(),
        }
    }
}

/// A request between its arrival and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Place in the registry; nothing for an API that is not known.
    api: Option<usize>,
    begun: Instant,
}

/// An open connection; counts until it is dropped.
pub(crate) struct OpenConnection<'a>(&'a Metrics);

impl Metrics {
    /// A request is about to be started.
    pub fn begin(&self, frame: &[u8]) -> Call {
        let key = frame.first_chunk().map(|key| i16::from_be_bytes(*key));
        let api = key.and_then(|key| REGISTRY.binary_search_by_key(&key, |spec| spec.key).ok());
        if let Some(metrics) = api.and_then(|at| self.apis.get(at)) {
            metrics
                .request_bytes
                .fetch_add(frame.len() as u64, Ordering::Relaxed);
        }
        Call {
            api,
            begun: Instant::now(),
        }
    }

    /// A request was answered with so many bytes; 0 if it asked for no answer.
    pub fn answered(&self, call: Call, response_bytes: usize) {
        if let Some(metrics) = call.api.and_then(|at| self.apis.get(at)) {
            metrics
                .response_bytes
                .fetch_add(response_bytes as u64, Ordering::Relaxed);
            metrics.seconds.record(call.begun.elapsed());
        }
    }

    /// A request ended its connection instead of being answered.
    pub fn failed(&self, call: Call) {
        if let Some(metrics) = call.api.and_then(|at| self.apis.get(at)) {
            metrics.errors.fetch_add(1, Ordering::Relaxed);
            metrics.seconds.record(call.begun.elapsed());
        }
    }

    /// A request of the API could not be done for one of its partitions.
    pub fn refused_partition(&self, key: i16) {
        let at = REGISTRY.binary_search_by_key(&key, |spec| spec.key).ok();
        if let Some(metrics) = at.and_then(|at| self.apis.get(at)) {
            metrics.partition_errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection was accepted.
    pub fn connection(&self) -> OpenConnection<'_> {
        self.connections_accepted.fetch_add(1, Ordering::Relaxed);
        self.connections_open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self)
    }

    /// A connection was turned away.
    pub fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows one more number.
    pub fn add_gauge(&self, gauge: Gauge) {
        self.gauges().push(gauge);
    }

    fn gauges(&self) -> std::sync::MutexGuard<'_, Vec<Gauge>> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
