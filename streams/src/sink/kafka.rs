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
            // Whether the queue was empty before the send: then waiting would not help.
            let mut alone = false;
            while let Err((error, back)) = self.producer.send(record) {
                if alone || error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(delivery_error(topic, &error));
                }
                record = back;
                self.wait()?;
                alone = self.producer.in_flight_count() == 0;
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
        Some(RDKafkaErrorCode::QueueFull) => {
            "; the record is larger than the producer's queue: raise queue.buffering.max.kbytes"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_larger_than_the_queue_is_an_error_with_a_remedy() {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("queue.buffering.max.kbytes", "1");
        let abandon = Arc::new(AtomicBool::new(false));
        let mut sink = KafkaSink::new(&config, Arc::clone(&abandon)).unwrap();
        let mut records = RecordBuffer::new(Destination::ByKey("out".into()));
        records.push(
            |_| false,
            |out| {
                out.extend([b'x'; 5000]);
                true
            },
        );
        // Without the error it would wait until it is told to give up.
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(10));
            abandon.store(true, Ordering::Relaxed);
        });
        let error = sink.send(&records).unwrap_err().to_string();
        assert!(
            error.starts_with("a record for topic \"out\" was not delivered"),
            "{error}"
        );
        assert!(error.ends_with("raise queue.buffering.max.kbytes"), "{error}");
    }
}
