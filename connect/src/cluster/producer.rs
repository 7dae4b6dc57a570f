//! A producer that is fed encoded records in batches.
//!
//! Why not the binding's alone: it looks a topic up by name for each record, and polls by spinning. Owns: queueing, waiting for
//! acknowledgements, transactions. Does not own: what to do about failures.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Bell, ProducerTopic, Queue, Queued};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use thiserror::Error;

use super::outgoing::{Outgoing, OutgoingRow};
use super::producer_events::{Events, Failures};
use super::remedies::remedy;

/// How long to wait for room or deliveries at a time: nothing rings for them. It doubles from the first to the second.
const WAIT_MIN: Duration = Duration::from_micros(500);
const WAIT_MAX: Duration = Duration::from_millis(10);
/// The client library's default for `transaction.timeout.ms`.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one request of a transaction may take before it is tried again.
const TRANSACTION_WAIT: Duration = Duration::from_secs(10);
/// How long one request that fences others may take: whoever is told to stop must not fence.
const FENCING_WAIT: Duration = Duration::from_secs(1);
/// How long one request that aborts may take; in between delivery reports are served, for which it waits.
const ABORT_WAIT: Duration = Duration::from_millis(200);
/// The pause between two tries.
const BACKOFF: Duration = Duration::from_millis(20);
/// How long to wait for the number of a topic's partitions, and how long it holds.
const METADATA_WAIT: Duration = Duration::from_secs(5);
const METADATA_AGE_MAX: Duration = Duration::from_secs(60);
/// Topics that handles are kept of: transforms may make any number.
const TOPICS_MAX: usize = 1_000;

/// How long the cluster leaves a transaction of such a producer open.
pub(crate) fn transaction_timeout(config: &ClientConfig) -> Duration {
    let given = config.get("transaction.timeout.ms");
    let given = given.and_then(|text| text.trim().parse().ok());
    given.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
}

/// Why a producer could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub(crate) enum ProducerError {
    /// The transaction is lost; a new one may do better, once the task began anew.
    #[error("the transaction was aborted: {cause}")]
    Aborted { cause: String },
    /// Another producer has the transactional id, or the cluster denies transactions.
    #[error("the producer cannot go on: {cause}{remedy}")]
    Fatal { cause: String, remedy: &'static str },
    /// The cluster dropped the transaction because it was open for too long; the task begins anew.
    #[error(
        "the transaction was open for {seconds} s and the cluster dropped it after transaction.timeout.ms={limit_ms}; it is written again. Raise \
         producer.override.transaction.timeout.ms, or have transactions end earlier (transaction.boundary): {cause}"
    )]
    Late {
        seconds: u64,
        limit_ms: u128,
        cause: String,
    },
    /// The task is to stop.
    #[error("the task is stopping with {records} records not yet acknowledged")]
    Stopping { records: usize },
}

/// A record that was not queued, for what it is.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// Its place in what was to be sent.
    pub(crate) index: usize,
    pub(crate) error: KafkaError,
}

/// A topic that is written to.
struct Destination {
    handle: ProducerTopic,
    /// How many partitions it has, if that is known, and when it was asked for.
    partitions: Option<i32>,
    asked_at: Instant,
    /// Where the next records go that have no key.
    turn: i32,
}

/// A producer.
pub(crate) struct Producer {
    /// Delivery reports and errors; dropped before the producer.
    events: Queue,
    bell: Arc<Bell>,
    /// Those that were written to; dropped before the producer.
    topics: HashMap<Arc<str>, Destination>,
    producer: BaseProducer<Events>,
    /// Since when a transaction is open.
    open: Option<Instant>,
    transactional: bool,
    transaction_timeout: Duration,
    /// How many records were sent: the number of the last one.
    records: usize,
}

