//! Where failed records go (`errors.deadletterqueue.*`), with Kafka Connect's context headers.
use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::errors::RecordFailure;
use crate::cluster::{Encoding, Outgoing, OutgoingRow, Producer, ProducerError, undelivered};
use crate::plugin::{ErrorKind, PluginError, TaskId};
use crate::record::Origin;

/// The header of a dead letter that is too large to be kept whole.
const OMITTED: &str = "__connect.errors.record.omitted";

/// A record's bytes as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct RawRecord<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<(Arc<str>, Option<&'a [u8]>)>,
    pub(super) timestamp: Option<i64>,
}

/// Writes failed records to a topic.
pub(super) struct DeadLetters {
    topic: Arc<str>,
    context_headers: bool,
    task: TaskId,
    producer: Producer,
    batch: Outgoing,
    /// Something was queued since all was known to be safe.
    queued: bool,
    /// Why a record is not safe, once one is not.
    lost: Option<String>,
}

impl DeadLetters {
    /// Dead letters in `topic`, which is there.
    ///
    /// # Errors
    /// When the client's configuration is wrong.
    pub(super) fn new(
        topic: &str,
        context_headers: bool,
        task: &TaskId,
        client: &ClientConfig,
    ) -> Result<Self, PluginError> {
        let producer = Producer::new(client).map_err(|error| failed(topic, &error))?;
        Ok(Self {
            topic: topic.into(),
            context_headers,
            task: task.clone(),
            producer,
            batch: Outgoing::default(),
            queued: false,
            lost: None,
        })
    }

    /// Queues a failed record.
    ///
    /// # Errors
    /// When it cannot be queued: the record is not safe then, and the task must not go on.
    pub(super) fn send(
        &mut self,
        record: &RawRecord<'_>,
        failure: &RecordFailure,
        origin: Option<&Origin>,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), PluginError> {
        self.queued = true;
        self.fill(record, failure, origin);
        let Some(error) = self.queue(stopping)? else {
            return Ok(());
        };
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            return Err(self.lost(undelivered(&self.topic, &error)));
        }
        // What is known of it is kept, though not all of what it was.
        let bytes = self.batch.bytes.len();
        let without = RawRecord {
            timestamp: record.timestamp,
            ..RawRecord::default()
        };
        self.fill(&without, failure, origin);
        let begin = self.batch.bytes.len();
        let omitted =
            format!("{bytes} bytes of key, value and headers are more than a dead letter may have: {error}");
        self.batch.bytes.extend_from_slice(omitted.as_bytes());
        let header = (Arc::from(OMITTED), Some(begin..self.batch.bytes.len()));
        self.batch.rows[0].headers.push(header);
        match self.queue(stopping)? {
            None => Ok(()),
            Some(error) => Err(self.lost(undelivered(&self.topic, &error))),
        }
    }

    /// Makes a dead letter of a record.
    fn fill(&mut self, record: &RawRecord<'_>, failure: &RecordFailure, origin: Option<&Origin>) {
        let batch = &mut self.batch;
        batch.clear();
        let mut put = |bytes: &[u8]| {
            let begin = batch.bytes.len();
            batch.bytes.extend_from_slice(bytes);
            begin..batch.bytes.len()
        };
        let mut headers: Vec<(Arc<str>, Encoding)> = record
            .headers
            .iter()
            .map(|(name, value)| (Arc::clone(name), value.map(&mut put)))
            .collect();
        if self.context_headers {
            for (name, value) in context(&self.task, failure, origin) {
                headers.push((name.into(), value.map(|text| put(text.as_bytes()))));
            }
        }
        let row = OutgoingRow {
            number: 0,
            topic: Arc::clone(&self.topic),
            partition: None,
            key: record.key.map(&mut put),
            value: record.value.map(&mut put),
            timestamp: record.timestamp,
            headers,
        };
        batch.rows.push(row);
    }

    /// Queues the dead letter; gives why it is not taken for what it is.
    fn queue(&mut self, stopping: &dyn Fn() -> bool) -> Result<Option<KafkaError>, PluginError> {
        let sent = self.producer.send(&mut self.batch, stopping);
        let refused = sent.map_err(|error| failed(&self.topic, &error))?;
        Ok(refused.into_iter().next().map(|refused| refused.error))
    }

    /// From now on nothing may be committed.
    fn lost(&mut self, why: String) -> PluginError {
        let error = failed(&self.topic, &why);
        self.lost = Some(why);
        error
    }

    /// Whether something was queued that is not known to be safe.
    pub(super) fn are_queued(&self) -> bool {
        self.queued
    }

    /// Waits until everything that was queued is safe.
    ///
    /// # Errors
    /// When something is not: the offsets of the records must not be committed.
    pub(super) fn flush(&mut self, stopping: &dyn Fn() -> bool) -> Result<(), PluginError> {
        if let Some(why) = &self.lost {
            return Err(failed(&self.topic, why));
        }
        self.producer
            .flush(stopping)
            .map_err(|error| failed(&self.topic, &error))?;
        match self.producer.failures().kept.first() {
            None => {
                self.queued = false;
                Ok(())
            }
            Some(failure) => Err(self.lost(undelivered(&self.topic, &failure.error))),
        }
    }
}

fn failed(topic: &str, error: &dyn std::fmt::Display) -> PluginError {
    PluginError::new(
        ErrorKind::Disconnected,
        format!("writing to the dead letters in {topic}: {error}"),
    )
}

impl From<ProducerError> for PluginError {
    fn from(error: ProducerError) -> Self {
        Self::disconnected(error.to_string())
    }
}

/// The ten headers that say what happened (KIP-298); their names are those of Kafka Connect.
fn context(
    task: &TaskId,
    failure: &RecordFailure,
    origin: Option<&Origin>,
) -> Vec<(&'static str, Option<String>)> {
    let kind = match failure.error.kind() {
        ErrorKind::BadRecord => "org.apache.kafka.connect.errors.DataException",
        ErrorKind::Retriable => "org.apache.kafka.connect.errors.RetriableException",
        _ => "org.apache.kafka.connect.errors.ConnectException",
    };
    let message = failure.error.to_string();
    let trace = format!("{kind}: {message}\n\tat {}", failure.class);
    vec![
        (
            "__connect.errors.topic",
            origin.map(|origin| origin.topic.to_string()),
        ),
        (
            "__connect.errors.partition",
            origin.map(|origin| origin.partition.to_string()),
        ),
        (
            "__connect.errors.offset",
            origin.map(|origin| origin.offset.to_string()),
        ),
        ("__connect.errors.connector.name", Some(task.connector.clone())),
        ("__connect.errors.task.id", Some(task.task.to_string())),
        ("__connect.errors.stage", Some(failure.stage.to_string())),
        ("__connect.errors.class.name", Some(failure.class.clone())),
        ("__connect.errors.exception.class.name", Some(kind.to_owned())),
        ("__connect.errors.exception.message", Some(message)),
        ("__connect.errors.exception.stacktrace", Some(trace)),
    ]
}
