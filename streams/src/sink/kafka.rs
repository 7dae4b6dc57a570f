//! The sink on librdkafka's idempotent or transactional producer.
mod reports;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::{ClientConfig, TopicPartitionList};

use reports::{Reports, delivery_error, transaction_remedy};

use super::{Destination, OutputRecord, RecordBuffer, Sink, SinkError};
use crate::format::BATCH_HEADER;
use crate::rows::NO_TIME;
use crate::source::{TopicPartition, offset_list};
use crate::task::Position;
use millstream_client::{Bell, ProducerTopic, Queue};

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
    /// Those that were written to; dropped before the producer.
    topics: HashMap<Arc<str>, ProducerTopic>,
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
            topics: HashMap::new(),
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

    /// Sends records that have neither times nor headers.
    fn send_plain(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        records: &RecordBuffer,
    ) -> Result<(), SinkError> {
        let (mut sent, mut alone) = (0, false);
        while sent < records.len() {
            let rest = records.records().skip(sent);
            let rest = rest.map(|record| (record.key, record.value));
            let queued = self.topic(topic)?.send_all(Some(partition), rest);
            sent += queued.taken;
            if let Some((_, code)) = queued.refused.first() {
                self.make_room(topic, *code, true)?;
            }
            if queued.is_full {
                alone = self.make_room(topic, RDKafkaErrorCode::QueueFull, alone && queued.taken == 0)?;
            }
        }
        Ok(())
    }

    fn send_one(
        &mut self,
        topic: &Arc<str>,
        partition: Option<i32>,
        record: &OutputRecord<'_>,
    ) -> Result<(), SinkError> {
        let time = (record.time != NO_TIME).then_some(record.time);
        let mut alone = false;
        while let Err(code) = self.topic(topic)?.send(partition, time, record.key, record.value) {
            alone = self.make_room(topic, code, alone)?;
        }
        Ok(())
    }

    fn send_with(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        output: &OutputRecord<'_>,
        headers: OwnedHeaders,
    ) -> Result<(), SinkError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
        (record.key, record.payload, record.partition) = (output.key, output.value, partition);
        record.timestamp = (output.time != NO_TIME).then_some(output.time);
        let mut alone = false;
        while let Err((error, back)) = self.producer.send(record) {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            alone = self.make_room(topic, code, alone)?;
            record = back;
        }
        Ok(())
    }

    /// A record was refused: waits if that helps, and says whether the queue is empty then. `alone`: whether it was before.
    fn make_room(&self, topic: &str, code: RDKafkaErrorCode, alone: bool) -> Result<bool, SinkError> {
        if alone || code != RDKafkaErrorCode::QueueFull {
            // The transaction may have failed because of a record, whose report says why.
            self.producer.poll(Duration::ZERO);
            self.check()?;
            let error = KafkaError::MessageProduction(code);
            return Err(delivery_error(topic, &error, self.transactional));
        }
        self.wait()?;
        Ok(self.producer.in_flight_count() == 0)
    }

    fn topic(&mut self, topic: &Arc<str>) -> Result<&mut ProducerTopic, SinkError> {
        if !self.topics.contains_key(topic) {
            let new = ProducerTopic::new(self.producer.client(), topic);
            let new = new.map_err(|error| delivery_error(topic, &error, self.transactional))?;
            self.topics.insert(Arc::clone(topic), new);
        }
        Ok(self.topics.get_mut(topic).expect("it was made above"))
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
        match partition {
            // Changelogs, most of all.
            Some(partition) if batch_header.is_none() && records.is_plain() => {
                self.send_plain(topic, partition, records)?;
            }
            _ => {
                for output in records.records() {
                    match headers(&output, batch_header) {
                        None => self.send_one(topic, partition, &output)?,
                        Some(headers) => self.send_with(topic, partition, &output, headers)?,
                    }
                }
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
        // The old handles go before their producer.
        (self.events, self.bell) = (events, bell);
        self.topics.clear();
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
