//! The sink on librdkafka's idempotent or transactional producer.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::{Destination, OutputRecord, RecordBuffer, Sink, SinkError};
use crate::format::BATCH_HEADER;
use crate::native::{Bell, Queue};
use crate::rows::NO_TIME;
use crate::source::{TopicPartition, offset_list};
use crate::task::Position;

/// How long to wait for an event of the producer at a time.
const WAIT: Duration = Duration::from_millis(10);

/// How long one request of a transaction may take before it is tried again.
const TRANSACTION_WAIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const BACKOFF: Duration = Duration::from_millis(20);

/// Sends records and waits for their delivery.
pub(crate) struct KafkaSink {
    config: ClientConfig,
    /// Delivery reports and errors; dropped before the producer.
    events: Queue,
    bell: Arc<Bell>,
    producer: BaseProducer<Reports>,
    /// Whether records go into transactions.
    transactional: bool,
    /// A transaction has begun.
    open: bool,
    /// Set when the job gives up waiting.
    abandon: Arc<AtomicBool>,
}

impl KafkaSink {
    /// A sink; transactional if `config` has a `transactional.id`. What an earlier holder of that id left open is aborted.
    /// Waits at most `patience` for the cluster.
    pub(crate) fn new(
        config: &ClientConfig,
        abandon: Arc<AtomicBool>,
        patience: Duration,
    ) -> Result<Self, SinkError> {
        let (producer, events, bell) = new_producer(config)?;
        let sink = Self {
            events,
            bell,
            producer,
            transactional: config.get("transactional.id").is_some(),
            config: config.clone(),
            open: false,
            abandon,
        };
        sink.begin_transactions(Instant::now().checked_add(patience))?;
        Ok(sink)
    }

    fn begin_transactions(&self, until: Option<Instant>) -> Result<(), SinkError> {
        if !self.transactional {
            return Ok(());
        }
        let wait = |now: Instant| until.map_or(TRANSACTION_WAIT, |until| TRANSACTION_WAIT.min(until - now));
        self.definite(until, || self.producer.init_transactions(wait(Instant::now())))
            .map_err(|outcome| match outcome {
                Outcome::Abandoned => self.abandoned(),
                Outcome::Abort(error) | Outcome::Fatal(error) => SinkError::Refused {
                    remedy: transaction_remedy(&error),
                    cause: error.to_string(),
                },
            })
    }

    /// Calls until the outcome is known, or the time is over.
    fn definite(
        &self,
        until: Option<Instant>,
        mut call: impl FnMut() -> KafkaResult<()>,
    ) -> Result<(), Outcome> {
        loop {
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => error,
                // Not of a transaction: a broken call, which no second one would mend.
                Err(error) => return Err(Outcome::Fatal(error)),
            };
            if error.is_fatal() {
                return Err(Outcome::Fatal(KafkaError::Transaction(error)));
            }
            if error.txn_requires_abort() {
                return Err(Outcome::Abort(KafkaError::Transaction(error)));
            }
            if !error.is_retriable() || until.is_some_and(|until| Instant::now() >= until) {
                return Err(Outcome::Fatal(KafkaError::Transaction(error)));
            }
            if self.abandon.load(Ordering::Relaxed) {
                return Err(Outcome::Abandoned);
            }
            tracing::warn!(%error, "a request of the transaction is tried again");
            self.producer.poll(BACKOFF);
        }
    }

    fn abandoned(&self) -> SinkError {
        let records = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
        SinkError::Abandoned { records }
    }

    /// Serves the producer's events, if there are none those that come within a short time.
    fn serve(&self) {
        self.bell.silence();
        if self.events.length() == 0 {
            self.bell.wait(WAIT);
        }
        // A poll with time to spare would use all of it, and serves one event otherwise.
        loop {
            self.producer.poll(Duration::ZERO);
            if self.events.length() == 0 {
                return;
            }
        }
    }

    fn wait(&self) -> Result<(), SinkError> {
        self.serve();
        self.check()?;
        if self.abandon.load(Ordering::Relaxed) {
            return Err(self.abandoned());
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

    fn begin(&mut self) -> Result<(), SinkError> {
        if self.transactional && !self.open {
            let begun = self.producer.begin_transaction();
            begun.map_err(|error| SinkError::Aborted {
                cause: error.to_string(),
            })?;
            self.open = true;
        }
        Ok(())
    }

    fn end(
        &mut self,
        offsets: &TopicPartitionList,
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), Outcome> {
        if offsets.count() > 0 {
            let lost = || KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownMemberId);
            let member = member.ok_or_else(|| Outcome::Abort(lost()))?;
            self.definite(None, || {
                self.producer
                    .send_offsets_to_transaction(offsets, member, TRANSACTION_WAIT)
            })?;
        }
        self.definite(None, || self.producer.commit_transaction(TRANSACTION_WAIT))
    }
}

