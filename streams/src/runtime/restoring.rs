//! How a worker comes to its tasks: those from before, new ones, and those that read their checkpoints and changelogs first.
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::worker::{POLL_RECORDS_MAX, TaskId, Worker};
use crate::error::StreamsError;
use crate::plan::{StepId, SubTopology};
use crate::sink::Sink;
use crate::source::{Restore, Restored, Source, StartAt, TopicPartition};
use crate::store::{LocalStore, LocalStoreError, Stored};
use crate::task::{Position, Task};

/// The wait for records of a changelog.
const RESTORE_WAIT: Duration = Duration::from_millis(10);
/// How long a task that is ready may wait for others to begin to read with them.
const UNREAD_MAX: Duration = Duration::from_secs(1);
/// States of a checkpoint that are loaded before it is asked again whether more are wanted.
const LOAD_STATES: usize = 1024;
/// How often a restore says how far it is.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

/// A task that reads its changelogs.
pub(super) struct Waiting {
    pub(super) id: TaskId,
    task: Task,
    stores: VecDeque<(StepId, Arc<str>)>,
    /// The first of them, once reading it has begun.
    reading: Option<Reading>,
}

/// A changelog that is being read.
struct Reading {
    at: TopicPartition,
    local: Option<LocalStore>,
    checkpoint: Checkpoint,
    /// Where the log ended when it began.
    end: i64,
    begun: Instant,
    told: Instant,
    progress: Progress,
}

/// What becomes of the states of a checkpoint.
enum Checkpoint {
    /// There is none, or its states are where they should be.
    Done,
    /// A part of them may be on its way to where it can be found.
    Found,
    /// All of them have to be in memory, and some may not be on the disk yet.
    Awaited,
    /// These are still to be loaded.
    Loaded(Stored),
}

/// How far a restore is.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// States loaded from the checkpoint.
    loaded: u64,
    /// Records read of the log.
    records: u64,
    /// Offsets of the log that are still to be read.
    left: u64,
}

