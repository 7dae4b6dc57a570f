//! How a worker comes to its tasks: those from before, new ones, and those that read their changelogs first.
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::worker::{POLL_RECORDS_MAX, TaskId, Worker};
use crate::error::StreamsError;
use crate::plan::{StepId, SubTopology};
use crate::sink::Sink;
use crate::source::{Restore, Restored, Source, StartAt, TopicPartition};
use crate::task::{Position, Task};

/// The wait for records of a changelog.
const RESTORE_WAIT: Duration = Duration::from_millis(10);
/// How long a task that is ready may wait for others to begin to read with them.
const UNREAD_MAX: Duration = Duration::from_secs(1);

/// A task that reads its changelogs.
pub(super) struct Waiting {
    pub(super) id: TaskId,
    task: Task,
    stores: VecDeque<(StepId, Arc<str>)>,
    /// Reading the first of them has begun.
    begun: Option<Instant>,
    records: u64,
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
        if let Some(task) = self.suspended.remove(&id) {
            self.tasks.tasks.insert(id, task);
            return Ok(());
        }
        let mut task = Task::new(Arc::clone(sub), id.1, &self.surroundings)?;
        task.stand_at(input, committed);
        let stores: VecDeque<_> = task
            .stores()
            .map(|(step, topic)| (step, Arc::clone(topic)))
            .collect();
        if stores.is_empty() {
            self.tasks.tasks.insert(id, task);
        } else {
            self.waiting.push_back(Waiting {
                id,
                task,
                stores,
                begun: None,
                records: 0,
            });
        }
        Ok(())
    }

    /// Reads the inputs of the tasks that are ready.
    pub(super) fn read(&mut self) -> Result<(), StreamsError> {
        self.unread_since = None;
        let (tasks, routes) = (&self.tasks.tasks, &self.tasks.routes);
        let starts = self.starts.iter().filter_map(|(at, start)| {
            let (id, input) = routes.get(at)?;
            let next = tasks.get(id)?.position(*input);
            Some((at.clone(), next.map_or(*start, StartAt::Offset)))
        });
        Ok(self.source.assign(&starts.collect::<Vec<_>>())?)
    }

    /// Reads a piece of the changelog of the task that is next.
    pub(super) fn restore_some(&mut self) -> Result<(), StreamsError> {
        let Some(waiting) = self.waiting.front_mut() else {
            return Ok(());
        };
        let Some((step, topic)) = waiting.stores.front() else {
            return self.restored();
        };
        let at = TopicPartition {
            topic: Arc::clone(topic),
            partition: waiting.id.1,
        };
        if waiting.begun.is_none() {
            self.restore.begin(&at)?;
            waiting.begun = Some(Instant::now());
        }
        let (task, step, mut failure) = (&mut waiting.task, *step, None);
        let records = &mut waiting.records;
        let progress = self
            .restore
            .poll(RESTORE_WAIT, POLL_RECORDS_MAX, &mut |(key, value)| {
                *records += 1;
                match task.restore(step, key, value) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        if progress == Restored::Done {
            task.end_restore(step)?;
            let begun = waiting.begun.take().unwrap_or_else(Instant::now);
            let (partition, records) = (at.partition, waiting.records);
            tracing::info!(topic = &*at.topic, partition, records, elapsed = ?begun.elapsed(), "state restored");
            waiting.stores.pop_front();
            waiting.records = 0;
            if waiting.stores.is_empty() {
                return self.restored();
            }
        }
        Ok(())
    }

    /// The state of the first task that waits is whole.
    pub(super) fn restored(&mut self) -> Result<(), StreamsError> {
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
}
