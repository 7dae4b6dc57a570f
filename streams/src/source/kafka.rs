//! The source on librdkafka's consumer.
//!
//! The rebalance callback only notes the change and returns; librdkafka waits for `assign` or `unassign`, which the
//! worker calls when its epoch is done. That is equivalent to working inside the callback, without the worker's state
//! behind a lock.
mod errors;
mod notes;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use errors::{commit_error, is_unknown_topic, poll_error, remedy};
use notes::{Change, Notes};

pub(super) use errors::{ends_reading, read_error};
pub(crate) use notes::LagBoard;

use super::{Polled, Source, SourceError, StartAt, TopicPartition, offset_list, offset_of};
use crate::rows::NO_TIME;
use crate::task::{InputRecord, Position};
use millstream_client::{BatchConsumer, Record};

/// How long one request for committed offsets or a log's end may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two tries of a commit.
const COMMIT_BACKOFF: Duration = Duration::from_millis(50);
/// How long requests at an assignment are tried before the worker fails.
const REQUEST_PATIENCE: Duration = Duration::from_secs(90);
/// The longest pause between two tries.
const REQUEST_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a topic may be missing at first.
const DOUBT_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks for a missing topic.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// How long a member that leaves waits for its partitions to be taken back.
const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// How often a member is made anew within a span before two processes of one name are the likelier cause.
const RENEWALS_MAX: usize = 8;
const RENEWALS_SPAN: Duration = Duration::from_secs(120);
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// One group member.
pub(crate) struct KafkaSource {
    consumer: BatchConsumer<Notes>,
    config: ClientConfig,
    /// None if the member's name is the user's, who may have given it to another as well.
    renewals: Option<Renewals>,
    /// Topic names as the rest of the job shares them.
    topics: Vec<Arc<str>>,
    /// Topics of which this member was ever given a partition.
    assigned: HashSet<Arc<str>>,
    /// Set while a broker denies a topic of the job.
    doubt: Option<Doubt>,
    /// Set when the job gives up waiting.
    abandon: Arc<AtomicBool>,
    /// The assignment was seen to be lost; the client will say so as well.
    lost: bool,
}

/// How often a member was made anew that the group took for another of the same name.
///
/// Its name is that of a place that no other process has, so no other is meant: a broker that dies while the group changes hands
/// forgets who came last, and remembers the one before.
#[derive(Default)]
struct Renewals {
    recent: VecDeque<Instant>,
}

/// A topic that may be missing.
struct Doubt {
    since: Instant,
    /// When to ask the cluster again.
    look_at: Instant,
}

impl KafkaSource {
    /// Joins the group for `topics`.
    pub(crate) fn new(
        config: &ClientConfig,
        topics: Vec<Arc<str>>,
        lag: Arc<LagBoard>,
        abandon: Arc<AtomicBool>,
    ) -> KafkaResult<Self> {
        Ok(Self {
            consumer: new_consumer(config, &topics, lag)?,
            config: config.clone(),
            renewals: None,
            topics,
            assigned: HashSet::new(),
            doubt: None,
            abandon,
            lost: false,
        })
    }

    /// The member's name is its own: it is made anew if the group takes it for another of that name.
    pub(crate) fn renewable(mut self) -> Self {
        self.renewals = Some(Renewals::default());
        self
    }

    /// Makes the member anew if it is fenced; says whether. It has lost its partitions, as the next poll says.
    fn renew_if_fenced(&mut self) -> Result<bool, SourceError> {
        let Some((RDKafkaErrorCode::FencedInstanceId, cause)) = self.consumer.client().client().fatal_error()
        else {
            return Ok(false);
        };
        let Some(renewals) = &mut self.renewals else {
            return Ok(false);
        };
        let now = Instant::now();
        renewals
            .recent
            .retain(|before| now.duration_since(*before) < RENEWALS_SPAN);
        if renewals.recent.len() >= RENEWALS_MAX {
            return Ok(false);
        }
        renewals.recent.push_back(now);
        tracing::warn!(
            cause,
            "the group took this member for another of its name; it joins anew"
        );
        let lag = Arc::clone(&self.consumer.client().context().lag);
        let consumer = new_consumer(&self.config, &self.topics, lag).map_err(|error| read_error(&error))?;
        self.consumer
            .client()
            .context()
            .closing
            .store(true, Ordering::Release);
        self.consumer = consumer;
        (self.doubt, self.lost) = (None, false);
        self.consumer
            .client()
            .context()
            .note(Change::Revoked { lost: true });
        Ok(true)
    }

    /// Whether a change of the assignment waits for the worker.
    fn has_changed(&self) -> bool {
        self.consumer.client().context().changed.load(Ordering::Acquire)
    }