/// How a request of a transaction ends, if not well.
enum Outcome {
    /// The transaction can only be aborted.
    Abort(KafkaError),
    /// The producer is of no more use.
    Fatal(KafkaError),
    /// The job gave up.
    Abandoned,
}

/// A producer, its events, and what rings when there are some.
fn new_producer(config: &ClientConfig) -> Result<(BaseProducer<Reports>, Queue, Arc<Bell>), SinkError> {
    let new = || {
        let producer: BaseProducer<Reports> = config.create_with_context(Reports {
            transactional: config.get("transactional.id").is_some(),
            ..Reports::default()
        })?;
        let (mut events, bell) = (Queue::events(producer.client())?, Arc::<Bell>::default());
        events.ring(&bell);
        Ok((producer, events, bell))
    };
    let new: KafkaResult<_> = new();
    new.map_err(|error| SinkError::Fatal {
        cause: error.to_string(),
    })
}

impl Sink for KafkaSink {
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError> {
        self.begin()?;
        let (topic, partition, batch_header) = match records.destination() {
            Destination::ByKey(topic) => (topic, None, None),
            Destination::Partition {
                topic,
                partition,
                batch_header,
            } => (topic, Some(*partition), batch_header.as_ref()),
        };
        for output in records.records() {
            let OutputRecord { time, key, value, .. } = output;
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            (record.key, record.payload, record.partition) = (key, value, partition);
            record.timestamp = (time != NO_TIME).then_some(time);
            record.headers = headers(&output, batch_header);
            // Whether the queue was empty before the send: then waiting would not help.
            let mut alone = false;
            while let Err((error, back)) = self.producer.send(record) {
                if alone || error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    // The transaction may have failed because of a record, whose report says why.
                    self.producer.poll(Duration::ZERO);
                    self.check()?;
                    return Err(delivery_error(topic, &error, self.transactional));
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

    fn commit(
        &mut self,
        positions: &[(TopicPartition, Position)],
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), SinkError> {
        if !self.open && positions.is_empty() {
            return Ok(());
        }
        self.begin()?;
        // Delivery reports are served by this thread alone, so a commit would wait for its own flush.
        self.flush()?;
        let list = offset_list(positions).map_err(|error| SinkError::Aborted {
            cause: error.to_string(),
        })?;
        match self.end(&list, member) {
            Ok(()) => {
                self.open = false;
                Ok(())
            }
            Err(Outcome::Abandoned) => Err(self.abandoned()),
            Err(Outcome::Abort(error)) => {
                let cause = error.to_string();
                match transaction_remedy(&error) {
                    "" => Err(SinkError::Aborted { cause }),
                    remedy => Err(SinkError::Refused { cause, remedy }),
                }
            }
            // Fenced, most often: another holder of the id, or the coordinator, has ended the transaction.
            Err(Outcome::Fatal(error)) => Err(SinkError::Aborted {
                cause: error.to_string(),
            }),
        }
    }

    fn recover(&mut self) -> Result<(), SinkError> {
        if !self.transactional {
            return Ok(());
        }
        // A record that no transaction would take must not be hidden by what followed from it.
        self.producer.poll(Duration::ZERO);
        if let Err(failure) = self.check()
            && !matches!(failure, SinkError::Aborted { .. })
        {
            return Err(failure);
        }
        if self.open && self.producer.client().fatal_error().is_none() {
            // What is purged from the queue is no failure. Aborting would wait for its reports, which only this thread takes.
            self.producer.context().muted.store(true, Ordering::Release);
            self.producer.purge(PurgeConfig::default().queue().inflight());
            let purged = Instant::now();
            while self.producer.in_flight_count() > 0 && purged.elapsed() < TRANSACTION_WAIT {
                self.serve();
            }
            let aborted = self.definite(None, || self.producer.abort_transaction(TRANSACTION_WAIT));
            self.producer.context().reset();
            match aborted {
                Ok(()) => {
                    self.open = false;
                    return Ok(());
                }
                Err(Outcome::Abandoned) => return Err(self.abandoned()),
                Err(Outcome::Abort(error) | Outcome::Fatal(error)) => {
                    tracing::warn!(%error, "the transaction could not be aborted; a new producer does it");
                }
            }
        }
        let (producer, events, bell) = new_producer(&self.config)?;
        // The old queue goes before its producer.
        (self.events, self.bell) = (events, bell);
        self.producer = producer;
        self.open = false;
        self.begin_transactions(None)
    }
}

/// The record's own headers, or the one that marks a batch; none where there are none.
fn headers(record: &OutputRecord<'_>, batch_header: Option<&[u8; 9]>) -> Option<OwnedHeaders> {
    if record.headers.len() == 0 && batch_header.is_none() {
        return None;
    }
    let batch = batch_header.map(|header| (BATCH_HEADER, Some(&header[..])));
    let all = record.headers.iter().chain(batch);
    let headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    Some(all.fold(headers, |headers, (key, value)| {
        headers.insert(Header { key, value })
    }))
}

/// Remembers the first failure.
#[derive(Default)]
struct Reports {
    /// Whether records go into transactions.
    transactional: bool,
    /// Failures are expected, and none is remembered.
    muted: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<SinkError>>,
}

impl Reports {
    /// Begins anew.
    fn reset(&self) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.failed.store(false, Ordering::Release);
        self.muted.store(false, Ordering::Release);
    }

    fn fail(&self, error: SinkError) {
        if self.muted.load(Ordering::Acquire) {
            return;
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // An aborted transaction is often what follows from a record that was refused.
        if matches!(&*failure, None | Some(SinkError::Aborted { .. })) {
            *failure = Some(error);
        }
        drop(failure);
        self.failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            let cause = reason.to_owned();
            self.fail(match self.transactional {
                // Fenced: a new producer takes over.
                true => SinkError::Aborted { cause },
                false => SinkError::Fatal { cause },
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
            self.fail(delivery_error(message.topic(), error, self.transactional));
        }
    }
}

/// What to do about an error that no new transaction would mend; nothing for all others.
fn transaction_remedy(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            "; grant this client Write on the transactional id, which begins with the application id"
        }
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            "; grant this client Read on the group, which is the application id"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "; grant this client Write on the topics",
        Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
            "; transaction.timeout.ms is beyond the brokers' transaction.max.timeout.ms"
        }
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            "; the brokers know no transactions: use processing.guarantee=at_least_once"
        }
        _ => "",
    }
}

fn delivery_error(topic: &str, error: &KafkaError, transactional: bool) -> SinkError {
    if transactional && is_of_transaction(error) {
        return SinkError::Aborted {
            cause: error.to_string(),
        };
    }
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

/// Whether a record was lost because its transaction was, so that a new one may do better.
fn is_of_transaction(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        error.rdkafka_error_code(),
        Some(
            PurgeQueue
                | PurgeInflight
                | Fenced
                | ProducerFenced
                | InvalidProducerEpoch
                | InvalidProducerIdMapping
                | InvalidTransactionalState
                | OutOfOrderSequenceNumber
                | UnknownProducerId
                | Fatal
                | State
                | MessageTimedOut
        )
    )
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
        let mut sink = KafkaSink::new(&config, Arc::clone(&abandon), Duration::ZERO).unwrap();
        let mut records = RecordBuffer::new(Destination::ByKey("out".into()));
        records.push(
            NO_TIME,
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
