//! Writing to the topics of configurations and statuses.
//!
//! The leader writes configurations in transactions of one id, the same as Java's leaders: whoever begins to lead fences the one before, so that
//! nothing written by a former leader can follow what the present one has read. Statuses and requests to the leader are written by everybody.
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::configs::ConfigRecord;
use crate::plugin::PluginError;

/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one request of it may take before it is repeated.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// Where the last record was put, and what went wrong.
#[derive(Default)]
struct Deliveries {
    last: AtomicI64,
    failed: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn take_failure(&self) -> Option<KafkaError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take()
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "the leader's producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => drop(self.last.fetch_max(message.offset(), Ordering::AcqRel)),
            Err((error, _)) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// The leader's pen.
pub(super) struct ConfigWriter {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

impl ConfigWriter {
    /// Takes the pen from whoever had it. Blocks.
    ///
    /// # Errors
    /// When the cluster denies transactions or does not answer.
    pub(super) fn take_over(
        client: &ClientConfig,
        topic: &str,
        transactional_id: &str,
    ) -> Result<Self, PluginError> {
        let mut client = client.clone();
        client
            .set("transactional.id", transactional_id)
            .set("delivery.report.only.error", "false")
            .set("linger.ms", "0");
        client.remove("delivery.timeout.ms");
        let failed = |error: KafkaError| {
            PluginError::disconnected(format!(
                "beginning to lead as {transactional_id}: {error}; may this client write with that transactional id?"
            ))
        };
        let producer: BaseProducer<Deliveries> = client
            .create_with_context(Deliveries::default())
            .map_err(failed)?;
        repeated(|| producer.init_transactions(REQUEST_WAIT)).map_err(failed)?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// Writes all records or none, and gives the offset of the last one. Blocks. After an error the pen is of no more use: another leader may
    /// have it.
    ///
    /// # Errors
    /// When another leader took over, or the cluster does not answer. An error of the kind `ErrorKind::UserConfig` is about a record that is
    /// too large: nothing was written, and the pen goes on writing.
    pub(super) fn write(&mut self, records: &[ConfigRecord]) -> Result<i64, PluginError> {
        let failed = |error: KafkaError| {
            PluginError::disconnected(format!("writing to the topic {}: {error}", self.topic))
        };
        self.producer.begin_transaction().map_err(failed)?;
        if let Err(error) = self.send(records) {
            let aborted = repeated(|| self.producer.abort_transaction(REQUEST_WAIT));
            // What was purged is reported as failed, which the next records are not.
            let emptied = self.producer.flush(REQUEST_WAIT);
            self.producer.context().take_failure();
            let largest = records.iter().max_by_key(|record| length(record));
            return Err(match (too_large(&error), largest) {
                (true, Some(largest)) if aborted.is_ok() && emptied.is_ok() => {
                    does_not_fit(&self.topic, &largest.key, length(largest))
                }
                // The next leader's beginning aborts it if it could not be aborted.
                _ => failed(error),
            });
        }
        repeated(|| self.producer.commit_transaction(REQUEST_WAIT)).map_err(failed)?;
        Ok(self.producer.context().last.load(Ordering::Acquire))
    }

    fn send(&self, records: &[ConfigRecord]) -> Result<(), KafkaError> {
        for record in records {
            let value = record.value.as_ref().map(Value::to_string);
            let mut base = BaseRecord::<str, str>::to(&self.topic)
                .key(&record.key)
                .partition(0);
            base.payload = value.as_deref();
            self.producer.send(base).map_err(|(error, _)| error)?;
        }
        self.producer.flush(PATIENCE)?;
        match self.producer.context().take_failure() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn length(record: &ConfigRecord) -> usize {
    let value = record.value.as_ref().map(Value::to_string);
    record.key.len() + value.map_or(0, |value| value.len())
}

/// Whether the client or the broker refused a record for its size.
fn too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

fn does_not_fit(topic: &str, key: &str, bytes: usize) -> PluginError {
    PluginError::user_config(format!(
        "{key} takes {bytes} bytes, more than a record of the topic {topic} may have; make it smaller, or raise max.message.bytes of the topic \
         and producer.max.request.size of the workers"
    ))
}

/// Calls again where that may help.
fn repeated(mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

/// Complains about what could not be delivered, and tells who waits for it.
struct Complaints;

/// Who waits for a record's delivery, if anybody does.
type Waiting = Option<oneshot::Sender<Result<(), KafkaError>>>;

impl ClientContext for Complaints {}

impl ProducerContext for Complaints {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        match (result, *waiting) {
            (result, Some(waiting)) => {
                let delivered = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
                // Who waited may have gone.
                let _ = waiting.send(delivered);
            }
            (Err((error, message)), None) => {
                let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                warn!(%error, topic = message.topic(), key, "a record could not be written");
            }
            (Ok(_), None) => {}
        }
    }
}

/// Everybody's pen: records are delivered in their order, in the background.
#[derive(Clone)]
pub(super) struct Notes {
    producer: Arc<ThreadedProducer<Complaints>>,
}

impl Notes {
    /// A pen.
    ///
    /// # Errors
    /// When a client's option is wrong.
    pub(super) fn new(client: &ClientConfig) -> Result<Self, PluginError> {
        let mut client = client.clone();
        client
            // Who waits for a record wants to hear that it is there.
            .set("delivery.report.only.error", "false")
            .set("linger.ms", "0");
        let producer = client.create_with_context(Complaints);
        let producer = producer.map_err(|error| PluginError::user_config(error.to_string()))?;
        Ok(Self {
            producer: Arc::new(producer),
        })
    }

    /// Writes a record; without a value what stood under the key is deleted.
    pub(super) fn write(&self, topic: &str, partition: Option<i32>, key: &str, value: Option<&str>) {
        let mut record = BaseRecord::<str, str, _>::with_opaque_to(topic, Box::new(None)).key(key);
        (record.payload, record.partition) = (value, partition);
        if let Err((error, _)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            warn!(%error, topic, key, full, "a record could not be written");
        }
    }

    /// Writes a record and waits until it is there.
    ///
    /// # Errors
    /// When it is too large (`ErrorKind::UserConfig`), or the cluster does not take it.
    pub(super) async fn deliver(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: &str,
    ) -> Result<(), PluginError> {
        let (told, hears) = oneshot::channel();
        let record = BaseRecord::<str, str, _>::with_opaque_to(topic, Box::new(Some(told)));
        let record = record.key(key).payload(value).partition(partition);
        let delivered = match self.producer.send(record) {
            Err((error, _)) => Err(error),
            Ok(()) => hears.await.unwrap_or(Err(KafkaError::Canceled)),
        };
        delivered.map_err(|error| match too_large(&error) {
            true => does_not_fit(topic, key, key.len() + value.len()),
            false => PluginError::disconnected(format!("writing {key} to the topic {topic}: {error}")),
        })
    }

    /// Waits until everything is written, at most so long. Blocks.
    pub(super) fn flush(&self, wait: Duration) {
        if let Err(error) = self.producer.flush(wait) {
            warn!(%error, "statuses could not be written");
        }
    }
}