    /// A change of the assignment that waits for the worker.
    fn change(&mut self) -> Option<Polled> {
        if !self.has_changed() {
            return None;
        }
        let notes = self.consumer.client().context();
        let mut changes = notes.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let change = changes.pop_front();
        notes.changed.store(!changes.is_empty(), Ordering::Release);
        drop(changes);
        Some(match change? {
            Change::Assigned(partitions) => Polled::Assigned(
                partitions
                    .into_iter()
                    .map(|(topic, partition)| TopicPartition {
                        topic: self.shared(&topic),
                        partition,
                    })
                    .collect(),
            ),
            Change::Revoked { lost } => Polled::Revoked {
                lost: lost | std::mem::take(&mut self.lost),
            },
        })
    }

    fn shared(&self, topic: &str) -> Arc<str> {
        self.topics
            .iter()
            .find(|known| ***known == *topic)
            .cloned()
            .unwrap_or_else(|| topic.into())
    }

    /// A broker denied a topic. That counts if it was this member's, or if it does not pass: a broker whose metadata is stale
    /// denies topics that were created just now.
    fn look_for_topics(&mut self) -> Result<(), SourceError> {
        let Some(doubt) = &mut self.doubt else {
            return Ok(());
        };
        let now = Instant::now();
        if now < doubt.look_at {
            return Ok(());
        }
        doubt.look_at = now + LOOK_PAUSE;
        let persists = now.duration_since(doubt.since) >= DOUBT_MAX;
        // Asking for all topics also renews what the member knows of those it subscribed to.
        let metadata = match self.consumer.client().fetch_metadata(None, LOOK_TIMEOUT) {
            Ok(metadata) => metadata,
            Err(error) => {
                tracing::warn!(%error, "looking for the job's topics");
                return Ok(());
            }
        };
        let known: HashSet<&str> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| topic.name())
            .collect();
        let missing: Vec<&Arc<str>> = self
            .topics
            .iter()
            .filter(|topic| !known.contains(&***topic))
            .collect();
        if missing.is_empty() {
            self.doubt = None;
            return Ok(());
        }
        if !persists && !missing.iter().any(|topic| self.assigned.contains(*topic)) {
            return Ok(());
        }
        let names: Vec<&str> = missing.iter().map(|topic| &***topic).collect();
        Err(SourceError::Read {
            cause: format!("the cluster has no topic {}", names.join(", ")),
            remedy: remedy(Some(RDKafkaErrorCode::UnknownTopic)),
        })
    }

    /// Tries a request again while the cluster does not answer it: a coordinator may be on its way to another broker, and a
    /// transaction of the last owner may have to end first.
    fn request<T>(&self, mut request: impl FnMut() -> KafkaResult<T>) -> Result<T, SourceError> {
        let started = Instant::now();
        let mut pause = COMMIT_BACKOFF;
        loop {
            let error = match request() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let fatal = self.consumer.client().client().fatal_error().is_some();
            let hopeless = fatal || ends_reading(&error) || started.elapsed() > REQUEST_PATIENCE;
            if hopeless || self.abandon.load(Ordering::Relaxed) {
                return Err(read_error(&error));
            }
            tracing::warn!(%error, "a request failed and is tried again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(REQUEST_PAUSE_MAX);
        }
    }

    fn ask_committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<Position>>, SourceError> {
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let committed = self.request(|| {
            let committed = self
                .consumer
                .client()
                .committed_offsets(list.clone(), REQUEST_TIMEOUT)?;
            // An error of one partition does not fail the call.
            for element in committed.elements() {
                element.error()?;
            }
            Ok(committed)
        })?;
        let mut positions = Vec::with_capacity(partitions.len());
        for at in partitions {
            let element = committed.find_partition(&at.topic, at.partition);
            let Some((element, Offset::Offset(offset))) =
                element.map(|it| (it.metadata().to_owned(), it.offset()))
            else {
                positions.push(None);
                continue;
            };
            let position = Position {
                offset,
                metadata: element,
            };
            let (_, end) = self.request(|| {
                self.consumer
                    .client()
                    .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
            })?;
            if offset > end {
                tracing::warn!(
                    topic = &*at.topic,
                    partition = at.partition,
                    offset,
                    end,
                    "committed beyond the log"
                );
            }
            positions.push((offset <= end).then_some(position));
        }
        Ok(positions)
    }
}