impl Waiting {
    fn new(id: TaskId, task: Task) -> Self {
        let stores = task.stores().map(|(step, topic)| (step, Arc::clone(topic)));
        Self {
            id,
            stores: stores.collect(),
            task,
            reading: None,
        }
    }
}

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    /// Has a task for the partition, the one from before or a new one, whose input number `input` is at `committed`.
    pub(super) fn own(
        &mut self,
        sub: &Arc<SubTopology>,
        id: TaskId,
        input: usize,
        committed: Option<&Position>,
    ) -> Result<(), StreamsError> {
        if let Some(task) = self.tasks.tasks.get_mut(&id) {
            task.stand_at(input, committed);
            return Ok(());
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.task.stand_at(input, committed);
            return Ok(());
        }
        if let Some(mut task) = self.suspended.remove(&id) {
            let changelogs = task.stores().map(|(_, topic)| changelog(topic, id));
            if self.checkpoints.go_on(changelogs) {
                task.belongs_to(self.surroundings.owners.next());
                self.tasks.tasks.insert(id, task);
                return Ok(());
            }
        }
        let mut task = Task::new(Arc::clone(sub), id.1, &self.surroundings)?;
        task.stand_at(input, committed);
        let waiting = Waiting::new(id, task);
        if waiting.stores.is_empty() {
            self.tasks.tasks.insert(id, waiting.task);
        } else {
            self.waiting.push_back(waiting);
        }
        Ok(())
    }

    /// Reads the inputs of the tasks that are ready.
    pub(super) fn read(&mut self) -> Result<(), StreamsError> {
        self.unread_since = None;
        if self.tasks.tasks.values().any(Task::has_awoken) {
            self.begin_epoch(Instant::now());
            self.end_epoch()?;
        }
        let (tasks, routes) = (&self.tasks.tasks, &self.tasks.routes);
        let starts = self.starts.iter().filter_map(|(at, start)| {
            let (id, input) = routes.get(at)?;
            let next = tasks.get(id)?.position(*input);
            Some((at.clone(), next.map_or(*start, StartAt::Offset)))
        });
        let starts = starts.collect();
        let starts = self.without_later(starts);
        Ok(self.source.assign(&starts)?)
    }

    /// Reads a piece of the checkpoint or the changelog of the task that is next.
    pub(super) fn restore_some(&mut self) -> Result<(), StreamsError> {
        let Some(mut waiting) = self.waiting.pop_front() else {
            return Ok(());
        };
        let goes_on = self.restore_piece(&mut waiting);
        let restored = goes_on.is_ok() && waiting.stores.is_empty();
        self.waiting.push_front(waiting);
        goes_on?;
        if restored { self.restored() } else { Ok(()) }
    }

    fn restore_piece(&mut self, waiting: &mut Waiting) -> Result<(), StreamsError> {
        let Some((step, topic)) = waiting.stores.front().cloned() else {
            return Ok(());
        };
        let mut reading = match waiting.reading.take() {
            Some(reading) => reading,
            None => {
                let reading = self.begin(changelog(&topic, waiting.id))?;
                if let Some(local) = &reading.local {
                    waiting.task.attach(step, local);
                }
                reading
            }
        };
        let (task, before) = (&mut waiting.task, reading.progress);
        let done = match reading.checkpoint {
            Checkpoint::Done => reading.read(&mut self.restore, task, step)?,
            Checkpoint::Found | Checkpoint::Awaited => false,
            Checkpoint::Loaded(_) => match reading.load(task, step)? {
                Ok(()) => false,
                Err(error) => return self.begin_anew(waiting, &reading, &error),
            },
        };
        if let Err(error) = reading.find(task, step) {
            return self.begin_anew(waiting, &reading, &error);
        }
        self.report(before, reading.progress);
        if !done {
            if reading.told.elapsed() > PROGRESS_PAUSE {
                reading.told = Instant::now();
                reading.tell("state is being restored");
            }
            waiting.reading = Some(reading);
            return Ok(());
        }
        task.end_restore(step)?;
        if let Some(local) = &reading.local {
            local.restored()?;
        }
        reading.tell("state restored");
        waiting.stores.pop_front();
        Ok(())
    }

    /// Begins to read a changelog.
    fn begin(&mut self, at: TopicPartition) -> Result<Reading, StreamsError> {
        let local = self.checkpoints.claim(&at)?;
        let checkpoint = local.as_ref().and_then(LocalStore::resume);
        self.restore.begin(&at, checkpoint)?;
        let now = Instant::now();
        Ok(Reading {
            at,
            local,
            checkpoint: Checkpoint::Done,
            end: 0,
            begun: now,
            told: now,
            progress: Progress::default(),
        })
    }

    /// A checkpoint turned out to be unreadable: the task begins again, without it.
    fn begin_anew(
        &mut self,
        waiting: &mut Waiting,
        reading: &Reading,
        error: &LocalStoreError,
    ) -> Result<(), StreamsError> {
        tracing::warn!(%error, "a checkpoint is given up");
        if let Some(local) = &reading.local {
            local.begin_anew()?;
        }
        self.report(reading.progress, Progress::default());
        let task = waiting.task.begin_anew(&self.surroundings)?;
        *waiting = Waiting::new(waiting.id, task);
        Ok(())
    }

    /// The state of the first task that waits is whole.
    fn restored(&mut self) -> Result<(), StreamsError> {
        if let Some(Waiting { id, task, .. }) = self.waiting.pop_front() {
            self.tasks.tasks.insert(id, task);
            self.report_state();
        }
        // Together with others, because the client begins anew with all partitions.
        let since = *self.unread_since.get_or_insert_with(Instant::now);
        if self.waiting.is_empty() || since.elapsed() > UNREAD_MAX {
            self.read()?;
        }
        Ok(())
    }

    /// Forgets the tasks whose state is not whole.
    pub(super) fn forget_waiting(&mut self) {
        for reading in self.waiting.drain(..).filter_map(|waiting| waiting.reading) {
            self.shared.metrics.restoring(reading.progress.left, 0);
        }
    }

    fn report(&self, before: Progress, after: Progress) {
        let metrics = &self.shared.metrics;
        metrics.restoring(before.left, after.left);
        metrics.restored(
            after.loaded.saturating_sub(before.loaded),
            after.records.saturating_sub(before.records),
        );
    }
}

