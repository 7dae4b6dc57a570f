//! One worker: a group member, a producer, and the tasks of its partitions.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoints::{Checkpoints, Why};
use super::feed::{Feed, publish};
use super::held::HeldEstimate;
use super::idle::Probe;
use super::queries::Mailbox;
use super::restoring::Waiting;
use super::shared::Shared;
use super::start_order::StartOrder;
use crate::config::Guarantee;
use crate::error::StreamsError;
use crate::operator::Surroundings;
use crate::plan::{Decode, Topology};
use crate::sink::Sink;
use crate::source::{Polled, Restore, Source, SourceError, StartAt, TopicPartition};
use crate::store::LocalStores;
use crate::task::{Position, Task};

/// The longest wait for input; bounds how late a stop is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The wait for more rows while some wait to become a batch.
const PENDING_WAIT: Duration = Duration::from_millis(1);
/// The wait for input while somebody waits for the epoch to end.
const DRAIN_WAIT: Duration = Duration::from_millis(5);
/// The pause after a transaction that was aborted, times those before it in a row.
const ABORTED_PAUSE: Duration = Duration::from_millis(20);
const ABORTED_PAUSES_MAX: u32 = 50;
/// Bytes of records that wait for the end of their epoch, or for what is sent before them; where more is to be expected, the epoch ends early.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Records taken before the clock is looked at again.
pub(super) const POLL_RECORDS_MAX: usize = 4096;

/// A task's sub-topology and partition; in this order epochs end.
pub(super) type TaskId = (usize, i32);

/// What a worker works with.
pub(super) struct Clients<S, K, R> {
    pub(super) source: S,
    pub(super) sink: K,
    pub(super) restore: R,
    /// None without a state directory.
    pub(super) stores: Option<LocalStores>,
    pub(super) probe: Box<dyn Probe>,
}

/// A worker. `step` is one turn of its loop.
pub(super) struct Worker<S, K, R> {
    pub(super) topology: Arc<Topology>,
    pub(super) surroundings: Surroundings,
    interval: Duration,
    guarantee: Guarantee,
    pub(super) source: S,
    pub(super) sink: K,
    pub(super) restore: R,
    pub(super) checkpoints: Checkpoints,
    pub(super) probe: Box<dyn Probe>,
    /// When to look at the clocks of the tasks again.
    pub(super) look_at: Instant,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: Tasks,
    /// Tasks whose state is not whole yet, in the order in which they read their changelogs.
    pub(super) waiting: VecDeque<Waiting>,
    /// Tasks that are ready, but whose inputs are not read yet, since then.
    pub(super) unread_since: Option<Instant>,
    /// Tasks whose partitions were taken back and may be given again.
    pub(super) suspended: BTreeMap<TaskId, Task>,
    /// Where to begin in each partition that is held, as long as nothing of it was read.
    pub(super) starts: BTreeMap<TopicPartition, StartAt>,
    pub(super) start_order: StartOrder,
    pub(super) committed: HashMap<TopicPartition, Position>,
    /// When the running epoch must end; none while nothing has been read in it.
    pub(super) epoch_end: Option<Instant>,
    /// When the last epoch's end began.
    ended: Option<Instant>,
    /// What the running epoch will hold back.
    held: HeldEstimate,
    /// Transactions aborted in a row.
    pub(super) aborted: u32,
    /// The keys and bytes of state reported for each sub-topology.
    reported: BTreeMap<usize, (usize, usize)>,
    /// The tasks that were reported.
    pub(super) reported_tasks: BTreeSet<TaskId>,
    pub(super) report_at: Instant,
    /// Questions to the tasks.
    pub(super) mailbox: Arc<Mailbox>,
    /// The tasks that are said to run here.
    pub(super) served: BTreeSet<TaskId>,
    /// The group has said which partitions it has, and has not taken them back.
    pub(super) is_assigned: bool,
    /// Its tasks are about to come, and those who ask for all wait for it.
    pub(super) is_moving: bool,
    /// When records of repartition topics were read that are not committed: the first, and the last.
    pub(super) shuffled: Option<(Instant, Instant)>,
}

