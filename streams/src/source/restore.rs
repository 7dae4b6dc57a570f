//! The seam to changelogs: what a store is rebuilt from.
//!
//! A partition is read to the end that it had when reading began, whatever the state of its transactions. A commit is
//! acknowledged before its markers are written, so with exactly-once the reader waits until every transaction before that end
//! is decided; only then is the end of what committed readers see behind it.
//!
//! Behind a checkpoint, reading begins at its offset, if the log is the one it was taken of: the offset lies within the log,
//! and the log's first record is the same. A log that was deleted and made anew begins with another one; one whose first record
//! was compacted away is taken for another, and read from its beginning.
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::looks::{Look, Looker, Looks};
use super::{SourceError, TopicPartition};
use crate::rows::NO_TIME;
use crate::store::{FirstRecord, Position};

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
    /// The records come next, from `begin` to the log's `end`: those behind the checkpoint, if it was `resumed`, else all.
    Begins { resumed: bool, begin: i64, end: i64 },
    /// The end is reached.
    Done,
}

/// A record of a changelog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    /// Where and when it was written.
    pub(crate) at: FirstRecord,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Reads one changelog partition after another.
pub(crate) trait Restore {
    /// Begins to read `at`, from behind a checkpoint if there is one that fits; what was read before is given up.
    fn begin(&mut self, at: &TopicPartition, checkpoint: Option<Position>) -> Result<(), SourceError>;

    /// Hands at most `max` records to `each`, until it says to stop; waits up to `timeout` for the first.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<Restored, SourceError>;

    /// Has somebody look at the log of `at`; `first`: at its first record too. There is one answer to each question.
    fn ask(&mut self, at: &TopicPartition, first: bool);

    /// The next answer, waiting for it up to `timeout`.
    fn answer(&mut self, timeout: Duration) -> Option<(TopicPartition, Look)>;
}

/// Changelogs on a Kafka cluster.
pub(crate) struct KafkaRestore {
    config: ClientConfig,
    /// Both are made when first used: most workers have no state to rebuild.
    clients: Option<Clients>,
    stage: Stage,
    looks: Looks,
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
        goal: Goal,
        retry_at: Instant,
    },
    /// Are all transactions before the end decided?
    Undecided {
        goal: Goal,
        look_at: Instant,
    },
    /// Is the first record that of the checkpoint's log?
    Compared {
        goal: Goal,
        first: FirstRecord,
    },
    /// The records come next.
    Begun {
        goal: Goal,
    },
    Reading,
}

/// What is to be read.
struct Goal {
    at: TopicPartition,
    checkpoint: Option<Position>,
    /// The log's bounds, once known.
    start: i64,
    end: i64,
}

impl Goal {
    fn begins(self) -> Restored {
        Restored::Begins {
            resumed: self.checkpoint.is_some(),
            begin: self.checkpoint.map_or(self.start, |checkpoint| checkpoint.offset),
            end: self.end,
        }
    }
}

impl KafkaRestore {
    pub(crate) fn new(config: ClientConfig, looker: &Looker) -> Self {
        Self {
            looks: looker.looks(),
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
            Stage::Idle => return Ok(Some(Restored::Done)),
            Stage::Sought { goal, retry_at } if now < retry_at => {
                std::thread::sleep(timeout.min(retry_at - now));
                self.stage = Stage::Sought { goal, retry_at };
            }
            Stage::Sought { goal, .. } => return self.seek(goal).map(Some),
            Stage::Undecided { goal, look_at } if now < look_at => {
                std::thread::sleep(timeout.min(look_at - now));
                self.stage = Stage::Undecided { goal, look_at };
            }
            Stage::Undecided { goal, .. } => self.look_for_decisions(goal)?,
            Stage::Compared { goal, first } => self.compare(goal, first, timeout)?,
            Stage::Begun { goal } => {
                self.stage = Stage::Reading;
                return Ok(Some(goal.begins()));
            }
            Stage::Reading => {
                self.stage = Stage::Reading;
                return Ok(None);
            }
        }
        Ok(Some(Restored::Goes))
    }

    /// Looks for the end of the log.
    fn seek(&mut self, mut goal: Goal) -> Result<Restored, SourceError> {
        let now = Instant::now();
        let (topic, partition) = (Arc::clone(&goal.at.topic), goal.at.partition);
        match self.clients()?.bounds(&goal.at) {
            Ok((start, end)) => {
                (goal.start, goal.end) = (start, end);
                if let Some(Position { offset, .. }) = goal.checkpoint
                    && !(start..=end).contains(&offset)
                {
                    tracing::warn!(
                        topic = &*topic,
                        partition,
                        offset,
                        start,
                        end,
                        "a checkpoint lies outside of its changelog"
                    );
                    goal.checkpoint = None;
                }
                if start >= end {
                    // All of it was deleted, or nothing was ever written.
                    goal.checkpoint = None;
                    return Ok(goal.begins());
                }
                self.stage = Stage::Undecided { goal, look_at: now };
            }
            Err(error) => {
                tracing::warn!(%error, topic = &*topic, "looking for the end of a changelog");
                let retry_at = now + RETRY_PAUSE;
                self.stage = Stage::Sought { goal, retry_at };
            }
        }
        Ok(Restored::Goes)
    }

