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

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::looks::{Look, Looker, Looks};
use super::reader::{Consumer, End, Reader};
use super::{SourceError, TopicPartition};
use crate::rows::NO_TIME;
use crate::store::{FirstRecord, Position};
use millstream_client::{BatchConsumer, Record};

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
    /// Both are made when first used: most workers have no state to rebuild. The reader is lent out while a log is read.
    reader: Option<Consumer>,
    /// Finds the end, decided or not.
    observer: Option<BaseConsumer>,
    stage: Stage,
    looks: Looks,
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
    Reading(Reader),
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
            reader: None,
            observer: None,
            stage: Stage::Idle,
        }
    }

    fn reader(&mut self) -> Result<&mut Consumer, SourceError> {
        if self.reader.is_none() {
            let reader = self.config.create().and_then(BatchConsumer::new);
            self.reader = Some(reader.map_err(|error| read_error(&error))?);
        }
        Ok(self.reader.as_mut().expect("made above"))
    }

    fn observer(&mut self) -> Result<&BaseConsumer, SourceError> {
        if self.observer.is_none() {
            let mut observing = self.config.clone();
            observing.set("isolation.level", "read_uncommitted");
            self.observer = Some(observing.create().map_err(|error| read_error(&error))?);
        }
        Ok(self.observer.as_ref().expect("made above"))
    }

    fn start_reading(&mut self, at: TopicPartition) -> Result<(), SourceError> {
        self.reader()?;
        if let Some(reader) = self.reader.take() {
            let reading = Reader::start(reader, at).map_err(|error| SourceError::Read {
                cause: error.to_string(),
                remedy: "",
            })?;
            self.stage = Stage::Reading(reading);
        }
        Ok(())
    }

    /// Reads no more.
    fn stop_reading(&mut self) -> Result<(), SourceError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        if let Stage::Reading(reading) = stage {
            self.reader = reading.stop();
        } else if !matches!(stage, Stage::Begun { .. } | Stage::Compared { .. }) {
            return Ok(());
        }
        let unassigned = self.reader.as_mut().map_or(Ok(()), BatchConsumer::unassign);
        unassigned.map_err(|error| read_error(&error))
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
                self.start_reading(goal.at.clone())?;
                return Ok(Some(goal.begins()));
            }
            reading @ Stage::Reading(_) => {
                self.stage = reading;
                return Ok(None);
            }
        }
        Ok(Some(Restored::Goes))
    }

    /// Looks for the end of the log.
    fn seek(&mut self, mut goal: Goal) -> Result<Restored, SourceError> {
        let now = Instant::now();
        let (topic, partition) = (Arc::clone(&goal.at.topic), goal.at.partition);
        match bounds(self.observer()?, &goal.at) {
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
        match decided_to(self.reader()?, &goal.at) {
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
        let first = first_record(self.reader()?, timeout).map_err(|error| read_error(&error))?;
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
        let mut list = TopicPartitionList::new();
        let listed = list.add_partition_offset(&at.topic, at.partition, begin);
        let reader = self.reader()?;
        let assigned = listed.and_then(|()| reader.assign(&list));
        assigned.map_err(|error| read_error(&error))
    }
}

fn bounds(observer: &BaseConsumer, at: &TopicPartition) -> KafkaResult<(i64, i64)> {
    observer.fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
}

/// What the reader takes for the end: with `read_committed`, where the first open transaction begins.
fn decided_to(reader: &Consumer, at: &TopicPartition) -> KafkaResult<i64> {
    Ok(bounds(reader.client(), at)?.1)
}

/// The record that `reader` reads first: none as long as nothing comes, `Some(None)` if the log has none.
pub(crate) fn first_record(
    reader: &mut Consumer,
    timeout: Duration,
) -> KafkaResult<Option<Option<FirstRecord>>> {
    match reader.next(timeout) {
        Some(Ok(record)) => Ok(Some(Some(place_of(&record)))),
        Some(Err(KafkaError::PartitionEOF(_))) => Ok(Some(None)),
        Some(Err(error)) if super::kafka::ends_reading(&error) => Err(error),
        Some(Err(error)) => {
            tracing::warn!(%error, "reading a changelog");
            Ok(None)
        }
        None => Ok(None),
    }
}

pub(super) fn place_of(record: &Record<'_>) -> FirstRecord {
    FirstRecord {
        offset: record.offset(),
        timestamp: record.timestamp().unwrap_or(NO_TIME),
    }
}

impl Drop for KafkaRestore {
    fn drop(&mut self) {
        // Its thread ends before the worker's.
        if let Err(error) = self.stop_reading() {
            tracing::warn!(%error, "reading a changelog was not ended well");
        }
    }
}

impl Restore for KafkaRestore {
    fn begin(&mut self, at: &TopicPartition, checkpoint: Option<Position>) -> Result<(), SourceError> {
        self.stop_reading()?;
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
        let Stage::Reading(reading) = &mut self.stage else {
            return Ok(Restored::Goes);
        };
        match reading.poll(timeout, max, each) {
            Ok(()) => Ok(Restored::Goes),
            Err(End::Reached) => {
                self.stop_reading()?;
                Ok(Restored::Done)
            }
            Err(End::Failed(error)) => Err(read_error(&error)),
        }
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
