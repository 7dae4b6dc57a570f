//! Whether anything is left in a partition from which nothing comes.
//!
//! Silence alone says nothing: a broker may be away, or a transaction open. Only who looks into the log and finds it read to its end
//! may call a partition idle. Looking takes requests and some 100 ms behind transactions, so it has a thread of its own.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, LogBounds};
use super::deadline::Deadline;
use crate::error::StreamsError;
use crate::source::TopicPartition;

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before the same partition is looked at again.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Questions that may wait; more are asked again later.
const QUESTIONS_MAX: usize = 1024;

/// Nothing was left to read at `position`, up to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exhausted {
    pub(super) at: TopicPartition,
    /// None: nothing was ever read.
    pub(super) position: Option<i64>,
    pub(super) end: i64,
    /// When it was found out.
    pub(super) seen: Instant,
}

/// Looks into partitions from which nothing comes.
pub(super) trait Probe: Send {
    /// Has somebody look whether anything is left in `at` from `position` on.
    fn ask(&mut self, at: TopicPartition, position: Option<i64>, now: Instant);

    /// The partitions in which nothing was left.
    fn answers(&mut self) -> Vec<Exhausted>;
}

/// A question, and where its answer goes.
type Question = (TopicPartition, Option<i64>, Sender<Exhausted>);

/// Asks the thread that looks.
#[derive(Clone)]
pub(super) struct Prober(SyncSender<Question>);

/// A worker's hold on the thread that looks.
pub(super) struct ClusterProbe {
    prober: Prober,
    answer: Sender<Exhausted>,
    answers: Receiver<Exhausted>,
    asked: HashMap<TopicPartition, Instant>,
}

impl Prober {
    /// Starts the thread; it ends when the last prober and probe are gone.
    pub(super) fn start(cluster: Arc<Cluster>) -> Result<Self, StreamsError> {
        let (ask, questions) = sync_channel::<Question>(QUESTIONS_MAX);
        let look = move || {
            for (at, position, answer) in questions {
                match exhausted(&cluster, &at, position) {
                    // Nobody waits for it any more: the worker has ended.
                    Ok(Some(end)) => {
                        let seen = Instant::now();
                        drop(answer.send(Exhausted {
                            at,
                            position,
                            end,
                            seen,
                        }));
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "looking whether a partition is idle"),
                }
            }
        };
        let name = "stream-idle".to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(look);
        thread.map_err(|cause| StreamsError::Thread { thread: name, cause })?;
        Ok(Self(ask))
    }

    pub(super) fn probe(&self) -> ClusterProbe {
        let (answer, answers) = channel();
        ClusterProbe {
            prober: self.clone(),
            answer,
            answers,
            asked: HashMap::new(),
        }
    }
}

/// The end of the partition's log, if nothing is left from `position` on.
fn exhausted(
    cluster: &Cluster,
    at: &TopicPartition,
    position: Option<i64>,
) -> Result<Option<i64>, StreamsError> {
    let bounds = cluster.partition_bounds(at)?;
    let start = position.unwrap_or(0).max(bounds.start);
    if start >= bounds.end {
        return Ok(Some(start));
    }
    let left = LogBounds { start, ..bounds };
    let empty = cluster.is_empty(at, left, Deadline::after(LOOK_TIMEOUT))?;
    Ok((empty == Some(true)).then_some(bounds.end))
}

impl Probe for ClusterProbe {
    fn ask(&mut self, at: TopicPartition, position: Option<i64>, now: Instant) {
        let recent = |asked: &Instant| now.saturating_duration_since(*asked) < LOOK_PAUSE;
        if self.asked.get(&at).is_some_and(recent) {
            return;
        }
        match self
            .prober
            .0
            .try_send((at.clone(), position, self.answer.clone()))
        {
            Ok(()) => drop(self.asked.insert(at, now)),
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => tracing::warn!("nobody looks whether partitions are idle"),
        }
    }

    fn answers(&mut self) -> Vec<Exhausted> {
        self.answers.try_iter().collect()
    }
}