impl Source for KafkaSource {
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(&InputRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Polled, SourceError> {
        self.look_for_topics()?;
        let (mut records, until) = (0, Instant::now() + timeout);
        while records < max {
            // Records that were handed out are reported first: they begin an epoch, which the change may end.
            if records > 0 && self.has_changed() {
                break;
            }
            if let Some(change) = self.change() {
                return Ok(change);
            }
            let wait = match records {
                0 if !timeout.is_zero() => until.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            match self.consumer.next(wait) {
                Some(Ok(record)) => {
                    records += 1;
                    if each(&input_record(&record)).is_break() {
                        break;
                    }
                }
                Some(Err(error)) if is_unknown_topic(&error) => {
                    tracing::warn!(%error, "consumer");
                    let now = Instant::now();
                    let doubt = Doubt {
                        since: now,
                        look_at: now,
                    };
                    self.doubt.get_or_insert(doubt);
                }
                Some(Err(error)) => match poll_error(&error) {
                    Some(_) if self.renew_if_fenced()? => {}
                    Some(error) => return Err(error),
                    None => tracing::warn!(%error, "consumer"),
                },
                // What came was no record, if the time is not over.
                None if records == 0 && !wait.is_zero() => {}
                None if records == 0 => return Ok(self.change().unwrap_or(Polled::Idle)),
                None => break,
            }
        }
        Ok(Polled::Records(records))
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Position>>, SourceError> {
        match self.ask_committed(partitions) {
            Err(error) if self.renew_if_fenced()? => Err(SourceError::Fenced {
                cause: error.to_string(),
            }),
            answer => answer,
        }
    }

    fn begins_at_end(&mut self, at: &TopicPartition) -> Result<Option<i64>, SourceError> {
        if !matches!(
            self.config.get("auto.offset.reset"),
            Some("latest" | "largest" | "end")
        ) {
            return Ok(None);
        }
        Ok(self.bounds(at)?.map(|(_, end)| end))
    }

    fn bounds(&mut self, at: &TopicPartition) -> Result<Option<(i64, i64)>, SourceError> {
        let bounds = self.request(|| {
            self.consumer
                .client()
                .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
        });
        match bounds {
            Ok(bounds) => Ok(Some(bounds)),
            Err(error) if self.renew_if_fenced()? => Err(SourceError::Fenced {
                cause: error.to_string(),
            }),
            Err(error) => Err(error),
        }
    }

    fn assign(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for (at, start) in starts {
            let offset = offset_of(*start);
            list.add_partition_offset(&at.topic, at.partition, offset)
                .map_err(|error| read_error(&error))?;
        }
        self.assigned
            .extend(starts.iter().map(|(at, _)| Arc::clone(&at.topic)));
        if self.consumer.client().assignment_lost() {
            // Assigning would make the client forget that it is lost. It will be revoked at one of the next polls.
            self.lost = true;
            self.consumer.forget();
            return Ok(());
        }
        match self.consumer.assign(&list) {
            Err(_) if self.renew_if_fenced()? => Ok(()),
            assigned => assigned.map_err(|error| read_error(&error)),
        }
    }

    fn lag(&self, topic: &str, partition: i32) -> u64 {
        let lag = self
            .consumer
            .client()
            .context()
            .lag
            .of_partition(topic, partition);
        u64::try_from(lag).unwrap_or(0)
    }

    fn member(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.client().group_metadata()
    }

    fn unassign(&mut self) -> Result<(), SourceError> {
        match self.consumer.unassign() {
            Err(_) if self.renew_if_fenced()? => Ok(()),
            unassigned => unassigned.map_err(|error| read_error(&error)),
        }
    }

    fn commit(&mut self, positions: &[(TopicPartition, Position)]) -> Result<(), SourceError> {
        let list = offset_list(positions).map_err(|error| read_error(&error))?;
        loop {
            let Err(error) = self.consumer.client().commit(&list, CommitMode::Sync) else {
                return Ok(());
            };
            if let Some(definite) = commit_error(&error, || self.consumer.client().client().fatal_error()) {
                return Err(definite);
            }
            if self.abandon.load(Ordering::Relaxed) {
                return Err(SourceError::Abandoned);
            }
            tracing::warn!(%error, "a commit failed and is tried again");
            std::thread::sleep(COMMIT_BACKOFF);
        }
    }
}

fn new_consumer(
    config: &ClientConfig,
    topics: &[Arc<str>],
    lag: Arc<LagBoard>,
) -> KafkaResult<BatchConsumer<Notes>> {
    let notes = Notes {
        changes: Mutex::default(),
        changed: AtomicBool::new(false),
        closing: AtomicBool::new(false),
        lag,
    };
    let consumer: BaseConsumer<Notes> = config.create_with_context(notes)?;
    let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    consumer.subscribe(&names)?;
    BatchConsumer::new(consumer)
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // Leaving the group revokes once more, when nobody polls for the change.
        self.consumer
            .client()
            .context()
            .closing
            .store(true, Ordering::Release);
        // A static member leaves only when it unsubscribes, and the others would wait for its session to end.
        self.consumer.client().unsubscribe();
        let deadline = Instant::now() + LEAVE_WAIT;
        while self
            .consumer
            .client()
            .assignment()
            .is_ok_and(|held| held.count() > 0)
            && Instant::now() < deadline
        {
            self.consumer.client().poll(Duration::from_millis(5));
        }
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(%error, "the consumer did not give its partitions back");
        }
    }
}

pub(super) fn input_record<'a>(record: &'a Record<'_>) -> InputRecord<'a> {
    InputRecord {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        timestamp: record.timestamp().unwrap_or(NO_TIME),
        key: record.key(),
        value: record.value(),
        headers: record,
    }
}
