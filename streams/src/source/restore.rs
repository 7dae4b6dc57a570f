//! The seam to changelogs: what a store is rebuilt from.
//!
//! A partition is read to the end that it had when reading began, whatever the state of its transactions. A commit is
//! acknowledged before its markers are written, so with exactly-once the reader waits until every transaction before that end
//! is decided; only then is the end of what committed readers see behind it.
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{SourceError, TopicPartition};

/// How long one request for an end may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks whether the transactions are decided.
const DECIDED_PAUSE: Duration = Duration::from_millis(20);
/// The pause after a request that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// There is more to read.
    Goes,
    /// The end is reached.
    Done,
}

/// A record of a changelog: key and value.
pub(crate) type Change<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Reads one changelog partition after another.
pub(crate) trait Restore {
    /// Begins to read `at` from its first record; what was read before is given up.
    fn begin(&mut self, at: &TopicPartition) -> Result<(), SourceError>;

    /// Hands at most `max` records to `each`, until it says to stop; waits up to `timeout` for the first.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<Restored, SourceError>;
}

/// Changelogs on a Kafka cluster.
pub(crate) struct KafkaRestore {
    config: ClientConfig,
    /// Both are made when first used: most workers have no state to rebuild.
    clients: Option<Clients>,
    stage: Stage,
}

struct Clients {
    reader: BaseConsumer,
    /// Finds the end, decided or not.
    observer: BaseConsumer,
}

enum Stage {
    Idle,
    /// Where is the end?
    Sought {
        at: TopicPartition,
        retry_at: Instant,
    },
    /// Are all transactions before the end decided?
    Undecided {
        at: TopicPartition,
        end: i64,
        look_at: Instant,
    },
    Reading(TopicPartition),
}

impl KafkaRestore {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self {
            config,
            clients: None,
            stage: Stage::Idle,
        }
    }

    fn clients(&mut self) -> Result<&Clients, SourceError> {
        if self.clients.is_none() {
            let failed = |error: KafkaError| read_error(&error);
            let mut observing = self.config.clone();
            observing.set("isolation.level", "read_uncommitted");
            self.clients = Some(Clients {
                reader: self.config.create().map_err(failed)?,
                observer: observing.create().map_err(failed)?,
            });
        }
        Ok(self.clients.as_ref().expect("made above"))
    }

    /// Takes the next step before reading, if one is due.
    fn advance(&mut self, timeout: Duration) -> Result<Option<Restored>, SourceError> {
        let now = Instant::now();
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => Ok(Some(Restored::Done)),
            Stage::Sought { at, retry_at } => {
                if now < retry_at {
                    std::thread::sleep(timeout.min(retry_at - now));
                    self.stage = Stage::Sought { at, retry_at };
                    return Ok(Some(Restored::Goes));
                }
                match self.clients()?.bounds(&at) {
                    // All of it was deleted, or nothing was ever written.
                    Ok((start, end)) if start >= end => return Ok(Some(Restored::Done)),
                    Ok((_, end)) => {
                        self.stage = Stage::Undecided {
                            at,
                            end,
                            look_at: now,
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, topic = &*at.topic, "looking for the end of a changelog");
                        let retry_at = now + RETRY_PAUSE;
                        self.stage = Stage::Sought { at, retry_at };
                    }
                }
                Ok(Some(Restored::Goes))
            }
            Stage::Undecided { at, end, look_at } => {
                if now < look_at {
                    std::thread::sleep(timeout.min(look_at - now));
                    self.stage = Stage::Undecided { at, end, look_at };
                    return Ok(Some(Restored::Goes));
                }
                match self.clients()?.decided_to(&at) {
                    Ok(decided) if decided >= end => {
                        self.clients()?.assign(&at).map_err(|error| read_error(&error))?;
                        self.stage = Stage::Reading(at);
                    }
                    undecided => {
                        if let Err(error) = undecided {
                            tracing::warn!(%error, topic = &*at.topic, "looking for open transactions");
                        }
                        let look_at = now + DECIDED_PAUSE;
                        self.stage = Stage::Undecided { at, end, look_at };
                    }
                }
                Ok(Some(Restored::Goes))
            }
            Stage::Reading(at) => {
                self.stage = Stage::Reading(at);
                Ok(None)
            }
        }
    }
}

impl Clients {
    fn bounds(&self, at: &TopicPartition) -> KafkaResult<(i64, i64)> {
        self.observer
            .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
    }

    /// What the reader takes for the end: with `read_committed`, where the first open transaction begins.
    fn decided_to(&self, at: &TopicPartition) -> KafkaResult<i64> {
        let bounds = self
            .reader
            .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)?;
        Ok(bounds.1)
    }

    fn assign(&self, at: &TopicPartition) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, Offset::Beginning)?;
        self.reader.assign(&list)
    }
}

impl Restore for KafkaRestore {
    fn begin(&mut self, at: &TopicPartition) -> Result<(), SourceError> {
        if matches!(self.stage, Stage::Reading(_))
            && let Some(clients) = &self.clients
        {
            clients.reader.unassign().map_err(|error| read_error(&error))?;
        }
        self.stage = Stage::Sought {
            at: at.clone(),
            retry_at: Instant::now(),
        };
        Ok(())
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<Restored, SourceError> {
        if let Some(progress) = self.advance(timeout)? {
            return Ok(progress);
        }
        let reader = &self.clients()?.reader;
        for count in 0..max {
            let wait = if count == 0 { timeout } else { Duration::ZERO };
            match reader.poll(wait) {
                Some(Ok(message)) => {
                    if each((message.key(), message.payload())).is_break() {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    reader.unassign().map_err(|error| read_error(&error))?;
                    self.stage = Stage::Idle;
                    return Ok(Restored::Done);
                }
                Some(Err(error)) if super::kafka::ends_reading(&error) => return Err(read_error(&error)),
                Some(Err(error)) => tracing::warn!(%error, "reading a changelog"),
                None => break,
            }
        }
        Ok(Restored::Goes)
    }
}

fn read_error(error: &KafkaError) -> SourceError {
    super::kafka::read_error(error)
}
