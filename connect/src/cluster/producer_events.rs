//! What a producer's events mean.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message};
use rdkafka::producer::ProducerContext;

use super::{ClientLog, Outgoing, OutgoingRow};

/// Failures that are kept until somebody asks. The client queues far less, in records and in bytes, unless it is told otherwise.
const FAILURES_MAX: usize = 100_000;

/// A record that could not be delivered, as it was.
#[derive(Debug, Clone)]
pub(crate) struct FailedDelivery {
    /// Which of its producer's records it is.
    pub(crate) number: usize,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(Arc<str>, Option<Vec<u8>>)>,
    pub(crate) error: KafkaError,
}

impl FailedDelivery {
    fn of_message(message: &BorrowedMessage<'_>, error: KafkaError, number: usize) -> Self {
        let headers = message.headers().map(|headers| {
            let headers = headers.iter();
            let owned = headers.map(|header| (Arc::from(header.key), header.value.map(<[u8]>::to_vec)));
            owned.collect()
        });
        Self {
            number,
            topic: Arc::from(message.topic()),
            partition: Some(message.partition()).filter(|partition| *partition >= 0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
            headers: headers.unwrap_or_default(),
            error,
        }
    }

    /// A row that was not even queued.
    pub(crate) fn of_row(batch: &Outgoing, row: &OutgoingRow, error: KafkaError) -> Self {
        let bytes = |place| batch.at(place).map(<[u8]>::to_vec);
        let headers = row.headers.iter();
        Self {
            number: row.number,
            topic: Arc::clone(&row.topic),
            partition: row.partition,
            key: bytes(&row.key),
            value: bytes(&row.value),
            timestamp: row.timestamp,
            headers: headers
                .map(|(name, value)| (Arc::clone(name), bytes(value)))
                .collect(),
            error,
        }
    }

    /// Puts it behind what is to be sent, under its number.
    pub(crate) fn put(&self, batch: &mut Outgoing) {
        let mut put = |bytes: &[u8]| {
            let begin = batch.bytes.len();
            batch.bytes.extend_from_slice(bytes);
            begin..batch.bytes.len()
        };
        let row = OutgoingRow {
            number: self.number,
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            key: self.key.as_deref().map(&mut put),
            value: self.value.as_deref().map(&mut put),
            timestamp: self.timestamp,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (Arc::clone(name), value.as_deref().map(&mut put)))
                .collect(),
        };
        batch.rows.push(row);
    }

    /// Bytes of key and value.
    pub(crate) fn size(&self) -> usize {
        [&self.key, &self.value].into_iter().flatten().map(Vec::len).sum()
    }

    /// Whether it failed only because another one did.
    pub(crate) fn is_consequence(&self) -> bool {
        use RDKafkaErrorCode::{Fatal, GaplessGuarantee, PurgeInflight, PurgeQueue};
        let code = self.error.rdkafka_error_code();
        matches!(code, Some(Fatal | GaplessGuarantee | PurgeQueue | PurgeInflight))
    }

    /// Whether the cluster refused it, or what travelled with it: batches are refused as a whole.
    pub(crate) fn is_refused(&self) -> bool {
        use RDKafkaErrorCode::{InvalidRecord, InvalidTimestamp, MessageSizeTooLarge};
        let code = self.error.rdkafka_error_code();
        matches!(code, Some(MessageSizeTooLarge | InvalidRecord | InvalidTimestamp))
    }
}

/// What could not be delivered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    pub(crate) kept: Vec<FailedDelivery>,
    /// How many more there were that are not kept.
    pub(crate) more: u64,
    /// The first record that is among them.
    pub(crate) first: Option<usize>,
}

impl Failures {
    pub(crate) fn are_none(&self) -> bool {
        self.first.is_none()
    }

    /// Another one.
    pub(crate) fn add(&mut self, number: usize, failed: impl FnOnce() -> FailedDelivery) {
        self.first = Some(self.first.map_or(number, |first| first.min(number)));
        match self.kept.len() < FAILURES_MAX {
            true => self.kept.push(failed()),
            false => self.more += 1,
        }
    }

    /// Others as well, which came behind these.
    pub(crate) fn extend(&mut self, others: Self) {
        self.first = self.first.into_iter().chain(others.first).min();
        self.kept.extend(others.kept);
        self.more += others.more;
    }
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
    /// The number of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let Err((error, message)) = result else { return };
        lock(&self.failures).add(number, || {
            FailedDelivery::of_message(message, error.clone(), number)
        });
        self.failed.store(true, Ordering::Release);
    }
}