    /// Looks whether all transactions before the end are decided.
    fn look_for_decisions(&mut self, goal: Goal) -> Result<(), SourceError> {
        match self.clients()?.decided_to(&goal.at) {
            Ok(decided) if decided >= goal.end => {
                self.read_from(&goal.at, Offset::Beginning)?;
                self.stage = match goal.checkpoint.map(|checkpoint| checkpoint.first) {
                    Some(first) => Stage::Compared { goal, first },
                    None => Stage::Begun { goal },
                };
            }
            undecided => {
                if let Err(error) = undecided {
                    tracing::warn!(%error, topic = &*goal.at.topic, "looking for open transactions");
                }
                let look_at = Instant::now() + DECIDED_PAUSE;
                self.stage = Stage::Undecided { goal, look_at };
            }
        }
        Ok(())
    }

    /// Compares the first record of the log, which is being read from its beginning, with that of the checkpoint's log.
    fn compare(
        &mut self,
        mut goal: Goal,
        expected: FirstRecord,
        timeout: Duration,
    ) -> Result<(), SourceError> {
        let first = first_record(&self.clients()?.reader, timeout).map_err(|error| read_error(&error))?;
        let Some(first) = first else {
            let first = expected;
            self.stage = Stage::Compared { goal, first };
            return Ok(());
        };
        if first != Some(expected) {
            let (topic, partition) = (&*goal.at.topic, goal.at.partition);
            tracing::warn!(
                topic,
                partition,
                "a checkpoint is not that of the changelog as it is now"
            );
            goal.checkpoint = None;
        }
        let begin = goal
            .checkpoint
            .map_or(Offset::Beginning, |checkpoint| Offset::Offset(checkpoint.offset));
        self.read_from(&goal.at, begin)?;
        self.stage = Stage::Begun { goal };
        Ok(())
    }

    fn read_from(&mut self, at: &TopicPartition, begin: Offset) -> Result<(), SourceError> {
        let assigned = self.clients()?.assign(at, begin);
        assigned.map_err(|error| read_error(&error))
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

    fn assign(&self, at: &TopicPartition, begin: Offset) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, begin)?;
        self.reader.assign(&list)
    }
}

/// The record that `reader` reads first: none as long as nothing comes, `Some(None)` if the log has none.
pub(crate) fn first_record(
    reader: &BaseConsumer,
    timeout: Duration,
) -> KafkaResult<Option<Option<FirstRecord>>> {
    match reader.poll(timeout) {
        Some(Ok(message)) => Ok(Some(Some(place_of(&message)))),
        Some(Err(KafkaError::PartitionEOF(_))) => Ok(Some(None)),
        Some(Err(error)) if super::kafka::ends_reading(&error) => Err(error),
        Some(Err(error)) => {
            tracing::warn!(%error, "reading a changelog");
            Ok(None)
        }
        None => Ok(None),
    }
}

fn place_of(message: &BorrowedMessage<'_>) -> FirstRecord {
    FirstRecord {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(NO_TIME),
    }
}

impl Restore for KafkaRestore {
    fn begin(&mut self, at: &TopicPartition, checkpoint: Option<Position>) -> Result<(), SourceError> {
        if matches!(
            self.stage,
            Stage::Reading | Stage::Begun { .. } | Stage::Compared { .. }
        ) && let Some(clients) = &self.clients
        {
            clients.reader.unassign().map_err(|error| read_error(&error))?;
        }
        let goal = Goal {
            at: at.clone(),
            checkpoint,
            start: 0,
            end: 0,
        };
        self.stage = Stage::Sought {
            goal,
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
                    let (key, value) = (message.key(), message.payload());
                    let at = place_of(&message);
                    if each(Change { at, key, value }).is_break() {
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

    fn ask(&mut self, at: &TopicPartition, first: bool) {
        self.looks.ask(at, first);
    }

    fn answer(&mut self, timeout: Duration) -> Option<(TopicPartition, Look)> {
        self.looks.answer(timeout)
    }
}

fn read_error(error: &KafkaError) -> SourceError {
    super::kafka::read_error(error)
}
