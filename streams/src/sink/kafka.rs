//! The sink on librdkafka's idempotent producer.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::{Destination, RecordBuffer, Sink, SinkError};
use crate::format::BATCH_HEADER;

/// How long to serve the producer's events at a time while waiting for it.
const WAIT: Duration = Duration::from_millis(1);

/// Sends records and waits for their delivery.
pub(crate) struct KafkaSink {
    producer: BaseProducer<Reports>,
    /// Set when the job gives up waiting.
    abandon: Arc<AtomicBool>,
}

impl KafkaSink {
    pub(crate) fn new(config: &ClientConfig, abandon: Arc<AtomicBool>) -> KafkaResult<Self> {
        Ok(Self {
            producer: config.create_with_context(Reports::default())?,
            abandon,
        })
    }

    fn wait(&self) -> Result<(), SinkError> {
        self.producer.poll(WAIT);
        self.check()?;
        if self.abandon.load(Ordering::Relaxed) {
            let records = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
            return Err(SinkError::Abandoned { records });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SinkError> {
        let reports = self.producer.context();
        if !reports.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let failure = reports
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Err(failure.expect("failed is set after the failure is stored"))
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError> {
        let (topic, partition, batch_header) = match records.destination() {
            Destination::ByKey(topic) => (topic, None, None),
            Destination::Partition {
                topic,
                partition,
                batch_header,
            } => (topic, Some(*partition), Some(batch_header)),
        };
        for (key, value) in records.records() {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            (record.key, record.payload, record.partition) = (key, value, partition);
            record.headers = batch_header.map(|header| {
                OwnedHeaders::new().insert(Header {
                    key: BATCH_HEADER,
                    value: Some(&header[..]),
                })
            });
            while let Err((error, back)) = self.producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(delivery_error(topic, &error));
                }
                record = back;
                self.wait()?;
            }
        }
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        // `BaseProducer::flush` would sleep in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.wait()?;
        }
        self.check()
    }
}

/// Remembers the first failure.
#[derive(Default)]
struct Reports {
    failed: AtomicBool,
    failure: Mutex<Option<SinkError>>,
}

impl Reports {
    fn fail(&self, error: SinkError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fail(SinkError::Fatal {
                cause: reason.to_owned(),
            });
        } else {
            tracing::warn!(%error, reason, "producer");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.fail(delivery_error(message.topic(), error));
        }
    }
}

fn delivery_error(topic: &str, error: &KafkaError) -> SinkError {
    let remedy = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "; create the topic"
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => "; raise message.max.bytes on the topic and producer",
        Some(RDKafkaErrorCode::MessageTimedOut) => "; is the cluster reachable and the topic writable?",
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "; grant this client Write on the topic",
        _ => "",
    };
    SinkError::Delivery {
        topic: topic.to_owned(),
        cause: error.to_string(),
        remedy,
    }
}