/// Running tasks, and which of them reads what.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) routes: HashMap<TopicPartition, (TaskId, usize)>,
}

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    pub(super) fn new(
        topology: Arc<Topology>,
        surroundings: Surroundings,
        interval: Duration,
        guarantee: Guarantee,
        clients: Clients<S, K, R>,
        shared: Arc<Shared>,
    ) -> Self {
        let mailbox = Arc::default();
        shared.queries.unsettle(&mailbox);
        Self {
            topology,
            surroundings,
            interval,
            guarantee,
            source: clients.source,
            sink: clients.sink,
            restore: clients.restore,
            checkpoints: Checkpoints::new(clients.stores),
            probe: clients.probe,
            look_at: Instant::now(),
            shared,
            tasks: Tasks::default(),
            waiting: VecDeque::new(),
            unread_since: None,
            suspended: BTreeMap::new(),
            starts: BTreeMap::new(),
            start_order: StartOrder::default(),
            committed: HashMap::new(),
            epoch_end: None,
            ended: None,
            held: HeldEstimate::default(),
            aborted: 0,
            reported: BTreeMap::new(),
            reported_tasks: BTreeSet::new(),
            report_at: Instant::now(),
            mailbox,
            served: BTreeSet::new(),
            is_assigned: false,
            is_moving: true,
            shuffled: None,
        }
    }

    #[cfg(test)]
    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Works until the job stops.
    pub(super) fn run(&mut self) -> Result<(), StreamsError> {
        while !self.shared.is_stopping() {
            self.step()?;
        }
        match self.end_epoch() {
            Err(error) if error.is_aborted() || error.is_taken_over() || error.is_unreadable() => {
                tracing::warn!(%error, "the last epoch does not count, its records will be read again");
                Ok(self.sink.recover()?)
            }
            ended => {
                ended?;
                Ok(self.checkpoints.write(Why::Ends, &mut self.restore)?)
            }
        }
    }

    /// Polls once, and does what follows from it.
    pub(super) fn step(&mut self) -> Result<(), StreamsError> {
        let stepped = self.restore_some().and_then(|()| self.poll());
        let stepped = match stepped {
            Err(error) if error.is_aborted() || error.is_unreadable() => self.recover(&error),
            stepped => stepped,
        };
        self.serve();
        match stepped {
            // The source has lost its partitions, and joins anew.
            Err(StreamsError::Source(SourceError::Fenced { cause })) => {
                tracing::warn!(cause, "the epoch is dropped and will be read again");
                self.give_up()
            }
            // The group will say so at one of the next polls.
            Err(error) if error.is_taken_over() => {
                tracing::warn!(%error, "the epoch is dropped");
                self.give_up()
            }
            stepped => stepped,
        }
    }

    /// Drops the running epoch and the tasks: the partitions are another's.
    fn give_up(&mut self) -> Result<(), StreamsError> {
        self.sink.recover()?;
        self.drop_tasks();
        // If it came in the middle of an assignment, the member would wait for it to be confirmed, and never join anew.
        Ok(self.source.unassign()?)
    }

    fn poll(&mut self) -> Result<(), StreamsError> {
        self.answer_questions()?;
        let pending = self.tasks.tasks.values().any(|task| task.pending_rows() > 0);
        let left = self
            .epoch_end
            .map_or(IDLE_WAIT, |end| end.saturating_duration_since(Instant::now()));
        let draining = self.shared.is_draining();
        let wait = left.min(match (pending, draining) {
            _ if !self.waiting.is_empty() => Duration::ZERO,
            _ if self.shuffled.is_some() => PENDING_WAIT,
            (true, _) => PENDING_WAIT,
            (false, true) => DRAIN_WAIT,
            (false, false) => IDLE_WAIT,
        });
        let wait = self.wait_beside_questions(wait);
        let (mut failure, mut full) = (None, false);
        let (tasks, sink, shared) = (&mut self.tasks, &mut self.sink, &self.shared);
        let mut feed = Feed {
            tasks,
            sink,
            checkpoints: &mut self.checkpoints,
            shared,
            route: None,
            records: 0,
            bytes: 0,
            shuffled: false,
        };
        let polled = self
            .source
            .poll(wait, POLL_RECORDS_MAX, &mut |record| match feed.accept(record) {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) => {
                    full = true;
                    ControlFlow::Break(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            });
        feed.count();
        let shuffled = feed.shuffled;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        let polled = polled?;
        let caught_up = !matches!(polled, Polled::Records(records) if records >= POLL_RECORDS_MAX);
        match polled {
            Polled::Records(records) => {
                self.held.read(records);
                self.begin_epoch(Instant::now());
            }
            Polled::Idle if pending => self.flush_rows()?,
            // Whoever drains waits for a commit, and nothing more comes that could share it.
            Polled::Idle if draining => self.end_epoch()?,
            Polled::Idle if self.epoch_end.is_none() => {
                self.checkpoints.write(Why::Due, &mut self.restore)?;
            }
            Polled::Idle => {}
            Polled::Assigned(partitions) => self.assign(&partitions)?,
            Polled::Revoked { lost } => self.revoke(lost)?,
        }
        self.look_at_clocks();
        self.look_at_tables()?;
        let full = full || self.sink.held_bytes().max(self.held.expected()) > HELD_BYTES_MAX;
        if full || self.epoch_end.is_some_and(|end| Instant::now() >= end) {
            return self.end_epoch();
        }
        self.end_shuffled_early(shuffled, caught_up)
    }

    /// The input pauses: what waits to become a batch goes through.
    fn flush_rows(&mut self) -> Result<(), StreamsError> {
        let (sink, checkpoints, shared) = (&mut self.sink, &mut self.checkpoints, &self.shared);
        for task in self.tasks.tasks.values_mut() {
            task.flush(&mut |records| publish(sink, checkpoints, shared, records))?;
        }
        Ok(())
    }

    /// An epoch begins, if none has.
    pub(super) fn begin_epoch(&mut self, now: Instant) {
        // Epochs follow each other at the interval, whatever a commit takes, but for one that takes most of it.
        let (soonest, latest) = (now + self.interval / 2, now + self.interval);
        let next = self.ended.map_or(latest, |ended| ended + self.interval);
        self.epoch_end.get_or_insert(next.clamp(soonest, latest));
    }

    /// Ends the epoch of every task: merge, emit, commit.
    pub(super) fn end_epoch(&mut self) -> Result<(), StreamsError> {
        if self.epoch_end.take().is_none() {
            return Ok(());
        }
        self.ended = Some(Instant::now());
        self.shuffled = None;
        self.end_epoch_of(|_| true)?;
        self.held.ended();
        Ok(())
    }

    /// Ends the epoch of the tasks for which `of` holds. What others have not written yet is not touched.
    pub(super) fn end_epoch_of(&mut self, of: impl Fn(&Task) -> bool) -> Result<(), StreamsError> {
        let (sink, checkpoints, shared) = (&mut self.sink, &mut self.checkpoints, &self.shared);
        for task in self.tasks.tasks.values_mut().filter(|task| of(task)) {
            task.end_epoch(&mut |records| publish(sink, checkpoints, shared, records))?;
            // Everything that follows from the states of this task, and of those before it, is sent.
            if self.guarantee == Guarantee::AtLeastOnce && sink.held_bytes() > HELD_BYTES_MAX {
                self.held.held(sink.held_bytes());
                sink.deliver()?;
            }
        }
        self.held.held(sink.held_bytes());
        for task in self.tasks.tasks.values_mut().filter(|task| of(task)) {
            task.announce(&mut |records| publish(sink, checkpoints, shared, records))?;
            task.forget_written();
        }
        self.report_state();
        self.report_time();
        let offsets = self.uncommitted(of);
        match self.guarantee {
            Guarantee::AtLeastOnce => self.commit(offsets)?,
            Guarantee::AtMostOnce => self.commit_first(offsets)?,
            Guarantee::ExactlyOnce => {
                self.sink.commit(&offsets, self.source.member().as_ref())?;
                self.committed(offsets);
            }
        }
        // An epoch that was given up has left nothing to apply.
        self.checkpoints.apply()?;
        Ok(self.checkpoints.write(Why::Due, &mut self.restore)?)
    }

    /// A transaction was aborted: what the tasks know may go beyond what counts, so they begin again. So they do if a state cannot be looked
    /// up: then it is restored.
    fn recover(&mut self, error: &StreamsError) -> Result<(), StreamsError> {
        tracing::warn!(%error, "the epoch does not count, its records are read again");
        // Whoever has lost its partitions without knowing is told at one of the next polls.
        std::thread::sleep(ABORTED_PAUSE * self.aborted.min(ABORTED_PAUSES_MAX));
        self.aborted = self.aborted.saturating_add(1);
        self.sink.recover()?;
        let held: Vec<TopicPartition> = self.starts.keys().cloned().collect();
        let was_assigned = self.is_assigned;
        self.drop_tasks();
        if held.is_empty() {
            // Whoever was given no partitions is not given them again.
            self.is_assigned = was_assigned;
            return Ok(());
        }
        self.assign(&held)
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), StreamsError> {
        // What was found out about an assignment before does not count for this one.
        self.probe.answers();
        // First: with exactly-once the answer waits for a transaction of the last owner that is being ended, and what a task reads
        // of its changelog afterwards goes with these offsets.
        let committed = self.source.committed(partitions)?;
        let mut begun = Vec::new();
        for (at, committed) in partitions.iter().zip(committed) {
            let Some((sub, input)) = self.topology.reader_of(&at.topic) else {
                tracing::warn!(
                    topic = &*at.topic,
                    "the group gave a topic that the job does not read"
                );
                continue;
            };
            let id = (sub.id, at.partition);
            let offset = committed.as_ref().map(|committed| committed.offset);
            if self
                .suspended
                .get(&id)
                .is_some_and(|task| task.stands_for(input) != committed)
            {
                // Another member has gone on since: its state counts.
                self.suspended.remove(&id);
            }
            match committed {
                Some(position) => self.committed.insert(at.clone(), position),
                None => self.committed.remove(at),
            };
            let start = match (offset, &sub.inputs[input].decode) {
                (Some(offset), _) => StartAt::Offset(offset),
                // All of it is news, whatever is to be done with topics that others write.
                (None, Decode::Shuffle(_)) => StartAt::Beginning,
                // Only who knows where it began can find the partition idle.
                (None, Decode::Rows(_)) => match self.source.begins_at_end(at)? {
                    Some(offset) => {
                        let metadata = String::new();
                        begun.push((at.clone(), Position { offset, metadata }));
                        StartAt::Offset(offset)
                    }
                    None => StartAt::Committed,
                },
            };
            self.starts.insert(at.clone(), start);
        }
        if !begun.is_empty() {
            // Whoever reads these partitions next must not begin at a later end, whatever becomes of the first epoch.
            self.source.commit(&begun)?;
            self.committed.extend(begun);
        }
        for at in partitions {
            if let Some((sub, input)) = self.topology.reader_of(&at.topic) {
                let (sub, id) = (Arc::clone(sub), (sub.id, at.partition));
                let stands_at = self.committed.get(at).cloned();
                self.own(&sub, id, input, stands_at.as_ref())?;
                self.tasks.routes.insert(at.clone(), (id, input));
            }
        }
        self.suspended.clear();
        self.checkpoints.forget_suspended();
        self.note_tables(partitions)?;
        self.report_state();
        tracing::info!(
            partitions = partitions.len(),
            restoring = self.waiting.len(),
            "assigned"
        );
        self.read()?;
        self.is_assigned = true;
        self.shared.worker_assigned();
        Ok(())
    }

    fn revoke(&mut self, lost: bool) -> Result<(), StreamsError> {
        let ended = if lost {
            tracing::warn!("the assignment is lost; its epoch is dropped and will be read again");
            Ok(false)
        } else {
            self.end_epoch().map(|()| true)
        };
        match ended {
            Ok(true) => {
                self.checkpoints.write(Why::Left, &mut self.restore)?;
                self.checkpoints.suspend();
                self.suspended.append(&mut self.tasks.tasks);
                self.forget_assignment();
            }
            Ok(false) => {
                self.sink.recover()?;
                self.drop_tasks();
            }
            Err(error) if error.is_aborted() || error.is_taken_over() || error.is_unreadable() => {
                tracing::warn!(%error, "the epoch before the rebalance does not count");
                self.sink.recover()?;
                self.drop_tasks();
            }
            Err(error) => return Err(error),
        }
        self.committed.clear();
        Ok(self.source.unassign()?)
    }

    /// Forgets the tasks and their running epoch. Records of their partitions are ignored until the next assignment.
    pub(super) fn drop_tasks(&mut self) {
        self.tasks.tasks.clear();
        self.suspended.clear();
        self.checkpoints.forget();
        self.held.dropped();
        self.forget_assignment();
        self.epoch_end = None;
        self.shuffled = None;
        self.report_state();
        self.report_time();
    }

    /// Forgets which partitions there are, and the tasks whose state is not whole.
    fn forget_assignment(&mut self) {
        self.is_assigned = false;
        self.serve_none();
        self.tasks.routes.clear();
        self.starts.clear();
        self.start_order = StartOrder::default();
        self.forget_waiting();
        self.unread_since = None;
    }

    pub(super) fn report_state(&mut self) {
        let mut sizes: BTreeMap<usize, (usize, usize)> =
            self.reported.keys().map(|sub| (*sub, (0, 0))).collect();
        for task in self.tasks.tasks.values().chain(self.suspended.values()) {
            let (keys, bytes) = task.state_size();
            let sum = sizes.entry(task.sub_topology()).or_default();
            *sum = (sum.0 + keys, sum.1 + bytes);
        }
        for (&sub, &size) in &sizes {
            let before = self.reported.insert(sub, size).unwrap_or_default();
            self.shared.metrics.state(sub, before, size);
        }
    }
}