impl Producer {
    /// A producer. One with a `transactional.id` needs [`begin_transactions`](Self::begin_transactions) first.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ProducerError> {
        let new = || {
            let producer: BaseProducer<Events> = config.create_with_context(Events::default())?;
            let (mut events, bell) = (Queue::events(producer.client())?, Arc::<Bell>::default());
            events.ring(&bell);
            Ok((producer, events, bell))
        };
        let new: KafkaResult<_> = new();
        let (producer, events, bell) = new.map_err(|error| fatal(&error))?;
        Ok(Self {
            events,
            bell,
            topics: HashMap::new(),
            producer,
            open: None,
            transactional: config.get("transactional.id").is_some(),
            transaction_timeout: transaction_timeout(config),
            records: 0,
        })
    }

    /// A producer in the place of another one, whose last record was `last`.
    pub(crate) fn behind(last: usize, config: &ClientConfig) -> Result<Self, ProducerError> {
        let records = last;
        Ok(Self {
            records,
            ..Self::new(config)?
        })
    }

    /// Fences whoever had the transactional id before, and ends what that one left open.
    pub(crate) fn begin_transactions(&self, over: &dyn Fn() -> bool) -> Result<(), ProducerError> {
        self.definite(over, || self.producer.init_transactions(FENCING_WAIT))
    }

    /// Queues records; whoever is stopping gives up waiting for room. Gives those that were refused for what they are; all others are queued.
    ///
    /// # Errors
    /// When the producer cannot go on.
    pub(crate) fn send(
        &mut self,
        batch: &mut Outgoing,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Vec<Refused>, ProducerError> {
        if self.transactional && self.open.is_none() && !batch.rows.is_empty() {
            let begun = self.producer.begin_transaction();
            begun.map_err(|error| ProducerError::Aborted {
                cause: error.to_string(),
            })?;
            self.open = Some(Instant::now());
        }
        for row in batch.rows.iter_mut().filter(|row| row.number == 0) {
            self.records += 1;
            row.number = self.records;
        }
        let (mut next, mut alone, mut refused) = (0, false, Vec::new());
        let mut wait = WAIT_MIN;
        while next < batch.rows.len() {
            let queued = self.send_some(batch, next)?;
            if queued
                .refused
                .iter()
                .any(|(_, code)| *code == RDKafkaErrorCode::Fatal)
            {
                // It is not for what they are, even if nobody has served the event that says so.
                self.producer.context().set_alarmed(true);
                self.check()?;
            }
            for (place, code) in queued.refused {
                let index = next + place;
                let error = KafkaError::MessageProduction(code);
                refused.push(Refused { index, error });
            }
            next += queued.taken;
            if queued.taken > 0 {
                wait = WAIT_MIN;
            }
            if !queued.is_full {
                alone = false;
                continue;
            }
            if alone && queued.taken == 0 {
                // Nothing else is queued, and there is still no room for it.
                let error = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                refused.push(Refused { index: next, error });
                (next, alone) = (next + 1, false);
                continue;
            }
            self.wait(&mut wait, stopping)?;
            alone = self.producer.in_flight_count() == 0;
        }
        self.producer.poll(Duration::ZERO);
        self.check()?;
        Ok(refused)
    }

    /// Queues records from `next` on that go the same way, or one that goes alone.
    fn send_some(&mut self, batch: &Outgoing, next: usize) -> Result<Queued, ProducerError> {
        let row = &batch.rows[next];
        let failed = |error: KafkaError| fatal(&error);
        let partition = match row.partition.is_none() && row.is_plain() {
            true => self.next_turn(&row.topic, row.key.is_some()).map_err(failed)?,
            false => row.partition,
        };
        let number = row.number;
        let topic = &mut self.topic(&row.topic).map_err(failed)?.handle;
        topic.mark(number);
        if row.is_plain() {
            let same = batch.rows[next..].iter().zip(number..);
            let same = same.take_while(|(other, number)| {
                other.is_plain()
                    && other.number == *number
                    && other.partition == row.partition
                    && other.key.is_none() == row.key.is_none()
                    && (Arc::ptr_eq(&other.topic, &row.topic) || other.topic == row.topic)
            });
            let records = same.map(|(row, _)| (batch.at(&row.key), batch.at(&row.value)));
            return Ok(topic.send_all(partition, records));
        }
        let (key, value) = (batch.at(&row.key), batch.at(&row.value));
        let result = match row.headers.is_empty() {
            true => topic.send(row.partition, row.timestamp, key, value),
            false => self.send_with_headers(batch, row),
        };
        Ok(match result {
            Ok(()) => Queued {
                taken: 1,
                ..Queued::default()
            },
            Err(RDKafkaErrorCode::QueueFull) => Queued {
                is_full: true,
                ..Queued::default()
            },
            Err(code) => Queued {
                taken: 1,
                refused: vec![(0, code)],
                is_full: false,
            },
        })
    }

    fn send_with_headers(&self, batch: &Outgoing, row: &OutgoingRow) -> Result<(), RDKafkaErrorCode> {
        let mut headers = OwnedHeaders::new_with_capacity(row.headers.len());
        for (name, value) in &row.headers {
            headers = headers.insert(Header {
                key: name,
                value: batch.at(value),
            });
        }
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(&row.topic, row.number).headers(headers);
        (record.key, record.payload) = (batch.at(&row.key), batch.at(&row.value));
        (record.partition, record.timestamp) = (row.partition, row.timestamp);
        let unknown = RDKafkaErrorCode::Unknown;
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(unknown))
    }

    fn topic(&mut self, topic: &Arc<str>) -> KafkaResult<&mut Destination> {
        if !self.topics.contains_key(topic) {
            if self.topics.len() >= TOPICS_MAX {
                self.topics.clear();
            }
            let destination = Destination {
                handle: ProducerTopic::new(self.producer.client(), topic)?,
                partitions: self.ask_partitions(topic),
                asked_at: Instant::now(),
                turn: 0,
            };
            self.topics.insert(Arc::clone(topic), destination);
        }
        Ok(self.topics.get_mut(topic).expect("it was made above"))
    }

    fn ask_partitions(&self, topic: &str) -> Option<i32> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(topic), METADATA_WAIT)
            .ok()?;
        let count = metadata.topics().first()?.partitions().len();
        i32::try_from(count).ok().filter(|count| *count > 0)
    }

    /// Which partition records without keys go to, until the next call: one for all of them, as with Java's client. That is several times
    /// cheaper than having the client library ask for each. None if the partitions are not known, or each key has its own.
    fn next_turn(&mut self, topic: &Arc<str>, keyed: bool) -> KafkaResult<Option<i32>> {
        let destination = self.topic(topic)?;
        if keyed && destination.partitions.is_some_and(|count| count > 1) {
            // Topics never have fewer partitions than they had.
            return Ok(None);
        }
        if destination.asked_at.elapsed() > METADATA_AGE_MAX {
            let partitions = self.ask_partitions(topic);
            let destination = self.topic(topic)?;
            (destination.partitions, destination.asked_at) =
                (partitions.or(destination.partitions), Instant::now());
        }
        let destination = self.topic(topic)?;
        let Some(count) = destination.partitions else {
            return Ok(None);
        };
        if keyed && count > 1 {
            return Ok(None);
        }
        destination.turn = (destination.turn + 1) % count;
        Ok(Some(destination.turn))
    }

    /// Waits until everything that was queued is acknowledged or has failed.
    pub(crate) fn flush(&self, stopping: &dyn Fn() -> bool) -> Result<(), ProducerError> {
        let mut wait = WAIT_MIN;
        while self.producer.in_flight_count() > 0 {
            if self.producer.context().alarmed() && self.is_broken() {
                // What was on its way and has to be sent again waits for ever.
                self.producer.purge(PurgeConfig::default().queue());
            }
            self.wait(&mut wait, stopping)?;
        }
        Ok(())
    }

    /// Serves events, if there are any.
    pub(crate) fn serve(&self) {
        while self.events.length() > 0 {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// What could not be delivered since the last call.
    pub(crate) fn failures(&self) -> Failures {
        match self.producer.context().failed() {
            true => self.producer.context().take(),
            false => Failures::default(),
        }
    }

    /// The number of the record that was sent last.
    pub(crate) fn last_record(&self) -> usize {
        self.records
    }

    /// Whether it will deliver nothing more, so that nothing comes behind what the cluster refused. What it had is among the failures.
    pub(crate) fn is_broken(&self) -> bool {
        let fatal = self.producer.client().fatal_error();
        fatal.is_some_and(|(code, _)| code == RDKafkaErrorCode::GaplessGuarantee)
    }

    /// Whether each record was acknowledged or has failed, and all failures can be taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.producer.in_flight_count() == 0
    }

    /// Whether the producer can still be used.
    pub(crate) fn check(&self) -> Result<(), ProducerError> {
        let events = self.producer.context();
        if !events.alarmed() {
            return Ok(());
        }
        // Before it is asked: what comes meanwhile alarms anew.
        events.set_alarmed(false);
        let Some((code, cause)) = self.producer.client().fatal_error() else {
            return Ok(());
        };
        events.set_alarmed(true);
        if code == RDKafkaErrorCode::GaplessGuarantee {
            // The failures tell it.
            return Ok(());
        }
        Err(self.blamed(ProducerError::Fatal {
            cause,
            remedy: "; is another task with this transactional id running?",
        }))
    }

    fn wait(&self, wait: &mut Duration, stopping: &dyn Fn() -> bool) -> Result<(), ProducerError> {
        self.bell.silence();
        if self.events.length() == 0 {
            self.bell.wait(*wait);
        }
        *wait = (*wait * 2).min(WAIT_MAX);
        // A poll with time to spare would use all of it, and serves one event otherwise.
        loop {
            self.producer.poll(Duration::ZERO);
            if self.events.length() == 0 {
                break;
            }
        }
        self.check()?;
        if stopping() {
            let records = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
            return Err(ProducerError::Stopping { records });
        }
        Ok(())
    }

    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// That the cluster has dropped the open transaction, if its time is over. It answers to whatever comes after as to somebody who was
    /// replaced.
    pub(crate) fn late(&self, cause: &str) -> Option<ProducerError> {
        let open = self.open.map(|since| since.elapsed())?;
        (open >= self.transaction_timeout).then(|| ProducerError::Late {
            seconds: open.as_secs(),
            limit_ms: self.transaction_timeout.as_millis(),
            cause: cause.to_owned(),
        })
    }

    /// The error, or what is behind it.
    fn blamed(&self, error: ProducerError) -> ProducerError {
        match &error {
            ProducerError::Aborted { cause } | ProducerError::Fatal { cause, .. } => {
                self.late(cause).unwrap_or(error)
            }
            _ => error,
        }
    }

    /// Ends the transaction, if there is one, for good.
    pub(crate) fn commit(&mut self, stopping: &dyn Fn() -> bool) -> Result<(), ProducerError> {
        if self.open.is_some() {
            // Delivery first: a report that names the record says more than the abort which follows from it.
            self.flush(stopping)?;
            let committed = self.definite(stopping, || self.producer.commit_transaction(TRANSACTION_WAIT));
            committed.map_err(|error| self.blamed(error))?;
            self.open = None;
        }
        Ok(())
    }

    /// Drops what the open transaction holds, if there is one.
    pub(crate) fn abort(&mut self) -> Result<(), ProducerError> {
        if self.open.is_none() {
            return Ok(());
        }
        let until = Instant::now() + TRANSACTION_WAIT * 3;
        let aborted = self.definite(&|| Instant::now() >= until, || {
            let aborted = self.producer.abort_transaction(ABORT_WAIT);
            self.serve();
            aborted
        });
        aborted.map_err(|error| self.blamed(error))?;
        self.open = None;
        self.producer.context().take();
        Ok(())
    }

    /// Calls until the outcome is known, or the time is over.
    fn definite(
        &self,
        over: &dyn Fn() -> bool,
        mut call: impl FnMut() -> KafkaResult<()>,
    ) -> Result<(), ProducerError> {
        loop {
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(fatal(&error)),
            };
            if error.txn_requires_abort() && !error.is_fatal() {
                return Err(ProducerError::Aborted {
                    cause: error.to_string(),
                });
            }
            if error.is_fatal() || !error.is_retriable() || over() {
                return Err(fatal(&KafkaError::Transaction(error)));
            }
            tracing::warn!(%error, "a request of the transaction is tried again");
            self.producer.poll(BACKOFF);
        }
    }
}

fn fatal(error: &KafkaError) -> ProducerError {
    ProducerError::Fatal {
        cause: error.to_string(),
        remedy: remedy(error),
    }
}
