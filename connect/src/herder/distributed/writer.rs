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
    /// When another leader took over, or the cluster does not answer.
    pub(super) fn write(&mut self, records: &[ConfigRecord]) -> Result<i64, PluginError> {
        let failed = |error: KafkaError| {
            PluginError::disconnected(format!("writing to the topic {}: {error}", self.topic))
        };
        self.producer.begin_transaction().map_err(failed)?;
        let written = self.send(records).map_err(failed);
        if let Err(error) = written {
            // The next leader's beginning aborts it else.
            let _ = self.producer.abort_transaction(REQUEST_WAIT);
            return Err(error);
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
        let failed = self.producer.context().failed.lock();
        match failed.unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
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

/// Complains about what could not be delivered.
struct Complaints;

impl ClientContext for Complaints {}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
            warn!(%error, topic = message.topic(), key, "a record could not be written");
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
        client.set("linger.ms", "0");
        let producer = client.create_with_context(Complaints);
        let producer = producer.map_err(|error| PluginError::user_config(error.to_string()))?;
        Ok(Self {
            producer: Arc::new(producer),
        })
    }

    /// Writes a record; without a value what stood under the key is deleted.
    pub(super) fn write(&self, topic: &str, partition: Option<i32>, key: &str, value: Option<&str>) {
        let mut record = BaseRecord::<str, str>::to(topic).key(key);
        (record.payload, record.partition) = (value, partition);
        if let Err((error, _)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            warn!(%error, topic, key, full, "a record could not be written");
        }
    }

    /// Waits until everything is written, at most so long. Blocks.
    pub(super) fn flush(&self, wait: Duration) {
        if let Err(error) = self.producer.flush(wait) {
            warn!(%error, "statuses could not be written");
        }
    }
}