impl Reading {
    /// Loads a piece of the checkpoint. The inner error is that of a checkpoint that cannot be read.
    fn load(&mut self, task: &mut Task, step: StepId) -> Result<Result<(), LocalStoreError>, StreamsError> {
        let Checkpoint::Loaded(stored) = &mut self.checkpoint else {
            return Ok(Ok(()));
        };
        let (mut failure, loaded) = (None, &mut self.progress.loaded);
        let more = stored.read(LOAD_STATES, &mut |key, value| {
            *loaded += 1;
            match task.restore(step, Some(key), Some(value)) {
                Ok(()) => true,
                Err(error) => {
                    failure = Some(error);
                    false
                }
            }
        });
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        match more {
            Ok(true) if task.takes_more(step) => {}
            Ok(_) => self.checkpoint = Checkpoint::Done,
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Finds the states of the checkpoint. Of what was a copy until now, much may be on its way to the disk: other tasks work until it is there.
    fn find(&mut self, task: &mut Task, step: StepId) -> Result<(), LocalStoreError> {
        let Some(local) = &self.local else {
            return Ok(());
        };
        if matches!(self.checkpoint, Checkpoint::Found) && local.is_merged(RESTORE_WAIT)? {
            self.checkpoint = match local.is_looked_up() && task.takes_none(step) {
                // Work begins before the states are in memory.
                true => Checkpoint::Done,
                false => Checkpoint::Awaited,
            };
        }
        if matches!(self.checkpoint, Checkpoint::Awaited) && local.is_on_disk(RESTORE_WAIT)? {
            self.checkpoint = Checkpoint::Loaded(local.stored()?);
        }
        Ok(())
    }

    /// Reads a piece of the log; says whether its end is reached.
    fn read(&mut self, log: &mut impl Restore, task: &mut Task, step: StepId) -> Result<bool, StreamsError> {
        let mut failure = None;
        let (progress, local, end) = (&mut self.progress, &self.local, self.end);
        let restored = log.poll(RESTORE_WAIT, POLL_RECORDS_MAX, &mut |change| {
            progress.records += 1;
            progress.left = u64::try_from(end - change.at.offset - 1).unwrap_or(0);
            let kept = match (local, change.key) {
                (Some(local), Some(key)) => local.restore(change.at, key, change.value),
                _ => Ok(()),
            };
            let taken = kept
                .map_err(StreamsError::from)
                .and_then(|()| Ok(task.restore(step, change.key, change.value)?));
            match taken {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        match restored {
            Restored::Goes => return Ok(false),
            Restored::Done => {}
            Restored::Begins { resumed, begin, end } => {
                match &self.local {
                    Some(_) if resumed => self.checkpoint = Checkpoint::Found,
                    Some(local) => local.begin_anew()?,
                    None => {}
                }
                self.end = end;
                self.progress.left = u64::try_from(end - begin).unwrap_or(0);
                return Ok(false);
            }
        }
        self.progress.left = 0;
        Ok(true)
    }

    fn tell(&self, what: &'static str) {
        let Progress {
            loaded,
            records,
            left,
        } = self.progress;
        let (topic, partition) = (&*self.at.topic, self.at.partition);
        let (total, elapsed) = (records + left, self.begun.elapsed());
        tracing::info!(topic, partition, loaded, records, total, ?elapsed, "{what}");
    }
}

fn changelog(topic: &Arc<str>, (_, partition): TaskId) -> TopicPartition {
    TopicPartition {
        topic: Arc::clone(topic),
        partition,
    }
}
