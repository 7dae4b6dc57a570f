//! What a producer's events mean.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::ClientLog;

/// Failures that are kept until somebody asks; the client queues no more than its limit.
const FAILURES_MAX: usize = 1_000;

/// A record that was queued and could not be delivered.
#[derive(Debug, Clone)]
pub(crate) struct FailedDelivery {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) error: KafkaError,
}

/// What could not be delivered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    pub(crate) kept: Vec<FailedDelivery>,
    /// How many more there were that are not kept.
    pub(crate) more: u64,
    /// The first batch that any of them was in.
    pub(crate) first: Option<usize>,
}

/// Keeps failures.
#[derive(Default)]
pub(crate) struct Events {
    failed: AtomicBool,
    failures: Mutex<Failures>,
    /// The client reported an error of its own: it may be of no more use.
    alarmed: AtomicBool,
    log: ClientLog,
}

impl Events {
    /// Whether anything failed since the last time failures were taken.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether the client reported an error that nobody has looked at: it has to be asked whether it can go on.
    pub(super) fn alarmed(&self) -> bool {
        self.alarmed.load(Ordering::Acquire)
    }

    /// It can go on, or cannot.
    pub(super) fn set_alarmed(&self, alarmed: bool) {
        self.alarmed.store(alarmed, Ordering::Release);
    }

    /// What failed.
    pub(super) fn take(&self) -> Failures {
        self.failed.store(false, Ordering::Release);
        std::mem::take(&mut *lock(&self.failures))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Events {
    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error("producer", &error, reason);
        // The binding names the cause of a fatal error instead of saying that it is one.
        self.set_alarmed(true);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }
}

impl ProducerContext for Events {
    /// The number of the batch.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: usize) {
        let Err((error, message)) = result else { return };
        let mut failures = lock(&self.failures);
        failures.first = Some(failures.first.map_or(batch, |first| first.min(batch)));
        if failures.kept.len() < FAILURES_MAX {
            failures.kept.push(FailedDelivery {
                topic: message.topic().to_owned(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                error: error.clone(),
            });
        } else {
            failures.more += 1;
        }
        drop(failures);
        self.failed.store(true, Ordering::Release);
    }
}
